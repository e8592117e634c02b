"""The logic as its adapter sees it: whole records, holding, state parts, latest values, progress."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec, frame, topics
from schemas.definitions import encode_tag
from stages import packing
from stages.config import CatchUpConfig, DetectionConfig, HoldConfig, TelemetryConfig
from stages.intake.micro_batch import Arrived
from stages.telemetry.lane import Lane
from stages.telemetry.logic import MicroBatchError, Origin, Output, TelemetryLogic
from tests.golden.support import (
    QUIET,
    Driver,
    emissions,
    logic_of,
    make_frame,
    publish,
    records,
    tag,
    us,
    validated_frames,
    verdicts,
)

ORIGIN = Origin("telemetry.frames.north", 2, 41)


# --- whole records --------------------------------------------------------------------------------------------------------


def broken_messages() -> dict[str, tuple[bytes, str]]:
    good = make_frame([(1, 0.0, 1.0), (1, 0.1, 2.0)])
    message = frame.encode(good)
    flipped = dataclasses.replace(good, value=np.array([1.0, 2.5]))
    outside = dataclasses.replace(good, tag_index=np.array([0, 9], np.uint16))
    return {
        "empty": (b"", "UNDECODABLE"),
        "noise": (b"\x00\x01\x02", "UNDECODABLE"),
        "torn": (message[:-7], "UNDECODABLE"),
        "trailing bytes": (message + b"x", "UNDECODABLE"),
        "another record": (encode_tag(tag(1))[1], "UNDECODABLE"),
        "unknown schema": (message[:2] + bytes(8) + message[10:], "UNKNOWN_SCHEMA"),
        "wrong checksum": (frame.encode(flipped), "UNDECODABLE"),
        "outside its dictionary": (frame.encode(outside), "UNDECODABLE"),
        "negative sequence": (frame.encode(dataclasses.replace(good, sequence=-1)), "UNDECODABLE"),
        "sequence out of bounds": (frame.encode(dataclasses.replace(good, sequence=1 << 50)), "UNDECODABLE"),
    }


@pytest.mark.parametrize("name", broken_messages())
def test_what_is_no_frame_is_kept_whole(name: str) -> None:
    message, reason = broken_messages()[name]
    logic = logic_of([tag(1)])
    (output,) = logic.on_frame(message, ORIGIN, us(1.0))
    assert output.topic == topics.REJECTED.name
    _, record = codec.decode(output.value)
    assert record["reason"] == reason
    assert record["original"] == message
    assert (record["source_topic"], record["source_partition"], record["source_offset"]) == ORIGIN
    assert record["detail"]
    assert record["samples"] == 0
    assert logic.counters["undecodable"] == 1
    assert not logic.lane_keys()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_make_it_raise(data: st.DataObject) -> None:
    message = bytearray(frame.encode(make_frame([(1, 0.0, 1.0), (2, 0.1, 2.0)])))
    for _ in range(data.draw(st.integers(1, 6))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    logic = logic_of([tag(1), tag(2)])
    outputs = logic.on_frame(bytes(message), ORIGIN, us(1.0)) + logic.flush_all(us(2.0))
    assert outputs


def test_an_identity_conflict_is_kept_whole_with_its_identity() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.0, 1.0)], 5))
    other = frame.encode(make_frame([(1, 0.0, 2.0)], 5))
    driver.message(other)
    (record,) = records(driver.outputs, topics.REJECTED)
    assert (record["reason"], record["original"], record["sequence"]) == ("IDENTITY_CONFLICT", other, 5)
    assert record["samples"] == 1
    assert len(validated_frames(driver.outputs)) == 1


def at(driver: Driver, site: str, given: frame.Frame) -> list[Output]:
    """Feed a frame on the topic of a site."""
    driver.site = site
    return driver.frame(given)


def test_a_frame_of_another_sites_gateway_takes_no_number_of_its_lane() -> None:
    driver = Driver([tag(1), tag(2, gateway_id="gw-south", site="south")], crashing=True)
    (refused,) = at(driver, "south", make_frame([(1, 0.0, 9.0)], 5))
    _, record = codec.decode(refused.value)
    assert (record["reason"], record["source_topic"]) == ("FOREIGN_SITE", "telemetry.frames.south")
    assert record["detail"] == "gateway gw-north is of site north, and the record came on a topic of site south"
    assert (record["gateway_id"], record["sequence"], record["samples"]) == ("gw-north", 5, 1)
    assert not driver.logic.lane_keys(), "the lane was not touched"
    at(driver, "north", make_frame([(1, 0.0, 1.0)], 5))
    (found,) = validated_frames(driver.outputs)
    assert (found.value.tolist(), verdicts(driver.outputs)) == ([1.0], ["GOOD"])
    at(driver, "south", make_frame([(1, 0.0, 1.0)], 5))
    driver.timer(5.0)
    (progress,) = records(driver.outputs, topics.LANES)[-1:]
    assert (progress["duplicate_frames"], progress["identity_conflicts"], progress["frames"]) == (0, 0, 1)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_frame_that_waits_is_refused_when_its_gateway_is_known_to_be_of_another_site(frames: int) -> None:
    driver = Driver([tag(1, gateway_id="gw-south", site="south")])
    for sequence in range(frames):
        assert not at(driver, "south", make_frame([(2, 0.0, 9.0)], sequence, registry_version=2))
    driver.publish([tag(2)], 2)
    driver.timer(0.5)
    assert [each["reason"] for each in records(driver.outputs, topics.REJECTED)] == ["FOREIGN_SITE"] * frames
    assert driver.logic.counters["foreign"] == frames
    at(driver, "north", make_frame([(2, 0.0, 1.0)], 0, registry_version=2))
    assert verdicts(driver.outputs) == ["GOOD"]


def test_validated_frames_are_the_same_but_for_their_verdict() -> None:
    given_frame = make_frame([(2, 0.3, 1.0), (1, 0.1, 2.0), (2, 0.2, 3.0)], 7)
    driver = Driver([tag(1), tag(2)])
    output, latest = driver.frame(given_frame)
    assert (output.key, latest.topic) == (b"gw-north/0", topics.LATEST.name)
    (found,) = validated_frames([output])
    assert found.verdict is not None
    assert found.verdict.tolist() == [0, 0, 0]
    assert frame.encode(dataclasses.replace(found, verdict=None)) == frame.encode(given_frame)
    assert found.computed_checksum() == given_frame.checksum


def test_a_message_of_the_registry_that_cannot_be_read_is_counted() -> None:
    logic = logic_of([tag(1)])
    logic.apply_registry(b"nonsense")
    assert logic.counters["failures"] == 1


# --- holding --------------------------------------------------------------------------------------------------------------


def held(driver: Driver) -> list[int]:
    return [each["sequence"] for each in records(driver.outputs, topics.LANES)[-1]["held"]]


def test_frames_of_a_newer_registry_wait_in_order_and_are_counted() -> None:
    driver = Driver([tag(1)], crashing=True)
    driver.frame(make_frame([(2, 0.1, 1.0)], 0, registry_version=2))
    driver.frame(make_frame([(1, 0.2, 1.0)], 1))
    driver.frame(make_frame([(1, 0.2, 1.0)], 1))
    driver.frame(make_frame([(1, 0.2, 9.0)], 1))
    assert not validated_frames(driver.outputs)
    driver.timer(2.0)
    assert held(driver) == [0, 1]
    last = records(driver.outputs, topics.LANES)[-1]
    assert (last["duplicate_frames"], last["identity_conflicts"], last["frames"]) == (1, 1, 0)
    driver.publish([tag(2)], 2)
    driver.timer(3.5)
    assert [each.sequence for each in validated_frames(driver.outputs)] == [0, 1]
    assert verdicts(driver.outputs) == ["GOOD", "GOOD"]
    driver.timer(5.0)
    assert held(driver) == []


def test_waiting_frames_go_before_the_next_one() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(2, 0.1, 1.0)], 0, registry_version=2))
    driver.publish([tag(2)], 2)
    driver.frame(make_frame([(1, 0.2, 1.0)], 1, registry_version=2))
    assert [each.sequence for each in validated_frames(driver.outputs)] == [0, 1]


@pytest.mark.parametrize(
    "bound",
    [HoldConfig(max_frames=2), HoldConfig(max_bytes=300), HoldConfig(max_seconds=3.0)],
    ids=["frames", "bytes", "seconds"],
)
def test_beyond_its_bound_the_oldest_is_validated_with_what_is_known(bound: HoldConfig) -> None:
    driver = Driver([tag(1)], dataclasses.replace(QUIET, hold=bound))
    for sequence in range(5):
        driver.frame(make_frame([(2, 0.1, 1.0)], sequence, registry_version=2), now_s=float(sequence))
    driver.timer(4.0)
    count = len(validated_frames(driver.outputs))
    assert 0 < count < 5
    assert set(verdicts(driver.outputs)) == {"UNKNOWN_TAG"}
    assert held(driver) == list(range(count, 5))


def test_held_frames_are_validated_at_the_end_of_the_input() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(2, 0.1, 1.0)], 0, registry_version=2))
    driver.flush()
    assert verdicts(driver.outputs) == ["UNKNOWN_TAG"]
    assert held(driver) == []


def test_a_held_frame_that_fails_is_kept_whole_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.1, 1.0)], 0, registry_version=2))
    driver.frame(make_frame([(1, 0.2, 1.0)], 1, registry_version=2))
    whole = Lane.process

    def broken(self: Lane, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        if arrived[0].frame.sequence == 0:
            msg = "defect"
            raise RuntimeError(msg)
        return whole(self, arrived, now_us)

    monkeypatch.setattr(Lane, "process", broken)
    driver.publish([], 2)
    with pytest.raises(MicroBatchError, match="2 frames of lane"):
        driver.timer(1.0)
    driver.restore()
    driver.timer(1.0)
    (record,) = records(driver.outputs, topics.REJECTED)
    assert (record["reason"], record["sequence"]) == ("PROCESSING_FAILED", 0)
    assert "RuntimeError: defect" in record["detail"]
    assert [each.sequence for each in validated_frames(driver.outputs)] == [1]
    assert driver.logic.counters["failures"] == 1


def test_nothing_is_validated_before_the_registry_is_there() -> None:
    logic = TelemetryLogic(QUIET)
    assert not logic.on_frame(frame.encode(make_frame([(1, 0.1, 1.0)])), ORIGIN, us(0.2))
    publish(logic, [tag(1)])
    (output,) = [each for each in logic.on_timer(None, us(0.5)) if each.topic == topics.VALIDATED.name]
    assert verdicts([output]) == ["GOOD"]


# --- latest and progress --------------------------------------------------------------------------------------------------


def test_latest_is_whole_rare_and_only_when_something_changed() -> None:
    driver = Driver([tag(1), tag(2)])
    driver.timer(0.0)
    driver.frame(make_frame([(1, 0.1, 1.0), (2, 0.1, 5.0), (1, 0.15, 2.0, 0x808C)], 0))
    for tenth in range(3, 13):
        driver.timer(tenth / 10)
    (batch,) = records(driver.outputs, topics.LATEST)
    assert batch["tag_id"].tolist() == [1, 2]
    assert batch["value"].tolist() == [2.0, 5.0]
    assert batch["quality"].tolist() == [0x808C, 0]
    for at in range(20):
        driver.frame(make_frame([(1, 2 + at / 20, 3.0)], 1 + at))
        driver.timer(2.1 + at / 20)
    interval_s = TelemetryConfig().latest_interval_ms / 1000
    assert len(records(driver.outputs, topics.LATEST)) <= 1 + 1.05 // interval_s + 1
    driver.timer(9.0)
    assert records(driver.outputs, topics.LATEST)[-1]["value"].tolist() == [3.0, 5.0]


def test_a_lane_that_is_behind_publishes_latest_once_a_second_until_it_has_caught_up() -> None:
    driver = Driver([tag(1)], dataclasses.replace(QUIET, catch_up=CatchUpConfig(max_wait_s=0.0)))
    for at in range(20):
        driver.frame(make_frame([(1, at / 5, float(at))], at), now_s=60 + at / 5)
    behind = len(records(driver.outputs, topics.LATEST))
    assert 4 <= behind <= 5
    for at in range(20):
        driver.frame(make_frame([(1, 64 + at / 5, float(at))], 20 + at), now_s=64.1 + at / 5)
    assert len(records(driver.outputs, topics.LATEST)) - behind >= 19


def test_latest_is_by_source_time() -> None:
    driver = Driver([tag(1, limit_high=100.0)])
    driver.frame(make_frame([(1, 5.0, 1.0), (1, 4.0, 2.0), (1, 5.5, 500.0)], 0))
    driver.frame(make_frame([(1, 4.5, 3.0)], 1, closed_s=6.0))
    driver.timer(7.0)
    assert records(driver.outputs, topics.LATEST)[-1]["value"].tolist() == [1.0]


def test_progress_is_rare() -> None:
    driver = Driver([tag(1)])
    for sequence in range(100):
        driver.frame(make_frame([(1, sequence / 10, 1.0)], sequence))
        driver.timer(sequence / 10 + 0.1)
    quiet = len(records(driver.outputs, topics.LANES))
    assert quiet <= 2
    for sequence in range(100):
        driver.frame(make_frame([(1, sequence / 10, 1.0)], sequence), now_s=10 + sequence / 10)
        driver.timer(10 + sequence / 10)
    found = records(driver.outputs, topics.LANES)
    assert 9 <= len(found) - quiet <= 11
    assert found[-1]["duplicate_frames"] <= 100


# --- state ----------------------------------------------------------------------------------------------------------------


def traffic(seed: int) -> list[tuple[str, object]]:
    """Frames in disorder, duplicates, bad values, timers, streams, a registry change, over two lanes."""
    chance = random.Random(seed)
    steps: list[tuple[str, object]] = []
    sequences: dict[tuple[int, str], int] = {}
    sent = []
    now = 0.0
    for number in range(60):
        now += chance.choice([0.05, 0.2, 0.2, 1.0])
        lane, stream = chance.choice([0, 0, 1]), chance.choice(["LIVE", "LIVE", "LIVE", "BACKFILL"])
        ids = [1, 2, 3] if lane == 0 else [4, 5]
        rows = [
            (
                chance.choice(ids),
                round(now - chance.choice([0, 0, 0.1, 3, 15]), 3),
                chance.choice([1.0, 2.0, 2.0, 50.0, float("nan")]),
            )
            for _ in range(chance.randint(1, 6))
        ]
        sequence = sequences.get((lane, stream), 0)
        sequences[lane, stream] = sequence + 1
        version = 2 if number > 30 else 1
        sent.append(make_frame(rows, sequence, lane=lane, stream=stream, closed_s=now, registry_version=version))
        steps.append(("frame", sent[-1]))
        if chance.random() < 0.2:
            steps.append(("frame", chance.choice(sent)))
        if chance.random() < 0.5:
            steps.append(("timer", now))
        if number == 38:
            steps.append(("registry", [tag(3, 2, max_rate=100.0, windows_s=(1, 5)), tag(6, 3)]))
    steps.append(("timer", now + 20))
    steps.append(("flush", None))
    return steps


TRAFFIC_TAGS = [
    tag(1, max_rate=5.0),
    tag(2, limit_high=20.0, stuck_after_s=2.0),
    tag(3, 2, windows_s=(1, 5)),
    tag(4, 4, lane=1),
    tag(5, 5, lane=1),
]


def play(
    steps: list[tuple[str, object]], crash_before: set[int], config: TelemetryConfig = QUIET
) -> list[tuple[str, bytes, object]]:
    driver = Driver(TRAFFIC_TAGS, config)
    for at, (kind, what) in enumerate(steps):
        if at in crash_before:
            driver.crash()
        if kind == "frame":
            driver.frame(what)  # type: ignore[arg-type]
        elif kind == "timer":
            driver.timer(what)  # type: ignore[arg-type]
        elif kind == "registry":
            driver.publish(what, 2)  # type: ignore[arg-type]
        else:
            driver.flush()
    return [(output.topic, output.key, output.value) for output in driver.outputs]


@pytest.mark.parametrize("seed", range(6))
def test_restored_at_any_point_the_outputs_are_those_of_the_uninterrupted_run(seed: int) -> None:
    steps = traffic(seed)
    straight = play(steps, set())
    assert {topic for topic, _, _ in straight} >= {topics.AGGREGATES.name, topics.REJECTED.name, topics.LATEST.name}
    chance = random.Random(seed)
    assert play(steps, set(range(len(steps)))) == straight
    assert play(steps, set(chance.sample(range(len(steps)), 5))) == straight


def test_state_that_is_not_touched_is_not_written_again() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.1, 1.0)], 0))
    assert not driver.logic.drain_changes("gw-north/0")
    assert not driver.logic.drain_changes("gw-elsewhere/0")
    driver.frame(make_frame([(1, 0.2, 1.0)], 0, stream="BACKFILL"))
    assert not [name for name in driver.state["gw-north/0"] if name.startswith("window/60")]


def test_a_state_part_of_another_layout_is_refused_by_name() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.1, 1.0)], 0))
    part = bytearray(driver.state["gw-north/0"]["dedup"])
    part[1] = 99
    with pytest.raises(packing.StateError, match="dedup has layout 99, this version reads 1"):
        TelemetryLogic(QUIET).restore("gw-north/0", {"dedup": bytes(part)})
    with pytest.raises(packing.StateError, match="torn"):
        TelemetryLogic(QUIET).restore("gw-north/0", {"dedup": bytes(part[:1] + b"\x01" + part[2:20])})


def test_state_waits_for_the_registry_it_was_written_with() -> None:
    driver = Driver([tag(1), tag(2)])
    driver.frame(make_frame([(1, 0.1, 1.0), (2, 0.2, 2.0)], 0))
    late = TelemetryLogic(QUIET)
    late.restore("gw-north/0", driver.state["gw-north/0"])
    assert not late.on_frame(frame.encode(make_frame([(1, 0.3, 1.0)], 1)), ORIGIN, us(0.4))
    assert not late.on_timer(None, us(0.5))
    publish(late, [tag(1), tag(2)])
    outputs = late.on_timer(None, us(0.6)) + late.flush_all(us(0.7))
    assert [row.count for _, row in emissions(outputs)] == [2, 1]


def test_a_tag_that_left_while_the_job_was_down_has_its_windows_emitted() -> None:
    driver = Driver([tag(1), tag(2)])
    driver.frame(make_frame([(1, 0.1, 1.0), (2, 0.2, 2.0)], 0))
    later = TelemetryLogic(QUIET)
    later.restore("gw-north/0", driver.state["gw-north/0"])
    publish(later, [tag(1), tag(2, retired=True)], 2)
    outputs = later.on_timer(None, us(0.6))
    assert [(key[0], row.count) for key, row in emissions(outputs)] == [(2, 1)]


def lineages(outputs: Sequence[Output]) -> list[int]:
    return [record["lineage"] for record in records(outputs, topics.AGGREGATES)]


def test_windows_said_again_after_a_restart_are_of_the_same_lineage() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.1, 1.0)], 0))
    before = driver.checkpoint()
    driver.frame(make_frame([(1, 1.6, 1.0)], 1))
    driver.crash(before)
    driver.frame(make_frame([(1, 1.6, 1.0)], 1))
    driver.crash({})
    for number, at in enumerate((0.1, 1.6)):
        driver.frame(make_frame([(1, at, 1.0)], number))
    first, second, from_nothing = lineages(driver.outputs)
    assert first == second == from_nothing != 0


def test_a_state_that_began_later_is_of_another_lineage() -> None:
    driver = Driver([tag(1)])
    for number, at in enumerate((0.1, 0.3, 1.6)):
        driver.frame(make_frame([(1, at, 1.0)], number))
    driver.crash({})
    for number, at in enumerate((0.3, 1.6), 1):
        driver.frame(make_frame([(1, at, 1.0)], number))
    first, second = lineages(driver.outputs)
    assert 0 != first != second != 0


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_after_a_tag_has_left_the_lane_its_windows_are_of_another_lineage(*, down: bool) -> None:
    """Should it come back, what was folded of it before is not in the state any more."""
    driver = Driver([tag(1), tag(2)])
    driver.frame(make_frame([(1, 0.1, 1.0), (2, 0.2, 2.0)], 0))
    driver.frame(make_frame([(1, 1.6, 1.0), (2, 1.6, 2.0)], 1))
    driver.publish([tag(1), tag(2, retired=True)], 2)
    if down:
        driver.crash()
    driver.timer(1.7)
    driver.publish([tag(1), tag(2)], 3)
    driver.frame(make_frame([(1, 2.6, 1.0), (2, 2.6, 2.0)], 2))
    first, *others = lineages(driver.outputs)
    assert len(set(others)) == 1
    assert first not in others


def test_state_is_small() -> None:
    driver = Driver([tag(number, 1 + number // 10, windows_s=(1, 60)) for number in range(1, 101)])
    for second in range(30):
        rows = [(number, second + step / 5, 1.0) for step in range(5) for number in range(1, 101)]
        driver.frame(make_frame(rows, second))
    size = sum(map(len, driver.state["gw-north/0"].values()))
    assert size < 14 * 100 * 130 + 50_000


def test_epochs_do_not_mix() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.1, 1.0)], 0, epoch=1))
    driver.frame(make_frame([(1, 0.2, 1.0)], 0, epoch=2))
    assert len(validated_frames(driver.outputs)) == 2
    assert {each.epoch for each in validated_frames(driver.outputs)} == {
        UUID(int=(7 << 76) | (2 << 62) | n) for n in (1, 2)
    }


@pytest.mark.parametrize("seed", range(2))
def test_detection_is_restored_exactly_when_every_change_is_kept(seed: int) -> None:
    config = TelemetryConfig(detection=DetectionConfig(snapshot_interval_s=0.0))
    steps = traffic(seed)
    assert play(steps, set(range(0, len(steps), 3)), config) == play(steps, set(), config)
