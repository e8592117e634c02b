"""The Flink jobs: telemetry, historian, commands. The only package that imports PyFlink, and only in `jobs.flink` deeply."""
