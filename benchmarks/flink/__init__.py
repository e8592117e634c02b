"""Jobs that only benchmarks run: submitted with `flink run` in the place of one of the platform's."""
