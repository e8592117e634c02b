"""What people enter about the plant's work: each call is one SQL function, signed with the principal of the call and the caller's reason.

Enters: plain values; a start of 0 is now, an end of 0 is none. Leaves: ids. The rules are in the database (`historian/migrations`,
from 0024 on); what it refuses becomes the branch of `base.errors` that says whose fault it is. UnavailableError while the database is away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from serving.access import Permission, current
from serving.caches.plant import covered
from serving.handlers.selection import at

_PUT_JOB_ORDER: LiteralString = """
    SELECT put_job_order(%(job_order)s, %(material)s, %(quantity)s, %(scope)s, %(planned_start)s, %(planned_end)s, %(who)s, %(why)s,
                         %(status)s, %(priority)s)
    WHERE NOT EXISTS (SELECT FROM job_orders o WHERE o.job_order = %(job_order)s AND NOT scopes_cover(%(allowed)s, o.scope))"""
_START_JOB: LiteralString = (
    "SELECT start_job(%(job_order)s, device_at(%(device)s), %(start)s, %(who)s, %(why)s, %(end)s)"
)
_COMPLETE_JOB: LiteralString = """
    SELECT complete_job(%(job)s, %(end)s, %(who)s, %(why)s, %(done)s)
    WHERE NOT EXISTS (SELECT FROM job_response r WHERE r.job_response = %(job)s AND NOT scopes_cover(%(allowed)s, r.device_path))"""
_ENTER_DOWNTIMES: LiteralString = "SELECT enter_downtimes(device_at(%(device)s), %(ranges)s::jsonb, %(who)s, %(why)s)"
_RECORD_MATERIAL: LiteralString = """
    SELECT record_material(CASE WHEN %(material)s = '' THEN %(lot)s ELSE put_material_lot(%(lot)s, %(material)s, %(who)s, %(why)s) END,
                           device_at(%(device)s), %(use)s, %(quantity)s, %(start)s, %(end)s, %(who)s, %(why)s)"""
_RECORD_SCRAP: LiteralString = (
    "SELECT record_scrap(device_at(%(device)s), %(start)s, %(quantity)s, %(reason)s, %(who)s, %(why)s)"
)
_START_BATCH: LiteralString = """
    SELECT start_batch(%(batch)s, %(recipe)s, %(version)s, device_at(%(device)s), %(start)s, %(who)s, %(why)s, nullif(%(lot)s, ''))"""
_OF_BATCH: LiteralString = """
    WHERE NOT EXISTS (SELECT FROM batch b WHERE b.batch = %(batch)s AND NOT scopes_cover(%(allowed)s, b.device_path))"""
_ENTER_PHASE: LiteralString = (
    "SELECT enter_batch_phase(%(batch)s, %(phase)s, device_at(%(device)s), %(start)s, %(end)s, %(who)s, %(why)s)"
    + _OF_BATCH
)
_COMPLETE_BATCH: LiteralString = "SELECT complete_batch(%(batch)s, %(end)s, %(who)s, %(why)s, %(golden)s)" + _OF_BATCH


class WorkEntry:
    """Writes of the model of work. `device` is a path."""

    def __init__(self, database: WritePool, clock: Clock = now_us) -> None:
        self._database, self._clock = database, clock

    async def put_job_order(
        self, *, planned_start_us: int, planned_end_us: int, status: str, why: str, **said: Any
    ) -> None:
        """Enter an order or change it; an empty status keeps its own."""
        planned = {"planned_start": at(planned_start_us), "planned_end": at(planned_end_us)}
        await self._call(_PUT_JOB_ORDER, why, **said, **planned, status=status or None)

    async def start_job(self, *, start_us: int, end_us: int, why: str, **said: Any) -> UUID:
        """A machine begins to work on an order."""
        made: UUID = await self._call(_START_JOB, why, **said, **self._span(start_us, end_us))
        return made

    async def complete_job(self, job_response_id: str, *, end_us: int, order_goes_on: bool, why: str) -> None:
        """A machine ends its work on an order."""
        try:
            job = UUID(job_response_id)
        except ValueError:
            msg = "job_response_id is no UUID"
            raise InvalidRequestError(msg, field="job_response_id") from None
        await self._call(_COMPLETE_JOB, why, job=job, end=self._or_now(end_us), done=not order_goes_on)

    async def enter_downtime(self, device: str, ranges: Sequence[tuple[int, int, str]], *, why: str) -> list[UUID]:
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
        made: list[UUID] = await self._call(_ENTER_DOWNTIMES, why, device=device, ranges=json.dumps(said))
        return made

    async def record_material(self, *, start_us: int, end_us: int, why: str, **said: Any) -> UUID:
        """A lot is consumed or produced; with a material it may be new."""
        if not said["use"]:
            msg = "use is UNSPECIFIED; say CONSUMED or PRODUCED"
            raise InvalidRequestError(msg, field="use")
        made: UUID = await self._call(_RECORD_MATERIAL, why, **said, **self._span(start_us, end_us))
        return made

    async def record_scrap(self, *, time_us: int, why: str, **said: Any) -> UUID:
        """Scrap with its reason."""
        made: UUID = await self._call(_RECORD_SCRAP, why, **said, start=self._or_now(time_us))
        return made

    async def start_batch(self, *, start_us: int, why: str, **said: Any) -> None:
        """A batch begins."""
        await self._call(_START_BATCH, why, **said, start=self._or_now(start_us))

    async def enter_batch_phase(self, *, start_us: int, end_us: int, why: str, **said: Any) -> int:
        """A phase begins or ends; returns its start."""
        start_us = start_us or self._clock()
        await self._call(_ENTER_PHASE, why, **said, **self._span(start_us, end_us))
        return start_us

    async def complete_batch(self, *, end_us: int, why: str, **said: Any) -> None:
        """A batch ends."""
        await self._call(_COMPLETE_BATCH, why, **said, end=self._or_now(end_us))

    def _or_now(self, time_us: int) -> datetime:
        return at(time_us or self._clock())

    def _span(self, start_us: int, end_us: int) -> dict[str, datetime | None]:
        return {"start": self._or_now(start_us), "end": at(end_us) if end_us else None}

    async def _call(self, statement: LiteralString, why: str, **said: Any) -> Any:
        """What one statement answers. The caller has to be allowed where its device or order stands, and where what it changes does."""
        principal = current.get()
        for place in ("device", "scope"):
            if place in said and not covered(said[place], principal.scopes(Permission.PLAN)):
                msg = f"{principal.name} may not plan at {shown(said[place])}"
                raise PermissionDeniedError(msg)
        signed = {"who": principal.name, "why": why, "allowed": list(principal.scopes(Permission.PLAN))}
        try:
            rows = await self._database.fetch(statement, {**said, **signed})
        except psycopg.Error as error:
            refused = refusal(error)
            if refused is None:
                raise
            raise refused from error
        if not rows:
            msg = f"{principal.name} may not plan where this is"
            raise PermissionDeniedError(msg)
        return rows[0][0]


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
