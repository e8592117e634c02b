"""History in PostgreSQL, with or without TimescaleDB: store, ledger, repair, maintenance, replay, accounting.

`migrations/` is the schema; every query runs on both variants.
"""
