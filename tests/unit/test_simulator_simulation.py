"""Sampling: the schedule, timestamps, writes, pause, catching up, and determinism."""

from __future__ import annotations

import itertools
from collections import Counter

from simulator.packml import Command, State
from simulator.rhythm import Rhythm
from simulator.simulation import Sample, Simulation
from tests.unit.simulated_plant import START_US, devices, tag_of

S = 1_000_000
DEVICES = devices()
OPCUA, SPARKPLUG = DEVICES


def simulation(seed: int = 5, rhythm: Rhythm | None = None, max_lag_us: int = 10**12) -> Simulation:
    return Simulation(DEVICES, seed=seed, start_us=START_US, rhythm=rhythm, max_lag_us=max_lag_us)


def emitted(of: Simulation, until_us: int) -> list[Sample]:
    return [sample for step in of.advance(until_us) for sample in step.samples]


def test_every_tag_is_sampled_once_a_period_at_its_own_instants() -> None:
    found = emitted(simulation(), START_US + 60 * S)
    counts = Counter(sample.tag for sample in found)
    assert counts == {tag: 60 * S // tag.period_us for device in DEVICES for tag in device.tags}
    for tag in counts:
        times = [sample.time_us for sample in found if sample.tag is tag]
        assert {b - a for a, b in itertools.pairwise(times)} == {tag.period_us}
    power = {sample.time_us % 100_000 for sample in found if sample.tag.name == "power"}
    assert len(power) == 2


def test_a_plant_whose_machines_are_all_real_has_nothing_to_play() -> None:
    """Seen: the simulator ended a second after its start, and with it `up`, for a plant file without simulated connections."""
    nothing = Simulation((), seed=5, start_us=START_US, rhythm=None, max_lag_us=10**12)
    assert emitted(nothing, START_US + 60 * S) == []


def test_sparkplug_times_are_whole_milliseconds() -> None:
    found = emitted(simulation(), START_US + 20 * S)
    assert all(sample.time_us % 1000 == 0 for sample in found if sample.tag.device == SPARKPLUG.key)
    assert any(sample.time_us % 1000 for sample in found if sample.tag.device == OPCUA.key)


def test_same_seed_same_samples_however_the_clock_is_cut() -> None:
    in_one = emitted(simulation(), START_US + 10 * S)
    plant = simulation()
    in_pieces = [s for until in range(0, 10 * S + 1, 37_000) for s in emitted(plant, START_US + until)]
    in_pieces += emitted(plant, START_US + 10 * S)
    assert in_one == in_pieces
    assert [(s.time_us, s.value) for s in in_one] != [
        (s.time_us, s.value) for s in emitted(simulation(seed=6), START_US + 10 * S)
    ]


def test_restart_goes_on_along_the_same_grid() -> None:
    before = emitted(simulation(), START_US + 10 * S)
    later = Simulation(DEVICES, seed=5, start_us=START_US + 10 * S + 12_345, max_lag_us=10**12)
    after = emitted(later, START_US + 20 * S)
    grid = {(s.tag, s.time_us % s.tag.period_us) for s in before}
    assert {(s.tag, s.time_us % s.tag.period_us) for s in after} <= grid
    assert not {(s.tag, s.time_us) for s in before} & {(s.tag, s.time_us) for s in after}


def test_prime_shows_every_tag_before_its_first_period() -> None:
    plant = simulation()
    first = plant.prime()
    assert len(first) == sum(len(device.tags) for device in DEVICES)
    assert min(s.time_us for s in emitted(plant, START_US + S)) > max(s.time_us for s in first)


def test_a_write_shows_at_once_and_time_never_goes_back() -> None:
    plant, tag = simulation(), tag_of(SPARKPLUG, "speed_setpoint")
    times = [s.time_us for s in emitted(plant, START_US + 5 * S) if s.tag is tag]
    for k in range(40):
        outcome = plant.write(tag, 10.0 + k, plant.now_us + 30_500)
        assert outcome.applied
        assert outcome.sample is not None
        assert outcome.sample.value == 10.0 + k
        times.append(outcome.sample.time_us)
        times += [s.time_us for s in emitted(plant, plant.now_us + 50_000) if s.tag is tag]
    assert times == sorted(set(times))
    twice = [plant.write(tag, 20.0, plant.now_us).sample for _ in range(3)]
    assert len({s.time_us for s in twice if s}) == 3


def test_a_stop_from_outside_outlasts_the_crew() -> None:
    plant = simulation(rhythm=Rhythm(handover_s=0, break_s=0))
    assert plant.write(tag_of(OPCUA, "packml_command"), Command.STOP, START_US).applied
    emitted(plant, START_US + 60 * S)
    states = {key: machine.packml.state for key, machine in plant.machines.items()}
    assert states == {"north.press-01": State.STOPPED, "north.press-02": State.EXECUTE}


def test_paused_machines_go_on_unseen() -> None:
    plant = simulation()
    emitted(plant, START_US + 2 * S)
    plant.pause()
    assert emitted(plant, START_US + 30 * S) == []
    assert plant.write(tag_of(OPCUA, "speed_setpoint"), 30, plant.now_us).sample is not None
    plant.resume()
    found = emitted(plant, START_US + 32 * S)
    assert min(s.time_us for s in found) > START_US + 30 * S
    counter = [s.value for s in found if s.tag is tag_of(OPCUA, "cycle_count")]
    assert int(counter[0] or 0) >= 29


def test_late_catches_up_and_very_late_skips() -> None:
    plant = simulation(max_lag_us=5 * S)
    assert len(emitted(plant, START_US + 4 * S)) == len(emitted(simulation(), START_US + 4 * S))
    found = emitted(plant, START_US + 3600 * S)
    assert plant.skipped_us == 3596 * S
    assert found == []
    assert emitted(plant, START_US + 3601 * S)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    plant = simulation()
    emitted(plant, START_US + 5 * S)
    assert emitted(plant, START_US) == []
    assert len(emitted(plant, START_US + 6 * S)) > 0
