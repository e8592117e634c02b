"""Generated frames against what the generator says must come out."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from base.errors import ConfigError
from benchmarks import switches, workload
from benchmarks.generate import Expected, Message, generate
from benchmarks.pace import WATCHED, Plan, row_of
from benchmarks.workload import LIMIT, Dirt, Workload
from schemas import checksum, frame

START_US = 1_800_000_000_000_000
SECONDS = 30.0
DIRTY = Dirt(missing=0.05, out_of_range=0.02, late=0.1, duplicate=0.1, clock_skew=0.3, skew_s=2.0, late_frames=5)


def run(
    chosen: Workload, dirt: Dirt = DIRTY, *, seed: int = 1, staggered: bool = False
) -> tuple[list[Message], Expected]:
    tags = {
        chosen.gateway_id(n): np.arange(chosen.lane_tags, dtype=np.int32) + 1 + n * chosen.lane_tags
        for n in range(chosen.gateways)
    }
    expected = Expected.of(chosen.gateways * chosen.lane_tags, START_US, SECONDS)
    made = generate(
        chosen,
        dirt,
        tag_ids=tags,
        seconds=SECONDS,
        start_us=START_US,
        seed=seed,
        expected=expected,
        staggered=staggered,
    )
    return list(made), expected


@pytest.fixture(scope="module")
def small() -> Workload:
    return workload.load("smoke")


def test_the_same_seed_gives_the_same_bytes(small: Workload) -> None:
    first, second, other = (run(small, seed=seed)[0] for seed in (1, 1, 2))
    assert [message.value for message in first] == [message.value for message in second]
    assert [message.value for message in first] != [message.value for message in other]


@pytest.mark.parametrize("staggered", [False, True])
def test_the_expectation_is_what_the_frames_hold(small: Workload, *, staggered: bool) -> None:
    messages, expected = run(small, staggered=staggered)
    count, sums = np.zeros_like(expected.count), np.zeros_like(expected.sums)
    seen = set[tuple[str, int]]()
    rejected = 0
    for message in messages:
        one = frame.decode(message.value)
        assert one.computed_checksum() == one.checksum
        if (one.gateway_id, one.sequence) in seen:
            continue
        seen.add((one.gateway_id, one.sequence))
        stored = one.value <= LIMIT
        rejected += int((~stored).sum())
        minute = expected.minutes_of(one.time_us[stored])
        np.add.at(count, (one.tag_id[stored], minute), 1)
        hashes = checksum.sample_hashes(one.tag_id, one.time_us, one.value, one.quality)[stored]
        np.add.at(sums, (one.tag_id[stored], minute), hashes)
    assert (count == expected.count).all()
    assert (sums == expected.sums).all()
    assert rejected == expected.rejected_samples > 0
    assert len(seen) == expected.frames
    assert len(messages) == expected.messages == expected.frames + expected.duplicate_frames
    assert expected.duplicate_frames > 0
    assert expected.late_frames > 0


def test_sequences_are_contiguous_and_late_frames_come_behind(small: Workload) -> None:
    messages, _ = run(small)
    by_gateway = defaultdict(list)
    for message in messages:
        by_gateway[message.frame.gateway_id].append(message)
    for sent in by_gateway.values():
        sequences = [message.frame.sequence for message in sent]
        assert sorted(set(sequences)) == list(range(max(sequences) + 1))
        for message in sent:
            assert message.late or message.due_us == message.frame.closed_time_us


def test_messages_fall_due_in_order_when_gateways_are_staggered(small: Workload) -> None:
    due = [message.due_us for message in run(small, staggered=True)[0][:-20]]
    assert due == sorted(due)


def test_a_workload_at_another_rate_keeps_whole_rounds() -> None:
    fast = workload.load("fast")
    for rate in (50_000, 100_000, 300_000, 500_000):
        chosen = fast.at_rate(rate)
        assert chosen.samples_per_s == pytest.approx(rate)
    assert fast.samples_per_s == 1_000_000
    assert workload.load("wide").samples_per_s == 100_000
    assert workload.load("plant").samples_per_s == 400_000


def test_frames_close_at_their_size(small: Workload) -> None:
    messages, _ = run(dataclasses.replace(small, frame_samples=7))
    assert max(message.samples for message in messages) == 7


def test_stages_left_out_are_left_out_of_the_plant(small: Workload) -> None:
    chosen, dirt = switches.apply(small, DIRTY, ["checks", "copy"])
    tag = workload.plant(chosen)["device_classes"]["bench"]["tags"]["tag-00"]
    assert "limits" not in tag
    assert tag["historise"] == "NONE"
    assert dirt.out_of_range == 0
    assert "limits" in workload.plant(small)["device_classes"]["bench"]["tags"]["tag-00"]
    with pytest.raises(ConfigError, match="no stage 'nothing'"):
        switches.apply(small, DIRTY, ["nothing"])


def test_a_row_of_what_was_sent_names_times_that_can_be_compared(small: Workload) -> None:
    messages, _ = run(small)
    tags = {small.gateway_id(n): np.arange(small.lane_tags, dtype=np.int32) + 1 + n * small.lane_tags for n in range(2)}
    plan = Plan(workload=small, dirt=DIRTY, tag_ids=tags, seconds=1, seed=1, registry_version=1)
    for message in messages:
        number = int(message.frame.gateway_id[-4:])
        gateway, sequence, closed_us, sent_us, late, watched_us, *source_us = row_of(message, number, plan, 42)
        assert (gateway, sequence, closed_us, sent_us, late) == (
            number, message.frame.sequence, message.frame.closed_time_us, 42, int(message.late),
        )  # fmt: skip
        assert sorted(source_us) == source_us
        assert source_us[-1] <= closed_us
        if watched_us:
            mine = message.frame.tag_id == tags[message.frame.gateway_id][WATCHED]
            assert watched_us in message.frame.time_us[mine]
            assert watched_us <= closed_us
