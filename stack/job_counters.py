"""A job's counters as Flink keeps them, for `stack.progress`, look by look.

Every question costs the JobManager some milliseconds of a processor, and the keeper looks at all jobs for ever. So what cannot change as
long as no task came to another state is asked once: which vertices are sources, what their metrics are called, and the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

from stack.flink_rest import FlinkJob, FlinkRest
from stack.progress import Reading, SourceCount

_RECORDS, _PENDING = "numRecordsOut", "pendingRecords"


@dataclass(kw_only=True, slots=True)
class _Known:
    """What holds for a job until `changed_ms` is another; `metrics` of a source's vertex by name of the source and counter."""

    job_id: str
    changed_ms: int
    attempt: int
    metrics: dict[str, dict[tuple[str, str], str]]


class JobCounters:
    """Readings of the jobs of one JobManager."""

    def __init__(self, rest: FlinkRest) -> None:
        self._rest = rest
        self._known: dict[str, _Known] = {}

    def reading(self, job: FlinkJob) -> Reading:
        """Counters of checkpoints and sources now. FlinkUnavailableError, or StackError when Flink has forgotten the job."""
        if job.state == "INITIALIZING":  # it has no tasks yet that could be asked
            return Reading(job_id=job.id, state=job.state, attempt=0, completed=0)
        known = self._known.get(job.name)
        if known is None or (known.job_id, known.changed_ms) != (job.id, job.changed_ms):
            known = self._known[job.name] = _Known(
                job_id=job.id,
                changed_ms=job.changed_ms,
                attempt=self._rest.restarts(job.id),
                metrics={vertex: {} for vertex in self._rest.sources(job.id)},
            )
        sources: dict[str, SourceCount] = {}
        for vertex in known.metrics:
            sources |= self._counts(known, vertex)
        checkpoints = self._rest.checkpoints(job.id)
        return Reading(
            job_id=job.id,
            state=job.state,
            attempt=known.attempt,
            completed=checkpoints.completed,
            sources=sources,
            checkpoint_ms=checkpoints.newest_ms,
        )

    def _counts(self, known: _Known, vertex: str) -> dict[str, SourceCount]:
        """Counters of the sources in one vertex, summed over its subtasks.

        Sources have their own among the metrics of a task, `Source__NAME.numRecordsOut`; a Kafka source has `pendingRecords` too, as
        soon as it has read something. Nothing is known of a task that has just started.
        """
        metrics = known.metrics[vertex]
        if not metrics or any((name, _PENDING) not in metrics for name, _ in metrics):
            metrics = known.metrics[vertex] = {
                (name, counter): metric
                for metric in self._rest.metric_ids(known.job_id, vertex)
                for name, _, counter in [metric.rpartition(".")]
                if name.startswith("Source__") and counter in (_RECORDS, _PENDING)
            }
        values = self._rest.metric_values(known.job_id, vertex, metrics.values())
        return {
            name.removeprefix("Source__"): SourceCount(
                records=values[metric], pending=values.get(metrics.get((name, _PENDING), ""))
            )
            for (name, counter), metric in metrics.items()
            if counter == _RECORDS and metric in values
        }
