"""Whether people can live with the alarms of a while: the figures of EEMUA 191, from SQL, of what the caller sees.

Enters: a path and a range. Leaves: `Figures`. An alarm is where it was when it was raised, so the figures of a machine that has moved are
of both places. Every figure is one function of the database, which `alarms report` asks too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from schemas.priorities import Priority
from serving.caches.plant import Lookups, Plant, covered
from serving.handlers.figures import computed_range
from serving.handlers.records import devices_under, gateways_under
from serving.handlers.selection import at, microseconds
from serving.seen import seen
from stages.alarms.eemua import RateVerdict, rate_verdict

MOST_SOURCES, MOST_STALE = 10, 50
_SCOPES: LiteralString = """
    SELECT scope, alarms, per_10_min, peak_10_min, flood_share, critical, high, medium, low, acknowledged,
           extract(epoch FROM time_to_acknowledge)::float8
    FROM alarm_kpis(%(start)s, %(end)s, %(paths)s, %(gateways)s)"""
_RATES: LiteralString = (
    "SELECT "
    + microseconds("start")
    + """, sum(alarms)::bigint, max(alarms)
    FROM alarm_rates(%(start)s, %(end)s, %(paths)s, %(gateways)s) GROUP BY start ORDER BY start"""
)
_TOP: LiteralString = """
    SELECT path, rule, coalesce(title, ''), alarms, share, chattered
    FROM alarm_top(%(start)s, %(end)s, %(most)s, %(paths)s, %(gateways)s)"""
_CHATTERING: LiteralString = """
    SELECT path, rule, coalesce(title, ''), 0::bigint, 0::float8, chattered
    FROM alarm_chattering(%(start)s, %(end)s, %(most)s, %(paths)s, %(gateways)s)"""
_STALE: LiteralString = (
    "SELECT alarm_id, path, rule, coalesce(title, ''), priority, "
    + microseconds("since")
    + """
    FROM stale_alarms(%(end)s, interval '24 hours', %(paths)s, %(gateways)s) LIMIT %(stale)s"""
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Figures of an area, or of a site's gateways. `time_to_acknowledge_s`: half of the answers came within."""

    scope: str
    alarms: int
    per_10_min: float
    peak_10_min: int
    flood_share: float
    by_priority: Mapping[Priority, int]
    acknowledged: int
    time_to_acknowledge_s: float | None

    @property
    def verdict(self) -> RateVerdict:
        """What EEMUA 191 says of the rate."""
        return rate_verdict(self.per_10_min)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFigures:
    """A source with many alarms, or one that chatters."""

    path: str
    rule: str
    title: str
    alarms: int
    share: float
    chattering: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """All of them. `rates`: start of 10 minutes, new alarms, and the most of one scope."""

    start_us: int
    end_us: int
    scopes: list[Scope]
    rates: list[tuple[int, int, int]]
    top: list[SourceFigures]
    chattering: list[SourceFigures]
    stale: list[tuple[Any, ...]]


class AlarmFigures:
    """The database, and what may be seen of it."""

    def __init__(self, database: ReadPool, plant: Plant, clock: Clock = now_us) -> None:
        self._database, self._plant, self._clock = database, plant, clock

    async def of(self, prefix: str, start_us: int, end_us: int) -> Figures:
        """Figures of a path. Raises NotFoundError for one of nothing, InvalidRequestError, and what the database raises."""
        now = self._clock()
        within = computed_range(start_us, end_us, now)
        paths, gateways = places(seen(self._plant), prefix)
        asked = {
            "start": at(within.start_us),
            "end": at(min(within.end_us, max(now, within.start_us))),
            "paths": paths,
            "gateways": gateways,
            "most": MOST_SOURCES,
            "stale": MOST_STALE,
        }
        statements = (_SCOPES, _RATES, _TOP, _CHATTERING, _STALE)
        scopes, rates, top, chattering, stale = [await self._database.fetch(one, asked) for one in statements]
        return Figures(
            start_us=within.start_us,
            end_us=min(within.end_us, now),
            scopes=[_scope(row) for row in scopes],
            rates=[(row[0], row[1], row[2]) for row in rates],
            top=[_source(row) for row in top],
            chattering=[_source(row) for row in chattering],
            stale=[tuple(row) for row in stale],
        )


def places(plant: Lookups, prefix: str) -> tuple[list[str], list[str]]:
    """Paths and gateways that a caller sees at or under a path. Raises NotFoundError for a path of nothing."""
    prefix = "" if prefix == "*" else prefix
    gateways, found = sorted(gateways_under(plant, prefix)), set[str]()
    for base in _bases(plant, prefix):
        found |= {base} if covered(base, plant.scopes) else {scope for scope in plant.scopes if covered(scope, [base])}
    return sorted(found), gateways


def _bases(plant: Lookups, prefix: str) -> set[str]:
    """The nodes that a path stands for: itself, or with a `*` all that begin like it."""
    if not prefix.endswith("*"):
        return {prefix.rstrip("/")}
    depth = prefix.count("/") + 1
    return {"/".join(device.path.split("/")[:depth]) for device in devices_under(plant, prefix)}


def _scope(row: Any) -> Scope:
    scope, alarms, per_10_min, peak, flood_share, *shares, acknowledged, took = row
    return Scope(
        scope=scope,
        alarms=alarms,
        per_10_min=per_10_min,
        peak_10_min=peak,
        flood_share=flood_share,
        by_priority={one: round(share * alarms) for one, share in zip(Priority, shares, strict=True)},
        acknowledged=acknowledged,
        time_to_acknowledge_s=took,
    )


def _source(row: Any) -> SourceFigures:
    path, rule, title, alarms, share, chattering = row
    return SourceFigures(path=path, rule=rule, title=title, alarms=alarms, share=share, chattering=chattering)
