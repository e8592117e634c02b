"""Anomaly detection: detectors per device on closed windows, adaptive thresholds, episodes."""
