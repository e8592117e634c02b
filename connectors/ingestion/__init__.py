"""The ingestion service, as a gateway uses it: what is on the wire, and the way to the platform over it."""
