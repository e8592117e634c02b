"""Calls of HistoryService that answer what a plant asks of its work."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import history_pb2
from millrace_client.calls.method import Call, Method, message, texts
from millrace_client.results import (
    AnomalyLot,
    BatchDeviation,
    ControlChart,
    DowntimeCause,
    LotRelation,
    LotValue,
    PlannedProduction,
    Reliability,
    Time,
)
from millrace_client.results.times import to_us

_SERVICE = "HistoryService"
READ_DOWNTIME_PARETO = Method(
    _SERVICE, "ReadDowntimePareto", history_pb2.ReadDowntimeParetoRequest, history_pb2.ReadDowntimeParetoResponse
)
READ_RELIABILITY = Method(
    _SERVICE, "ReadReliability", history_pb2.ReadReliabilityRequest, history_pb2.ReadReliabilityResponse
)
READ_PRODUCTION = Method(
    _SERVICE, "ReadProduction", history_pb2.ReadProductionRequest, history_pb2.ReadProductionResponse
)
READ_GENEALOGY = Method(_SERVICE, "ReadGenealogy", history_pb2.ReadGenealogyRequest, history_pb2.ReadGenealogyResponse)
READ_LOT_VALUES = Method(_SERVICE, "ReadLotValues", history_pb2.ReadLotValuesRequest, history_pb2.ReadLotValuesResponse)
READ_ANOMALY_LOTS = Method(
    _SERVICE, "ReadAnomalyLots", history_pb2.ReadAnomalyLotsRequest, history_pb2.ReadAnomalyLotsResponse
)
READ_CONTROL_CHART = Method(
    _SERVICE, "ReadControlChart", history_pb2.ReadControlChartRequest, history_pb2.ReadControlChartResponse
)
READ_BATCH_DEVIATION = Method(
    _SERVICE, "ReadBatchDeviation", history_pb2.ReadBatchDeviationRequest, history_pb2.ReadBatchDeviationResponse
)
METHODS = (
    READ_DOWNTIME_PARETO,
    READ_RELIABILITY,
    READ_PRODUCTION,
    READ_GENEALOGY,
    READ_LOT_VALUES,
    READ_ANOMALY_LOTS,
    READ_CONTROL_CHART,
    READ_BATCH_DEVIATION,
)


def read_downtime_pareto(
    prefix: str, start: Time | None, end: Time | None, depth: int
) -> Call[tuple[DowntimeCause, ...]]:
    """Unplanned downtime by reason, longest first."""
    request = message(
        history_pb2.ReadDowntimeParetoRequest, prefix=prefix, start_us=to_us(start), end_us=to_us(end), depth=depth
    )
    return Call(READ_DOWNTIME_PARETO, request, unpack.results(DowntimeCause, "causes"))


def read_reliability(
    prefix: str, start: Time | None, end: Time | None, failure_reasons: str | Iterable[str]
) -> Call[tuple[Reliability, ...]]:
    """MTBF and MTTR of machines."""
    request = message(
        history_pb2.ReadReliabilityRequest,
        prefix=prefix,
        start_us=to_us(start),
        end_us=to_us(end),
        failure_reasons=texts(failure_reasons),
    )
    return Call(READ_RELIABILITY, request, unpack.results(Reliability, "machines"))


def read_production(
    prefix: str, start: Time | None, end: Time | None, counted_class: str
) -> Call[tuple[PlannedProduction, ...]]:
    """Orders against their plan."""
    request = message(
        history_pb2.ReadProductionRequest,
        prefix=prefix,
        start_us=to_us(start),
        end_us=to_us(end),
        counted_class=counted_class,
    )
    return Call(READ_PRODUCTION, request, unpack.results(PlannedProduction, "orders"))


def read_genealogy(lot: str, direction: str) -> Call[tuple[LotRelation, ...]]:
    """Relations of a lot."""
    request = message(history_pb2.ReadGenealogyRequest, lot=lot, direction=direction)
    return Call(READ_GENEALOGY, request, unpack.results(LotRelation, "relations"))


def read_lot_values(lot: str) -> Call[tuple[LotValue, ...]]:
    """Process values of a lot."""
    request = message(history_pb2.ReadLotValuesRequest, lot=lot)
    return Call(READ_LOT_VALUES, request, unpack.results(LotValue, "values"))


def read_anomaly_lots(episode_id: str) -> Call[tuple[AnomalyLot, ...]]:
    """Lots that saw an anomaly."""
    request = message(history_pb2.ReadAnomalyLotsRequest, episode_id=episode_id)
    return Call(READ_ANOMALY_LOTS, request, unpack.results(AnomalyLot, "lots"))


def read_control_chart(
    path: str,
    start: Time | None,
    end: Time | None,
    n: int,
    packml_state: str,
    baseline: tuple[Time, Time] | None,
    lower_spec: float | None,
    upper_spec: float | None,
) -> Call[ControlChart]:
    """X-bar and R chart of a tag."""
    request = message(
        history_pb2.ReadControlChartRequest,
        path=path,
        start_us=to_us(start),
        end_us=to_us(end),
        n=n,
        packml_state=packml_state,
        baseline_start_us=to_us(baseline[0]) if baseline else 0,
        baseline_end_us=to_us(baseline[1]) if baseline else 0,
        lower_spec=lower_spec,
        upper_spec=upper_spec,
    )
    return Call(READ_CONTROL_CHART, request, partial(unpack.result, ControlChart))


def read_batch_deviation(batch: str, golden: str, points: int) -> Call[tuple[BatchDeviation, ...]]:
    """A batch against a golden one."""
    request = message(history_pb2.ReadBatchDeviationRequest, batch=batch, golden=golden, points=points)
    return Call(READ_BATCH_DEVIATION, request, unpack.results(BatchDeviation, "deviations"))
