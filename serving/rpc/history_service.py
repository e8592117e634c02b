"""gRPC face of history: unpacks requests, packs answers, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from schemas.proto.millrace.v1 import history_pb2, history_pb2_grpc
from serving.handlers.history import HistoryHandlers
from serving.handlers.production import ProductionHandlers
from serving.handlers.records import RecordHandlers
from serving.handlers.selection import Selection
from serving.rpc import translate, translate_history

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class HistoryService(history_pb2_grpc.HistoryServiceServicer):
    """Servicer of `millrace.v1.HistoryService`."""

    def __init__(self, history: HistoryHandlers, records: RecordHandlers, production: ProductionHandlers) -> None:
        self._history, self._records, self._production = history, records, production

    async def ReadSamples(
        self, request: history_pb2.ReadSamplesRequest, context: Context
    ) -> AsyncGenerator[history_pb2.ReadSamplesResponse, None]:
        """Samples as columns."""
        read = self._history.read_samples(
            _selection(request.selection), limit=request.limit, good_only=request.good_only
        )
        async with aclosing(read) as found:
            async for one in found:
                yield translate_history.samples(one)

    async def ReadAggregates(
        self, request: history_pb2.ReadAggregatesRequest, context: Context
    ) -> AsyncGenerator[history_pb2.ReadAggregatesResponse, None]:
        """Windows as columns."""
        read = self._history.read_aggregates(_selection(request.selection), window_s=request.window_s)
        async with aclosing(read) as found:
            async for one in found:
                yield translate_history.windows(one)

    async def ReadChart(self, request: history_pb2.ReadChartRequest, context: Context) -> history_pb2.ReadChartResponse:
        """Curves for a drawing."""
        found = await self._history.read_chart(_selection(request.selection), pixels=request.pixels)
        return history_pb2.ReadChartResponse(series=[translate_history.series(one) for one in found])

    async def ListAnomalies(
        self, request: history_pb2.ListAnomaliesRequest, context: Context
    ) -> history_pb2.ListAnomaliesResponse:
        """Episodes in pages."""
        page = await self._records.list_anomalies(
            prefix=request.prefix,
            start_us=request.start_us,
            end_us=request.end_us,
            open_only=request.open_only,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        anomalies = [translate.anomaly(step, self._records.plant) for step in page.items]
        return history_pb2.ListAnomaliesResponse(anomalies=anomalies, next_page_token=page.next_token)

    async def ListEvents(
        self, request: history_pb2.ListEventsRequest, context: Context
    ) -> history_pb2.ListEventsResponse:
        """Events in pages."""
        page = await self._records.list_events(
            prefix=request.prefix,
            start_us=request.start_us,
            end_us=request.end_us,
            kinds=request.kinds,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        events = [translate_history.event(one) for one in page.items]
        return history_pb2.ListEventsResponse(events=events, next_page_token=page.next_token)

    async def ListRejects(
        self, request: history_pb2.ListRejectsRequest, context: Context
    ) -> history_pb2.ListRejectsResponse:
        """Refused samples in pages."""
        page = await self._records.list_rejects(
            prefix=request.prefix,
            start_us=request.start_us,
            end_us=request.end_us,
            reasons=request.reasons,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        rejects = [translate_history.reject(one) for one in page.items]
        return history_pb2.ListRejectsResponse(rejects=rejects, next_page_token=page.next_token)

    async def CountRejects(
        self, request: history_pb2.CountRejectsRequest, context: Context
    ) -> history_pb2.CountRejectsResponse:
        """Refused samples by reason and device."""
        found = await self._records.count_rejects(
            prefix=request.prefix, start_us=request.start_us, end_us=request.end_us
        )
        counts = [
            history_pb2.RejectCount(reason=one.reason, device_path=one.device_path, count=one.count) for one in found
        ]
        return history_pb2.CountRejectsResponse(counts=counts)

    async def ReadOee(self, request: history_pb2.ReadOeeRequest, context: Context) -> history_pb2.ReadOeeResponse:
        """OEE by group."""
        found = await self._production.read_oee(
            prefix=request.prefix, start_us=request.start_us, end_us=request.end_us, by=request.by
        )
        return history_pb2.ReadOeeResponse(rows=[translate_history.oee(one) for one in found])

    async def ReadStates(
        self, request: history_pb2.ReadStatesRequest, context: Context
    ) -> history_pb2.ReadStatesResponse:
        """States of machines."""
        found = await self._production.read_states(
            prefix=request.prefix, start_us=request.start_us, end_us=request.end_us
        )
        return history_pb2.ReadStatesResponse(intervals=[translate_history.state(one) for one in found])


def _selection(asked: history_pb2.Selection) -> Selection:
    return Selection(tag_ids=asked.tag_ids, prefixes=asked.prefixes, start_us=asked.start_us, end_us=asked.end_us)
