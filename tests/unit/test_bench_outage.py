"""What the outage drill says of the latency of live frames."""

from __future__ import annotations

import pytest

from benchmarks.outage import live

S = 1_000_000
AWAY_US, BACK_US, OVER_US = 100 * S, 160 * S, 170 * S


def judged(frames: list[tuple[float, float]]) -> dict[str, float | int | None]:
    """Of frames by arrival and newest sample in seconds."""
    return live(
        [(round(arrived_s * S), round(newest_s * S)) for arrived_s, newest_s in frames],
        away_us=AWAY_US, back_us=BACK_US, over_us=OVER_US,
    )  # fmt: skip


def test_live_frames_that_waited_for_kafka_are_no_latency_of_the_replay() -> None:
    calm = [(at + 0.2, at) for at in range(90, 99)]
    # Of before the outage, of its beginning, of a gateway that was started again in it.
    waited = [(161.0, 99.9), (161.0, 104.0), (161.1, 159.9)]
    beside_the_backlog = [(at + 0.3, at) for at in range(162, 170)]
    found = judged([*calm, *waited, *beside_the_backlog])
    assert found == {
        "live_p99_calm_s": pytest.approx(0.2),
        "live_p99_replay_s": pytest.approx(0.3),
        "live_replay_frames": 8,
        "live_held": 3,
        "live_again_s": pytest.approx(2.3),
    }


def test_a_slow_live_frame_of_the_replay_counts_when_it_arrives_after_it() -> None:
    assert judged([(190.0, 165.0)])["live_p99_replay_s"] == pytest.approx(25.0)


def test_live_frames_after_the_replay_are_not_of_it() -> None:
    assert judged([(171.3, 171.0)])["live_p99_replay_s"] is None
    at_once = live([(163_300_000, 163 * S)], away_us=AWAY_US, back_us=BACK_US, over_us=161 * S)
    assert at_once["live_p99_replay_s"] == pytest.approx(0.3), "ten seconds count at least"


def test_without_frames_there_is_no_figure() -> None:
    assert judged([]) == {
        "live_p99_calm_s": None,
        "live_p99_replay_s": None,
        "live_replay_frames": 0,
        "live_held": 0,
        "live_again_s": None,
    }
