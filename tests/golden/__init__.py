"""Golden cases of the telemetry logic: inputs and expected outputs as files."""
