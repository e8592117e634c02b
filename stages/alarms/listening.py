"""Whether what comes can be read at all: silence says something only while it can.

A record that is read says so, and when none is, the broker is asked. While it does not answer, nobody is silent, and neither for a while
afterwards: what was said meanwhile is still to be read. The same holds when nothing was called for a while, as when the process stood.
"""

from __future__ import annotations

from collections.abc import Callable

from stages.alarms.config import AlarmConfig

Reachable = Callable[[], bool]
"""Whether what is written now would be read."""


def always() -> bool:
    """Where what comes is no broker's."""
    return True


class Listening:
    """Of one site, in processing time."""

    def __init__(self, config: AlarmConfig, opened_us: int, reachable: Reachable) -> None:
        self._config, self._reachable = config, reachable
        self.since_us = opened_us
        """Since when everything that comes has been read without a break."""
        self.until_us = opened_us
        """Up to when."""
        self._called_us: int | None = None
        self._read_us = opened_us
        self._away = False

    def read(self, now_us: int) -> None:
        """Something has been read."""
        self._called(now_us)
        self._read_us = now_us
        self._heard(now_us)

    def tick(self, now_us: int) -> None:
        """Ask, if nothing was read of late."""
        self._called(now_us)
        if now_us - self._read_us < self._config.ask_ms * 1000:
            return
        if self._reachable():
            self._heard(now_us)
        else:
            self._away = True

    def _called(self, now_us: int) -> None:
        if self._called_us is not None and now_us - self._called_us > self._config.pause_ms * 1000:
            self._away = True
        self._called_us = now_us

    def _heard(self, now_us: int) -> None:
        if self._away:
            self.since_us, self._away = now_us, False
        self.until_us = max(self.until_us, now_us)
