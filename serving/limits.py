"""How much a principal may ask for: token buckets for calls, a count for open streams.

Enters: principal and method. Leaves: nothing, or RateLimitedError with the time after which a try can succeed. One per
server; state is a few numbers per principal, the principals come from the tokens file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from base.errors import OverloadedError
from serving.config import LimitSettings


class RateLimitedError(OverloadedError):
    """Too many calls of one principal."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Bucket:
    """`rate_hz` tokens a second flow in, up to `burst`; each call takes one."""

    rate_hz: float
    burst: int
    level: float
    filled_s: float

    def take(self, now_s: float) -> float:
        """0 when a token was taken, else seconds until there is one."""
        self.level = min(self.burst, self.level + (now_s - self.filled_s) * self.rate_hz)
        self.filled_s = now_s
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.rate_hz


class Limits:
    """Limits of every principal."""

    def __init__(self, settings: LimitSettings, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._calls: dict[str, Bucket] = {}
        self._commands: dict[str, Bucket] = {}
        self._streams: Counter[str] = Counter()

    def call(self, principal: str, *, command: bool) -> None:
        """Count a call; raises RateLimitedError."""
        s = self._settings
        self._take(self._calls, principal, s.requests_per_s, s.burst, "calls")
        if command:
            self._take(self._commands, principal, s.commands_per_s, s.commands_burst, "commands")

    @contextmanager
    def stream(self, principal: str) -> Iterator[None]:
        """Count a stream while it is open; raises RateLimitedError."""
        if self._streams[principal] >= self._settings.open_streams:
            msg = f"{principal} has {self._streams[principal]} open streams, the limit; close some, one stream can watch many tags"
            raise RateLimitedError(msg, retry_after_s=1.0)
        self._streams[principal] += 1
        try:
            yield
        finally:
            self._streams[principal] -= 1

    def _take(self, buckets: dict[str, Bucket], principal: str, rate_hz: float, burst: int, what: str) -> None:
        now_s = self._clock_s()
        bucket = buckets.get(principal)
        if bucket is None:
            bucket = buckets[principal] = Bucket(rate_hz, burst, float(burst), now_s)
        if wait_s := bucket.take(now_s):
            msg = f"{principal} made more than {rate_hz:g} {what} a second; try again in {wait_s:.3f} s"
            raise RateLimitedError(msg, retry_after_s=wait_s)
