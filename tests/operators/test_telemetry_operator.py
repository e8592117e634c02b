"""The telemetry operator over a logic of the test's own: state, registry, timers and failures are the adapter's; the rest is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from base.errors import UnavailableError
from jobs.flink.shards import lane_of, shard_of_lane
from jobs.flink.telemetry import TICK_MS, Snapshot, TelemetryOperator, no_snapshot
from jobs.flink.types import VALUE
from jobs.flink.unsigned import MOST, NAME, OTHERS
from jobs.signing_keys import KeyTable
from schemas import codec, frame, topics
from schemas.definitions import Registry
from stages.config import TelemetryConfig
from stages.telemetry.logic import MicroBatchError, Origin, Output
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, frame_row, registry_rows, row, tag
from tests.unit.signing import Trust


class CountingLogic:
    """Counts frames per lane and says so; fails on frames of 13 samples, and in ticks when told to.

    The first frame of 15 samples fails together with others.
    """

    tags_not_calculated = tags_waiting = 0

    def __init__(self, config: TelemetryConfig) -> None:
        self.counts: dict[str, int] = {}
        self.changed: set[str] = set()
        self.registry = Registry()
        self.failing_ticks = self.failed_together = False
        self.counters = {"frames": 0}

    def on_frame(self, message: bytes, origin: Origin, now_us: int) -> list[Output]:
        if not message.startswith(codec.MARKER):
            return [Output(topics.REJECTED.name, b"", message)]
        read = frame.decode(message)
        lane = read.lane_key
        self.counts[lane] = self.counts.get(lane, 0) + 1
        self.changed.add(lane)
        if read.samples == 13:
            msg = "thirteen"
            raise ArithmeticError(msg)
        if read.samples == 15 and not self.failed_together:
            self.failed_together = True
            msg = "one of several"
            raise MicroBatchError(msg)
        if read.samples == 14:
            return [Output(topics.LATEST.name, lane.encode(), bytes(topics.MAX_RECORD_BYTES + 1))]
        return [Output(topics.VALIDATED.name, lane.encode(), b"%d@%d" % (self.counts[lane], self.registry.version))]

    def due(self, lane_key: str, now_us: int) -> bool:
        return True

    def on_timer(self, lanes: Iterable[str] | None, now_us: int) -> list[Output]:
        assert lanes is not None
        if self.failing_ticks:
            msg = "tick"
            raise ArithmeticError(msg)
        return [Output(topics.LANES.name, lane.encode(), b"%d" % self.counts.get(lane, 0)) for lane in lanes]

    def apply_registry(self, message: bytes) -> None:
        self.registry.apply(message)

    def drain_changes(self, lane_key: str) -> dict[str, bytes | None]:
        if lane_key not in self.changed:
            return {}
        self.changed.discard(lane_key)
        return {"count": b"%d" % self.counts[lane_key], "gone": None}

    def restore(self, lane_key: str, parts: dict[str, bytes]) -> None:
        self.counts[lane_key] = int(parts.get("count", b"0"))

    def flush_all(self, now_us: int) -> list[Output]:
        return [Output(topics.AGGREGATES.name, lane.encode(), b"end") for lane in sorted(self.counts)]


def harness(snapshot: Snapshot = no_snapshot) -> Harness:
    def operator(bench: Harness) -> Any:
        logic: Any = CountingLogic
        return TelemetryOperator(TelemetryConfig(), clock=bench.clock, logic=logic, snapshot=snapshot)

    return Harness(operator, shard_of_lane, now_us=START_US)


def values(outputs: list[tuple[str, bytes, bytes]], topic: str = topics.VALIDATED.name) -> list[bytes]:
    return [value for name, _, value in outputs if name == topic]


def rejected(output: tuple[str, bytes, bytes]) -> dict[str, Any]:
    assert output[0] == topics.REJECTED.name
    return codec.decode(output[2], "Rejected")[1]


def test_state_goes_on_after_a_restore() -> None:
    bench = harness()
    for sequence in range(3):
        bench.element(frame_row(sequence))
    other = bench.restored()
    assert values(other.element(frame_row(3))) == [b"4@0"]


def test_a_restored_lane_ticks_without_another_frame() -> None:
    bench = harness()
    bench.element(frame_row(0))
    assert values(bench.restored().advance(TICK_MS), topics.LANES.name) == [b"1"]


def test_ticks_go_on_at_one_per_period_and_shard_through_restores() -> None:
    bench = harness()
    bench.element(frame_row(0))
    for _ in range(3):
        bench = bench.restored()
        bench.element(frame_row(0))
        bench.advance(7)
    bench.out.clear()
    bench.advance(10 * TICK_MS)
    assert len(values(bench.out, topics.LANES.name)) == 10


def test_lanes_have_their_own_state_and_their_shards_tick() -> None:
    bench = harness()
    for gateway in range(30):
        bench.element(frame_row(0, gateway_id=f"gw-{gateway}"))
    outputs = bench.advance(TICK_MS)
    assert sorted(key for topic, key, _ in outputs if topic == topics.LANES.name) == sorted(
        f"gw-{gateway}/0".encode() for gateway in range(30)
    )
    assert bench.level("lanes") == 30


def test_the_registry_reaches_the_logic_before_and_after_a_restore() -> None:
    bench = harness()
    for message in registry_rows(tag(1), tag(2), version=5):
        bench.broadcast(message)
    assert values(bench.element(frame_row(0))) == [b"1@5"]
    other = bench.restored()
    assert values(other.element(frame_row(1))) == [b"2@5"]
    assert set(other.operator._logic.registry.tags) == {1, 2}


def test_the_registry_is_known_before_the_first_frame_and_reading_it_again_reverts_nothing() -> None:
    before = registry_rows(replace(tag(1), registry_version=1, unit="old"), version=1)
    after = registry_rows(replace(tag(1), registry_version=2, unit="new"), tag(2), version=2)
    bench = harness(lambda: [message[VALUE] for message in after])
    assert values(bench.element(frame_row(0))) == [b"1@2"]
    for message in before:
        bench.broadcast(message)
    assert values(bench.element(frame_row(1))) == [b"2@2"]
    assert bench.operator._logic.registry.tags[1].unit == "new"


def test_a_registry_message_that_cannot_be_read_costs_only_itself() -> None:
    bench = harness()
    bench.broadcast(row(topics.TAGS.name, b"7", b"garbage"))
    bench.broadcast(row(topics.TAGS.name, b"8", None))
    assert bench.count("failed_registry_messages") == 1
    assert values(bench.element(frame_row(0))) == [b"1@0"]


def test_a_record_that_the_logic_fails_on_is_rejected_whole_and_forgotten_by_the_state() -> None:
    bench = harness()
    bench.element(frame_row(0))
    poison = frame_row(1, samples=13)
    (output,) = bench.element(poison)
    record = rejected(output)
    assert record["reason"] == "PROCESSING_FAILED"
    assert record["detail"] == "ArithmeticError: thirteen"
    assert record["original"] == poison[4]
    assert (record["source_topic"], record["source_offset"]) == (poison[0], poison[2])
    assert bench.count("failed_frames") == 1
    assert values(bench.element(frame_row(2))) == [b"2@0"], "as if it had never come"


def test_a_record_that_came_when_others_failed_together_is_tried_again_from_the_state() -> None:
    bench = harness()
    bench.element(frame_row(0))
    assert values(bench.element(frame_row(1, samples=15))) == [b"2@0"]
    assert bench.count("failed_together") == 1
    assert bench.count("failed_frames") == 0


def test_a_frame_whose_key_cannot_be_looked_for_fails_the_task_and_is_not_refused() -> None:
    bench = harness()

    def on_frame(*_: object) -> list[Output]:
        msg = "signing.keys cannot be read"
        raise UnavailableError(msg)

    bench.operator._logic.on_frame = on_frame
    with pytest.raises(UnavailableError):
        bench.element(frame_row(0))


def test_a_failing_tick_costs_the_tick_only() -> None:
    bench = harness()
    bench.element(frame_row(0))
    bench.operator._logic.failing_ticks = True
    assert bench.advance(3 * TICK_MS) == []
    assert bench.count("failed_ticks") == 3
    bench.operator._logic.failing_ticks = False
    assert values(bench.advance(TICK_MS), topics.LANES.name) == [b"1"]


def test_garbage_leaves_no_lane_behind() -> None:
    bench = harness()
    for number in range(50):
        bench.element(row("telemetry.frames.north", b"\xff%d" % number, b"garbage"))
    bench.element(row("telemetry.frames.north", None, None))
    assert bench.level("lanes") == 0
    assert bench.backend.cells == {}


def test_an_output_that_no_topic_takes_becomes_a_word_about_it() -> None:
    (output,) = harness().element(frame_row(0, samples=14))
    assert (
        rejected(output)["detail"]
        == f"a record of {topics.MAX_RECORD_BYTES + 1} bytes for telemetry.latest is larger than Kafka takes"
    )


def test_the_end_of_a_bounded_input_flushes() -> None:
    bench = harness()
    bench.element(frame_row(0))
    assert values(bench.end(), topics.AGGREGATES.name) == [b"end"]


def test_a_frame_goes_to_the_shard_of_its_own_lane_whatever_its_key() -> None:
    honest = frame_row(0, gateway_id="gw-1")
    honest[3] = b"gw-2/0"
    assert lane_of(honest) == "gw-1/0"


_RECOVERY = """
import sys
from jobs.flink.shards import shard_of_lane
from jobs.flink.telemetry import TelemetryOperator
from stages.config import TelemetryConfig
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, frame_row

