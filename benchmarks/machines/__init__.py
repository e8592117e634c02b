"""Quality of anomaly detection on a synthetic corpus of machines with known faults."""
