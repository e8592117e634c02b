"""Calls of WorkService.

Over 350 lines: a short function for each method of the service, in the order of the contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import work_pb2
from millrace_client.calls.method import Call, Method, message, texts
from millrace_client.ids import uuid7
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
from millrace_client.results.times import to_us

_SERVICE = "WorkService"
LIST_SHIFTS = Method(_SERVICE, "ListShifts", work_pb2.ListShiftsRequest, work_pb2.ListShiftsResponse)
LIST_MATERIALS = Method(_SERVICE, "ListMaterials", work_pb2.ListMaterialsRequest, work_pb2.ListMaterialsResponse)
LIST_JOB_ORDERS = Method(_SERVICE, "ListJobOrders", work_pb2.ListJobOrdersRequest, work_pb2.ListJobOrdersResponse)
LIST_MATERIAL_LOTS = Method(
    _SERVICE, "ListMaterialLots", work_pb2.ListMaterialLotsRequest, work_pb2.ListMaterialLotsResponse
)
LIST_DOWNTIMES = Method(_SERVICE, "ListDowntimes", work_pb2.ListDowntimesRequest, work_pb2.ListDowntimesResponse)
LIST_REASONS = Method(_SERVICE, "ListReasons", work_pb2.ListReasonsRequest, work_pb2.ListReasonsResponse)
LIST_SCRAP = Method(_SERVICE, "ListScrap", work_pb2.ListScrapRequest, work_pb2.ListScrapResponse)
LIST_BATCHES = Method(_SERVICE, "ListBatches", work_pb2.ListBatchesRequest, work_pb2.ListBatchesResponse)
LIST_WORK_CHANGES = Method(
    _SERVICE, "ListWorkChanges", work_pb2.ListWorkChangesRequest, work_pb2.ListWorkChangesResponse
)
PUT_JOB_ORDER = Method(_SERVICE, "PutJobOrder", work_pb2.PutJobOrderRequest, work_pb2.PutJobOrderResponse)
START_JOB = Method(_SERVICE, "StartJob", work_pb2.StartJobRequest, work_pb2.StartJobResponse)
COMPLETE_JOB = Method(_SERVICE, "CompleteJob", work_pb2.CompleteJobRequest, work_pb2.CompleteJobResponse)
ENTER_DOWNTIME = Method(_SERVICE, "EnterDowntime", work_pb2.EnterDowntimeRequest, work_pb2.EnterDowntimeResponse)
RECORD_MATERIAL = Method(_SERVICE, "RecordMaterial", work_pb2.RecordMaterialRequest, work_pb2.RecordMaterialResponse)
RECORD_SCRAP = Method(_SERVICE, "RecordScrap", work_pb2.RecordScrapRequest, work_pb2.RecordScrapResponse)
START_BATCH = Method(_SERVICE, "StartBatch", work_pb2.StartBatchRequest, work_pb2.StartBatchResponse)
ENTER_BATCH_PHASE = Method(
    _SERVICE, "EnterBatchPhase", work_pb2.EnterBatchPhaseRequest, work_pb2.EnterBatchPhaseResponse
)
COMPLETE_BATCH = Method(_SERVICE, "CompleteBatch", work_pb2.CompleteBatchRequest, work_pb2.CompleteBatchResponse)
METHODS = (
    LIST_SHIFTS,
    LIST_MATERIALS,
    LIST_JOB_ORDERS,
    LIST_MATERIAL_LOTS,
    LIST_DOWNTIMES,
    LIST_REASONS,
    LIST_SCRAP,
    LIST_BATCHES,
    LIST_WORK_CHANGES,
    PUT_JOB_ORDER,
    START_JOB,
    COMPLETE_JOB,
    ENTER_DOWNTIME,
    RECORD_MATERIAL,
    RECORD_SCRAP,
    START_BATCH,
    ENTER_BATCH_PHASE,
    COMPLETE_BATCH,
)


def path_of(device: str | Device) -> str:
    """Path of a device."""
    return device.path if isinstance(device, Device) else device


def job_of(job: str | JobResponse) -> str:
    """Id of an execution."""
    return job.job_response_id if isinstance(job, JobResponse) else job


def once(request_id: str) -> str:
    """Id of an entry: what is tried again, by the client or by its caller, is entered once."""
    return request_id or str(uuid7())


def member(prefix: str, name: str) -> str:
    """Name of an enumeration's member; empty is UNSPECIFIED."""
    return f"{prefix}{name or 'UNSPECIFIED'}"


