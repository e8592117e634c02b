"""Quality of anomaly detection on labelled series, by the rule of the Numenta Anomaly Benchmark."""
