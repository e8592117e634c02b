"""Patience with services that do not answer: when one of them is to be restarted. Pure; the clock is a parameter.

Enters: rounds of health checks, each with its time and, for every service, the process that was asked and what it answered. Leaves:
the services whose patience is over. Called by `watch`.

A collection of garbage, a slow disk or a burst makes a service silent for a while, so each has a grace. A failed check counts for the
time since the round before, but never for more than `MOST_PER_ROUND_S`: a watcher that slept (it was stopped, or the whole machine was)
finds itself with one failed check, not with a minute of silence. A process that has not answered yet since it started has
`start_grace_s` instead, longer each time when it never answered before it was restarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stack.health.answer import Answer, Health

MOST_PER_ROUND_S = 6.0
_MOST_DOUBLINGS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Grace:
    """How long a service may be silent: once it has answered, and from its start until it first answers; seconds."""

    grace_s: float
    start_grace_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What one round saw of a service. `pid` is 0 when it does not run: then the supervisor is at work, or somebody stopped it."""

    pid: int
    health: Health


@dataclass(kw_only=True, slots=True)
class _Watched:
    """What is remembered of a service."""

    pid: int = 0
    answered: bool = False
    silent_s: float = 0.0
    fruitless: int = 0


@dataclass(kw_only=True)
class Patience:
    """Patience with all services of an instance."""

    graces: Mapping[str, Grace]
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _before_s: float | None = None

    def observe(self, now_s: float, asked: Mapping[str, Asked]) -> list[str]:
        """Take one round in; names of the services to restart now, which counts as done."""
        passed_s = 0.0 if self._before_s is None else min(now_s - self._before_s, MOST_PER_ROUND_S)
        self._before_s = now_s
        return [name for name, one in asked.items() if self._is_over(name, one, passed_s)]

    def silent_s(self, name: str) -> float:
        """For how long the service has been seen silent, seconds."""
        return self._watched.get(name, _Watched()).silent_s

    def _is_over(self, name: str, asked: Asked, passed_s: float) -> bool:
        watched = self._watched.setdefault(name, _Watched())
        if asked.pid != watched.pid:
            watched.pid, watched.answered, watched.silent_s = asked.pid, False, 0.0
        if not asked.pid or asked.health.answer is Answer.UNKNOWN:
            return False
        if asked.health.answer is not Answer.SILENT:
            watched.answered, watched.silent_s, watched.fruitless = True, 0.0, 0
            return False
        watched.silent_s += passed_s
        grace = self.graces[name]
        allowed_s = (
            grace.grace_s if watched.answered else grace.start_grace_s * 2 ** min(watched.fruitless, _MOST_DOUBLINGS)
        )
        if watched.silent_s < allowed_s:
            return False
        watched.fruitless += 0 if watched.answered else 1
        # The next process is another one; until it is there, nothing counts.
        watched.silent_s, watched.answered = 0.0, False
        return True
