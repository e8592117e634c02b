"""How each stage of the line is, from what this server can see: whether it advances, not whether it exists.

Enters: reports of gateways, notes of what came on the topics, what the alarms job commits, and what the ledger says. Leaves: a
`LineHealth`, at most every two seconds a new one. A stage without anything to do is well, and says so; a stage that cannot be seen is
UNKNOWN.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import LiteralString

from base.errors import MillraceError, listed
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from serving.caches.alarm_job import AlarmJob, EvaluationState
from serving.caches.gateways import Gateways, GatewayState
from serving.caches.progress import Progress
from serving.handlers.selection import since_epoch_us

_KEEP_S = 2.0
_BEHIND_S = 10.0
_NAMED = 5
_STOPPED_S = 60.0
_UNRECORDED_S = 10.0
_DATABASE_S = 2.0
_LEDGER: LiteralString = "SELECT max(newest_time), max(updated_at) FROM ledger"


class Health(StrEnum):
    """How a stage is, from best to worst."""

    OK = "OK"
    """It advances, or has nothing to do."""
    UNKNOWN = "UNKNOWN"
    """It cannot be seen from here."""
    DEGRADED = "DEGRADED"
    """It advances and is behind, or part of it is down."""
    DOWN = "DOWN"
    """It does not advance."""


_ORDER = list(Health)
_OF_ALARMS = {
    EvaluationState.RUNNING: Health.OK,
    # Nobody asked for it: nothing is wrong, and the detail says so.
    EvaluationState.OFF: Health.OK,
    EvaluationState.UNKNOWN: Health.UNKNOWN,
    EvaluationState.PARTIAL: Health.DEGRADED,
    EvaluationState.STALLED: Health.DOWN,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StageHealth:
    """A stage. `advanced_us`: newest progress that was seen of it, microseconds UTC; 0 for none."""

    name: str
    health: Health
    detail: str
    advanced_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LineHealth:
    """The worst of the stages, and the stages from machines to SQL."""

    health: Health
    stages: tuple[StageHealth, ...]
    observed_us: int


@dataclass(kw_only=True, slots=True)
class Assessment:
    """What the judgement is made of."""

    gateways: Gateways
    progress: Progress
    alarms: AlarmJob
    database: ReadPool
    clock: Clock = now_us
    _kept: tuple[float, LineHealth] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def assess(self) -> LineHealth:
        """Judge; never raises because a part is down."""
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > _KEEP_S:
                self._kept = time.monotonic(), await self._assess()
            return self._kept[1]

    async def _assess(self) -> LineHealth:
        gateways, telemetry = self._gateways(), self._telemetry()
        historian, database = await self._database()
        stages = (gateways, telemetry, historian, self._commands(), self._alarms(), database)
        worst = max((stage.health for stage in stages), key=_ORDER.index)
        return LineHealth(health=worst, stages=stages, observed_us=self.clock())

    def _gateways(self) -> StageHealth:
        found = self.gateways.all()
        silent = [one.gateway_id for one in found if one.state is GatewayState.SILENT]
        degraded = [one.gateway_id for one in found if one.state is GatewayState.DEGRADED]
        newest_us = max((one.reported_us for one in found), default=0)
        if not found:
            health, detail = Health.UNKNOWN, "no gateway has reported yet"
        elif len(silent) == len(found):
            health, detail = Health.DOWN, f"silent: {listed(silent, _NAMED)}"
        elif silent or degraded:
            parts = [f"silent: {listed(silent, _NAMED)}"] * bool(silent) + [
                f"connections down: {listed(degraded, _NAMED)}"
            ] * bool(degraded)
            health, detail = Health.DEGRADED, "; ".join(parts)
        else:
            health, detail = Health.OK, f"{len(found)} report"
        return StageHealth(name="gateways", health=health, detail=detail, advanced_us=newest_us)

    def _telemetry(self) -> StageHealth:
        """Last values come as long as a gateway sends; how old they are by the gateways' clocks is how far the job is behind."""
        at_us, closed_us = self.progress.telemetry_us, self.progress.closed_us
        if not any(one.state is not GatewayState.SILENT for one in self.gateways.all()):
            return StageHealth(name="telemetry", health=Health.OK, detail="no gateway sends", advanced_us=closed_us)
        return self._lagging("telemetry", "last values", at_us, closed_us)

    async def _database(self) -> tuple[StageHealth, StageHealth]:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(_DATABASE_S):
                ((newest, updated),) = await self.database.fetch(_LEDGER)
        except (MillraceError, TimeoutError) as error:
            cause = str(error) or f"no answer within {_DATABASE_S:g} s"
            unseen = StageHealth(
                name="historian", health=Health.UNKNOWN, detail="its ledger is in the database, which does not answer"
            )
            return unseen, StageHealth(name="database", health=Health.DOWN, detail=cause)
        took_ms = (time.monotonic() - began_s) * 1000
        database = StageHealth(
            name="database", health=Health.OK, detail=f"answers in {took_ms:.0f} ms", advanced_us=self.clock()
        )
        if newest is None:
            return StageHealth(name="historian", health=Health.UNKNOWN, detail="nothing is stored yet"), database
        newest_us, updated_us = since_epoch_us(newest), since_epoch_us(updated)
        if self.clock() - self.progress.telemetry_us > _STOPPED_S * 1e6:
            idle = StageHealth(
                name="historian", health=Health.OK, detail="nothing comes from telemetry", advanced_us=newest_us
            )
            return idle, database
        return self._lagging("historian", "rows", updated_us, newest_us), database

    def _commands(self) -> StageHealth:
        oldest_us, recorded_us = self.progress.oldest_unrecorded_us, self.progress.recorded_us
        waits_s = (self.clock() - oldest_us) / 1e6 if oldest_us else 0.0
        if waits_s <= _UNRECORDED_S:
            return StageHealth(
                name="commands", health=Health.OK, detail="every command has a record", advanced_us=recorded_us
            )
        detail = f"a command has had no record for {waits_s:.0f} s"
        return StageHealth(name="commands", health=Health.DOWN, detail=detail, advanced_us=recorded_us)

    def _alarms(self) -> StageHealth:
        found = self.alarms.evaluation
        return StageHealth(
            name="alarms", health=_OF_ALARMS[found.state], detail=found.detail, advanced_us=found.advanced_us
        )

    def _lagging(self, name: str, what: str, advanced_us: int, newest_us: int) -> StageHealth:
        """By the time of the last advance and by how old the newest data is."""
        if not advanced_us:
            return StageHealth(name=name, health=Health.UNKNOWN, detail=f"no {what} yet")
        silent_s, behind_s = (self.clock() - advanced_us) / 1e6, (self.clock() - newest_us) / 1e6
        if silent_s > _STOPPED_S:
            health, detail = Health.DOWN, f"no new {what} for {silent_s:.0f} s"
        elif max(silent_s, behind_s) > _BEHIND_S:
            health, detail = Health.DEGRADED, f"the newest {what} are {max(silent_s, behind_s):.0f} s old"
        else:
            health, detail = Health.OK, f"the newest {what} are {max(0.0, behind_s):.1f} s old"
        return StageHealth(name=name, health=health, detail=detail, advanced_us=newest_us)
