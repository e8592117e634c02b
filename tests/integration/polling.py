"""Waiting for a condition with a deadline, instead of sleeping for a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    condition: Callable[[], T | None], *, timeout_s: float = 30, period_s: float = 0.05, what: str = ""
) -> T:
    """First true value of the condition; AssertionError with the last value after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what or condition}; last value {value!r}"
        time.sleep(period_s)
    return value
