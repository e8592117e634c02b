"""What the job keeper and the watch of the services tell Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from stack.backup.state import Safety
from stack.healing.assessment import Condition
from stack.healing.ladder import Act, Step
from stack.healing.metrics import JobNumbers, KeeperMetrics, kind
from stack.health.answer import READY, silent
from stack.health.metrics import WatchMetrics
from stack.health.record import Record, Restart, take
from stack.line_state import LineState, State

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Seen:
    """What a scrape finds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"millrace_{name}", labels)


def job(condition: Condition, *, ladder_step: int = 0, checkpoint_s: float = 0.0) -> JobNumbers:
    return JobNumbers(condition=condition, ladder_step=ladder_step, held=False, checkpoint_s=checkpoint_s)


def test_keeper_shows_each_job_as_it_saw_it_last() -> None:
    registry = CollectorRegistry()
    metrics, seen = KeeperMetrics(registry, clock=lambda: 1000.0), Seen(registry)
    assert seen("keeper_ladder_step", job="commands") is None
    metrics.show(
        {
            "commands": job(Condition.ADVANCING, checkpoint_s=995.5),
            "historian": job(Condition.FAILING, ladder_step=2),
        }
    )
    assert seen("keeper_job_condition", job="commands", condition="advancing") == 1
    assert seen("keeper_job_condition", job="commands", condition="failing") == 0
    assert seen("keeper_job_condition", job="historian", condition="failing") == 1
    assert (seen("keeper_ladder_step", job="commands"), seen("keeper_ladder_step", job="historian")) == (0, 2)
    assert seen("keeper_checkpoint_age_seconds", job="commands") == pytest.approx(4.5)
    assert seen("keeper_checkpoint_age_seconds", job="historian") is None, "no checkpoint is known"
    metrics.show({})
    assert seen("keeper_ladder_step", job="historian") is None, "stopped on purpose"


def test_keeper_counts_steps_by_kind_and_outcome() -> None:
    registry = CollectorRegistry()
    metrics, seen = KeeperMetrics(registry), Seen(registry)
    metrics.took("commands", Step(act=Act.RESTART_TASKMANAGER), failed=False)
    metrics.took("commands", Step(act=Act.RESUBMIT), failed=True)
    metrics.took("commands", Step(act=Act.RESUBMIT), failed=True)
    assert seen("keeper_steps_total", job="commands", step="restart_taskmanager", outcome="done") == 1
    assert seen("keeper_steps_total", job="commands", step="resubmit_newest", outcome="failed") == 2
    assert kind(Step(act=Act.RESUBMIT, back=3)) == "resubmit_earlier"


def test_watch_shows_the_line_its_services_and_their_restarts() -> None:
    registry, ended = CollectorRegistry(), {"kafka": 3}
    metrics, seen = WatchMetrics(registry, lambda: ended), Seen(registry)
    assert seen("watch_line_state", state="up") is None, "there was no round yet"
    restart = Restart(at="", service="serving", detail="")
    line = LineState(state=State.DEGRADED, reasons=("service serving does not answer",))
    answers = {"kafka": READY, "serving": silent("no answer")}
    metrics.restarted([restart])
    record = take(Record(), now=AT, line=line, answers=answers, restarts=[restart])
    metrics.show(record, Safety(archives=True, waiting=3, waiting_s=7.0))
    assert {state: seen("watch_line_state", state=state.name.lower()) for state in State} == {
        State.UP: 0,
        State.DEGRADED: 1,
        State.DOWN: 0,
        State.STOPPED: 0,
    }
    assert seen("watch_line_state_since_seconds") == AT.timestamp()
    assert (seen("watch_service_ready", service="kafka"), seen("watch_service_ready", service="serving")) == (1, 0)
    assert seen("watch_service_silent_restarts_total", service="serving") == 1
    assert seen("watch_service_restarts_total", service="kafka") == 3
    ended["kafka"] = 4
    assert seen("watch_service_restarts_total", service="kafka") == 4
