"""Pure stream logic over numpy and dataclasses: no engine, no I/O, no clock of its own.

Imports numpy, river and schemas only.
"""
