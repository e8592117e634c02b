"""What people enter about the plant's work: each call is one SQL function, signed with the principal of the call and the caller's reason.

Enters: plain values; a start of 0 is now, an end of 0 is none. Leaves: ids; a request that came before is answered as it was then. The
rules are in the database (`historian/migrations`, from 0024 on); what it refuses becomes the branch of `base.errors` that says whose fault
it is. UnavailableError while the database is away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import errors

from base.errors import (
    ConflictError,
    InvalidRequestError,
    MillraceError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    shown,
)
from base.ids import Clock, now_us
from connectors.postgres.pool import WritePool
from serving import trail
from serving.caches.plant import covered
from serving.handlers.selection import at
from serving.principals import Permission, current

_PUT_JOB_ORDER: LiteralString = """
    put_job_order(%(job_order)s, %(material)s, %(quantity)s, %(scope)s, %(planned_start)s, %(planned_end)s, %(who)s, %(why)s,
                  %(status)s, %(priority)s)"""
_START_JOB: LiteralString = "start_job(%(job_order)s, device_at(%(device)s), %(start)s, %(who)s, %(why)s, %(end)s)"
_COMPLETE_JOB: LiteralString = "complete_job(%(job)s, %(end)s, %(who)s, %(why)s, %(done)s)"
_ENTER_DOWNTIMES: LiteralString = (
    "array_to_json(enter_downtimes(device_at(%(device)s), %(ranges)s::jsonb, %(who)s, %(why)s))"
)
_RECORD_MATERIAL: LiteralString = """
    record_material(CASE WHEN %(material)s = '' THEN %(lot)s ELSE put_material_lot(%(lot)s, %(material)s, %(who)s, %(why)s) END,
                    device_at(%(device)s), %(use)s, %(quantity)s, %(start)s, %(end)s, %(who)s, %(why)s)"""
_RECORD_SCRAP: LiteralString = (
    "record_scrap(device_at(%(device)s), %(start)s, %(quantity)s, %(reason)s, %(who)s, %(why)s)"
)
_START_BATCH: LiteralString = """
    start_batch(%(batch)s, %(recipe)s, %(version)s, device_at(%(device)s), %(start)s, %(who)s, %(why)s, nullif(%(lot)s, ''))"""
_ENTER_PHASE: LiteralString = """
    (extract(epoch FROM %(start)s::timestamptz) * 1000000)::bigint
    FROM enter_batch_phase(%(batch)s, %(phase)s, device_at(%(device)s), %(start)s, %(end)s, %(who)s, %(why)s)"""
_COMPLETE_BATCH: LiteralString = "complete_batch(%(batch)s, %(end)s, %(who)s, %(why)s, %(golden)s)"
# What stands where a caller may not plan is not changed: then there is no row.
_OF_ORDER: LiteralString = """
    NOT EXISTS (SELECT FROM job_orders o WHERE o.job_order = %(job_order)s AND NOT scopes_cover(%(allowed)s, o.scope))"""
_OF_JOB: LiteralString = """
    NOT EXISTS (SELECT FROM job_response r WHERE r.job_response = %(job)s AND NOT scopes_cover(%(allowed)s, r.device_path))"""
_OF_BATCH: LiteralString = """
    NOT EXISTS (SELECT FROM batch b WHERE b.batch = %(batch)s AND NOT scopes_cover(%(allowed)s, b.device_path))"""
_ANYWHERE: LiteralString = "true"
# The entry is made, and what is answered kept, unless that was done already.
_ONCE: LiteralString = """
    SELECT CASE WHEN r.done THEN r.answer ELSE answer_work_request(%(request)s, coalesce((SELECT {call})::text, '')) END
    FROM work_request(%(request)s, %(who)s, %(content)s) r WHERE {where}"""
_AT_ONCE: LiteralString = "SELECT (SELECT {call})::text WHERE {where}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What an entry came with: an id of its caller's (empty for none), a digest of what was said, and why it was done."""

    request_id: str = ""
    content: bytes = b""
    why: str = ""


