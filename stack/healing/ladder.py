"""Steps to heal a job, one after the other and with growing pauses, until it advances. Pure; the clock is a parameter.

Enters: the job's condition, look by look. Leaves: the next `Step` when one is due. Called by the job keeper, which takes the step.

A job that restarts or stands gets a fresh TaskManager (its process may be what is broken), then is submitted again from its newest
restore point, then from an earlier one, then the same again with longer pauses and from points further back; it is never given up.
A job that is absent is submitted at once from its newest restore point: a JobManager that died forgot it. If it is absent again without
having advanced, the restore point is the suspect, and the one before is next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from stack.healing.assessment import Condition


class Act(StrEnum):
    """What can be done for a job."""

    RESTART_TASKMANAGER = "restart of its TaskManager"
    RESUBMIT = "resubmission"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step. `back`: from how many restore points before the newest a resubmission goes on."""

    act: Act
    back: int = 0

    def __str__(self) -> str:
        if self.act is Act.RESTART_TASKMANAGER:
            return str(self.act)
        place = {0: "the newest restore point", 1: "the restore point before the newest"}
        return f"{self.act} from {place.get(self.back, f'the restore point {self.back} before the newest')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pauses:
    """Time between steps, seconds.

    `first_s` after the first one, doubled with each to `most_s`; it must let a job start and complete a checkpoint. For an absent job,
    which has failed already, the pauses begin at `absent_s`. A job that has advanced for `steady_s` is healed: the pauses begin anew.
    """

    first_s: float = 45.0
    absent_s: float = 4.0
    most_s: float = 600.0
    steady_s: float = 60.0


class _Next(Enum):
    """Which step comes next, if the job needs one."""

    TASKMANAGER = auto()
    NEWEST = auto()
    EARLIER = auto()


@dataclass(kw_only=True)
class Ladder:
    """Where one job is on its way up. `taken` counts the steps since the job was last healed, for the pauses."""

    pauses: Pauses = field(default_factory=Pauses)
    taken: int = 0
    _next: _Next = _Next.TASKMANAGER
    _rounds: int = 0
    _step_s: float | None = None
    _advancing_since_s: float | None = None

    def due(self, now_s: float, condition: Condition) -> Step | None:
        """The step to take now, if one is due; it is the same until `took` is called."""
        if condition is Condition.ADVANCING:
            self._advances(now_s)
            return None
        self._advancing_since_s = None
        if condition is Condition.STARTING or now_s < self.next_s(condition):
            return None
        return self.next(condition)

    def next_s(self, condition: Condition) -> float:
        """Time before which no step is due."""
        if self._step_s is None or not self.taken:
            return 0.0
        first_s = self.pauses.absent_s if condition is Condition.ABSENT else self.pauses.first_s
        return self._step_s + min(first_s * 2.0 ** min(self.taken - 1, 16), self.pauses.most_s)

    def took(self, now_s: float, step: Step) -> None:
        """A step was taken, with or without success."""
        self._step_s = now_s
        self.taken += 1
        if step.act is Act.RESTART_TASKMANAGER:
            self._next = _Next.NEWEST
        elif step.back == 0:
            self._next = _Next.EARLIER
        else:
            self._next, self._rounds = _Next.TASKMANAGER, self._rounds + 1

    def next(self, condition: Condition) -> Step:
        """The step that comes next, whenever it is due."""
        if self._next is _Next.EARLIER:
            return Step(act=Act.RESUBMIT, back=1 + self._rounds)
        # Of an absent job nothing runs anywhere that could be restarted.
        if self._next is _Next.NEWEST or condition is Condition.ABSENT:
            return Step(act=Act.RESUBMIT)
        return Step(act=Act.RESTART_TASKMANAGER)

    def _advances(self, now_s: float) -> None:
        """Progress: the next fault begins at the first step; its pauses are long only if the last one was a moment ago."""
        self._next, self._rounds = _Next.TASKMANAGER, 0
        if self._advancing_since_s is None:
            self._advancing_since_s = now_s
        if now_s - self._advancing_since_s >= self.pauses.steady_s:
            self.taken = 0
