"""gRPC face of history: unpacks requests, packs answers, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from schemas.proto.millrace.v1 import history_pb2, history_pb2_grpc
from serving.caches.labels import AnomalyLabels
from serving.handlers.answers import AnswerHandlers
from serving.handlers.history import HistoryHandlers
from serving.handlers.production import ProductionHandlers
from serving.handlers.records import RecordHandlers
from serving.handlers.selection import Selection
from serving.rpc import translate, translate_history
from serving.rpc.translate import messages

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class HistoryService(history_pb2_grpc.HistoryServiceServicer):
    """Servicer of `millrace.v1.HistoryService`."""

    def __init__(
        self,
        history: HistoryHandlers,
        records: RecordHandlers,
        production: ProductionHandlers,
        answers: AnswerHandlers,
        labels: AnomalyLabels,
    ) -> None:
        self._labels = labels
        self._history, self._records, self._production, self._answers = history, records, production, answers

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
        anomalies = [
            translate.anomaly(step, self._records.plant, self._labels.of(step["episode_id"])) for step in page.items
        ]
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

    async def ReadDowntimePareto(
        self, request: history_pb2.ReadDowntimeParetoRequest, context: Context
    ) -> history_pb2.ReadDowntimeParetoResponse:
        """Downtime by reason."""
        found = await self._answers.downtime_pareto(*_of_place(request), depth=request.depth)
        return history_pb2.ReadDowntimeParetoResponse(causes=messages(history_pb2.DowntimeCause, found))

    async def ReadReliability(
        self, request: history_pb2.ReadReliabilityRequest, context: Context
    ) -> history_pb2.ReadReliabilityResponse:
        """MTBF and MTTR of machines."""
        found = await self._answers.reliability(*_of_place(request), reasons=request.failure_reasons)
        return history_pb2.ReadReliabilityResponse(machines=messages(history_pb2.Reliability, found))

    async def ReadProduction(
        self, request: history_pb2.ReadProductionRequest, context: Context
    ) -> history_pb2.ReadProductionResponse:
        """Orders against their plan."""
        found = await self._answers.production(*_of_place(request), counted_class=request.counted_class)
        return history_pb2.ReadProductionResponse(orders=messages(history_pb2.PlannedProduction, found))

    async def ReadGenealogy(
        self, request: history_pb2.ReadGenealogyRequest, context: Context
    ) -> history_pb2.ReadGenealogyResponse:
        """Relations of a lot."""
        found = await self._answers.genealogy(request.lot, direction=request.direction)
        return history_pb2.ReadGenealogyResponse(relations=messages(history_pb2.LotRelation, found))

    async def ReadLotValues(
        self, request: history_pb2.ReadLotValuesRequest, context: Context
    ) -> history_pb2.ReadLotValuesResponse:
        """Process values of a lot."""
        found = await self._answers.lot_values(request.lot)
        return history_pb2.ReadLotValuesResponse(values=messages(history_pb2.LotValue, found))

    async def ReadAnomalyLots(
        self, request: history_pb2.ReadAnomalyLotsRequest, context: Context
    ) -> history_pb2.ReadAnomalyLotsResponse:
        """Lots that saw an anomaly."""
        found = await self._answers.anomaly_lots(request.episode_id)
        return history_pb2.ReadAnomalyLotsResponse(lots=messages(history_pb2.AnomalyLot, found))

    async def ReadControlChart(
        self, request: history_pb2.ReadControlChartRequest, context: Context
    ) -> history_pb2.ReadControlChartResponse:
        """Limits and points of a control chart."""
        limits, points = await self._answers.control_chart(
            request.path,
            request.start_us,
            request.end_us,
            n=request.n,
            state=request.packml_state,
            baseline_us=(request.baseline_start_us, request.baseline_end_us),
            spec=(
                request.lower_spec if request.HasField("lower_spec") else None,
                request.upper_spec if request.HasField("upper_spec") else None,
            ),
        )
        (made,) = messages(history_pb2.ControlLimits, [limits])
        return history_pb2.ReadControlChartResponse(limits=made, points=messages(history_pb2.ControlPoint, points))

    async def ReadBatchDeviation(
        self, request: history_pb2.ReadBatchDeviationRequest, context: Context
    ) -> history_pb2.ReadBatchDeviationResponse:
        """A batch against a golden one."""
        found = await self._answers.batch_deviation(request.batch, golden=request.golden, points=request.points)
        return history_pb2.ReadBatchDeviationResponse(deviations=messages(history_pb2.BatchDeviation, found))


def _of_place(request: Any) -> tuple[str, int, int]:
    return request.prefix, request.start_us, request.end_us


def _selection(asked: history_pb2.Selection) -> Selection:
    return Selection(tag_ids=asked.tag_ids, prefixes=asked.prefixes, start_us=asked.start_us, end_us=asked.end_us)
