"""Jobs that only benchmarks run: submitted in the place of one of the platform's."""
