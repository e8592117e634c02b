"""Methods of WorkService."""

from __future__ import annotations

from collections.abc import Iterable

from millrace_client.calls import PAGE
from millrace_client.calls import work as calls
from millrace_client.results import (
    Batch,
    Device,
    Downtime,
    DowntimeRange,
    JobOrder,
    JobResponse,
    Material,
    MaterialLot,
    Page,
    Reasons,
    ScrapEntry,
    Shift,
    Time,
    WorkChange,
)
from millrace_client.threads.carrier import Carrier


class WorkMethods(Carrier):
    """The plant's work. What is entered is signed with the caller's principal and `why`.

    An entry is tried again while the server is away, and made once: it has an id. `request_id`: an id of your own (a UUID), for an entry
    that you may have to send again yourself.
    """

    def shifts(
        self, scope: str, start: Time | None = None, end: Time | None = None, *, deadline_s: float | None = None
    ) -> tuple[Shift, ...]:
        """Shifts of a place that touch a range (the last day), exceptions and daylight saving applied."""
        return self._unary(calls.list_shifts(scope, start, end), deadline_s)

    def materials(
        self, *, page_size: int = PAGE, page_token: str = "", deadline_s: float | None = None
    ) -> Page[Material]:
        """A page of products and materials, by name."""
        return self._unary(calls.list_materials(page_size, page_token), deadline_s)

    def job_orders(
        self,
        scope: str = "",
        start: Time | None = None,
        end: Time | None = None,
        *,
        statuses: str | Iterable[str] = (),
        job_order: str = "",
        page_size: int = PAGE,
        page_token: str = "",
        deadline_s: float | None = None,
    ) -> Page[JobOrder]:
        """A page of orders with what was done of them, latest planned start first."""
        return self._unary(
            calls.list_job_orders(scope, statuses, job_order, start, end, page_size, page_token), deadline_s
        )

    def material_lots(
        self,
        scope: str = "",
        *,
        lot: str = "",
        material: str = "",
        page_size: int = PAGE,
        page_token: str = "",
        deadline_s: float | None = None,
    ) -> Page[MaterialLot]:
        """A page of lots with where they were used, newest first."""
        return self._unary(calls.list_material_lots(scope, lot, material, page_size, page_token), deadline_s)

    def downtimes(
        self,
        scope: str,
        start: Time | None = None,
        end: Time | None = None,
        *,
        page_size: int = PAGE,
        page_token: str = "",
        deadline_s: float | None = None,
    ) -> Page[Downtime]:
        """A page of stops within calendar time in a range (the last day), latest first."""
        return self._unary(calls.list_downtimes(scope, start, end, page_size, page_token), deadline_s)

    def scrap(
        self,
        scope: str = "",
        start: Time | None = None,
        end: Time | None = None,
        *,
        page_size: int = PAGE,
        page_token: str = "",
        deadline_s: float | None = None,
    ) -> Page[ScrapEntry]:
        """A page of scrap as people entered it, newest first."""
        return self._unary(calls.list_scrap(scope, start, end, page_size, page_token), deadline_s)

    def batches(
        self,
        scope: str = "",
        start: Time | None = None,
        end: Time | None = None,
        *,
        recipe: str = "",
        batch: str = "",
        page_size: int = PAGE,
        page_token: str = "",
        deadline_s: float | None = None,
    ) -> Page[Batch]:
        """A page of batches with their phases, latest start first."""
        return self._unary(calls.list_batches(scope, recipe, batch, start, end, page_size, page_token), deadline_s)

    def work_changes(
        self,
        start: Time | None = None,
        end: Time | None = None,
        *,
        table: str = "",
        page_size: int = PAGE,
        page_token: str = "",
        deadline_s: float | None = None,
    ) -> Page[WorkChange]:
        """A page of changes of the model of work, newest first."""
        return self._unary(calls.list_work_changes(table, start, end, page_size, page_token), deadline_s)

    def reasons(self, *, deadline_s: float | None = None) -> Reasons:
        """Reasons of stops and of scrap."""
        return self._unary(calls.list_reasons(), deadline_s)

    def put_job_order(
        self,
        job_order: str,
        material: str,
        quantity: float,
        scope: str,
        planned_start: Time,
        planned_end: Time,
        *,
        status: str = "",
        priority: int = 0,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> None:
        """Enter an order, or change one that is there; without a status it keeps its own."""
        return self._unary(
            calls.put_job_order(
                job_order, material, quantity, scope, planned_start, planned_end, status, priority, why, request_id
            ),
            deadline_s,
        )

    def start_job(
        self,
        job_order: str,
        device: str | Device,
        start: Time | None = None,
        end: Time | None = None,
        *,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> str:
        """A machine begins to work on an order (now); with an end it is a late entry. Returns the id of the execution."""
        return self._unary(calls.start_job(job_order, device, start, end, why, request_id), deadline_s)

    def complete_job(
        self,
        job: str | JobResponse,
        end: Time | None = None,
        *,
        order_goes_on: bool = False,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> None:
        """A machine ends its work on an order (now); a second call corrects the end."""
        return self._unary(calls.complete_job(job, end, order_goes_on, why, request_id), deadline_s)

    def enter_downtime(
        self,
        device: str | Device,
        ranges: Iterable[DowntimeRange],
        *,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> tuple[str, ...]:
        """Say why a machine stood, all ranges or none; what is entered last holds. Returns the ids of the entries."""
        return self._unary(calls.enter_downtime(device, ranges, why, request_id), deadline_s)

    def record_material(
        self,
        lot: str,
        device: str | Device,
        use: str,
        quantity: float | None = None,
        *,
        start: Time | None = None,
        end: Time | None = None,
        material: str = "",
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> str:
        """A lot is CONSUMED or PRODUCED; with its material it may be new. Returns the id of the entry."""
        return self._unary(
            calls.record_material(lot, device, use, quantity, start, end, material, why, request_id), deadline_s
        )

    def record_scrap(
        self,
        device: str | Device,
        quantity: float,
        reason: str,
        time: Time | None = None,
        *,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> str:
        """Scrap with its reason (made now). Returns the id of the entry."""
        return self._unary(calls.record_scrap(device, quantity, reason, time, why, request_id), deadline_s)

    def start_batch(
        self,
        batch: str,
        recipe: str,
        version: str,
        device: str | Device,
        start: Time | None = None,
        *,
        lot: str = "",
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> None:
        """A batch begins (now)."""
        return self._unary(calls.start_batch(batch, recipe, version, device, start, lot, why, request_id), deadline_s)

    def enter_batch_phase(
        self,
        batch: str,
        phase: str,
        device: str | Device,
        start: Time | None = None,
        end: Time | None = None,
        *,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> int:
        """A phase of a batch begins (now); the same start with an end ends it. Returns its start, microseconds."""
        return self._unary(calls.enter_batch_phase(batch, phase, device, start, end, why, request_id), deadline_s)

    def complete_batch(
        self,
        batch: str,
        end: Time | None = None,
        *,
        golden: bool | None = None,
        why: str = "",
        request_id: str = "",
        deadline_s: float | None = None,
    ) -> None:
        """A batch ends (now), and with it the phases that still run."""
        return self._unary(calls.complete_batch(batch, end, golden, why, request_id), deadline_s)
