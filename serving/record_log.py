"""Where what serving writes becomes durable."""

from __future__ import annotations

from typing import Protocol


class RecordLog(Protocol):
    """Commands, events, actions, sign-outs go there: Kafka, or a list in a test."""

    async def send(self, topic: str, key: bytes, value: bytes | None) -> object:
        """None is a tombstone. Durable when it returns; raises UnavailableError or OverloadedError."""
