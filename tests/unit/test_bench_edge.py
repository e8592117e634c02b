"""Judgements of the gateway's benchmarks: commands against a machine's journal, rates against what was sent."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from benchmarks import actuations, edge
from benchmarks.actuations import STEPS, Order
from schemas.commands import OUTCOMES, CommandState

pytestmark = pytest.mark.unit


def test_kills_are_spread_over_the_commands_and_over_every_step() -> None:
    orders = actuations.plan(500, 25, seed=3)
    assert len({one.value for one in orders}) == 500
    kills = [number for number, one in enumerate(orders) if one.kill_at]
    assert (len(kills), {b - a for a, b in itertools.pairwise(kills)}) == (25, {20})
    assert set(Counter(one.kill_at for one in orders if one.kill_at)) == set(STEPS)
    assert {orders[number].sort for number in kills} == {"plain"}
    assert Counter(one.sort for one in orders) == {"plain": 425, "beyond": 25, "expired": 25, "withdrawn": 25}
    assert {one.tag for one in orders} == {"setpoint", "dose"}


@pytest.mark.parametrize(
    ("state", "times", "wrong"),
    [(state, times, times not in ({1} if state is CommandState.SUCCEEDED else {0, 1} if state is CommandState.UNKNOWN else {0}))
     for state in sorted(OUTCOMES) for times in (0, 1, 2)],
)  # fmt: skip
def test_no_outcome_hides_what_was_done(state: CommandState, times: int, wrong: bool) -> None:
    (order,) = actuations.plan(1, 0, seed=1)
    found = actuations.judge([order], {order.command_id: state}, {order.value: times}, kills=1)
    assert (found["wrong"] > 0) is wrong


def test_what_nobody_ordered_and_what_must_not_be_is_wrong() -> None:
    (order,) = actuations.plan(1, 0, seed=1)
    late = Order(command_id=order.command_id, device=1, tag="dose", value=7.0, sort="expired")
    done = {order.command_id: CommandState.SUCCEEDED}
    assert actuations.judge([order], done, {order.value: 1, 99.0: 1}, kills=0)["wrong"] == 1
    assert actuations.judge([late], done, {7.0: 1}, kills=0)["wrong"] == 1
    assert actuations.judge([order], {}, {}, kills=0)["passed"] is False, "an unknown one needs a kill"


def row(times_us: list[int], sent: int, **changes: Any) -> edge.Row:
    arrived = edge.Arrived()
    if times_us:
        times = np.array(times_us, dtype=np.int64)
        arrived.time_us, arrived.lengths = [times], [(160, len(times))]
        arrived.latency_s = [np.full(len(times), changes.get("latency_s", 0.1))]
    return edge.judge(arrived, sent, (1_000_000, 2_000_000), changes.get("wanted", 10.0), cores=0.5, memory_mb=80.0)


def test_a_rate_is_carried_when_all_of_it_arrives_in_time() -> None:
    inside = list(range(1_000_000, 2_000_000, 100_000))
    carried = row([999_999, *inside, 2_000_000], 10)
    assert (carried.problem, carried.arrived_per_s, carried.lost, carried.p99_ms) == ("", 10.0, 0, 100.0)
    assert row(inside[1:], 10).problem == "1 of 10 did not arrive"
    assert row(inside, 10, latency_s=3.0).problem == "p99 is 3.0 s"
    assert row(inside, 10, wanted=20.0).problem == "the machine sent 10 a second only"
    assert row([], 10).problem == "10 of 10 did not arrive"
