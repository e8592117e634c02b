"""The comparison of the telemetry job's logic with and without signatures: the frames are taken, and all of them are looked at."""

from __future__ import annotations

import pytest

from benchmarks import signing, workload
from benchmarks.generate import Message
from benchmarks.workload import SITE, Dirt, Workload
from schemas import topics
from tests.unit.test_bench_generate import run

CLEAN = Dirt(missing=0, out_of_range=0, late=0, duplicate=0, clock_skew=0, skew_s=0, late_frames=0)
TOPIC = topics.FRAMES.for_site(SITE)


@pytest.fixture(scope="module")
def small() -> Workload:
    return workload.load("smoke")


def test_the_same_frames_go_through_the_logic_with_and_without_signatures(small: Workload) -> None:
    messages, _ = run(small, CLEAN)
    taken = messages[: 4 * signing.TOGETHER]
    found = signing.in_logic(iter(taken), signing.registry(small), TOPIC, gateways=small.gateways, seconds=60)
    assert found["logic_signed_frames"] == len(taken)
    assert found["logic_signed_frame_samples"] == small.lane_tags * small.rounds_per_frame
    assert found["logic_signed_ratio"] > 0
    assert found[f"logic_signed_{signing.TOGETHER}_ratio"] > 0


def test_frames_that_are_refused_are_no_measurement(small: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(_: object, part: list[Message], __: int) -> list[bytes]:
        return [one.value for one in part]

    monkeypatch.setattr("benchmarks.signing._Gateways.signed", bare)
    messages, _ = run(small, CLEAN)
    with pytest.raises(signing.RefusedError, match="were refused"):
        signing.in_logic(iter(messages), signing.registry(small), TOPIC, gateways=small.gateways, seconds=60)
