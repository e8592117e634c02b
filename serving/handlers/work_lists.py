"""The plant's work from SQL: shifts, orders, lots, stops, scrap, batches, changes, in pages.

Enters: a part of the plant, a range of time, filters. Leaves: objects whose names are the fields of the contract's messages: each statement
makes them, so a field is named once here and once in work.proto. A page's token holds the place of its last row, so paging survives rows
that come meanwhile. Raises the branches of `base.errors`; UnavailableError while the database is away.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from base.errors import InvalidRequestError, NotFoundError, PermissionDeniedError, shown
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from serving.caches.plant import covered
from serving.handlers.selection import Range, at, microseconds, range_of, since_epoch_us
from serving.handlers.state import Page, size_of
from serving.principals import Permission, current

Item = dict[str, Any]
_DAY_S = 86_400.0
_LONGEST_S = {"ListShifts": 366 * _DAY_S, "ListDowntimes": 31 * _DAY_S}


_SHIFTS: LiteralString = (
    "SELECT jsonb_build_object('shift', shift, 'day', shift_day, 'start_us', "
    + microseconds("start_time")
    + ", 'end_us', "
    + microseconds("end_time")
    + ") FROM shifts_between(%(scope)s, %(start)s, %(end)s) ORDER BY start_time"
)
_REASONS: LiteralString = """
    SELECT jsonb_build_object('reason', reason, 'description', description, 'planned', planned), true, reason FROM downtime_reasons
    UNION ALL
    SELECT jsonb_build_object('reason', reason, 'description', description), false, reason FROM scrap_reasons
    ORDER BY 2, 3"""
# Each of these gives an item, and its place in the order: a time and an id.
_MATERIALS: LiteralString = """
    SELECT jsonb_build_object('material', material, 'description', description, 'unit', unit) AS item,
           'epoch'::timestamptz AS time, material AS id
    FROM material_definitions"""
_JOB_ORDERS: LiteralString = (
    """
    SELECT jsonb_build_object('job_order', o.job_order, 'material', o.material, 'quantity', o.quantity, 'unit', o.unit, 'scope', o.scope,
        'status', 'JOB_ORDER_STATUS_' || o.status, 'priority', o.priority, 'entered_by', o.entered_by, 'why', o.why, 'planned_start_us', """
    + microseconds("o.planned_start")
    + ", 'planned_end_us', "
    + microseconds("o.planned_end")
    + """, 'responses', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('job_response_id', r.job_response, 'job_order', r.job_order,
                'device_path', r.device_path, 'entered_by', r.entered_by, 'start_us', """
    + microseconds("r.start_time")
    + ", 'end_us', "
    + microseconds("r.end_time")
    + """) ORDER BY r.start_time), '[]') FROM job_response r WHERE r.job_order = o.job_order
              AND scopes_cover(%(seen)s, r.device_path))) AS item,
        o.planned_start AS time, o.job_order AS id
    FROM job_order o
    WHERE (scopes_cover(%(seen)s, o.scope)
           OR EXISTS (SELECT FROM unnest(%(seen)s::text[]) AS s(scope) WHERE scope_covers(o.scope, s.scope)))
      AND (%(scope)s = '' OR scope_covers(%(scope)s, o.scope) OR scope_covers(o.scope, %(scope)s))
      AND (%(job_order)s = '' OR o.job_order = %(job_order)s) AND (%(statuses)s::text[] = '{}' OR o.status = ANY (%(statuses)s::text[]))
      AND o.planned_start < %(end)s AND o.planned_end > %(start)s"""
)
_LOTS: LiteralString = (
    """
    SELECT jsonb_build_object('lot', l.lot, 'material', l.material, 'quantity', l.quantity, 'unit', l.unit, 'description', l.description,
        'actuals', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('actual_id', a.actual, 'lot', a.lot, 'use', 'MATERIAL_USE_' || a.use,
                'quantity', a.quantity, 'device_path', a.device_path, 'job_order', a.job_order, 'entered_by', a.entered_by, 'start_us', """
    + microseconds("a.start_time")
    + ", 'end_us', "
    + microseconds("a.end_time")
    + """) ORDER BY a.start_time, a.actual), '[]') FROM material_actual a WHERE a.lot = l.lot
              AND scopes_cover(%(seen)s, a.device_path))) AS item, l.entered_at AS time, l.lot AS id
    FROM material_lot l
    WHERE (%(lot)s = '' OR l.lot = %(lot)s) AND (%(material)s = '' OR l.material = %(material)s)
      AND ((%(scope)s = '' AND '' = ANY (%(seen)s::text[])) OR EXISTS (
            SELECT FROM material_actual a
            WHERE a.lot = l.lot AND (%(scope)s = '' OR scope_covers(%(scope)s, a.device_path))
              AND scopes_cover(%(seen)s, a.device_path)))"""
)
_DOWNTIMES: LiteralString = (
    """
    SELECT jsonb_build_object('device_path', device_path, 'packml_state', packml_state, 'reason', reason, 'planned', planned,
        'entered_by', entered_by, 'entry_id', entry, 'start_us', """
    + microseconds("start_time")
    + ", 'end_us', "
    + microseconds("end_time")
    + """) AS item, start_time AS time, device_path AS id
    FROM downtimes_between(%(scope)s, %(start)s, %(end)s)
    WHERE scopes_cover(%(seen)s, device_path)"""
)
_SCRAP: LiteralString = (
    """
    SELECT jsonb_build_object('entry_id', e.entry, 'device_path', e.device_path, 'quantity', e.quantity, 'reason', e.reason,
        'job_order', e.job_order, 'entered_by', e.entered_by, 'time_us', """
    + microseconds("e.time")
    + """) AS item, e.time, e.entry::text AS id
    FROM scrap_entry e
    WHERE scopes_cover(%(seen)s, e.device_path)
      AND (%(scope)s = '' OR scope_covers(%(scope)s, e.device_path)) AND e.time >= %(start)s AND e.time < %(end)s"""
)
_BATCHES: LiteralString = (
    """
    SELECT jsonb_build_object('batch', b.batch, 'recipe', b.recipe, 'version', b.version, 'material', b.material, 'lot', b.lot,
        'device_path', b.device_path, 'golden', b.golden, 'start_us', """
    + microseconds("b.start_time")
    + ", 'end_us', "
    + microseconds("b.end_time")
    + """, 'phases', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('phase', p.phase, 'device_path', p.device_path,
                'nominal_s', p.nominal_s, 'start_us', """
    + microseconds("p.start_time")
    + ", 'end_us', "
    + microseconds("p.end_time")
    + """) ORDER BY p.start_time, p.phase), '[]') FROM batch_phase p WHERE p.batch = b.batch
              AND scopes_cover(%(seen)s, p.device_path))) AS item, b.start_time AS time, b.batch AS id
    FROM batch b
    WHERE scopes_cover(%(seen)s, b.device_path)
      AND (%(scope)s = '' OR scope_covers(%(scope)s, b.device_path)) AND (%(recipe)s = '' OR b.recipe = %(recipe)s)
      AND (%(batch)s = '' OR b.batch = %(batch)s)
      AND b.start_time < %(end)s AND (b.end_time IS NULL OR b.end_time > %(start)s)"""
)
_CHANGES: LiteralString = (
    """
    SELECT jsonb_build_object('change_id', c.change_id, 'who', c.who, 'why', c.why, 'table', c.table_name, 'key', c.key::text,
        'before', c.before::text, 'after', c.after::text, 'changed_us', """
    + microseconds("c.changed_at")
    + """) AS item, c.changed_at AS time, lpad(c.change_id::text, 19, '0') AS id
    FROM work_changes c
    WHERE (%(table)s = '' OR c.table_name = %(table)s) AND c.changed_at >= %(start)s AND c.changed_at < %(end)s"""
)
_PAGE_OF: LiteralString = """
    SELECT item, time, id FROM ({rows}) AS found
    WHERE %(after_time)s::timestamptz IS NULL OR (time, id) < (%(after_time)s::timestamptz, %(after_id)s)
    ORDER BY time DESC, id DESC LIMIT %(rows)s"""


@dataclass(kw_only=True, slots=True)
class Asked:
    """A page, and of when: 0 bounds nothing."""

    start_us: int = 0
    end_us: int = 0
    page_size: int = 0
    page_token: str = ""


class WorkLists:
    """Reads of the model of work. Items are objects with the fields of their message.

    What stands where a caller may not read is left out; products and reasons stand nowhere and are for everybody.
    """

    def __init__(self, database: ReadPool, clock: Clock = now_us) -> None:
        self._database, self._clock = database, clock

    async def shifts(self, scope: str, asked: Asked) -> list[Item]:
        """Shifts of a place that touch the range."""
        within = self._within(scope, asked, "ListShifts")
        if not covered(scope, _seen()):
            msg = f"there is nothing at {shown(scope)}"
            raise NotFoundError(msg)
        return [item for (item,) in await self._database.fetch(_SHIFTS, {"scope": scope, **within.parameters})]

    async def reasons(self) -> tuple[list[Item], list[Item]]:
        """Reasons of stops, and of scrap."""
        rows = await self._database.fetch(_REASONS)
        return [item for item, stops, _ in rows if stops], [item for item, stops, _ in rows if not stops]

    async def materials(self, asked: Asked) -> Page[Item]:
        """Products and materials; the last name first would surprise, so their page turns the other way."""
        return await self._page(_MATERIALS_BY_NAME, asked, {})

    async def job_orders(self, asked: Asked, *, scope: str, job_order: str, statuses: Sequence[str]) -> Page[Item]:
        """Orders with what was done of them."""
        return await self._page(
            _rows(_JOB_ORDERS), asked, {"scope": scope, "job_order": job_order, "statuses": list(statuses)}
        )

    async def lots(self, asked: Asked, *, scope: str, lot: str, material: str) -> Page[Item]:
        """Lots with where they were used."""
        return await self._page(_rows(_LOTS), asked, {"scope": scope, "lot": lot, "material": material})

    async def downtimes(self, scope: str, asked: Asked) -> Page[Item]:
        """Stops within calendar time."""
        within = self._within(scope, asked, "ListDowntimes")
        return await self._page(_rows(_DOWNTIMES), asked, {"scope": scope, **within.parameters})

    async def scrap(self, asked: Asked, *, scope: str) -> Page[Item]:
        """Scrap with its reasons."""
        return await self._page(_rows(_SCRAP), asked, {"scope": scope})

    async def batches(self, asked: Asked, *, scope: str, batch: str, recipe: str) -> Page[Item]:
        """Batches with their phases."""
        return await self._page(_rows(_BATCHES), asked, {"scope": scope, "batch": batch, "recipe": recipe})

    async def changes(self, asked: Asked, *, table: str) -> Page[Item]:
        """Changes with both rows, for callers that read everything: a row may be of any place."""
        if "" not in _seen():
            msg = f"{current.get().name} reads a part of the plant; changes are listed for those who read all of it"
            raise PermissionDeniedError(msg)
        return await self._page(_rows(_CHANGES), asked, {"table": table})

    def _within(self, scope: str, asked: Asked, method: str) -> Range:
        """The range of an answer that is computed: bounded, a day by default."""
        if not scope:
            msg = "scope is empty; name a part of the plant, such as enterprise/site"
            raise InvalidRequestError(msg, field="scope")
        within = range_of(asked.start_us, asked.end_us, now_us=self._clock(), default_s=_DAY_S)
        if within.seconds > (longest_s := _LONGEST_S[method]):
            msg = f"the range has {within.seconds / _DAY_S:.1f} days, more than {longest_s / _DAY_S:.0f}; ask several times"
            raise InvalidRequestError(msg, field="start_us")
        return within

    async def _page(self, statement: LiteralString, asked: Asked, parameters: dict[str, Any]) -> Page[Item]:
        size = size_of(asked.page_size)
        after = _place(asked.page_token)
        whole = {"start": at(asked.start_us), "end": at(asked.end_us or (1 << 62))}
        place = {"after_time": after and at(after[0]), "after_id": after and after[1], "rows": size + 1}
        rows = await self._database.fetch(statement, {**whole, **parameters, **place, "seen": _seen()})
        token = _token(rows[size - 1][1], rows[size - 1][2]) if len(rows) > size else ""
        return Page(items=[item for item, _, _ in rows[:size]], next_token=token)


def _seen() -> list[str]:
    """Where the caller may read."""
    return list(current.get().scopes(Permission.READ))


def _rows(rows: LiteralString) -> LiteralString:
    return _PAGE_OF.replace("{rows}", rows)


_MATERIALS_BY_NAME = (
    _rows(_MATERIALS)
    .replace("(time, id) <", "(time, id) >")
    .replace("ORDER BY time DESC, id DESC", "ORDER BY time, id")
)


def _token(time: datetime, name: str | UUID) -> str:
    return urlsafe_b64encode(json.dumps([since_epoch_us(time), str(name)]).encode()).decode()


def _place(token: str) -> tuple[int, str] | None:
    """Place of a token, None for the first page; raises InvalidRequestError."""
    if not token:
        return None
    try:
        place = json.loads(urlsafe_b64decode(token.encode()))
        match place:
            case [int(time_us), str(name)] if "\x00" not in name:
                return time_us, name
    except (Error, ValueError, TypeError):
        pass
    msg = "page_token is not one that this server gave for this list"
    raise InvalidRequestError(msg)
