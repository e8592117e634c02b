"""The ingestion service: for plants that may not open Kafka, the same frames, events, requests and acknowledgements over gRPC."""
