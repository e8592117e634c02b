"""The arithmetic of `bench watch`: what is due when, what readers have shown of it, when a ladder breaks."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

from benchmarks.watch import scenario
from benchmarks.watch.plan import Plan, Shown, shown

pytestmark = pytest.mark.unit

START_US, PERIOD_US = 1_000_000_000, 1_000_000


def judged(messages: list[tuple[int, int, int]], offsets_us: list[int], window_s: tuple[float, float]) -> Shown:
    """Messages are (reader, received, newest), milliseconds since the start."""
    reader, received, newest = (np.array(column, np.int64) for column in zip(*messages, strict=True))
    return shown(
        reader,
        START_US + received * 1000,
        START_US + newest * 1000,
        offsets_us=offsets_us,
        start_us=START_US,
        period_us=PERIOD_US,
        window_us=(START_US + int(window_s[0] * 1e6), START_US + int(window_s[1] * 1e6)),
    )


def test_each_lane_is_due_once_a_period_one_after_the_other() -> None:
    plan = Plan(machines=40)
    assert [due for due in islice(plan.due(0), 6)] == [
        (0, 0), (250_000, 1), (500_000, 2), (750_000, 3), (1_000_000, 0), (1_250_000, 1),
    ]  # fmt: skip
    ids = np.concatenate([plan.tag_ids(lane) for lane in range(plan.lanes)])
    assert ids.tolist() == [one.tag_id for one in plan.definitions()]
    assert len({one.path for one in plan.definitions()}) == 40 * 20


def test_a_frame_is_late_by_the_time_from_due_to_shown() -> None:
    found = judged([(0, 1_020, 1_000), (0, 2_050, 2_000), (1, 1_310, 1_300), (1, 2_301, 2_300)], [0, 300_000], (1, 3))
    assert sorted(found.late_ms.tolist()) == [1, 10, 20, 50]
    assert (found.expected, found.share) == (4, 1.0)


def test_a_frame_that_was_left_out_is_late_until_a_newer_one_is_shown() -> None:
    found = judged([(0, 1_010, 1_000), (0, 4_030, 4_000)], [0], (1, 5))
    assert sorted(found.late_ms.tolist()) == [10, 30, 1_030, 2_030]


def test_a_frame_that_is_never_shown_is_missing_and_one_that_is_shown_twice_counts_once() -> None:
    found = judged([(0, 1_010, 1_000), (0, 1_500, 1_000), (0, 1_600, 0)], [0], (1, 4))
    assert found.late_ms.tolist() == [10]
    assert found.share == pytest.approx(1 / 3)


def test_what_was_due_before_the_window_is_in_no_figure() -> None:
    found = judged([(0, 5_000, 3_000), (0, 6_100, 6_000)], [0], (6, 7))
    assert (found.late_ms.tolist(), found.expected) == ([100], 1)


def rung(**changes: Any) -> dict[str, Any]:
    good = {
        "p99_ms": 20.0, "shown_share": 1.0, "beside_p99_ms": 200.0, "beside_shown_share": 1.0, "streams": 10, "opened": 10,
        "face": "grpc", "processes": 1, "pushes_per_s": 10.0, "server_cores": 0.1, **dict.fromkeys(scenario._COLUMNS, 0),
    }  # fmt: skip
    made = {**good, "p99_ms": 20.0, "shown_share": 1.0, "beside_p99_ms": 200.0, "beside_shown_share": 1.0} | changes
    return made | {"holds": scenario.holds(made)}


@pytest.mark.parametrize(
    "changes",
    [
        {"opened": 9, "streams": 10},
        {"beside_p99_ms": 260.0},
        {"shown_share": 0.9},
    ],
)
def test_a_rung_breaks_by_streams_that_do_not_open_late_values_and_those_left_out(changes: dict[str, Any]) -> None:
    assert rung()["holds"]
    assert not rung(**changes)["holds"]


def test_the_law_is_what_a_message_costs_beyond_what_the_server_costs_anyway() -> None:
    ladder = [
        rung(
            face="sse",
            processes=1,
            streams=streams,
            opened=streams,
            pushes_per_s=float(streams),
            server_cores=0.05 + streams * 1e-4,
        )
        for streams in (100, 200, 400)
    ]
    broken = rung(face="sse", processes=1, streams=800, opened=700, pushes_per_s=800.0, server_cores=0.13)
    assert scenario.law(ladder) == pytest.approx(100)
    assert scenario.law(ladder[:1]) is None
    found = scenario.summed_up([*ladder, broken])
    assert found["streams"] == 400
    assert found["tables"][1]["rows"][0][:4] == ["sse", 1, 400, 800]
