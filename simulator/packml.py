"""PackML state machine (ISA-TR88.00.02): states, commands, and the acting states in between.

Pure: time enters through `advance`. A command that the current state does not allow is refused, never queued.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """StateCurrent, numbered as in the standard."""

    CLEARING = 1
    STOPPED = 2
    STARTING = 3
    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    STOPPING = 7
    ABORTING = 8
    ABORTED = 9
    HOLDING = 10
    HELD = 11
    UNHOLDING = 12
    SUSPENDING = 13
    UNSUSPENDING = 14
    RESETTING = 15
    COMPLETING = 16
    COMPLETE = 17


class Command(IntEnum):
    """CntrlCmd, numbered as in the standard."""

    RESET = 1
    START = 2
    STOP = 3
    HOLD = 4
    UNHOLD = 5
    SUSPEND = 6
    UNSUSPEND = 7
    ABORT = 8
    CLEAR = 9


_CANNOT_STOP = {State.CLEARING, State.STOPPED, State.STOPPING, State.ABORTING, State.ABORTED}
_CANNOT_ABORT = {State.ABORTING, State.ABORTED}

TRANSITIONS: dict[tuple[State, Command], State] = {
    (State.STOPPED, Command.RESET): State.RESETTING,
    (State.COMPLETE, Command.RESET): State.RESETTING,
    (State.IDLE, Command.START): State.STARTING,
    (State.EXECUTE, Command.HOLD): State.HOLDING,
    (State.HELD, Command.UNHOLD): State.UNHOLDING,
    (State.EXECUTE, Command.SUSPEND): State.SUSPENDING,
    (State.SUSPENDED, Command.UNSUSPEND): State.UNSUSPENDING,
    (State.ABORTED, Command.CLEAR): State.CLEARING,
    **{(state, Command.STOP): State.STOPPING for state in State if state not in _CANNOT_STOP},
    **{(state, Command.ABORT): State.ABORTING for state in State if state not in _CANNOT_ABORT},
}
"""What a command does in a state. A pair that is missing is refused."""

COMPLETIONS: dict[State, State] = {
    State.CLEARING: State.STOPPED,
    State.STARTING: State.EXECUTE,
    State.STOPPING: State.STOPPED,
    State.ABORTING: State.ABORTED,
    State.HOLDING: State.HELD,
    State.UNHOLDING: State.EXECUTE,
    State.SUSPENDING: State.SUSPENDED,
    State.UNSUSPENDING: State.EXECUTE,
    State.RESETTING: State.IDLE,
    State.COMPLETING: State.COMPLETE,
}
"""Where an acting state ends by itself (the standard's SC)."""

ACTING_S: dict[State, float] = {
    State.CLEARING: 2.0,
    State.STARTING: 3.0,
    State.STOPPING: 3.0,
    State.ABORTING: 0.5,
    State.HOLDING: 1.5,
    State.UNHOLDING: 1.5,
    State.SUSPENDING: 1.5,
    State.UNSUSPENDING: 1.5,
    State.RESETTING: 2.0,
    State.COMPLETING: 2.0,
}
"""How long each acting state takes."""

MOVING = frozenset({State.EXECUTE, State.STARTING, State.UNHOLDING, State.UNSUSPENDING, State.COMPLETING})
"""States in which the drive runs towards its setpoint; in all others it runs down."""


class PackML:
    """One machine's state. Starts in EXECUTE by default: a plant that is looked at is usually running."""

    __slots__ = ("_acting_s", "state")

    def __init__(self, state: State = State.EXECUTE) -> None:
        self.state = state
        self._acting_s = 0.0

    def allows(self, command: Command) -> bool:
        """Whether the current state allows a command."""
        return (self.state, command) in TRANSITIONS

    def command(self, command: Command) -> bool:
        """Carry a command out; False when the current state does not allow it."""
        target = TRANSITIONS.get((self.state, command))
        if target is None:
            return False
        self._enter(target)
        return True

    def finish(self) -> bool:
        """The batch is done (EXECUTE to COMPLETING); False in any other state."""
        if self.state is not State.EXECUTE:
            return False
        self._enter(State.COMPLETING)
        return True

    def advance(self, dt_s: float) -> None:
        """Let `dt_s` seconds pass; an acting state whose time is over moves on."""
        target = COMPLETIONS.get(self.state)
        if target is None:
            return
        self._acting_s += dt_s
        # A tick's rounding error must not add a whole tick.
        if self._acting_s >= ACTING_S[self.state] - 1e-9:
            self._enter(target)

    def _enter(self, state: State) -> None:
        self.state = state
        self._acting_s = 0.0
