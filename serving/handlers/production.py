"""What machines did: OEE and PackML states of a part of the plant, from SQL.

Enters: a path, a range of time, what to group by. Leaves: rows of the functions oee_between and states_of, which say how they are
computed. Raises the branches of `base.errors`; UnavailableError while the database is away. Both faces call it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import LiteralString

from base.errors import InvalidRequestError
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from serving.caches.plant import Plant
from serving.handlers.figures import computed_range, require_all
from serving.handlers.records import devices_under
from serving.handlers.selection import since_epoch_us
from serving.seen import seen

GROUPS = ("site", "area", "line", "cell", "device", "shift", "day", "hour", "order", "product")
MOST_MACHINES = 200

_OEE: LiteralString = """
    SELECT path, shift_day, shift, start, job_order, material, pbt_s, apt_s, pq, gq, ideal_s, availability, effectiveness, quality, oee,
           unknown_s, unplanned_gq
    FROM oee_between(%(prefix)s, %(start)s, %(end)s, %(by)s::text[])
    ORDER BY path, shift_day, start, shift, job_order, material"""
_STATES: LiteralString = """
    SELECT s.device_id, s.packml_state, s.start_time, s.end_time
    FROM states_of(%(devices)s::integer[], %(start)s, %(end)s) s
    ORDER BY s.device_id, s.start_time"""


@dataclass(frozen=True, kw_only=True, slots=True)
class OeeRow:
    """A row of oee_between; None is what does not apply or cannot be said."""

    path: str | None
    shift_day: date | None
    shift: str | None
    start: datetime | None
    job_order: str | None
    material: str | None
    pbt_s: float
    apt_s: float
    pq: float
    gq: float
    ideal_s: float | None
    availability: float | None
    effectiveness: float | None
    quality: float | None
    oee: float | None
    unknown_s: float
    unplanned_gq: float


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A state for as long as it lasted."""

    device_id: int
    device_path: str
    packml_state: str
    start_us: int
    end_us: int


@dataclass(kw_only=True, slots=True)
class ProductionHandlers:
    """The registry, for paths, and the database."""

    plant: Plant
    database: ReadPool
    ready: Callable[[], None]
    """Raises UnavailableError while the registry is being read."""
    clock: Clock = now_us

    async def read_oee(
        self, *, prefix: str = "", start_us: int = 0, end_us: int = 0, by: Sequence[str] = ()
    ) -> list[OeeRow]:
        """OEE of a part of the plant; of the last 24 hours when `start_us` is 0."""
        self.ready()
        if unknown := [group for group in by if group not in GROUPS]:
            msg = f"cannot group by {unknown[0][:40]!r}; there are {', '.join(GROUPS)}"
            raise InvalidRequestError(msg, field="by")
        require_all(self.plant, prefix)
        within = computed_range(start_us, end_us, self.clock())
        rows = await self.database.fetch(_OEE, {**within.parameters, "prefix": prefix, "by": list(by)})
        names = OeeRow.__slots__
        return [OeeRow(**dict(zip(names, row, strict=True))) for row in rows]

    async def read_states(self, *, prefix: str = "", start_us: int = 0, end_us: int = 0) -> list[State]:
        """States of the machines at or under a path; of the last 24 hours when `start_us` is 0."""
        self.ready()
        devices = [device.device_id for device in devices_under(seen(self.plant), prefix)]
        if len(devices) > MOST_MACHINES:
            msg = f"{len(devices)} machines are under {prefix!r}; name a path with at most {MOST_MACHINES}"
            raise InvalidRequestError(msg, field="prefix")
        within = computed_range(start_us, end_us, self.clock())
        rows = await self.database.fetch(_STATES, {**within.parameters, "devices": devices})
        return [
            State(
                device_id=device_id,
                device_path=self.plant.device_path(device_id),
                packml_state=state,
                start_us=since_epoch_us(start),
                end_us=since_epoch_us(end),
            )
            for device_id, state, start, end in rows
        ]
