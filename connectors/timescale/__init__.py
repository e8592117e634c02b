"""PostgreSQL, with or without TimescaleDB: registry, history, ledger.

`migrations/` is the schema; every query runs on both variants.
"""
