"""Labels of anomaly episodes on their way to the detector: broadcast beside the registry, back from its state, or from the topic."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from jobs.flink.shards import shard_of_lane
from jobs.flink.telemetry import Snapshot, TelemetryOperator, no_snapshot
from schemas import topics
from schemas.labels import AnomalyLabel, PatternTag, Verdict
from stages.config import TelemetryConfig
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, frame_row, registry_rows, row, tag

LABEL = AnomalyLabel(
    label_id=UUID(int=7),
    episode_id=UUID(int=8),
    device_id=1,
    verdict=Verdict.NOT_A_FAULT,
    by="ann",
    time_us=START_US,
    reason="warm-up",
    detector="default",
    peak_score=0.8,
    pattern=(PatternTag(tag_id=1, statistic="level", direction=1),),
)


def harness(snapshot: Snapshot = no_snapshot) -> Harness:
    def operator(bench: Harness) -> Any:
        return TelemetryOperator(TelemetryConfig(), clock=bench.clock, snapshot=snapshot)

    return Harness(operator, shard_of_lane, now_us=START_US)


def known(bench: Harness) -> list[AnomalyLabel]:
    return list(bench.operator._logic.labels.of(1))


def test_labels_are_broadcast_and_come_back_with_the_state() -> None:
    bench = harness()
    for each in registry_rows(tag(1), tag(2)):
        bench.broadcast(each)
    bench.broadcast(row(topics.ANOMALY_LABELS.name, LABEL.key, LABEL.encode()))
    bench.broadcast(row(topics.ANOMALY_LABELS.name, b"torn", b"nonsense"))
    bench.broadcast(row(topics.ANOMALY_LABELS.name, LABEL.key, None))
    assert known(bench) == [LABEL]
    other = bench.restored()
    other.element(frame_row(0))
    assert known(other) == [LABEL]
    assert other.operator._logic.registry.version == 1


def test_labels_are_there_before_the_first_frame() -> None:
    assert known(harness(lambda: [LABEL.encode()])) == [LABEL]
