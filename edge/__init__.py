"""What runs in the factory: the gateway. One process, no Flink, no JVM."""