class WorkEntry:
    """Writes of the model of work. `device` is a path."""

    def __init__(self, database: WritePool, clock: Clock = now_us) -> None:
        self._database, self._clock = database, clock

    async def put_job_order(
        self, request: Request, *, planned_start_us: int, planned_end_us: int, status: str, **said: Any
    ) -> None:
        """Enter an order or change it; an empty status keeps its own."""
        planned = {"planned_start": at(planned_start_us), "planned_end": at(planned_end_us)}
        await self._call(request, _PUT_JOB_ORDER, _OF_ORDER, **said, **planned, status=status or None)

    async def start_job(self, request: Request, *, start_us: int, end_us: int, **said: Any) -> UUID:
        """A machine begins to work on an order."""
        return UUID(await self._call(request, _START_JOB, _ANYWHERE, **said, **self._span(start_us, end_us)))

    async def complete_job(self, request: Request, job_response_id: str, *, end_us: int, order_goes_on: bool) -> None:
        """A machine ends its work on an order."""
        job = _uuid("job_response_id", job_response_id)
        await self._call(request, _COMPLETE_JOB, _OF_JOB, job=job, end=self._or_now(end_us), done=not order_goes_on)

    async def enter_downtime(self, request: Request, device: str, ranges: Sequence[tuple[int, int, str]]) -> list[UUID]:
        """Why a machine stood: start, end and reason of each range."""
        if not ranges:
            msg = "ranges is empty; say at least one"
            raise InvalidRequestError(msg, field="ranges")
        said = [
            {
                "start_time": at(start_us).isoformat(),
                "end_time": at(end_us).isoformat() if end_us else None,
                "reason": reason or None,
            }
            for start_us, end_us, reason in ranges
        ]
        made = await self._call(request, _ENTER_DOWNTIMES, _ANYWHERE, device=device, ranges=json.dumps(said))
        return [UUID(one) for one in json.loads(made)]

    async def record_material(self, request: Request, *, start_us: int, end_us: int, **said: Any) -> UUID:
        """A lot is consumed or produced; with a material it may be new."""
        if not said["use"]:
            msg = "use is UNSPECIFIED; say CONSUMED or PRODUCED"
            raise InvalidRequestError(msg, field="use")
        return UUID(await self._call(request, _RECORD_MATERIAL, _ANYWHERE, **said, **self._span(start_us, end_us)))

    async def record_scrap(self, request: Request, *, time_us: int, **said: Any) -> UUID:
        """Scrap with its reason."""
        return UUID(await self._call(request, _RECORD_SCRAP, _ANYWHERE, **said, start=self._or_now(time_us)))

    async def start_batch(self, request: Request, *, start_us: int, **said: Any) -> None:
        """A batch begins."""
        await self._call(request, _START_BATCH, _ANYWHERE, **said, start=self._or_now(start_us))

    async def enter_batch_phase(self, request: Request, *, start_us: int, end_us: int, **said: Any) -> int:
        """A phase begins or ends; returns its start."""
        return int(await self._call(request, _ENTER_PHASE, _OF_BATCH, **said, **self._span(start_us, end_us)))

    async def complete_batch(self, request: Request, *, end_us: int, **said: Any) -> None:
        """A batch ends."""
        await self._call(request, _COMPLETE_BATCH, _OF_BATCH, **said, end=self._or_now(end_us))

    def _or_now(self, time_us: int) -> datetime:
        return at(time_us or self._clock())

    def _span(self, start_us: int, end_us: int) -> dict[str, datetime | None]:
        return {"start": self._or_now(start_us), "end": at(end_us) if end_us else None}

    async def _call(self, request: Request, call: LiteralString, where: LiteralString, **said: Any) -> str:
        """What one call answers, as text. The caller has to be allowed where its device or order stands, and where what it changes does."""
        principal = current.get()
        after = json.dumps({name: value for name, value in said.items() if value is not None}, default=str)
        trail.about(path=said.get("device") or said.get("scope") or "", reason=request.why, after=after)
        for place in ("device", "scope"):
            if place in said and not covered(said[place], principal.scopes(Permission.PLAN)):
                msg = f"{principal.name} may not plan at {shown(said[place])}"
                raise PermissionDeniedError(msg)
        signed = {"who": principal.name, "why": request.why, "allowed": list(principal.scopes(Permission.PLAN))}
        once = {}
        if request.request_id:
            once = {"request": _uuid("request_id", request.request_id), "content": request.content}
        statement = (_ONCE if once else _AT_ONCE).replace("{call}", call).replace("{where}", where)
        try:
            rows = await self._database.fetch(statement, {**said, **signed, **once})
        except psycopg.Error as error:
            refused = refusal(error)
            if refused is None:
                raise
            raise refused from error
        if not rows:
            msg = f"{principal.name} may not plan where this is"
            raise PermissionDeniedError(msg)
        return str(rows[0][0])


def _uuid(field: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{field} is no UUID"
        raise InvalidRequestError(msg, field=field) from None


def refusal(error: psycopg.Error) -> MillraceError | None:
    """What the database's refusal means to the caller; None for a defect of ours."""
    text = error.diag.message_primary or str(error)
    hint = f"; {error.diag.message_hint}" if error.diag.message_hint else ""
    match error:
        case errors.NoDataFound():
            return NotFoundError(text + hint)
        case errors.ForeignKeyViolation():
            return NotFoundError(f"not entered: {error.diag.message_detail or text}")
        case errors.ExclusionViolation() | errors.ObjectNotInPrerequisiteState():
            return PreconditionError(text + hint)
        case errors.UniqueViolation():
            return ConflictError(error.diag.message_detail or text)
        case _ if error.sqlstate is not None and error.sqlstate[:2] in ("22", "23"):
            return InvalidRequestError(text)
        case _:
            return None
