"""WorkService of the fake plant: a handler a method. No locks; the plant holds its own around each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from millrace_client._proto.millrace.v1 import work_pb2
from millrace_client.calls import Method
from millrace_client.calls import work as calls
from millrace_client.errors import ConflictError, InvalidRequestError
from millrace_client.fake import hierarchy, pack
from millrace_client.fake.registry import Registry
from millrace_client.fake.work import Signature, Work
from millrace_client.results import (
    Batch,
    BatchPhase,
    DowntimeRange,
    JobOrder,
    JobResponse,
    MaterialActual,
    MaterialUse,
    ScrapEntry,
)
from millrace_client.unpack import result

Handler = Callable[[Any, str], Message]
_DAY_US = 86_400_000_000


class WorkService:
    """Handlers by method. An entry with the id of one that was made is answered as that one was."""

    def __init__(self, registry: Registry, work: Work, clock: Callable[[], int]) -> None:
        self._registry, self._work, self._clock = registry, work, clock
        self._answered: dict[UUID, tuple[bytes, Message]] = {}
        entering: dict[Method, Handler] = {
            calls.PUT_JOB_ORDER: self._put_job_order,
            calls.START_JOB: self._start_job,
            calls.COMPLETE_JOB: self._complete_job,
            calls.ENTER_DOWNTIME: self._enter_downtime,
            calls.RECORD_MATERIAL: self._record_material,
            calls.RECORD_SCRAP: self._record_scrap,
            calls.START_BATCH: self._start_batch,
            calls.ENTER_BATCH_PHASE: self._enter_batch_phase,
            calls.COMPLETE_BATCH: self._complete_batch,
        }
        self.unary: dict[Method, Handler] = {
            calls.LIST_SHIFTS: self._list_shifts,
            calls.LIST_MATERIALS: self._list_materials,
            calls.LIST_JOB_ORDERS: self._list_job_orders,
            calls.LIST_MATERIAL_LOTS: self._list_material_lots,
            calls.LIST_DOWNTIMES: self._list_downtimes,
            calls.LIST_REASONS: self._list_reasons,
            calls.LIST_SCRAP: self._list_scrap,
            calls.LIST_BATCHES: self._list_batches,
            calls.LIST_WORK_CHANGES: self._list_work_changes,
            **{method: self._once(handler) for method, handler in entering.items()},
        }
        self.streaming: dict[Method, Any] = {}

    # --- lists -------------------------------------------------------------------------------------------------------

    def _list_shifts(self, request: work_pb2.ListShiftsRequest, _: str) -> Message:
        start_us, end_us = self._range(request)
        found = [
            shift
            for scope, shift in self._work.shifts
            if hierarchy.under(scope)(request.scope) and shift.end_us > start_us and shift.start_us < end_us
        ]
        found.sort(key=lambda one: one.start_us)
        return work_pb2.ListShiftsResponse(shifts=pack.messages(found))

    def _list_materials(self, request: work_pb2.ListMaterialsRequest, _: str) -> Message:
        names, token = hierarchy.page(self._work.materials, "", request.page_size, request.page_token)
        found = pack.messages(self._work.materials[name] for name in names)
        return work_pb2.ListMaterialsResponse(materials=found, next_page_token=token)

    def _list_job_orders(self, request: work_pb2.ListJobOrdersRequest, _: str) -> Message:
        statuses = {work_pb2.JobOrderStatus.Name(one).removeprefix("JOB_ORDER_STATUS_") for one in request.statuses}

        def fits(one: JobOrder) -> bool:
            near = hierarchy.under(request.scope)(one.scope) or hierarchy.under(one.scope)(request.scope)
            named = request.job_order in ("", one.job_order) and (not statuses or one.status in statuses)
            return near and named and _within(request, one.planned_start_us, one.planned_end_us)

        found, token = hierarchy.newest(
            filter(fits, self._work.orders), lambda one: (one.planned_start_us, one.job_order), request
        )
        return work_pb2.ListJobOrdersResponse(job_orders=pack.messages(found), next_page_token=token)

    def _list_material_lots(self, request: work_pb2.ListMaterialLotsRequest, _: str) -> Message:
        wanted = hierarchy.under(request.scope)
        lots = [
            (place, one)
            for place, one in enumerate(self._work.lots)
            if request.lot in ("", one.lot)
            and request.material in ("", one.material)
            and (not request.scope or any(wanted(used.device_path) for used in one.actuals))
        ]
        found, token = hierarchy.newest(lots, lambda item: (item[0],), request)
        return work_pb2.ListMaterialLotsResponse(lots=pack.messages(one for _, one in found), next_page_token=token)

    def _list_downtimes(self, request: work_pb2.ListDowntimesRequest, _: str) -> Message:
        wanted = hierarchy.under(request.scope)
        start_us, end_us = self._range(request)
        stops = (one for one in self._work.downtimes(start_us, end_us) if wanted(one.device_path))
        found, token = hierarchy.newest(stops, lambda one: (one.start_us, one.device_path), request)
        return work_pb2.ListDowntimesResponse(downtimes=pack.messages(found), next_page_token=token)

    def _list_reasons(self, _request: work_pb2.ListReasonsRequest, _: str) -> Message:
        tables = (self._work.downtime_reasons, self._work.scrap_reasons)
        downtime, scrap = (pack.messages(table[name] for name in sorted(table)) for table in tables)
        return work_pb2.ListReasonsResponse(downtime=downtime, scrap=scrap)

    def _list_scrap(self, request: work_pb2.ListScrapRequest, _: str) -> Message:
        wanted = hierarchy.under(request.scope)
        entries = [
            one
            for one in self._work.scrap
            if wanted(one.device_path) and _within(request, one.time_us, one.time_us + 1)
        ]
        found, token = hierarchy.newest(entries, lambda one: (one.time_us, one.entry_id), request)
        return work_pb2.ListScrapResponse(scrap=pack.messages(found), next_page_token=token)

    def _list_batches(self, request: work_pb2.ListBatchesRequest, _: str) -> Message:
        wanted = hierarchy.under(request.scope)

        def fits(one: Batch) -> bool:
            named = request.batch in ("", one.batch) and request.recipe in ("", one.recipe)
            return wanted(one.device_path) and named and _within(request, one.start_us, one.end_us)

        found, token = hierarchy.newest(
            filter(fits, self._work.batches), lambda one: (one.start_us, one.batch), request
        )
        return work_pb2.ListBatchesResponse(batches=pack.messages(found), next_page_token=token)

    def _list_work_changes(self, request: work_pb2.ListWorkChangesRequest, _: str) -> Message:
        changes = [
            one
            for one in self._work.changes
            if request.table in ("", one.table) and _within(request, one.changed_us, one.changed_us + 1)
        ]
        found, token = hierarchy.newest(changes, lambda one: (one.changed_us, one.change_id), request)
        return work_pb2.ListWorkChangesResponse(changes=pack.messages(found), next_page_token=token)

    # --- entries -----------------------------------------------------------------------------------------------------

    def _put_job_order(self, request: work_pb2.PutJobOrderRequest, by: str) -> Message:
        order = work_pb2.JobOrder(
            **{
                name: getattr(request, name)
                for name in (
                    "job_order",
                    "material",
                    "quantity",
                    "scope",
                    "planned_start_us",
                    "planned_end_us",
                    "status",
                    "priority",
                )
            }
        )
        if order.planned_start_us >= order.planned_end_us:
            msg = "planned_start_us is not before planned_end_us"
            raise InvalidRequestError(msg)
        self._work.put_order(result(JobOrder, order), Signature(by, request.why))
        return work_pb2.PutJobOrderResponse()

    def _start_job(self, request: work_pb2.StartJobRequest, by: str) -> Message:
        job = JobResponse(
            job_response_id="", job_order=request.job_order, device_path=self._path(request), **self._span(request)
        )
        return work_pb2.StartJobResponse(job_response_id=self._work.start_job(job, Signature(by, request.why)))

    def _complete_job(self, request: work_pb2.CompleteJobRequest, by: str) -> Message:
        job, signed = str(_uuid("job_response_id", request.job_response_id)), Signature(by, request.why)
        self._work.complete_job(job, request.end_us or self._clock(), signed, order_goes_on=request.order_goes_on)
        return work_pb2.CompleteJobResponse()

    def _enter_downtime(self, request: work_pb2.EnterDowntimeRequest, by: str) -> Message:
        if not request.ranges:
            msg = "ranges is empty; say at least one"
            raise InvalidRequestError(msg)
        ranges = [result(DowntimeRange, one) for one in request.ranges]
        made = self._work.say(self._path(request), ranges, Signature(by, request.why))
        return work_pb2.EnterDowntimeResponse(entry_ids=made)

    def _record_material(self, request: work_pb2.RecordMaterialRequest, by: str) -> Message:
        use = MaterialUse(work_pb2.MaterialUse.Name(request.use).removeprefix("MATERIAL_USE_"))
        if use is MaterialUse.UNSPECIFIED:
            msg = "use is UNSPECIFIED; say CONSUMED or PRODUCED"
            raise InvalidRequestError(msg)
        quantity = request.quantity if request.HasField("quantity") else None
        actual = MaterialActual(
            actual_id="",
            lot=request.lot,
            use=use,
            quantity=quantity,
            device_path=self._path(request),
            **self._span(request),
        )
        made = self._work.record_material(actual, request.material, Signature(by, request.why))
        return work_pb2.RecordMaterialResponse(actual_id=made)

    def _record_scrap(self, request: work_pb2.RecordScrapRequest, by: str) -> Message:
        entry = ScrapEntry(
            entry_id="",
            time_us=request.time_us or self._clock(),
            quantity=request.quantity,
            reason=request.reason,
            device_path=self._path(request),
        )
        return work_pb2.RecordScrapResponse(entry_id=self._work.record_scrap(entry, Signature(by, request.why)))

    def _start_batch(self, request: work_pb2.StartBatchRequest, by: str) -> Message:
        batch = Batch(
            batch=request.batch,
            recipe=request.recipe,
            version=request.version,
            material="",
            lot=request.lot,
            start_us=request.start_us or self._clock(),
            device_path=self._path(request),
        )
        self._work.start_batch(batch, Signature(by, request.why))
        return work_pb2.StartBatchResponse()

    def _enter_batch_phase(self, request: work_pb2.EnterBatchPhaseRequest, by: str) -> Message:
        phase = BatchPhase(phase=request.phase, device_path=self._path(request), **self._span(request))
        self._work.enter_phase(request.batch, phase, Signature(by, request.why))
        return work_pb2.EnterBatchPhaseResponse(start_us=phase.start_us)

    def _complete_batch(self, request: work_pb2.CompleteBatchRequest, by: str) -> Message:
        golden = request.golden if request.HasField("golden") else None
        self._work.complete_batch(request.batch, request.end_us or self._clock(), golden, Signature(by, request.why))
        return work_pb2.CompleteBatchResponse()

    def _once(self, handler: Handler) -> Handler:
        def answer(request: Any, by: str) -> Message:
            if not request.request_id:
                return handler(request, by)
            name = _uuid("request_id", request.request_id)
            content = by.encode() + request.SerializeToString(deterministic=True)
            known = self._answered.get(name)
            if known is None:
                known = self._answered[name] = content, handler(request, by)
            if known[0] != content:
                msg = f"request_id {name} was used for another entry; make a new one for each"
                raise ConflictError(msg)
            return known[1]

        return answer

    # --- fields of requests ------------------------------------------------------------------------------------------

    def _path(self, request: Any) -> str:
        """Path of the machine. Raises NotFoundError."""
        return self._registry.find_device(request.device_path).path

    def _span(self, request: Any) -> dict[str, Any]:
        return {"start_us": request.start_us or self._clock(), "end_us": request.end_us or None}

    def _range(self, request: Any) -> tuple[int, int]:
        if not request.scope:
            msg = "scope is empty; name a part of the plant, such as enterprise/site"
            raise InvalidRequestError(msg)
        end_us = request.end_us or self._clock() + 1
        return request.start_us or end_us - _DAY_US, end_us


def _within(request: Any, start_us: int, end_us: int | None) -> bool:
    """Whether something lies in the range of a request; 0 bounds nothing."""
    return (not request.end_us or start_us < request.end_us) and (end_us is None or end_us > request.start_us)


def _uuid(field: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{field} is no UUID"
        raise InvalidRequestError(msg) from None