def operator(bench):
    return TelemetryOperator(TelemetryConfig(), clock=bench.clock)

bench = Harness(operator, shard_of_lane, now_us=START_US)
bench.element(frame_row(1))
bench.restored()
print(sorted({"river", "scipy", "pandas"} & sys.modules.keys()))
"""


def test_a_recovery_with_the_default_detectors_does_not_wait_for_river() -> None:
    done = subprocess.run([sys.executable, "-c", _RECOVERY], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_gateways_that_do_not_sign_are_named(tmp_path: Path) -> None:
    trust = Trust(tmp_path, at_us=START_US)
    trust.signer("gateway-gw-1")

    def operator(bench: Harness) -> Any:
        keys = lambda: KeyTable(trust.book(), trust.messages)  # noqa: E731
        return TelemetryOperator(TelemetryConfig(), clock=bench.clock, keys=keys)

    bench = Harness(operator, shard_of_lane, now_us=START_US)
    (output,) = bench.element(frame_row(0))
    assert rejected(output)["reason"] == "BAD_SIGNATURE"
    assert bench.count("gateway.gw-1.unsigned_newest_s") == START_US // 1_000_000
    bench.now_us += 2_000_000
    bench.element(frame_row(1))
    assert bench.count("gateway.gw-1.unsigned_newest_s") == START_US // 1_000_000 + 2
    # Who may write to the topic can make names up: there is room for so many, and names that no gateway has are none.
    for name in ("a.b", "x" * 65, *(f"gw-{number}" for number in range(MOST + 10))):
        bench.element(frame_row(0, gateway_id=name))
    named = [one for one in bench.context.metrics.counters if one.endswith(f".{NAME}")]
    assert len(named) == MOST
    assert f"gateway.{OTHERS}.{NAME}" in named
    bench.operator.close()
