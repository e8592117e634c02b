"""Health of the services: asking them (`probes`), patience with those that are silent (`patience`), the watching process (`watch`)."""
