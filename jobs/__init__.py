"""The Flink jobs: telemetry, historian, commands. Only this package imports PyFlink, deeply only `jobs.flink`."""
