"""The job keeper's numbers for Prometheus: the jobs as it saw them last, and the steps that it took.

Enters: the keeper shows its jobs after every round, and each step. Leaves: metric families, read in the endpoint's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from stack.healing.assessment import Condition
from stack.healing.ladder import Act, Step

_PREFIX = "millrace_keeper"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobNumbers:
    """One job as the keeper saw it last.

    `ladder_step` counts the steps since it was last healed, 0 when it is well; `held` says that a step is due and not taken, because what
    the job needs is away; `checkpoint_s` is when its newest checkpoint was complete, seconds since 1970, 0 when none is known.
    """

    condition: Condition
    ladder_step: int
    held: bool
    checkpoint_s: float


class KeeperMetrics(Collector):
    """Counters and gauges in `registry`. `clock` is seconds since 1970."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._jobs: Mapping[str, JobNumbers] = {}
        self._steps = Counter(
            f"{_PREFIX}_steps", "Steps taken to heal a job", ("job", "step", "outcome"), registry=registry
        )
        registry.register(self)

    def show(self, jobs: Mapping[str, JobNumbers]) -> None:
        """All jobs that ought to run, as they are now."""
        self._jobs = dict(jobs)

    def took(self, job: str, step: Step, *, failed: bool) -> None:
        """A step was taken."""
        self._steps.labels(job, kind(step), "failed" if failed else "done").inc()

    def describe(self) -> Iterator[Metric]:
        """Nothing: there is no job yet when it is registered."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """The families, now."""
        jobs = self._jobs
        conditions = GaugeMetricFamily(
            f"{_PREFIX}_job_condition", "1 for the condition that a job is in", labels=("job", "condition")
        )
        for name, job in jobs.items():
            for condition in Condition:
                conditions.add_metric((name, condition), float(job.condition is condition))
        yield conditions
        now_s = self._clock()
        ages_s = {name: max(0.0, now_s - job.checkpoint_s) for name, job in jobs.items() if job.checkpoint_s}
        yield _gauge(
            "ladder_step",
            "Steps taken since the job was last healed; 0 when it is well",
            {name: job.ladder_step for name, job in jobs.items()},
        )
        yield _gauge(
            "job_held",
            "1 while a step is due and not taken, because what the job needs is away",
            {name: job.held for name, job in jobs.items()},
        )
        yield _gauge("checkpoint_age_seconds", "Age of the job's newest complete checkpoint", ages_s)


def kind(step: Step) -> str:
    """A step as a label."""
    if step.act is Act.RESTART_TASKMANAGER:
        return "restart_taskmanager"
    return "resubmit_earlier" if step.back else "resubmit_newest"


def _gauge(name: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=("job",))
    for job, value in values.items():
        family.add_metric((job,), float(value))
    return family
