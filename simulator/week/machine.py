"""What one machine does in the week: its PackML states, without gaps, and its cycles; and what a person says of its stops.

A shift begins with a handover, has a break in its middle, and goes through short stops, holds, breakdowns and the
changeovers of its jobs. A stop that outlasts its shift goes on into the next one.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from simulator.packml import ACTING_S, State
from simulator.week import plan
from simulator.week.model import HOUR_US, MINUTE_US, SECOND_US, Cycle, Job, Machine, Phase, Shift, StateInterval, Word

BREAK_US = 30 * MINUTE_US
HELD_REASONS = ("process/tool", "process/measuring", "material/missing")
ABORT_REASONS = ("mechanical/bearing", "mechanical/spindle", "electrical/drive", "process/tool")
SCRAP_REASONS = ("dimension", "surface", "")


class Stop(NamedTuple):
    """A kind of unplanned stop: every `mean_h` hours of running on average, for between `shortest_min` and `longest_min` minutes."""

    into: State
    rest: State
    back: tuple[State, ...]
    mean_h: float
    shortest_min: float
    longest_min: float


_RESTART = (State.RESETTING, State.IDLE, State.STARTING)
STOPS = (
    Stop(State.SUSPENDING, State.SUSPENDED, (State.UNSUSPENDING,), 1.1, 0.7, 5.0),
    Stop(State.HOLDING, State.HELD, (State.UNHOLDING,), 5.0, 3.0, 14.0),
    Stop(State.ABORTING, State.ABORTED, (State.CLEARING, State.STOPPED, *_RESTART), 16.0, 14.0, 80.0),
)
_PASSING_S = {State.IDLE: (20.0, 90.0), State.STOPPED: (30.0, 120.0)}


class Course:
    """The course of one machine, built from left to right."""

    def __init__(
        self, path: str, shifts: list[Shift], jobs: list[Job], maintenance: list[Phase], start_us: int, end_us: int, *, seed: int
    ) -> None:  # fmt: skip
        self.machine = Machine(path=path)
        self.words: list[Word] = []
        self._random = Random(f"{seed}/{path}/week")
        self._shifts, self._jobs, self._maintenance = shifts, jobs, maintenance
        self._now_us, self._end_us = start_us, end_us
        self._slow = (start_us + 57 * HOUR_US, start_us + 62 * HOUR_US) if path == plan.BATCH_DEVICE else (0, 0)
        self._due_us = {stop: self._next(stop) for stop in STOPS}
        self._ran_us = 0

    def run(self) -> None:
        """Fill the whole range."""
        changeovers = [job.start_us for job in self._jobs]
        for shift in self._shifts:
            self._rest(State.STOPPED, shift.start_us)
            if self._now_us < shift.end_us:
                self._shift(shift, changeovers)
        self._rest(State.STOPPED, self._end_us)

    def _shift(self, shift: Shift, changeovers: list[int]) -> None:
        self._pass(*_RESTART)
        middle_us = (shift.start_us + shift.end_us) // 2
        pauses = [(middle_us, middle_us + BREAK_US, "planned/break")]
        pauses += [(work.start_us, work.end_us, "planned/maintenance") for work in self._maintenance]
        pauses = sorted(pause for pause in pauses if self._now_us < pause[0] < shift.end_us)
        due = sorted(at for at in changeovers if self._now_us <= at < shift.end_us)
        while self._now_us < shift.end_us:
            until_us = min([shift.end_us, *(low for low, *_ in pauses[:1]), *due[:1]])
            if self._now_us < until_us:
                self._execute(until_us)
            elif due and due[0] <= self._now_us:
                due.pop(0)
                self._changeover()
            elif pauses and pauses[0][0] <= self._now_us:
                low_us, high_us, reason = pauses.pop(0)
                if self._now_us < high_us:
                    self._pause(low_us, high_us, reason)
        self._pass(State.STOPPING)

    def _execute(self, until_us: int) -> None:
        """Run until a stop is due or until `until_us`."""
        stop, due_us = min(self._due_us.items(), key=lambda item: item[1])
        left_us = due_us - self._ran_us
        if self._now_us + left_us >= until_us:
            self._produce(until_us)
            return
        self._produce(self._now_us + left_us)
        self._due_us[stop] = self._next(stop)
        began_us = self._now_us
        self._pass(stop.into)
        self._rest(stop.rest, self._now_us + self._ms(self._random.uniform(stop.shortest_min, stop.longest_min) * 60))
        ended_us = self._now_us
        self._pass(*stop.back)
        if stop.rest is State.ABORTED:
            self.words.append(self._word(began_us, self._now_us, self._random.choice(ABORT_REASONS)))
        elif stop.rest is State.HELD and self._random.random() < 0.6:
            self.words.append(self._word(began_us, ended_us, self._random.choice(HELD_REASONS)))

    def _changeover(self) -> None:
        began_us = self._now_us
        self._pass(State.COMPLETING)
        self._rest(State.COMPLETE, self._now_us + self._ms(self._random.uniform(22, 45) * 60))
        self._pass(*_RESTART)
        self.words.append(self._word(began_us, self._now_us, "setup/changeover"))

    def _pause(self, low_us: int, high_us: int, reason: str) -> None:
        """A planned stop; its word covers what was planned, whatever the machine did."""
        self._pass(State.SUSPENDING)
        self._rest(State.SUSPENDED, high_us)
        self._pass(State.UNSUSPENDING)
        self.words.append(self._word(low_us, high_us, reason))

    def _produce(self, until_us: int) -> None:
        start_us = at_us = self._now_us
        until_us = min(until_us, self._end_us)
        while True:
            material = next((j.material for j in self._jobs if j.start_us <= at_us < (j.end_us or self._end_us)), "")
            seconds = plan.ideal_s(self.machine.path, material) * (1.02 + self._random.expovariate(12.0))
            slow = self._slow[0] <= at_us < self._slow[1]
            duration_us = self._ms(seconds * (1.6 if slow else 1.0))
            if at_us + duration_us > until_us:
                break
            at_us += duration_us
            scrapped = self._random.random() < (0.045 if slow else 0.018)
            reason = self._random.choice(SCRAP_REASONS) if scrapped else ""
            self.machine.cycles.append(Cycle(at_us, duration_us, scrapped, reason))
        self._rest(State.EXECUTE, until_us)
        self._ran_us += self._now_us - start_us

    def _pass(self, *states: State) -> None:
        """Acting and short states, one after another."""
        for state in states:
            seconds = self._random.uniform(*_PASSING_S[state]) if state in _PASSING_S else ACTING_S[state]
            self._rest(state, self._now_us + self._ms(seconds))

    def _rest(self, state: State, until_us: int) -> None:
        until_us = min(until_us, self._end_us)
        if until_us <= self._now_us:
            return
        states = self.machine.states
        if states and states[-1].state is state:
            states[-1] = states[-1]._replace(end_us=until_us)
        else:
            states.append(StateInterval(state, self._now_us, until_us))
        self._now_us = until_us

    def _word(self, start_us: int, end_us: int, reason: str) -> Word:
        return Word(self.machine.path, start_us, end_us, reason)

    def _next(self, stop: Stop) -> int:
        return getattr(self, "_ran_us", 0) + self._ms(self._random.expovariate(1.0 / (stop.mean_h * 3600)))

    @staticmethod
    def _ms(seconds: float) -> int:
        return round(seconds * 1000) * (SECOND_US // 1000)
