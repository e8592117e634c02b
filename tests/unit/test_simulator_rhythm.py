"""The crew: shifts, breaks, stops, and keeping hands off when somebody outside commands."""

from __future__ import annotations

from simulator.packml import Command, PackML, State
from simulator.rhythm import Operator, Rhythm
from tests.unit.simulated_plant import START_US

DT_S = 0.5
DAY_S = 86_400


def crew(rhythm: Rhythm | None = None, seed: int = 3) -> Operator:
    return Operator(rhythm or Rhythm(), seed=seed, line="acme/north/a/l", device="north.press-01")


def work(operator: Operator, packml: PackML, seconds: float, *, from_us: int = START_US) -> dict[State, float]:
    """Seconds spent in each state."""
    spent: dict[State, float] = {}
    for step in range(int(seconds / DT_S)):
        command = operator.decide(from_us + int(step * DT_S * 1e6), packml.state, DT_S)
        if command is not None:
            assert packml.command(command)
        packml.advance(DT_S)
        spent[packml.state] = spent.get(packml.state, 0.0) + DT_S
    return spent


def test_a_day_has_three_shifts_with_handover_and_break() -> None:
    spent = work(crew(), PackML(), DAY_S)
    assert sum(spent.values()) == DAY_S
    assert spent[State.EXECUTE] > 0.9 * DAY_S
    assert 3 * 250 < spent[State.STOPPED] < 3 * 350
    assert spent[State.SUSPENDED] > 3 * 500
    assert State.HELD in spent
    assert State.ABORTED in spent


def test_same_seed_same_day() -> None:
    assert work(crew(), PackML(), 8 * 3600) == work(crew(), PackML(), 8 * 3600)
    assert work(crew(seed=3), PackML(), 8 * 3600) != work(crew(seed=4), PackML(), 8 * 3600)


def test_disabled_crew_does_nothing() -> None:
    assert work(crew(Rhythm(enabled=False)), PackML(State.STOPPED), 3600) == {State.STOPPED: 3600}


def test_a_stop_from_outside_stays_until_a_start_from_outside() -> None:
    operator, packml = crew(Rhythm(handover_s=0, break_s=0)), PackML()
    packml.command(Command.STOP)
    operator.overruled(Command.STOP)
    assert State.EXECUTE not in work(operator, packml, 7200)
    packml.command(Command.RESET)
    operator.overruled(Command.RESET)
    assert State.EXECUTE not in work(operator, packml, 600)
    assert packml.state is State.IDLE
    packml.command(Command.START)
    operator.overruled(Command.START)
    assert work(operator, packml, 60)[State.EXECUTE] > 50


def test_after_a_jam_the_crew_brings_the_machine_back() -> None:
    packml = PackML(State.ABORTED)
    operator = crew(Rhythm(handover_s=0, break_s=0))
    work(operator, packml, 20)
    assert packml.state is State.EXECUTE