def list_shifts(scope: str, start: Time | None, end: Time | None) -> Call[tuple[Shift, ...]]:
    """Shifts of a place that touch a range (the last day), exceptions and daylight saving applied."""
    request = message(work_pb2.ListShiftsRequest, scope=scope, start_us=to_us(start), end_us=to_us(end))
    return Call(LIST_SHIFTS, request, unpack.results(Shift, "shifts"))


def list_materials(page_size: int, page_token: str) -> Call[Page[Material]]:
    """A page of products and materials, by name."""
    request = message(work_pb2.ListMaterialsRequest, page_size=page_size, page_token=page_token)
    return Call(LIST_MATERIALS, request, unpack.page(Material, "materials"))


def list_job_orders(
    scope: str,
    statuses: str | Iterable[str],
    job_order: str,
    start: Time | None,
    end: Time | None,
    page_size: int,
    page_token: str,
) -> Call[Page[JobOrder]]:
    """A page of orders with what was done of them, latest planned start first."""
    request = message(
        work_pb2.ListJobOrdersRequest,
        scope=scope,
        statuses=[member("JOB_ORDER_STATUS_", one) for one in texts(statuses)],
        job_order=job_order,
        start_us=to_us(start),
        end_us=to_us(end),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_JOB_ORDERS, request, unpack.page(JobOrder, "job_orders"))


def list_material_lots(scope: str, lot: str, material: str, page_size: int, page_token: str) -> Call[Page[MaterialLot]]:
    """A page of lots with where they were used, newest first."""
    request = message(
        work_pb2.ListMaterialLotsRequest,
        scope=scope,
        lot=lot,
        material=material,
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_MATERIAL_LOTS, request, unpack.page(MaterialLot, "lots"))


def list_downtimes(
    scope: str, start: Time | None, end: Time | None, page_size: int, page_token: str
) -> Call[Page[Downtime]]:
    """A page of stops within calendar time in a range (the last day), latest first."""
    request = message(
        work_pb2.ListDowntimesRequest,
        scope=scope,
        start_us=to_us(start),
        end_us=to_us(end),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_DOWNTIMES, request, unpack.page(Downtime, "downtimes"))


def list_scrap(
    scope: str, start: Time | None, end: Time | None, page_size: int, page_token: str
) -> Call[Page[ScrapEntry]]:
    """A page of scrap as people entered it, newest first."""
    request = message(
        work_pb2.ListScrapRequest,
        scope=scope,
        start_us=to_us(start),
        end_us=to_us(end),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_SCRAP, request, unpack.page(ScrapEntry, "scrap"))


def list_batches(
    scope: str, recipe: str, batch: str, start: Time | None, end: Time | None, page_size: int, page_token: str
) -> Call[Page[Batch]]:
    """A page of batches with their phases, latest start first."""
    request = message(
        work_pb2.ListBatchesRequest,
        scope=scope,
        recipe=recipe,
        batch=batch,
        start_us=to_us(start),
        end_us=to_us(end),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_BATCHES, request, unpack.page(Batch, "batches"))


def list_work_changes(
    table: str, start: Time | None, end: Time | None, page_size: int, page_token: str
) -> Call[Page[WorkChange]]:
    """A page of changes of the model of work, newest first."""
    request = message(
        work_pb2.ListWorkChangesRequest,
        table=table,
        start_us=to_us(start),
        end_us=to_us(end),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_WORK_CHANGES, request, unpack.page(WorkChange, "changes"))


def list_reasons() -> Call[Reasons]:
    """Reasons of stops and of scrap."""
    return Call(LIST_REASONS, work_pb2.ListReasonsRequest(), partial(unpack.result, Reasons))


def put_job_order(
    job_order: str,
    material: str,
    quantity: float,
    scope: str,
    planned_start: Time,
    planned_end: Time,
    status: str,
    priority: int,
    why: str,
    request_id: str,
) -> Call[None]:
    """Enter an order, or change one that is there; without a status it keeps its own."""
    request = message(
        work_pb2.PutJobOrderRequest,
        job_order=job_order,
        material=material,
        quantity=quantity,
        scope=scope,
        planned_start_us=to_us(planned_start),
        planned_end_us=to_us(planned_end),
        status=member("JOB_ORDER_STATUS_", status),
        priority=priority,
        why=why,
        request_id=once(request_id),
    )
    return Call(PUT_JOB_ORDER, request, _nothing)


