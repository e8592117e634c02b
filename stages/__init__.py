"""Pure stream logic over numpy and dataclasses: no engine, no I/O, no clock of its own. A folder a stage.

Imports numpy, river, base and schemas only.
"""
