"""Calculated tags: samples that the telemetry job makes of others, by an expression over tags of one device."""
