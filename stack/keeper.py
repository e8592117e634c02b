"""Job keeper: heals jobs that Flink forgot, that fail again and again, or that make no progress. Supervised, one per instance.

A standalone Flink session keeps its jobs in the JobManager's memory; when that process dies, supervisord restarts it empty, and the keeper
submits each job from its newest restore point. A job that is there is judged by its progress (`healing.assessment`) and, if it has none,
helped step by step (`healing.ladder`). A job that somebody stopped on purpose through `stack.jobs.stop` is left alone, and nothing
is done while somebody else holds the right to submit (a deployment), while the JobManager does not answer, or while what the job needs
is away: a job cannot advance without its broker or its database, and no step would help it.

The watch of the services looks after this process, and this process after the watch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from base import endpoint, heartbeat, logs
from stack import deploy, deployment, jobs, priority, prometheus, restore_points
from stack.config import StackConfig, load
from stack.errors import StackError
from stack.flink_rest import FlinkJob, FlinkRest, FlinkUnavailableError
from stack.healing import actions, record
from stack.healing.assessment import Assessment, Condition
from stack.healing.ladder import Ladder, Step
from stack.healing.metrics import JobNumbers, KeeperMetrics
from stack.healing.record import JobRecord, StepRecord
from stack.health.answer import Answer
from stack.health.watch import Watch
from stack.job_counters import JobCounters
from stack.line_state import last_line
from stack.reporting import Progress
from stack.services import HEALTH_WATCH, JOB_KEEPER, all_services
from stack.supervisor import Supervisor

NEEDS: Mapping[str, tuple[str, ...]] = {
    "commands": ("kafka",),
    "alarms": ("kafka",),
    "telemetry": ("kafka",),
    "historian": ("kafka", "postgres"),
}
"""Services without which a job cannot advance; its TaskManagers come on top."""
_PERIOD_S = 1.0
_LOOK_S = 5.0
"""A reading costs Flink a few requests and its TaskManagers a transfer of their counters."""
_WATCH_PERIOD_S = 3.0
# A deployment that is finished here, or steps for all jobs, take minutes.
_PATIENCE_S = 1800.0
_FAILED = "failed: "
_log = logging.getLogger("stack.keeper")


@dataclass(kw_only=True)
class _Kept:
    """What is remembered of one job."""

    assessment: Assessment = field(default_factory=Assessment)
    ladder: Ladder = field(default_factory=Ladder)
    looked_s: float = float("-inf")
    checkpoint_s: float = 0.0
    record: JobRecord | None = None


class Keeper:
    """All jobs of an instance. `clock` is monotonic seconds; `needs` as `NEEDS`; without `metrics` nobody sees its numbers."""

    def __init__(
        self,
        config: StackConfig,
        *,
        submit: actions.Submit = jobs.submit,
        clock: Callable[[], float] = time.monotonic,
        needs: Mapping[str, tuple[str, ...]] = NEEDS,
        metrics: KeeperMetrics | None = None,
    ) -> None:
        self._config, self._submit, self._clock, self._needs = config, submit, clock, needs
        self._metrics = metrics or KeeperMetrics(CollectorRegistry())
        self._rest = FlinkRest(config.flink_url)
        self._counters = JobCounters(self._rest)
        self._record = record.read(config)
        self._kept: dict[str, _Kept] = {}

    def round(self) -> list[StepRecord]:
        """Look at every job that ought to run, and take the steps that are due; raises FlinkUnavailableError."""
        with jobs.try_lock(self._config) as held:
            if not held:
                return []
            if (found := deployment.pending(self._config)) is not None:
                self._finish(found)
                return []
            live = self._rest.live_jobs()
            for name in jobs.JOBS:
                if jobs.flink_name(name) in live:
                    jobs.adopt(self._config, name, live[jobs.flink_name(name)].id)
            wanted = jobs.interrupted(self._config)
            self._kept = {name: self._kept.get(name, _Kept()) for name in wanted}
            due = {name: step for name in wanted if (step := self._due(name, live.get(jobs.flink_name(name))))}
            self._write([])
            # All at once: a JobManager that died forgot every job, and one submission does not keep two cores busy.
            with ThreadPoolExecutor(max_workers=len(jobs.JOBS)) as pool:
                outcomes = list(pool.map(self._take, due, due.values()))
            taken = [
                self._took(name, step, outcome)
                for (name, step), outcome in zip(due.items(), outcomes, strict=True)
                if outcome
            ]
            self._write(taken)
            if taken:
                restore_points.prune(self._config, live=[job.id for job in self._rest.jobs() if job.live])
            return taken

    def _finish(self, found: deployment.Deployment) -> None:
        """Go on with a deployment that was interrupted; the jobs are looked at anew after it."""
        _log.warning(
            "going on with a deployment that was interrupted", extra={"root": found.root, "phase": found.phase}
        )
        self._kept = {}
        deploy.resume(self._config, Progress(sink=_log.info), self._submit)

    def _due(self, name: str, job: FlinkJob | None) -> Step | None:
        """Look at a job; the step that is due for it."""
        kept, now_s = self._kept[name], self._clock()
        if job is not None and now_s - kept.looked_s < _LOOK_S:
            return None
        kept.looked_s = now_s
        reading = None if job is None else self._counters.reading(job)
        if reading is not None and reading.checkpoint_ms:
            kept.checkpoint_s = reading.checkpoint_ms / 1000
        before = self._record.jobs.get(name)
        known_id = before.job_id if before is not None and before.condition == Condition.ADVANCING else ""
        if kept.record is None and reading is not None and reading.job_id == known_id:
            kept.assessment.trust(reading)  # this keeper is new, the job is not
        condition = kept.assessment.look(now_s, reading)
        step = kept.ladder.due(now_s, condition)
        held = self._held_by(name) if step is not None and condition is not Condition.ABSENT else ""
        if held:
            kept.assessment.forgive()
            step = None
        kept.record = self._described(kept, condition, job, held=held)
        return step

    def _take(self, name: str, step: Step) -> str:
        """What came of a step; empty when the JobManager went away meanwhile, then it was none."""
        try:
            return actions.take(self._config, name, step, self._submit)
        except StackError as error:
            if not self._rest.alive():
                _log.warning("the JobManager went away during a step", extra={"job": name, "step": str(step)})
                return ""
            return f"{_FAILED}{last_line(str(error))}"

    def _took(self, name: str, step: Step, outcome: str) -> StepRecord:
        kept = self._kept[name]
        assert kept.record is not None
        kept.ladder.took(self._clock(), step)
        self._metrics.took(name, step, failed=outcome.startswith(_FAILED))
        kept.assessment.forgive()
        kept.looked_s = float("-inf")
        done = StepRecord(at=_text(datetime.now(UTC)), job=name, step=str(step), outcome=outcome)
        _log.warning(
            "a step to heal a job was taken",
            extra={
                "job": name,
                "condition": kept.record.condition,
                "step": str(step),
                "outcome": outcome,
                "steps_taken": kept.ladder.taken,
                "detail": kept.record.detail,
            },
        )
        return done

    def _held_by(self, name: str) -> str:
        """What the job needs and is away; empty when nothing is."""
        states = Supervisor(self._config).states()
        needed = self._needs.get(name, ())
        for service in all_services(self._config):
            state = states[service.name].state if service.name in states else "STOPPED"
            is_taskmanager = service.name.startswith("taskmanager-") and state != "STOPPED"
            if service.name not in needed and not is_taskmanager:
                continue
            if state != "RUNNING":
                return f"service {service.name} is {state}"
            health = service.health(self._config)
            if health.answer is not Answer.READY:
                return f"service {service.name}: {health.detail}"
        return ""

    def _described(self, kept: _Kept, condition: Condition, job: FlinkJob | None, *, held: str) -> JobRecord:
        before, now = kept.record, datetime.now(UTC)
        job_id = job.id if job is not None else before.job_id if before is not None else ""
        detail = next_step = next_step_at = ""
        if condition is not Condition.ADVANCING:
            detail = self._detail(job_id)
            step, wait_s = kept.ladder.next(condition), kept.ladder.next_s(condition) - self._clock()
            if kept.ladder.taken:
                next_step, next_step_at = str(step), _text(now + timedelta(seconds=max(0.0, wait_s)))
        return JobRecord(
            condition=condition,
            since=before.since if before is not None and before.condition == condition else _text(now),
            job_id=job_id,
            detail=detail,
            held=held,
            next_step=next_step,
            next_step_at=next_step_at,
        )

    def _detail(self, job_id: str) -> str:
        """Last line of what the job failed of last; empty when Flink knows of nothing."""
        try:
            return last_line(self._rest.root_exception(job_id)) if job_id else ""
        except FlinkUnavailableError:
            raise
        except StackError:  # a job that Flink has forgotten
            return ""

    def _write(self, taken: list[StepRecord]) -> None:
        self._metrics.show({name: _numbers(kept, kept.record) for name, kept in self._kept.items() if kept.record})
        found = record.Record(
            jobs={name: kept.record for name, kept in self._kept.items() if kept.record is not None},
            steps=(*self._record.steps, *taken)[-record.KEPT_STEPS :],
        )
        if found != self._record:
            record.write(self._config, found)
            self._record = found


def _numbers(kept: _Kept, shown: JobRecord) -> JobNumbers:
    return JobNumbers(
        condition=Condition(shown.condition),
        ladder_step=kept.ladder.taken,
        held=bool(shown.held),
        checkpoint_s=kept.checkpoint_s,
    )


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def main() -> None:
    """Look after the jobs, and after the watch of the services, until stopped."""
    logs.configure(JOB_KEEPER)
    config = load()
    beat = heartbeat.from_environment(patience_s=_PATIENCE_S)
    registry = endpoint.new_registry()
    keeper = Keeper(config, metrics=KeeperMetrics(registry))
    prometheus.listen(config, config.ports.keeper_metrics, registry)
    watch = Watch(config, (service for service in all_services(config) if service.name == HEALTH_WATCH))
    first = priority.Priorities(config)
    watched_s, waits = float("-inf"), ""
    while True:
        beat.tick()
        if time.monotonic() - watched_s >= _WATCH_PERIOD_S:
            watched_s = time.monotonic()
            watch.round()
        try:
            keeper.round()
            first.look()
            waits = ""
        except FlinkUnavailableError as error:
            if not waits:
                _log.info("waiting for the JobManager", extra={"detail": str(error)})
            waits = str(error)
        except StackError:
            _log.exception("could not look after the jobs")
        time.sleep(_PERIOD_S)


if __name__ == "__main__":
    main()
