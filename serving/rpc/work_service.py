"""gRPC face of the plant's work: unpacks requests, packs answers, decides nothing."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, TypeAlias

import grpc

from schemas.proto.millrace.v1 import work_pb2 as pb
from schemas.proto.millrace.v1 import work_pb2_grpc
from serving.handlers.work_entry import Request, WorkEntry
from serving.handlers.work_lists import Asked, WorkLists
from serving.rpc.translate import messages

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class WorkService(work_pb2_grpc.WorkServiceServicer):
    """Servicer of `millrace.v1.WorkService`."""

    def __init__(self, lists: WorkLists, entry: WorkEntry) -> None:
        self._lists, self._entry = lists, entry

    async def ListShifts(self, request: pb.ListShiftsRequest, context: Context) -> pb.ListShiftsResponse:
        """Shifts of a place."""
        return pb.ListShiftsResponse(
            shifts=messages(pb.Shift, await self._lists.shifts(request.scope, _asked(request)))
        )

    async def ListMaterials(self, request: pb.ListMaterialsRequest, context: Context) -> pb.ListMaterialsResponse:
        """Products and materials."""
        page = await self._lists.materials(_asked(request))
        return pb.ListMaterialsResponse(materials=messages(pb.Material, page.items), next_page_token=page.next_token)

    async def ListJobOrders(self, request: pb.ListJobOrdersRequest, context: Context) -> pb.ListJobOrdersResponse:
        """Orders with their executions."""
        page = await self._lists.job_orders(
            _asked(request),
            scope=request.scope,
            job_order=request.job_order,
            statuses=[name for one in request.statuses if (name := _short(pb.JobOrderStatus, one))],
        )
        return pb.ListJobOrdersResponse(job_orders=messages(pb.JobOrder, page.items), next_page_token=page.next_token)

    async def ListMaterialLots(
        self, request: pb.ListMaterialLotsRequest, context: Context
    ) -> pb.ListMaterialLotsResponse:
        """Lots with where they were used."""
        page = await self._lists.lots(_asked(request), scope=request.scope, lot=request.lot, material=request.material)
        return pb.ListMaterialLotsResponse(lots=messages(pb.MaterialLot, page.items), next_page_token=page.next_token)

    async def ListDowntimes(self, request: pb.ListDowntimesRequest, context: Context) -> pb.ListDowntimesResponse:
        """Stops with their reasons."""
        page = await self._lists.downtimes(request.scope, _asked(request))
        return pb.ListDowntimesResponse(downtimes=messages(pb.Downtime, page.items), next_page_token=page.next_token)

    async def ListReasons(self, request: pb.ListReasonsRequest, context: Context) -> pb.ListReasonsResponse:
        """Reasons of stops and of scrap."""
        downtime, scrap = await self._lists.reasons()
        return pb.ListReasonsResponse(downtime=messages(pb.Reason, downtime), scrap=messages(pb.Reason, scrap))

    async def ListScrap(self, request: pb.ListScrapRequest, context: Context) -> pb.ListScrapResponse:
        """Scrap that people entered."""
        page = await self._lists.scrap(_asked(request), scope=request.scope)
        return pb.ListScrapResponse(scrap=messages(pb.ScrapEntry, page.items), next_page_token=page.next_token)

    async def ListBatches(self, request: pb.ListBatchesRequest, context: Context) -> pb.ListBatchesResponse:
        """Batches with their phases."""
        page = await self._lists.batches(
            _asked(request), scope=request.scope, batch=request.batch, recipe=request.recipe
        )
        return pb.ListBatchesResponse(batches=messages(pb.Batch, page.items), next_page_token=page.next_token)

    async def ListWorkChanges(self, request: pb.ListWorkChangesRequest, context: Context) -> pb.ListWorkChangesResponse:
        """Changes with both rows."""
        page = await self._lists.changes(_asked(request), table=request.table)
        return pb.ListWorkChangesResponse(changes=messages(pb.WorkChange, page.items), next_page_token=page.next_token)

    async def PutJobOrder(self, request: pb.PutJobOrderRequest, context: Context) -> pb.PutJobOrderResponse:
        """Enter an order or change it."""
        await self._entry.put_job_order(
            _request(request),
            job_order=request.job_order,
            material=request.material,
            quantity=request.quantity,
            scope=request.scope,
            planned_start_us=request.planned_start_us,
            planned_end_us=request.planned_end_us,
            status=_short(pb.JobOrderStatus, request.status),
            priority=request.priority,
        )
        return pb.PutJobOrderResponse()

    async def StartJob(self, request: pb.StartJobRequest, context: Context) -> pb.StartJobResponse:
        """A machine begins to work on an order."""
        made = await self._entry.start_job(
            _request(request),
            job_order=request.job_order,
            device=request.device_path,
            start_us=request.start_us,
            end_us=request.end_us,
        )
        return pb.StartJobResponse(job_response_id=str(made))

    async def CompleteJob(self, request: pb.CompleteJobRequest, context: Context) -> pb.CompleteJobResponse:
        """A machine ends its work on an order."""
        await self._entry.complete_job(
            _request(request), request.job_response_id, end_us=request.end_us, order_goes_on=request.order_goes_on
        )
        return pb.CompleteJobResponse()

    async def EnterDowntime(self, request: pb.EnterDowntimeRequest, context: Context) -> pb.EnterDowntimeResponse:
        """Why a machine stood."""
        ranges = [(one.start_us, one.end_us, one.reason) for one in request.ranges]
        made = await self._entry.enter_downtime(_request(request), request.device_path, ranges)
        return pb.EnterDowntimeResponse(entry_ids=map(str, made))

    async def RecordMaterial(self, request: pb.RecordMaterialRequest, context: Context) -> pb.RecordMaterialResponse:
        """A lot is consumed or produced."""
        made = await self._entry.record_material(
            _request(request),
            lot=request.lot,
            material=request.material,
            device=request.device_path,
            use=_short(pb.MaterialUse, request.use),
            quantity=request.quantity if request.HasField("quantity") else None,
            start_us=request.start_us,
            end_us=request.end_us,
        )
        return pb.RecordMaterialResponse(actual_id=str(made))

    async def RecordScrap(self, request: pb.RecordScrapRequest, context: Context) -> pb.RecordScrapResponse:
        """Scrap with its reason."""
        made = await self._entry.record_scrap(
            _request(request),
            device=request.device_path,
            time_us=request.time_us,
            quantity=request.quantity,
            reason=request.reason,
        )
        return pb.RecordScrapResponse(entry_id=str(made))

    async def StartBatch(self, request: pb.StartBatchRequest, context: Context) -> pb.StartBatchResponse:
        """A batch begins."""
        await self._entry.start_batch(
            _request(request),
            batch=request.batch,
            recipe=request.recipe,
            version=request.version,
            device=request.device_path,
            start_us=request.start_us,
            lot=request.lot,
        )
        return pb.StartBatchResponse()

    async def EnterBatchPhase(self, request: pb.EnterBatchPhaseRequest, context: Context) -> pb.EnterBatchPhaseResponse:
        """A phase begins or ends."""
        start_us = await self._entry.enter_batch_phase(
            _request(request),
            batch=request.batch,
            phase=request.phase,
            device=request.device_path,
            start_us=request.start_us,
            end_us=request.end_us,
        )
        return pb.EnterBatchPhaseResponse(start_us=start_us)

    async def CompleteBatch(self, request: pb.CompleteBatchRequest, context: Context) -> pb.CompleteBatchResponse:
        """A batch ends."""
        golden = request.golden if request.HasField("golden") else None
        await self._entry.complete_batch(_request(request), batch=request.batch, end_us=request.end_us, golden=golden)
        return pb.CompleteBatchResponse()


def _request(request: Any) -> Request:
    """Who asks twice for the same has the same id, and the same content."""
    content = sha256(request.DESCRIPTOR.full_name.encode() + request.SerializeToString(deterministic=True)).digest()
    return Request(request_id=request.request_id, content=content, why=request.why)


def _asked(request: Any) -> Asked:
    """Page and range of a request, as far as it has them."""
    return Asked(**{name: getattr(request, name) for name in Asked.__slots__ if hasattr(request, name)})


def _short(enum: Any, number: int) -> str:
    """Name of a member without the enumeration's own, empty for UNSPECIFIED."""
    name = enum.Name(number).removeprefix(enum.Name(0).removesuffix("UNSPECIFIED"))
    return "" if name == "UNSPECIFIED" else name
