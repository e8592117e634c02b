"""gRPC face of the line: unpacks requests, packs answers, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from schemas.proto.millrace.v1 import history_pb2, line_pb2, line_pb2_grpc
from serving.handlers.line import LineHandlers
from serving.rpc import translate_history

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class LineService(line_pb2_grpc.LineServiceServicer):
    """Servicer of `millrace.v1.LineService`."""

    def __init__(self, handlers: LineHandlers) -> None:
        self._handlers = handlers

    async def ListGateways(
        self, request: line_pb2.ListGatewaysRequest, context: Context
    ) -> line_pb2.ListGatewaysResponse:
        """Every gateway."""
        found = await self._handlers.list_gateways(request.site)
        return line_pb2.ListGatewaysResponse(gateways=[translate_history.gateway(one) for one in found])

    async def WatchGateways(
        self, request: line_pb2.WatchGatewaysRequest, context: Context
    ) -> AsyncGenerator[line_pb2.Gateway, None]:
        """Every gateway, then changes."""
        async with aclosing(self._handlers.watch_gateways(request.site)) as found:
            async for one in found:
                yield translate_history.gateway(one)

    async def GetLineHealth(self, request: line_pb2.GetLineHealthRequest, context: Context) -> line_pb2.LineHealth:
        """Each stage."""
        found = await self._handlers.line_health()
        stages = [
            line_pb2.StageHealth(
                name=one.name, health=f"HEALTH_{one.health}", detail=one.detail, advanced_us=one.advanced_us
            )
            for one in found.stages
        ]
        return line_pb2.LineHealth(health=f"HEALTH_{found.health}", stages=stages, observed_us=found.observed_us)

    async def GetAccounting(self, request: line_pb2.GetAccountingRequest, context: Context) -> line_pb2.Accounting:
        """The accounting by lane."""
        found = await self._handlers.accounting(request.site)
        names = [one.name for one in line_pb2.LaneAccount.DESCRIPTOR.fields]
        return line_pb2.Accounting(
            lanes=[line_pb2.LaneAccount(**{name: getattr(lane, name) for name in names}) for lane in found.lanes],
            exact=found.exact,
            not_measured=found.not_measured,
            observed_us=found.observed_us,
        )

    async def WatchEvents(
        self, request: line_pb2.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[history_pb2.Event, None]:
        """Events as they come."""
        async with aclosing(self._handlers.watch_events(request.prefix, request.kinds)) as found:
            async for one in found:
                yield translate_history.event(one)
