"""Answers of a plant's work from SQL: downtime by reason, reliability, production, genealogy, control charts, batches.

Enters: a part of the plant, a lot, a tag, a batch, a range of time. Leaves: objects whose names are the fields of the contract's messages:
each statement makes them, from the function in SQL that says how its answer is computed. A figure of a place is for those who may read all
of it; what stands where a caller may not read is in no list. Raises the branches of `base.errors`; UnavailableError while the database is
away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from base.errors import InvalidRequestError, NotFoundError, shown
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from serving.caches.plant import Plant
from serving.handlers.figures import computed_range, require_all
from serving.handlers.selection import at, microseconds
from serving.principals import Permission, current
from serving.seen import seen

Item = dict[str, Any]
MOST_POINTS = 10_000
MOST_BATCH_POINTS = 1000
DIRECTIONS = ("back", "forward")

_PARETO: LiteralString = """
    SELECT to_jsonb(p) FROM downtime_pareto(%(prefix)s, %(start)s, %(end)s, nullif(%(depth)s, 0)) p"""
_RELIABILITY: LiteralString = """
    SELECT to_jsonb(r) FROM reliability_between(%(prefix)s, %(start)s, %(end)s, nullif(%(reasons)s::text[], '{}')) r ORDER BY r.path"""
_PRODUCTION: LiteralString = (
    """
    SELECT jsonb_build_object('job_order', p.job_order, 'material', p.material, 'status', 'JOB_ORDER_STATUS_' || p.status,
        'quantity', p.quantity, 'good', p.good, 'declared', p.declared, 'expected', p.expected, 'ahead', p.ahead, 'planned_start_us', """
    + microseconds("p.planned_start")
    + ", 'planned_end_us', "
    + microseconds("p.planned_end")
    + ", 'started_us', "
    + microseconds("p.started")
    + ", 'ended_us', "
    + microseconds("p.ended")
    + ") FROM production_against_plan(%(prefix)s, %(start)s, %(end)s, nullif(%(counted_class)s, '')) p"
)
# A lot is seen where it was used: a way that leads over one that is not is not told.
_LOT: LiteralString = """
    SELECT true FROM material_lot l WHERE l.lot = %(lot)s
      AND ('' = ANY (%(seen)s::text[])
           OR EXISTS (SELECT FROM material_actual a WHERE a.lot = l.lot AND scopes_cover(%(seen)s, a.device_path)))"""
_UNSEEN: LiteralString = """
    SELECT FROM unnest({lots}) AS x(lot)
    WHERE NOT EXISTS (SELECT FROM material_actual a WHERE a.lot = x.lot AND scopes_cover(%(seen)s, a.device_path))"""
_GENEALOGY: LiteralString = (
    """
    SELECT jsonb_build_object('direction', g.direction, 'depth', g.depth, 'lot', g.lot_found, 'material', g.material,
        'trail', to_jsonb(g.trail))
    FROM lot_genealogy(%(lot)s, %(direction)s) g WHERE NOT EXISTS ("""
    + _UNSEEN.replace("{lots}", "g.trail")
    + ") ORDER BY g.direction, g.depth, g.lot_found"
)
_LOT_VALUES: LiteralString = (
    """
    SELECT jsonb_build_object('lot', v.lot_made, 'depth', v.depth, 'device_path', v.device_path, 'name', v.name, 'unit', v.unit,
        'mean', v.mean, 'min', v.min, 'max', v.max, 'out_of_range_s', v.out_of_range_s, 'start_us', """
    + microseconds("v.start_time")
    + ", 'end_us', "
    + microseconds("v.end_time")
    + """)
    FROM lot_process_values(%(lot)s) v WHERE scopes_cover(%(seen)s, v.device_path)
      AND (v.depth = 0 OR EXISTS (SELECT FROM lot_genealogy(%(lot)s, 'back') g
           WHERE g.lot_found = v.lot_made AND g.depth = v.depth AND NOT EXISTS ("""
    + _UNSEEN.replace("{lots}", "g.trail")
    + """)))
    ORDER BY v.depth, v.lot_made, v.start_time, v.device_path, v.name"""
)
_EPISODE: LiteralString = (
    "SELECT true FROM anomaly a WHERE a.episode_id = %(episode)s AND scopes_cover(%(seen)s, a.device_path) LIMIT 1"
)
_ANOMALY_LOTS: LiteralString = (
    "SELECT to_jsonb(l) FROM anomaly_lots(%(episode)s) l WHERE NOT EXISTS ("
    + _UNSEEN.replace("{lots}", "ARRAY[l.lot]")
    + """) AND (l.use <> 'DESCENDANT' OR EXISTS (
        SELECT FROM anomaly_lots(%(episode)s) made CROSS JOIN LATERAL lot_genealogy(made.lot, 'forward') g
        WHERE made.use = 'PRODUCED' AND g.lot_found = l.lot AND NOT EXISTS ("""
    + _UNSEEN.replace("{lots}", "g.trail")
    + "))) ORDER BY l.lot"
)
_LIMITS: LiteralString = """
    SELECT to_jsonb(l) FROM spc_limits(%(tag)s, %(from)s, %(to)s, %(n)s, nullif(%(state)s, ''), %(lsl)s, %(usl)s) l"""
_POINTS: LiteralString = (
    """
    SELECT jsonb_build_object('number', p.number, 'mean', p.mean, 'range', p.range, 'rules', to_jsonb(p.rules),
        'range_out', p.range_out, 'start_us', """
    + microseconds("p.start_time")
    + ", 'end_us', "
    + microseconds("p.end_time")
    + ") FROM spc_points(%(tag)s, %(start)s, %(end)s, %(n)s, nullif(%(state)s, ''), %(from)s, %(to)s) p LIMIT %(most)s"
)
_BATCH: LiteralString = "SELECT true FROM batch b WHERE b.batch = %(batch)s AND scopes_cover(%(seen)s, b.device_path)"
_DEVIATION: LiteralString = """
    SELECT to_jsonb(d) FROM batch_deviation(%(batch)s, nullif(%(golden)s, ''), %(points)s) d
    WHERE NOT EXISTS (SELECT FROM batch_phase p
                      WHERE p.batch IN (%(batch)s, d.golden_batch) AND NOT scopes_cover(%(seen)s, p.device_path))"""


@dataclass(kw_only=True, slots=True)
class AnswerHandlers:
    """The registry, for what a caller may read, and the database. Times are microseconds, 0 as of `ProductionHandlers`."""

    plant: Plant
    database: ReadPool
    ready: Callable[[], None]
    """Raises UnavailableError while the registry is being read."""
    clock: Clock = now_us

    async def downtime_pareto(self, prefix: str, start_us: int, end_us: int, *, depth: int) -> list[Item]:
        """Unplanned downtime by reason, longest first."""
        if depth < 0:
            msg = f"depth is {depth}; give how many parts of a reason count, or 0 for all"
            raise InvalidRequestError(msg, field="depth")
        return await self._of_place(_PARETO, prefix, start_us, end_us, depth=depth)

    async def reliability(self, prefix: str, start_us: int, end_us: int, *, reasons: Sequence[str]) -> list[Item]:
        """MTBF and MTTR of machines, by path."""
        return await self._of_place(_RELIABILITY, prefix, start_us, end_us, reasons=list(reasons))

    async def production(self, prefix: str, start_us: int, end_us: int, *, counted_class: str) -> list[Item]:
        """Orders against their plan, by planned start."""
        return await self._of_place(_PRODUCTION, prefix, start_us, end_us, counted_class=counted_class)

    async def genealogy(self, lot: str, *, direction: str) -> list[Item]:
        """Lots that a lot was made of, that were made of it, or both."""
        if direction and direction not in DIRECTIONS:
            msg = f"direction is {shown(direction)}; there are {', '.join(DIRECTIONS)}, and both when it is empty"
            raise InvalidRequestError(msg, field="direction")
        await self._known(_LOT, "lot", lot, lot=lot)
        return await self._rows(_GENEALOGY, lot=lot, direction=direction or "both")

    async def lot_values(self, lot: str) -> list[Item]:
        """What machines measured while a lot, and those it was made of, were produced."""
        await self._known(_LOT, "lot", lot, lot=lot)
        return await self._rows(_LOT_VALUES, lot=lot)

    async def anomaly_lots(self, episode_id: str) -> list[Item]:
        """Lots that saw an anomaly."""
        try:
            episode = UUID(episode_id)
        except ValueError:
            msg = "episode_id is no UUID"
            raise InvalidRequestError(msg, field="episode_id") from None
        await self._known(_EPISODE, "episode", episode_id, episode=episode)
        return await self._rows(_ANOMALY_LOTS, episode=episode)

    async def control_chart(
        self,
        path: str,
        start_us: int,
        end_us: int,
        *,
        n: int,
        state: str,
        baseline_us: tuple[int, int],
        spec: tuple[float | None, float | None],
    ) -> tuple[Item, list[Item]]:
        """Limits and points of X-bar and R charts of a tag."""
        self.ready()
        n = n or 5
        if not 2 <= n <= 10:
            msg = f"n is {n}; subgroups have 2 to 10 samples"
            raise InvalidRequestError(msg, field="n")
        tag = seen(self.plant).tag_at(path)
        within = computed_range(start_us, end_us, self.clock())
        baseline = computed_range(*baseline_us, self.clock()) if any(baseline_us) else within
        asked = {
            **within.parameters,
            "from": at(baseline.start_us),
            "to": at(baseline.end_us),
            "tag": tag.tag_id,
            "n": n,
            "state": state,
        }
        limits = await self._rows(_LIMITS, **asked, lsl=spec[0], usl=spec[1])
        points = await self._rows(_POINTS, **asked, most=MOST_POINTS + 1)
        if len(points) > MOST_POINTS:
            msg = f"the chart has more than {MOST_POINTS:,} points; ask for a shorter range"
            raise InvalidRequestError(msg, field="start_us")
        return (limits or [{}])[0], points

    async def batch_deviation(self, batch: str, *, golden: str, points: int) -> list[Item]:
        """A batch against a golden one."""
        if not 0 <= points <= MOST_BATCH_POINTS:
            msg = f"points is {points}, not between 0 and {MOST_BATCH_POINTS}"
            raise InvalidRequestError(msg, field="points")
        for name in filter(None, (batch, golden)):
            await self._known(_BATCH, "batch", name, batch=name)
        return await self._rows(_DEVIATION, batch=batch, golden=golden, points=points or 20)

    async def _of_place(
        self, statement: LiteralString, prefix: str, start_us: int, end_us: int, **asked: Any
    ) -> list[Item]:
        self.ready()
        require_all(self.plant, prefix)
        return await self._rows(
            statement, **computed_range(start_us, end_us, self.clock()).parameters, prefix=prefix, **asked
        )

    async def _known(self, statement: LiteralString, kind: str, name: str, **asked: Any) -> None:
        """Raise NotFoundError for what is not there, or not for this caller."""
        if not await self.database.fetch(statement, {**asked, "seen": _seen()}):
            msg = f"there is no {kind} {shown(name)}"
            raise NotFoundError(msg)

    async def _rows(self, statement: LiteralString, **asked: Any) -> list[Item]:
        return [item for (item,) in await self.database.fetch(statement, {**asked, "seen": _seen()})]


def _seen() -> list[str]:
    """Where the caller may read."""
    return list(current.get().scopes(Permission.READ))
