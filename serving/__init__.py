"""gRPC: live state and commands of the plant. Servicers translate, handlers decide, caches are fed from Kafka."""
