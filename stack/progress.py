"""Whether a job makes progress: two readings of its counters, compared. Pure.

Enters: `Reading`s, taken by `stack.job_counters.JobCounters.reading`. Leaves: an `Advance` between two of them. A job that exists and is
RUNNING may do nothing at all; one that advances completes checkpoints, and reads from every source that has records waiting.
Called by `deploy` (does the new code work?) and by whoever watches the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCount:
    """A source's counters: `records` read, `pending` records that wait to be read; None when it is not known."""

    records: int
    pending: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Counters of one job at one moment.

    `completed` counts checkpoints and savepoints of this submission of the job. `attempt` rises with every restart of a task, and the
    sources' counters begin at zero again with it. Flink's counters of records lag by `metrics.fetcher.update-interval`. `checkpoint_ms`
    is when the newest checkpoint was complete, milliseconds since 1970, 0 without one.
    """

    job_id: str
    state: str
    attempt: int
    completed: int
    sources: Mapping[str, SourceCount] = field(default_factory=dict)
    checkpoint_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance:
    """What happened between two readings.

    `checkpoints` completed, `records` read by all sources together, `restarted` (a task, or the whole job), `standing`: sources that
    had records waiting at both readings and read none.
    """

    checkpoints: int
    records: int
    restarted: bool
    standing: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the job makes progress: a checkpoint was completed, and no source stands before waiting records."""
        return self.checkpoints > 0 and not self.standing

    def __str__(self) -> str:
        parts = [f"{self.checkpoints} checkpoints completed", f"{self.records} records read"]
        if self.standing:
            parts.append(f"records wait and are not read at {', '.join(self.standing)}")
        if self.restarted:
            parts.append("tasks were restarted")
        return ", ".join(parts)


def compare(before: Reading, now: Reading) -> Advance:
    """What happened from `before` to `now`; after a new submission (another job id) everything counts from zero."""
    same_job = before.job_id == now.job_id
    restarted = not same_job or before.attempt != now.attempt
    read = {name: _read(before.sources.get(name), source, restarted) for name, source in now.sources.items()}
    standing = [
        name
        for name, source in now.sources.items()
        if source.pending and name in before.sources and before.sources[name].pending and not read[name]
    ]
    return Advance(
        checkpoints=now.completed - before.completed if same_job else now.completed,
        records=sum(read.values()),
        restarted=restarted,
        standing=tuple(standing),
    )


def _read(before: SourceCount | None, now: SourceCount, restarted: bool) -> int:
    """Records read since; a counter that began again counts from zero, seen by itself when the restart was not."""
    if before is None or restarted or now.records < before.records:
        return now.records
    return now.records - before.records
