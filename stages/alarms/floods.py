"""Floods: more new alarms in an operator's scope than a person can take in (EEMUA 191: more than 10 in 10 minutes).

A flood hides nothing. It is an event at its beginning and its end, and a reason to show the calm list (`stages.alarms.calm`). In state: a
few times per scope.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.alarms import alarm_id, source_id
from stages.alarms.config import AlarmConfig
from stages.alarms.step import Step


@dataclass(kw_only=True, slots=True)
class Scope:
    """Latest new alarms of a scope, event time, and since when it is in flood."""

    times_us: list[int] = field(default_factory=list)
    since_us: int | None = None
    alarms: int = 0


class Floods:
    """Floods of a site's scopes."""

    def __init__(self, site: str, config: AlarmConfig) -> None:
        self._site, self._config = site, config
        self.scopes: dict[str, Scope] = {}

    def count(self, scope: str, time_us: int, step: Step) -> None:
        """A new alarm that a person sees."""
        config = self._config
        known = self.scopes.setdefault(scope, Scope())
        # Gateways' clocks differ a little: time does not go back.
        time_us = max([time_us, *known.times_us[-1:]])
        self.tick(scope, time_us, step)
        known.times_us = [*known.times_us, time_us][-(config.flood_above + 1) :]
        known.alarms += known.since_us is not None
        full = len(known.times_us) > config.flood_above
        if known.since_us is None and full and time_us - known.times_us[0] <= config.flood_ms * 1000:
            known.since_us, known.alarms = time_us, len(known.times_us)
            self._tell(scope, known, time_us, step, began=True)

    def withdraw(self, scope: str, time_us: int) -> None:
        """An alarm that was counted never was. A flood that has been told goes on until it is over."""
        known = self.scopes.get(scope)
        counted = [] if known is None else [one for one in known.times_us if one >= time_us]
        if known is None or not counted:
            return
        known.times_us.remove(min(counted))
        known.alarms -= known.since_us is not None

    def tick(self, scope: str, clock_us: int, step: Step) -> None:
        """Time goes on: a flood ends when the rate has fallen."""
        known = self.scopes.get(scope)
        if known is None or known.since_us is None:
            return
        last_ones = known.times_us[-self._config.flood_below :]
        few = len(last_ones) < self._config.flood_below
        end_us = clock_us if few else last_ones[0] + self._config.flood_ms * 1000
        if few or clock_us > end_us:
            self._tell(scope, known, end_us, step, began=False)
            known.since_us, known.alarms = None, 0

    def in_flood(self) -> list[str]:
        """Scopes in flood."""
        return [scope for scope, known in self.scopes.items() if known.since_us is not None]

    def _tell(self, scope: str, known: Scope, time_us: int, step: Step, *, began: bool) -> None:
        scope_id = source_id(self._site, f"flood/{scope}")
        flood_id: UUID = alarm_id(scope_id, known.since_us or time_us)
        minutes = self._config.flood_ms / 60_000
        detail = (
            f"{known.alarms} new alarms within {minutes:g} minutes"
            if began
            else f"{known.alarms} alarms; now fewer than {self._config.flood_below} within {minutes:g} minutes"
        )
        step.flood(self._site, scope, began=began, flood_id=flood_id, scope_id=scope_id, time_us=time_us, detail=detail)

    def to_plain(self) -> dict[str, Any]:
        """For the state."""
        return {scope: [known.times_us, known.since_us, known.alarms] for scope, known in self.scopes.items()}

    def restore(self, plain: dict[str, Any]) -> None:
        """Inverse of `to_plain`."""
        self.scopes = {
            scope: Scope(times_us=each[0], since_us=each[1], alarms=each[2]) for scope, each in plain.items()
        }
