"""The stages put together: what a lane does with its frames, and what the telemetry job does with records."""
