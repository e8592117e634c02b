"""Protocols and transports, a folder each. Imports `base`, `schemas` and third-party clients only."""
