"""Identifiers and the clock: UUIDv7 (RFC 9562), ordered by time, and microseconds UTC."""

from __future__ import annotations

import os
import time
from uuid import UUID


def now_us() -> int:
    """The system clock, microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def uuid7(time_us: int | None = None) -> UUID:
    """New UUIDv7 of `time_us` (now by default): 48 bits of milliseconds, then random."""
    milliseconds = (now_us() if time_us is None else time_us) // 1000
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
