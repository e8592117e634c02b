"""The PackML state machine against the standard's table, and through whole lives."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.packml import ACTING_S, COMPLETIONS, TRANSITIONS, Command, PackML, State

WAITING = set(State) - set(COMPLETIONS) - {State.EXECUTE}


def test_every_acting_state_ends_and_only_those() -> None:
    assert set(ACTING_S) == set(COMPLETIONS)
    assert {State.STOPPED, State.IDLE, State.SUSPENDED, State.ABORTED, State.HELD, State.COMPLETE} == WAITING
    assert set(COMPLETIONS.values()) == WAITING | {State.EXECUTE}


@pytest.mark.parametrize(("state", "command"), list(product(State, Command)))
def test_table_is_followed_and_everything_else_refused(state: State, command: Command) -> None:
    machine = PackML(state)
    expected = TRANSITIONS.get((state, command))
    assert machine.allows(command) == (expected is not None)
    assert machine.command(command) == (expected is not None)
    assert machine.state is (state if expected is None else expected)


def test_abort_works_from_everywhere_but_abort_and_stop_not_from_what_has_stopped() -> None:
    assert {s for s in State if not PackML(s).allows(Command.ABORT)} == {State.ABORTING, State.ABORTED}
    stopped = {State.STOPPED, State.STOPPING, State.ABORTING, State.ABORTED, State.CLEARING}
    assert {s for s in State if not PackML(s).allows(Command.STOP)} == stopped


@pytest.mark.parametrize("state", sorted(COMPLETIONS))
def test_acting_states_take_their_time(state: State) -> None:
    machine = PackML(state)
    machine.advance(ACTING_S[state] / 2)
    assert machine.state is state
    machine.advance(ACTING_S[state] / 2)
    assert machine.state is COMPLETIONS[state]


def test_from_stopped_to_execute_and_to_complete() -> None:
    machine = PackML(State.STOPPED)
    visited = []
    for command in (Command.RESET, Command.START):
        assert machine.command(command)
        machine.advance(10)
        visited.append(machine.state)
    assert machine.finish()
    assert not machine.finish()
    machine.advance(10)
    assert [*visited, machine.state] == [State.IDLE, State.EXECUTE, State.COMPLETE]


@given(st.lists(st.one_of(st.sampled_from(Command), st.floats(0.01, 5)), max_size=60))
def test_never_leaves_the_table(moves: list[Command | float]) -> None:
    machine = PackML()
    for move in moves:
        before = machine.state
        if isinstance(move, Command):
            machine.command(move)
            assert machine.state is TRANSITIONS.get((before, move), before)
        else:
            machine.advance(move)
            assert machine.state in {before, COMPLETIONS.get(before, before)}
