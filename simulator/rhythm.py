"""The people around a machine: shifts, breaks, small stops, jams, and bringing it back.

Pure: `Operator.decide` says which PackML command the crew would give now, if any. Whoever commands from outside has the last word: after a
stop, hold, suspend, abort, reset or clear from there the crew leaves the machine alone until a start, unhold or unsuspend comes from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from simulator.packml import Command, State

_HANDS_OVER = frozenset({Command.START, Command.UNHOLD, Command.UNSUSPEND})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rhythm:
    """How a plant works. Shifts of different lines are staggered; a shift begins with a handover and has one break in its middle."""

    enabled: bool = True
    shift_s: float = 28_800.0
    handover_s: float = 300.0
    break_s: float = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """An unplanned stop: every `mean_s` seconds of running on average, for between `shortest_s` and `longest_s`."""

    command: Command
    mean_s: float
    shortest_s: float
    longest_s: float


STOPS = (
    Stop(command=Command.SUSPEND, mean_s=1_800, shortest_s=8, longest_s=30),  # starved or blocked
    Stop(command=Command.HOLD, mean_s=7_200, shortest_s=20, longest_s=60),  # somebody has to look
    Stop(command=Command.ABORT, mean_s=28_800, shortest_s=60, longest_s=180),  # jam
)

_BACK_TO_WORK = {
    State.STOPPED: Command.RESET,
    State.COMPLETE: Command.RESET,
    State.IDLE: Command.START,
    State.HELD: Command.UNHOLD,
    State.SUSPENDED: Command.UNSUSPEND,
    State.ABORTED: Command.CLEAR,
}


class Operator:
    """The crew of one machine."""

    def __init__(self, rhythm: Rhythm, *, seed: int, line: str, device: str) -> None:
        self._rhythm = rhythm
        self._offset_s = Random(f"{seed}/{line}/shift").random() * rhythm.shift_s
        self._random = Random(f"{seed}/{device}/crew")
        self._due_s = {stop: self._next(stop, 0.0) for stop in STOPS}
        self._ran_s = 0.0
        self._wait_until_s = 0.0
        self.hands_off = not rhythm.enabled

    def overruled(self, command: Command) -> None:
        """Somebody outside gave a command."""
        self.hands_off = not self._rhythm.enabled or command not in _HANDS_OVER

    def decide(self, time_us: int, state: State, dt_s: float) -> Command | None:
        """Command that the crew gives now. Called once a tick of `dt_s` seconds."""
        if self.hands_off:
            return None
        now_s = time_us / 1e6
        position_s = (now_s + self._offset_s) % self._rhythm.shift_s
        if position_s < self._rhythm.handover_s:
            return Command.STOP if state in {State.EXECUTE, State.IDLE, State.HELD, State.SUSPENDED} else None
        if 0 <= position_s - self._rhythm.shift_s / 2 < self._rhythm.break_s:
            return Command.SUSPEND if state is State.EXECUTE else None
        if state is State.EXECUTE:
            return self._stop(now_s, dt_s)
        return _BACK_TO_WORK.get(state) if now_s >= self._wait_until_s else None

    def _stop(self, now_s: float, dt_s: float) -> Command | None:
        self._ran_s += dt_s
        for stop, due_s in self._due_s.items():
            if self._ran_s >= due_s:
                self._due_s[stop] = self._next(stop, self._ran_s)
                self._wait_until_s = now_s + self._random.uniform(stop.shortest_s, stop.longest_s)
                return stop.command
        return None

    def _next(self, stop: Stop, ran_s: float) -> float:
        return ran_s + self._random.expovariate(1.0 / stop.mean_s)
