"""What the sensors and counters of a machine sent: on change for states and counts, at a fixed rate for the rest.

Values that are sent on change are repeated at least every ten minutes, as gateways and the historian do it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.packml import State
from simulator.week import plan
from simulator.week.model import HOUR_US, MINUTE_US, Batch, Episode, Machine, Series

REPEAT_US = 10 * MINUTE_US
POWER_KW = {State.EXECUTE: 18.0, State.STOPPED: 1.5, State.ABORTED: 0.8}
ROBOT_POWER_KW = {State.EXECUTE: 3.8, State.STOPPED: 0.6, State.ABORTED: 0.2}
Values = NDArray[np.float64]
Times = NDArray[np.int64]


def series(machine: Machine, batches: list[Batch], episodes: list[Episode], *, seed: int) -> dict[str, Series]:
    """Series by tag name."""
    robot = "robot" in machine.path
    rng = np.random.default_rng([seed, *machine.path.encode()])
    start_us, end_us = machine.states[0].start_us, machine.states[-1].end_us
    minutes = np.arange(-(-start_us // MINUTE_US) * MINUTE_US, end_us, MINUTE_US, dtype=np.int64)
    state = _state_at(machine, minutes)
    powers = ROBOT_POWER_KW if robot else POWER_KW
    waiting = 0.3 * powers[State.EXECUTE]
    power = np.array([powers.get(State(int(one)), waiting) for one in state])
    running = state == State.EXECUTE
    thermal, analog = ("motor_temperature", "joint_torque") if robot else ("spindle_temperature", "coolant_pressure")
    temperature = _temperature(minutes, running, [b for b in batches if b.device == machine.path]) + rng.normal(
        0, 0.05, len(minutes)
    )
    for episode in (one for one in episodes if one.device == machine.path and one.tag == thermal):
        inside = (minutes >= episode.start_us) & (minutes < episode.end_us)
        temperature[inside] += np.linspace(0, 14, int(inside.sum()))
    level, spread = (160.0, 1.0) if robot else (38.0, 0.6)
    measured = np.where(running, level, 0.1 * level) + rng.normal(0, spread, len(minutes))
    if machine.path.endswith("mill-02"):  # a pump that gets weaker from the third day on
        measured[(minutes > start_us + 60 * HOUR_US) & (minutes < start_us + 72 * HOUR_US) & running] -= 0.9
    bad = np.zeros(len(minutes), np.bool_)
    if machine.path.endswith("mill-04"):
        bad[2_000:2_040] = True
    found = {
        "packml_state": _on_change([(one.start_us, float(one.state)) for one in machine.states], end_us),
        "cycle_count": _on_change(_counts(machine, start_us), end_us),
        "scrap_count": _on_change(_scrap(machine, start_us), end_us),
        "power": Series(minutes, power + rng.normal(0, 0.02 * power[0] + 0.05, len(minutes)), bad),
        "energy": _energy(machine, powers, waiting, minutes[::5]),
        thermal: _good(minutes, temperature),
        analog: _good(minutes, measured),
    }
    return {name: one._replace(value=np.round(one.value, 4)) for name, one in found.items()}


def _good(time_us: Times, value: Values) -> Series:
    return Series(time_us, value, np.zeros(len(time_us), np.bool_))


def _state_at(machine: Machine, times: Times) -> NDArray[np.int64]:
    starts = np.array([one.start_us for one in machine.states])
    states = np.array([one.state for one in machine.states], np.int64)
    found: NDArray[np.int64] = states[np.searchsorted(starts, times, side="right") - 1]
    return found


def _on_change(changes: Iterable[tuple[int, float]], end_us: int) -> Series:
    """Changes, and repeats where ten minutes pass without one."""
    times: list[int] = []
    values: list[float] = []
    for at_us, value in changes:
        if times:
            repeats = range(times[-1] + REPEAT_US, at_us, REPEAT_US)
            values += [values[-1]] * len(repeats)
            times += repeats
        times.append(at_us)
        values.append(value)
    repeats = range(times[-1] + REPEAT_US, end_us, REPEAT_US)
    values += [values[-1]] * len(repeats)
    times += repeats
    return _good(np.array(times, np.int64), np.array(values, np.float64))


def _counts(machine: Machine, start_us: int) -> list[tuple[int, float]]:
    """The count of cycles; one controller is changed in its third breakdown and counts from 0 again."""
    aborted = [one for one in machine.states if one.state is State.ABORTED]
    reset_us = aborted[2].end_us if machine.path.endswith("mill-01") and len(aborted) > 2 else None
    count, found = 40_000.0, [(start_us, 40_000.0)]
    for cycle in machine.cycles:
        if reset_us is not None and cycle.time_us > reset_us:
            found.append((reset_us, 0.0))
            count, reset_us = 0.0, None
        count += 1
        found.append((cycle.time_us, count))
    return found


def _scrap(machine: Machine, start_us: int) -> list[tuple[int, float]]:
    scrapped = [cycle.time_us for cycle in machine.cycles if cycle.scrapped]
    return [(start_us, 700.0), *((at_us, 701.0 + number) for number, at_us in enumerate(scrapped))]


def _temperature(times: Times, running: NDArray[np.bool_], batches: list[Batch]) -> Values:
    """First-order lag of five minutes towards what the state, or the phase of a batch, asks for."""
    target = np.where(running, 46.0, 22.0)
    aims = {name: aim for name, _, aim in plan.PHASES}
    for number, batch in enumerate(batches):
        for phase in batch.phases:
            inside = (times >= phase.start_us) & (times < phase.end_us)
            target[inside] = aims[phase.phase] + (6.0 if number == 2 and phase.phase == "load" else 0.4 * number)
    value, found = 22.0, np.empty(len(times))
    for place, aim in enumerate(target):
        value = aim + (value - aim) * 0.8187
        found[place] = value
    return found


def _energy(machine: Machine, powers: Mapping[State, float], waiting: float, times: Times) -> Series:
    """Reading of the meter: what the states have used so far."""
    starts = [one.start_us for one in machine.states]
    used = np.concatenate([[0.0], np.cumsum([_kwh(one, powers, waiting, one.end_us) for one in machine.states])])
    readings = []
    for at_us in times.tolist():
        place = bisect_right(starts, at_us) - 1
        readings.append(1_000.0 + used[place] + _kwh(machine.states[place], powers, waiting, at_us))
    return _good(times, np.array(readings))


def _kwh(one: Any, powers: Mapping[State, float], waiting: float, until_us: int) -> float:
    return float(powers.get(one.state, waiting) * (until_us - one.start_us) / HOUR_US)
