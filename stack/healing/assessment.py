"""What state a job is in, told by its progress and not by its existence. Pure; the clock is a parameter.

Enters: what Flink says of a job, look by look, each with its time. Leaves: a `Condition` per look. Called by the job keeper.

A job advances when it completes checkpoints and no source stands before records that wait. A job whose input is empty advances as well:
its checkpoints complete. The time without progress is the time that was looked at: a look counts for no more than `MOST_PER_LOOK_S`,
so that a keeper that slept, or waited for a deployment or for the JobManager, does not take its own absence for a job's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stack.progress import Reading, compare

MOST_PER_LOOK_S = 10.0


class Condition(StrEnum):
    """State of a job that is supposed to run."""

    ADVANCING = "advancing"
    """It makes progress, or has nothing to do and completes its checkpoints."""
    STARTING = "starting"
    """No progress yet since it was submitted or restarted; there is still time."""
    FAILING = "failing"
    """It restarts again and again without progress."""
    STANDING = "standing"
    """It does not restart, and makes no progress either."""
    ABSENT = "absent"
    """Flink does not know it, or it has ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """When a lack of progress is a fault.

    `restarts` within a time of `failing_s` or more: a TaskManager that was killed once or twice is not a job that fails for ever.
    `standing_s` covers a checkpoint that takes its time, and a start on a busy machine. `fresh_s`: so long after its newest
    progress a job that was not restarted still counts as advancing; a few checkpoint intervals.
    """

    restarts: int = 3
    failing_s: float = 15.0
    standing_s: float = 120.0
    fresh_s: float = 30.0


@dataclass(kw_only=True)
class Assessment:
    """Memory of one job's progress between looks."""

    bounds: Bounds = field(default_factory=Bounds)
    _progress: Reading | None = None
    """The reading of the newest progress, or the first one of this submission."""
    _advanced: bool = False
    _without_s: float = 0.0
    _before_s: float | None = None

    def look(self, now_s: float, reading: Reading | None) -> Condition:
        """Take one look in; `reading` is None when there is no live job."""
        passed_s = 0.0 if self._before_s is None else min(now_s - self._before_s, MOST_PER_LOOK_S)
        self._before_s = now_s
        if reading is None:
            self._progress, self._advanced, self._without_s = None, False, 0.0
            return Condition.ABSENT
        if self._progress is None or self._progress.job_id != reading.job_id:
            self._progress, self._advanced, self._without_s = reading, False, 0.0
            return Condition.STARTING
        advance = compare(self._progress, reading)
        if advance.good:
            self._progress, self._advanced, self._without_s = reading, True, 0.0
            return Condition.ADVANCING
        self._without_s += passed_s
        return self._condition(reading, restarted=advance.restarted)

    def trust(self, reading: Reading) -> None:
        """Take over a job that advanced when it was last looked at, by somebody else."""
        self._progress, self._advanced, self._without_s = reading, True, 0.0

    def forgive(self) -> None:
        """Begin to count anew: something was done for the job, or the cause lies elsewhere."""
        self._progress, self._advanced, self._without_s = None, False, 0.0

    @property
    def without_s(self) -> float:
        """Time without progress that was looked at, seconds."""
        return self._without_s

    def _condition(self, reading: Reading, *, restarted: bool) -> Condition:
        assert self._progress is not None
        restarts = reading.attempt - self._progress.attempt
        if restarts >= self.bounds.restarts and self._without_s >= self.bounds.failing_s:
            return Condition.FAILING
        if self._without_s >= self.bounds.standing_s:
            return Condition.STANDING
        if self._advanced and not restarted and self._without_s <= self.bounds.fresh_s:
            return Condition.ADVANCING
        return Condition.STARTING
