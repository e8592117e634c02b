"""The simulated week: the same for the same seed, without gaps, with a change of clocks where its dates have one; as messages of a node."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from schemas import quality
from simulator import past
from simulator.plant import read_devices
from simulator.week import make
from simulator.week.make import last_change_of_clocks
from simulator.week.model import HOUR_US
from stack.config import StackConfig

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


def test_the_messages_of_a_node_have_every_sample_once_and_in_order() -> None:
    devices = [device for device in read_devices(StackConfig().plant) if device.site == "south"]
    week, end_us = make(END, days=2), int(END.timestamp()) * 1_000_000
    sent: Counter[str] = Counter()
    newest: dict[str, int] = {}
    for device, samples in past.messages(devices, end_us, 2):
        assert len(samples) <= past.MESSAGE_SAMPLES
        for sample in samples:
            assert sample.tag in device.tags
            assert sample.time_us > newest.get(sample.tag.path, 0)
            newest[sample.tag.path] = sample.time_us
            sent[sample.tag.path] += 1
    assert sent == {f"{path}/{name}": len(one.time_us) for path, of in week.samples.items() for name, one in of.items()}
    assert past.plays(devices)
    assert not past.plays([device for device in devices if "machining" not in device.path])


def test_bad_quality_stays_bad() -> None:
    devices = [
        device for device in read_devices(StackConfig().plant) if device.name == "mill-04" and device.site == "south"
    ]
    week = make(END)
    bad = sum(s.quality == quality.BAD for _, samples in past.messages(devices, week.end_us, 7) for s in samples)
    assert bad == sum(int(one.bad.sum()) for one in week.samples[devices[0].path].values()) > 0
