"""The API: live state, history and commands over gRPC and HTTP. Faces translate, handlers decide, caches follow Kafka."""
