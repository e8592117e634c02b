"""How much may be asked for: rates of calls and commands, open streams and calls at once; per principal, per device and in total.

Enters: principals that were let in, and devices of the registry. Leaves: nothing, or RateLimitedError with the time after which a try can
succeed. A bucket that has filled up again says nothing and is dropped, so memory is bounded by the callers of the last moments.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from base.errors import OverloadedError
from serving.config import LimitSettings

_MAX_BUCKETS = 10_000
_SWEEP = 4
_DEVICE = "device {}"


class RateLimitedError(OverloadedError):
    """Too many calls of one principal, for one device, or in total."""


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

    def full(self, now_s: float) -> bool:
        """Whether it has filled up again."""
        return self.level + (now_s - self.filled_s) * self.rate_hz >= self.burst


class Buckets:
    """Buckets of one kind by name, those that were used last at the end."""

    def __init__(self, what: str, rate_hz: float, burst: int) -> None:
        self._what, self._rate_hz, self._burst = what, rate_hz, burst
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def take(self, name: str, now_s: float) -> None:
        """Take a token; raises RateLimitedError."""
        bucket = self._of.get(name)
        if bucket is None:
            self._forget(now_s)
            bucket = self._of[name] = Bucket(self._rate_hz, self._burst, float(self._burst), now_s)
        self._of.move_to_end(name)
        if wait_s := bucket.take(now_s):
            msg = f"more than {self._rate_hz:g} {self._what} a second for {name}; try again in {wait_s:.3f} s"
            raise RateLimitedError(msg, retry_after_s=wait_s)

    def _forget(self, now_s: float) -> None:
        for name in [key for key, _ in zip(self._of, range(_SWEEP), strict=False)]:
            if not self._of[name].full(now_s) and len(self._of) < _MAX_BUCKETS:
                break
            del self._of[name]


class Limits:
    """The limits of a server."""

    def __init__(self, settings: LimitSettings, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._calls = Buckets("calls", settings.requests_per_s, settings.burst)
        self._commands = Buckets("commands", settings.commands_per_s, settings.commands_burst)
        self._devices = Buckets("commands", settings.device_commands_per_s, settings.device_commands_burst)
        self._streams: Counter[str] = Counter()
        self._under_way = 0

    def call(self, principal: str, *, command: bool) -> None:
        """Count a call; raises RateLimitedError."""
        now_s = self._clock_s()
        self._calls.take(principal, now_s)
        if command:
            self._commands.take(principal, now_s)

    def device(self, device_id: int) -> None:
        """Count a command to a device, of whomever; raises RateLimitedError."""
        self._devices.take(_DEVICE.format(device_id), self._clock_s())

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return self._streams.total()

    @contextmanager
    def stream(self, principal: str, *, at_most: int | None = None) -> Iterator[None]:
        """Count a stream while it is open; raises RateLimitedError. `at_most`: in the place of a principal's limit."""
        mine, total = self._streams[principal], self.streams
        if mine >= (at_most or self._settings.open_streams):
            msg = f"{principal} has {mine} open streams, the limit; close some, one stream can watch many tags"
            raise RateLimitedError(msg)
        if total >= self._settings.total_streams:
            msg = f"{total} streams are open here, the limit of this server; try another one"
            raise RateLimitedError(msg, retry_after_s=5.0)
        self._streams[principal] += 1
        try:
            yield
        finally:
            self._streams[principal] -= 1
            if not self._streams[principal]:
                del self._streams[principal]

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a read while it is handled; raises RateLimitedError."""
        if self._under_way >= self._settings.total_reads:
            msg = f"{self._under_way} reads are under way here, the limit of this server; try again in a moment"
            raise RateLimitedError(msg, retry_after_s=0.5)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
