"""What travels between the logic and its adapter: where a record came from, and a record to be written."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """Where a record was read from."""

    topic: str
    partition: int
    offset: int


class Output(NamedTuple):
    """A record to be written."""

    topic: str
    key: bytes
    value: bytes
