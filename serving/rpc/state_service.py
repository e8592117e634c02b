"""gRPC face of the state handlers: unpacks requests, packs answers, decides nothing; labels have a face of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from base.ids import Clock, now_us
from schemas.proto.millrace.v1 import state_pb2, state_pb2_grpc
from serving.handlers.state import StateHandlers
from serving.handlers.watching import WatchHandlers
from serving.pushed import Pieces, PushedBatch
from serving.rpc import translate, translate_history
from serving.rpc.labelling import Labelling

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class StateService(state_pb2_grpc.StateServiceServicer):
    """Servicer of `millrace.v1.StateService`."""

    def __init__(
        self, handlers: StateHandlers, watches: WatchHandlers, labelling: Labelling, clock: Clock = now_us
    ) -> None:
        self._handlers = handlers
        self._labelling = labelling
        self._watches = watches
        self._clock = clock
        self._pieces = Pieces(handlers.plant)

    async def ListDevices(
        self, request: state_pb2.ListDevicesRequest, context: Context
    ) -> state_pb2.ListDevicesResponse:
        """Devices in pages."""
        wanted = translate.device_filter(request)
        page = await self._handlers.list_devices(request.prefix, request.page_size, request.page_token, wanted)
        devices = [translate.device(view, self._clock()) for view in page.items]
        return state_pb2.ListDevicesResponse(devices=devices, next_page_token=page.next_token)

    async def GetDevice(self, request: state_pb2.GetDeviceRequest, context: Context) -> state_pb2.Device:
        """One device with its tags."""
        view = await self._handlers.get_device(device_id=request.device_id, path=request.path)
        return translate.device(view, self._clock())

    async def ListTags(self, request: state_pb2.ListTagsRequest, context: Context) -> state_pb2.ListTagsResponse:
        """Tags in pages."""
        wanted = translate.tag_filter(request)
        page = await self._handlers.list_tags(request.prefix, request.page_size, request.page_token, wanted)
        tags = [translate.tag(state, self._clock()) for state in page.items]
        return state_pb2.ListTagsResponse(tags=tags, next_page_token=page.next_token)

    async def GetTag(self, request: state_pb2.GetTagRequest, context: Context) -> state_pb2.Tag:
        """One tag."""
        state = await self._handlers.get_tag(tag_id=request.tag_id, path=request.path)
        return translate.tag(state, self._clock())

    async def BatchGetTags(
        self, request: state_pb2.BatchGetTagsRequest, context: Context
    ) -> state_pb2.BatchGetTagsResponse:
        """Several tags."""
        found = await self._handlers.batch_get_tags(request.tag_ids, request.paths)
        return state_pb2.BatchGetTagsResponse(
            tags=[translate.tag(state, self._clock()) for state in found.tags],
            unknown_tag_ids=found.unknown_tag_ids,
            unknown_paths=found.unknown_paths,
        )

    async def ListPlantNodes(
        self, request: state_pb2.ListPlantNodesRequest, context: Context
    ) -> state_pb2.ListPlantNodesResponse:
        """Part of the plant's tree."""
        nodes = await self._handlers.plant_nodes(request.path, request.depth)
        return state_pb2.ListPlantNodesResponse(nodes=[translate.node(one) for one in nodes])

    async def WatchAggregates(
        self, request: state_pb2.WatchAggregatesRequest, context: Context
    ) -> AsyncGenerator[state_pb2.WatchAggregatesResponse, None]:
        """Windows as they close."""
        async with aclosing(self._handlers.watch_aggregates(request.prefixes, request.window_s)) as closed:
            async for windows in closed:
                yield translate_history.closed_windows(windows, self._clock())

    async def WatchTags(
        self, request: state_pb2.WatchTagsRequest, context: Context
    ) -> AsyncGenerator[state_pb2.TagUpdate, None]:
        """Values as they change."""
        plant = self._handlers.plant
        async with aclosing(self._watches.updates(request.prefixes, request.max_rate_hz)) as updates:
            async for tag_id, last in updates:
                value = translate.value(last, self._clock())
                yield state_pb2.TagUpdate(tag_id=tag_id, path=plant.tag_path(tag_id), value=value)

    async def WatchTagBatches(
        self, request: state_pb2.WatchTagBatchesRequest, context: Context
    ) -> AsyncGenerator[PushedBatch, None]:
        """Values as they change, many in a message."""
        opened = self._watches.batches(
            request.prefixes,
            interval_ms=request.min_interval_ms,
            heartbeat_ms=request.heartbeat_ms,
            resume=request.resume_position,
            omit_paths=request.omit_paths,
        )
        async with aclosing(opened) as batches:
            async for batch in batches:
                yield self._pieces.pushed(batch)

    async def WatchAnomalies(
        self, request: state_pb2.WatchAnomaliesRequest, context: Context
    ) -> AsyncGenerator[state_pb2.Anomaly, None]:
        """Episodes as they open, change and close."""
        async with aclosing(self._handlers.watch_anomalies(request.prefix)) as steps:
            async for step in steps:
                yield self._labelling.anomaly(step)

    async def LabelAnomaly(self, request: state_pb2.LabelAnomalyRequest, context: Context) -> state_pb2.Anomaly:
        """Say what an episode was."""
        return await self._labelling.label(request)

    async def WithdrawAnomalyLabel(
        self, request: state_pb2.WithdrawAnomalyLabelRequest, context: Context
    ) -> state_pb2.Anomaly:
        """Take a label back."""
        return await self._labelling.withdraw(request)
