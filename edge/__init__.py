"""What runs in the factory: the gateway, and simulated machines (`edge.simulator`). One process each, no Flink, no JVM."""
