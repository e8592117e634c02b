"""The fake plant's work: what a test says there is, and what clients enter. No locks; the plant holds its own around each call.

The rules are those of the server, as far as a test of a client meets them: a machine works on one order at a time, of what is said about a
stop the last word holds, an end may be corrected. Nothing is known of PackML states: a stop is what the test says was one (`stops`), and
what people said; without an end that holds for ever.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

from millrace_client.errors import ConflictError, NotFoundError, PreconditionError
from millrace_client.ids import uuid7
from millrace_client.results import (
    Batch,
    BatchPhase,
    Downtime,
    DowntimeRange,
    JobOrder,
    JobOrderStatus,
    JobResponse,
    Material,
    MaterialActual,
    MaterialLot,
    Reason,
    ScrapEntry,
    Shift,
    WorkChange,
)

V = TypeVar("V")
_EVER_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe of a product, and how long its phases take, seconds."""

    recipe: str
    version: str
    material: str
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signature:
    """Who enters something, and why."""

    who: str
    why: str


@dataclass(frozen=True, slots=True)
class _Word:
    entry_id: str
    device_path: str
    said: DowntimeRange
    by: str

    def holds(self, at_us: int) -> bool:
        return self.said.start_us <= at_us < (self.said.end_us or _EVER_US)


class Work:
    """Tables of the model of work, and entering into them."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.materials: dict[str, Material] = {}
        self.shifts: list[tuple[str, Shift]] = []
        self.downtime_reasons: dict[str, Reason] = {}
        self.scrap_reasons: dict[str, Reason] = {}
        self.recipes: dict[tuple[str, str], Recipe] = {}
        self.stops: list[Downtime] = []
        self.scrap: list[ScrapEntry] = []
        self.changes: list[WorkChange] = []
        self._orders: dict[str, JobOrder] = {}
        self._jobs: dict[str, JobResponse] = {}
        self._lots: dict[str, MaterialLot] = {}
        self._actuals: list[MaterialActual] = []
        self._batches: dict[str, Batch] = {}
        self._words: list[_Word] = []
        self._clock = clock

    # --- what there is -----------------------------------------------------------------------------------------------

    @property
    def orders(self) -> list[JobOrder]:
        """Orders with what was done of them."""
        return [
            replace(one, responses=_of(self._jobs.values(), "job_order", one.job_order))
            for one in self._orders.values()
        ]

    @property
    def lots(self) -> list[MaterialLot]:
        """Lots with where they were used."""
        return [replace(one, actuals=_of(self._actuals, "lot", one.lot)) for one in self._lots.values()]

    @property
    def batches(self) -> list[Batch]:
        """Batches with their phases."""
        return list(self._batches.values())

    def downtimes(self, start_us: int, end_us: int) -> Iterator[Downtime]:
        """Stops in a range after all that was said."""
        for device in sorted({one.device_path for one in self.stops} | {one.device_path for one in self._words}):
            stops = [one for one in self.stops if one.device_path == device]
            words = [one for one in self._words if one.device_path == device]
            edges = {start_us, end_us, *(edge for one in stops for edge in (one.start_us, one.end_us))}
            edges |= {edge for one in words for edge in (one.said.start_us, one.said.end_us or _EVER_US)}
            before: Downtime | None = None
            for low, high in pairwise(sorted(edge for edge in edges if start_us <= edge <= end_us)):
                now = self._stop_at(stops, words, low, high)
                if before and now and replace(now, start_us=before.start_us) == replace(before, end_us=high):
                    before = replace(before, end_us=high)
                    continue
                if before:
                    yield before
                before = now
            if before:
                yield before

    def _stop_at(self, stops: list[Downtime], words: list[_Word], low: int, high: int) -> Downtime | None:
        stop = next((one for one in stops if one.start_us <= low < one.end_us), None)
        word = next((one for one in reversed(words) if one.holds(low)), None)
        if word is not None and word.said.reason:
            return Downtime(
                device_path=word.device_path,
                start_us=low,
                end_us=high,
                packml_state=stop.packml_state if stop else "",
                reason=word.said.reason,
                planned=self.downtime_reasons[word.said.reason].planned,
                entered_by=word.by,
                entry_id=word.entry_id,
            )
        return replace(stop, start_us=low, end_us=high) if stop else None

    # --- entering ----------------------------------------------------------------------------------------------------

    def put_order(self, order: JobOrder, signed: Signature) -> None:
        """Enter an order, or change one that is there; UNSPECIFIED keeps its status."""
        material = _known(self.materials, "material", order.material)
        old = self._orders.get(order.job_order)
        status = order.status
        if status is JobOrderStatus.UNSPECIFIED:
            status = old.status if old else JobOrderStatus.PLANNED
        new = replace(order, unit=material.unit, status=status, entered_by=signed.who, why=signed.why)
        self._orders[order.job_order] = new
        self._trace("job_orders", {"job_order": order.job_order}, old, new, signed)

    def start_job(self, job: JobResponse, signed: Signature) -> str:
        """A machine begins to work on an order; the id of the execution."""
        order = _known(self._orders, "job order", job.job_order)
        if order.status is JobOrderStatus.CANCELLED:
            msg = f"job order {job.job_order} is cancelled; Release the order first."
            raise PreconditionError(msg)
        for other in self._jobs.values():
            if other.device_path == job.device_path and _overlap(other, job):
                msg = f"the machine works on job order {other.job_order}; Complete that job first, or give a range that is free."
                raise PreconditionError(msg)
        new = replace(job, job_response_id=str(uuid7()), entered_by=signed.who)
        self._jobs[new.job_response_id] = new
        self._trace("job_responses", {"job_response": new.job_response_id}, None, new, signed)
        if order.status in (JobOrderStatus.PLANNED, JobOrderStatus.RELEASED):
            self._status(order, JobOrderStatus.RUNNING, signed)
        return new.job_response_id

    def complete_job(self, job_response_id: str, end_us: int, signed: Signature, *, order_goes_on: bool) -> None:
        """A machine ends its work; the order is COMPLETED when no machine works on it any more."""
        old = _known(self._jobs, "job response", job_response_id)
        new = self._jobs[job_response_id] = replace(old, end_us=end_us)
        self._trace("job_responses", {"job_response": job_response_id}, old, new, signed)
        running = any(one.job_order == old.job_order and one.end_us is None for one in self._jobs.values())
        if not running and not order_goes_on:
            self._status(self._orders[old.job_order], JobOrderStatus.COMPLETED, signed)

    def say(self, device: str, ranges: list[DowntimeRange], signed: Signature) -> list[str]:
        """Why a machine stood, all ranges or none; ids of the entries."""
        for one in ranges:
            if one.reason:
                _known(self.downtime_reasons, "reason", one.reason)
        made = [_Word(str(uuid7()), device, one, signed.who) for one in ranges]
        self._words += made
        for word in made:
            self._trace("downtime_entries", {"entry": word.entry_id}, None, word, signed)
        return [word.entry_id for word in made]

    def record_material(self, actual: MaterialActual, material: str, signed: Signature) -> str:
        """A lot is used; with a material it may be new. The id of the entry."""
        if material:
            known = _known(self.materials, "material", material)
            if actual.lot not in self._lots:
                self._lots[actual.lot] = MaterialLot(lot=actual.lot, material=material, unit=known.unit)
                self._trace("material_lots", {"lot": actual.lot}, None, self._lots[actual.lot], signed)
        _known(self._lots, "lot", actual.lot)
        order = self._running(actual.device_path, actual.start_us)
        new = replace(actual, actual_id=str(uuid7()), job_order=order, entered_by=signed.who)
        self._actuals.append(new)
        self._trace("material_actuals", {"actual": new.actual_id}, None, new, signed)
        return new.actual_id

    def record_scrap(self, entry: ScrapEntry, signed: Signature) -> str:
        """Scrap with its reason; the id of the entry."""
        _known(self.scrap_reasons, "reason", entry.reason)
        order = self._running(entry.device_path, entry.time_us)
        new = replace(entry, entry_id=str(uuid7()), job_order=order, entered_by=signed.who)
        self.scrap.append(new)
        self._trace("scrap_entries", {"entry": new.entry_id}, None, new, signed)
        return new.entry_id

    def start_batch(self, batch: Batch, signed: Signature) -> None:
        """A batch begins."""
        recipe = _known(self.recipes, "recipe", (batch.recipe, batch.version))
        if batch.lot:
            _known(self._lots, "lot", batch.lot)
        if batch.batch in self._batches:
            msg = f"Key (batch)=({batch.batch}) already exists."
            raise ConflictError(msg)
        self._batches[batch.batch] = replace(batch, material=recipe.material)
        self._trace("batches", {"batch": batch.batch}, None, batch, signed)

    def enter_phase(self, batch: str, phase: BatchPhase, signed: Signature) -> None:
        """A phase begins, or ends."""
        old = _known(self._batches, "batch", batch)
        nominal_s = self.recipes[old.recipe, old.version].phases.get(phase.phase)
        others = [one for one in old.phases if (one.phase, one.start_us) != (phase.phase, phase.start_us)]
        phases = sorted((*others, replace(phase, nominal_s=nominal_s)), key=lambda one: (one.start_us, one.phase))
        self._batches[batch] = replace(old, phases=tuple(phases))
        self._trace("batch_phases", {"batch": batch, "phase": phase.phase}, None, phase, signed)

    def complete_batch(self, batch: str, end_us: int, golden: bool | None, signed: Signature) -> None:
        """A batch ends, and with it the phases that still run."""
        old = _known(self._batches, "batch", batch)
        phases = [
            replace(one, end_us=end_us) if one.end_us is None and one.start_us < end_us else one for one in old.phases
        ]
        golden = old.golden if golden is None else golden
        new = self._batches[batch] = replace(old, end_us=end_us, golden=golden, phases=tuple(phases))
        self._trace("batches", {"batch": batch}, old, new, signed)

    def _running(self, device: str, at_us: int) -> str:
        """The order that a machine works on."""
        for job in self._jobs.values():
            if job.device_path == device and job.start_us <= at_us < (job.end_us or _EVER_US):
                return job.job_order
        return ""

    def _status(self, old: JobOrder, status: JobOrderStatus, signed: Signature) -> None:
        new = self._orders[old.job_order] = replace(old, status=status)
        self._trace("job_orders", {"job_order": old.job_order}, old, new, signed)

    def _trace(self, table: str, key: dict[str, str], before: Any, after: Any, signed: Signature) -> None:
        self.changes.append(
            WorkChange(
                change_id=len(self.changes) + 1,
                changed_us=self._clock(),
                who=signed.who,
                why=signed.why,
                table=table,
                key=json.dumps(key),
                before="" if before is None else json.dumps(dataclasses.asdict(before)),
                after=json.dumps(dataclasses.asdict(after)),
            )
        )


def _known(table: dict[Any, V], kind: str, name: Any) -> V:
    if name not in table:
        msg = f"not entered: there is no {kind} {name!r}"
        raise NotFoundError(msg)
    return table[name]


def _of(rows: Any, field_name: str, name: str) -> tuple[Any, ...]:
    return tuple(sorted((one for one in rows if getattr(one, field_name) == name), key=lambda one: one.start_us))


def _overlap(one: JobResponse, other: JobResponse) -> bool:
    return one.start_us < (other.end_us or _EVER_US) and other.start_us < (one.end_us or _EVER_US)