def start_job(
    job_order: str, device: str | Device, start: Time | None, end: Time | None, why: str, request_id: str
) -> Call[str]:
    """A machine begins to work on an order (now); with an end it is a late entry. Returns the id of the execution."""
    request = message(
        work_pb2.StartJobRequest,
        job_order=job_order,
        device_path=path_of(device),
        start_us=to_us(start),
        end_us=to_us(end),
        why=why,
        request_id=once(request_id),
    )
    return Call(START_JOB, request, lambda answer: answer.job_response_id)


def complete_job(
    job: str | JobResponse, end: Time | None, order_goes_on: bool, why: str, request_id: str
) -> Call[None]:
    """A machine ends its work on an order (now); a second call corrects the end."""
    request = message(
        work_pb2.CompleteJobRequest,
        job_response_id=job_of(job),
        end_us=to_us(end),
        order_goes_on=order_goes_on,
        why=why,
        request_id=once(request_id),
    )
    return Call(COMPLETE_JOB, request, _nothing)


def enter_downtime(
    device: str | Device, ranges: Iterable[DowntimeRange], why: str, request_id: str
) -> Call[tuple[str, ...]]:
    """Say why a machine stood, all ranges or none; what is entered last holds. Returns the ids of the entries."""
    request = message(
        work_pb2.EnterDowntimeRequest,
        device_path=path_of(device),
        ranges=[
            message(work_pb2.DowntimeRange, start_us=one.start_us, end_us=one.end_us, reason=one.reason)
            for one in ranges
        ],
        why=why,
        request_id=once(request_id),
    )
    return Call(ENTER_DOWNTIME, request, lambda answer: tuple(answer.entry_ids))


def record_material(
    lot: str,
    device: str | Device,
    use: str,
    quantity: float | None,
    start: Time | None,
    end: Time | None,
    material: str,
    why: str,
    request_id: str,
) -> Call[str]:
    """A lot is CONSUMED or PRODUCED; with its material it may be new. Returns the id of the entry."""
    request = message(
        work_pb2.RecordMaterialRequest,
        lot=lot,
        device_path=path_of(device),
        use=member("MATERIAL_USE_", use),
        quantity=quantity,
        start_us=to_us(start),
        end_us=to_us(end),
        material=material,
        why=why,
        request_id=once(request_id),
    )
    return Call(RECORD_MATERIAL, request, lambda answer: answer.actual_id)


def record_scrap(
    device: str | Device, quantity: float, reason: str, time: Time | None, why: str, request_id: str
) -> Call[str]:
    """Scrap with its reason (made now). Returns the id of the entry."""
    request = message(
        work_pb2.RecordScrapRequest,
        device_path=path_of(device),
        quantity=quantity,
        reason=reason,
        time_us=to_us(time),
        why=why,
        request_id=once(request_id),
    )
    return Call(RECORD_SCRAP, request, lambda answer: answer.entry_id)


def start_batch(
    batch: str, recipe: str, version: str, device: str | Device, start: Time | None, lot: str, why: str, request_id: str
) -> Call[None]:
    """A batch begins (now)."""
    request = message(
        work_pb2.StartBatchRequest,
        batch=batch,
        recipe=recipe,
        version=version,
        device_path=path_of(device),
        start_us=to_us(start),
        lot=lot,
        why=why,
        request_id=once(request_id),
    )
    return Call(START_BATCH, request, _nothing)


def enter_batch_phase(
    batch: str, phase: str, device: str | Device, start: Time | None, end: Time | None, why: str, request_id: str
) -> Call[int]:
    """A phase of a batch begins (now); the same start with an end ends it. Returns its start, microseconds."""
    request = message(
        work_pb2.EnterBatchPhaseRequest,
        batch=batch,
        phase=phase,
        device_path=path_of(device),
        start_us=to_us(start),
        end_us=to_us(end),
        why=why,
        request_id=once(request_id),
    )
    return Call(ENTER_BATCH_PHASE, request, lambda answer: answer.start_us)


def complete_batch(batch: str, end: Time | None, golden: bool | None, why: str, request_id: str) -> Call[None]:
    """A batch ends (now), and with it the phases that still run."""
    request = message(
        work_pb2.CompleteBatchRequest,
        batch=batch,
        end_us=to_us(end),
        golden=golden,
        why=why,
        request_id=once(request_id),
    )
    return Call(COMPLETE_BATCH, request, _nothing)


def _nothing(answer: Any) -> None:  # noqa: ARG001 - it has no field
    return None
