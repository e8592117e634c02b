"""The simulated week: the same for the same seed, without gaps, with a change of clocks where its dates have one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from simulator.week import make
from simulator.week.make import last_change_of_clocks
from simulator.week.model import HOUR_US

END = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(("before", "hours"), [(END, 169), (datetime(2026, 6, 1, tzinfo=UTC), 167)])
def test_the_newest_week_in_which_clocks_changed(before: datetime, hours: int) -> None:
    week = make(last_change_of_clocks(before))
    assert (week.end_us - week.start_us) / HOUR_US == hours
    nights = Counter((one.end_us - one.start_us) // HOUR_US for one in week.shifts if one.name == "night")
    assert set(nights) == {8, hours - 160}


def test_states_have_no_gap_and_the_same_seed_gives_the_same_week() -> None:
    week, again, other = make(END), make(END), make(END, seed=2)
    for path, machine in week.machines.items():
        assert all(one.end_us == following.start_us for one, following in pairwise(machine.states))
        assert (machine.states[0].start_us, machine.states[-1].end_us) == (week.start_us, week.end_us)
        assert machine.states == again.machines[path].states != other.machines[path].states
        assert machine.cycles == again.machines[path].cycles
