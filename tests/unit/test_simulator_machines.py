"""Physics of a machine: what must hold whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import RegistryError
from simulator.machines import Machine, WriteRefusedError
from simulator.packml import Command, State
from simulator.plant import parse_devices
from simulator.signals import SECONDS_PER_HOUR, approach
from tests.unit.simulated_plant import devices, plant, tag_of

DT_S = 0.05
DEVICE = devices()[0]
TAGS = {tag.name: tag for tag in DEVICE.tags}


def machine(state: State = State.EXECUTE, seed: int = 1) -> Machine:
    return Machine(DEVICE, seed=seed, state=state)


def run(of: Machine, seconds: float, each: Callable[[], None] | None = None) -> None:
    for _ in range(round(seconds / DT_S)):
        of.step(DT_S)
        if each:
            each()


def value(of: Machine, name: str) -> float:
    return float(of.read(TAGS[name]))


def test_counts_cycles_at_their_rate_and_some_scrap() -> None:
    press = machine()
    run(press, 300)
    assert value(press, "cycle_count") == pytest.approx(300, abs=1)
    assert 30 < value(press, "scrap_count") < 90


@pytest.mark.parametrize("command", [Command.HOLD, Command.SUSPEND, Command.STOP, Command.ABORT])
def test_counters_stand_still_outside_execute(command: Command) -> None:
    press = machine()
    run(press, 10)
    press.command(command)
    before = value(press, "cycle_count"), value(press, "scrap_count")
    run(press, 60)
    assert (value(press, "cycle_count"), value(press, "scrap_count")) == before
    assert value(press, "closed") == 0
    assert press.condition.speed == pytest.approx(0, abs=1e-6)


def test_no_cycles_without_speed() -> None:
    press = machine()
    press.write(TAGS["speed_setpoint"], 0.0)
    run(press, 30)
    before = value(press, "cycle_count")
    run(press, 60)
    assert press.packml.state is State.EXECUTE
    assert value(press, "cycle_count") == before


def test_speed_follows_the_setpoint_and_load_follows_speed() -> None:
    press = machine()
    press.write(TAGS["speed_setpoint"], 48.0)
    run(press, 2)
    assert 24 < press.condition.speed < 48
    run(press, 30)
    assert value(press, "speed_setpoint") == 48
    assert value(press, "speed") == pytest.approx(48, abs=1)
    assert value(press, "power") == pytest.approx(4 + 2 * 41, abs=3)


def test_temperature_lags_towards_load() -> None:
    press = machine()
    assert value(press, "temperature") == pytest.approx(60, abs=0.5)
    press.command(Command.STOP)
    run(press, 120)
    # One time constant later 63 % of the way is done; the drive's run-down shifts it by seconds.
    assert value(press, "temperature") == pytest.approx(20 + 40 * 0.368, abs=2)
    run(press, 1200)
    assert value(press, "temperature") == pytest.approx(20, abs=0.5)


def test_vibration_grows_with_speed_and_is_never_negative() -> None:
    press, still = machine(), machine(State.STOPPED)
    readings: list[float] = []
    run(press, 10, lambda: readings.append(value(press, "vibration")))
    resting: list[float] = []
    run(still, 10, lambda: resting.append(value(still, "vibration")))
    assert min(readings + resting) >= 0
    assert sum(readings) / len(readings) == pytest.approx(3.2, abs=0.1)
    assert sum(resting) / len(resting) == pytest.approx(0.3, abs=0.05)
    assert len(set(readings)) == len(readings)


def test_lag_does_not_depend_on_the_step() -> None:
    in_steps = 10.0
    for _ in range(100):
        in_steps = approach(in_steps, 50.0, 0.1, 7.0)
    assert in_steps == pytest.approx(approach(10.0, 50.0, 10.0, 7.0), rel=1e-9)


Move = Command | float | tuple[str, float]
MOVES = st.lists(
    st.one_of(st.sampled_from(Command), st.floats(0.1, 20), st.tuples(st.just("speed_setpoint"), st.floats(0, 60))),
    max_size=25,
)


@settings(deadline=None, max_examples=40)
@given(MOVES)
def test_meters_never_fall_and_energy_is_the_integral_of_power(moves: list[Move]) -> None:
    press = machine()
    energy, cycles, scrap, integral = 0.0, 0.0, 0.0, 0.0

    def each() -> None:
        nonlocal energy, cycles, scrap, integral
        # The condition's power is what the meter sees: the reading without the sensor's noise.
        power: Any = press._signals["power"]
        integral += power.value * DT_S / SECONDS_PER_HOUR
        now = value(press, "energy"), value(press, "cycle_count"), value(press, "scrap_count")
        assert now[0] >= energy
        assert now[1] >= cycles
        assert now[2] >= scrap
        assert now[2] <= now[1]
        energy, cycles, scrap = now

    for move in moves:
        if isinstance(move, Command):
            if press.packml.allows(move):
                press.command(move)
        elif isinstance(move, float):
            run(press, move, each)
        else:
            press.write(TAGS[move[0]], move[1])
    assert energy == pytest.approx(integral, rel=1e-9)


def test_same_seed_same_machine_and_reading_changes_nothing() -> None:
    one, two, other = machine(seed=7), machine(seed=7), machine(seed=8)
    for _ in range(2000):
        for press in (one, two, other):
            press.step(DT_S)
        one.read(TAGS["power"])
    assert one.snapshot() == two.snapshot()
    assert [machine(seed=7).read(TAGS["power"])] == [machine(seed=7).read(TAGS["power"])]
    assert machine(seed=7).read(TAGS["power"]) != machine(seed=8).read(TAGS["power"])
    assert one.snapshot()["values"]["scrap_count"] != other.snapshot()["values"]["scrap_count"]


def test_snapshot_and_restore_continue() -> None:
    press = machine()
    run(press, 30)
    press.write(TAGS["packml_command"], Command.HOLD)
    run(press, 5)
    again = machine()
    again.restore(press.snapshot())
    assert again.snapshot() == press.snapshot()
    assert again.packml.state is State.HELD
    assert again.condition.speed == 0


@pytest.mark.parametrize(
    ("name", "wrong", "kind"),
    [
        ("power", 5.0, WriteRefusedError.NOT_WRITABLE),
        ("speed_setpoint", 61.0, WriteRefusedError.OUT_OF_RANGE),
        ("speed_setpoint", float("nan"), WriteRefusedError.OUT_OF_RANGE),
        ("packml_command", 10, WriteRefusedError.OUT_OF_RANGE),
        ("packml_command", 0, WriteRefusedError.OUT_OF_RANGE),
        ("packml_command", 3.5, WriteRefusedError.WRONG_TYPE),
        ("packml_command", Command.UNHOLD, WriteRefusedError.WRONG_STATE),
    ],
)
def test_refused_writes_change_nothing(name: str, wrong: float, kind: str) -> None:
    press = machine()
    before = press.snapshot()
    with pytest.raises(WriteRefusedError) as refused:
        press.write(TAGS[name], wrong)
    assert refused.value.kind == kind
    assert press.snapshot() == before


def test_a_refused_command_does_not_read_back_as_the_same_one_accepted_before() -> None:
    press = machine()
    press.write(TAGS["packml_command"], Command.STOP)
    assert value(press, "packml_command") == Command.STOP
    with pytest.raises(WriteRefusedError):
        press.write(TAGS["packml_command"], Command.STOP)
    assert value(press, "packml_command") == 0
    assert value(press, "packml_state") == State.STOPPING


def test_a_command_is_shown_as_the_last_one_and_takes_effect() -> None:
    press = machine()
    press.write(TAGS["packml_command"], Command.HOLD)
    assert value(press, "packml_command") == Command.HOLD
    assert value(press, "packml_state") == State.HOLDING
    run(press, 2)
    assert value(press, "packml_state") == State.HELD


@pytest.mark.parametrize(
    ("tag", "simulate", "message"),
    [
        ("force", {"kind": "magic"}, "simulate.kind is 'magic'"),
        ("force", {"kind": "analog", "idle": 1, "running": 2}, "wrong parameters for analog"),
        ("energy", {"kind": "energy", "of": "force"}, "no tag of kind power"),
    ],
)
def test_what_cannot_be_simulated_is_named(tag: str, simulate: dict[str, Any], message: str) -> None:
    file = plant()
    tags = {**file["device_classes"]["press"]["tags"]}
    tags[tag] = {**tags[tag], "simulate": simulate}
    file["device_classes"] = {"press": {"tags": tags}}
    with pytest.raises(RegistryError, match=message):
        Machine(parse_devices(file)[0], seed=1)


def test_types_on_the_wire() -> None:
    press = machine()
    assert {name: type(press.read(tag)) for name, tag in TAGS.items() if tag.data_type == "INTEGER"} == dict.fromkeys(
        ("packml_state", "packml_command", "cycle_count", "scrap_count", "watchdog"), int
    )
    assert isinstance(press.read(tag_of(DEVICE, "closed")), bool)
    assert isinstance(press.read(tag_of(DEVICE, "speed_setpoint")), float)
