"""Kafka: clients, topics, following a topic, printing it for people."""
