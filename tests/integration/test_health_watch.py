"""The keepers at work: what is stopped is noticed, shown, and replaced; whoever watches is watched as well."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import psutil
import pytest

from stack import instance, lifecycle, line, status
from stack.config import StackConfig
from stack.health import record
from stack.health.answer import Answer
from stack.line_state import State
from stack.reporting import Progress
from stack.services import HEALTH_WATCH, JOB_KEEPER, select
from stack.supervisor import Supervisor
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(600)
log = logging.getLogger(__name__)
SERVICES = ("kafka", "postgres", "serving", "maintenance", HEALTH_WATCH, JOB_KEEPER)
GRACE_AND_RESTART_S = 90
"""The longest grace of these services, a round, and a start on a busy machine."""


@pytest.fixture(scope="module")
def config() -> Iterator[StackConfig]:
    with instance.temporary() as running:
        lifecycle.up(running.config, Progress(sink=log.info), names=SERVICES)
        yield running.config


def pid_of(config: StackConfig, name: str) -> int:
    return Supervisor(config).states()[name].pid


def test_every_service_answers_in_its_own_protocol(config: StackConfig) -> None:
    _, answers = line.ask(config)
    assert {name: answers[name].answer for name in SERVICES} == dict.fromkeys(SERVICES, Answer.READY)


@pytest.mark.parametrize("name", ["serving", "maintenance", JOB_KEEPER, HEALTH_WATCH])
def test_a_stopped_service_is_shown_at_once_and_restarted_after_its_grace(config: StackConfig, name: str) -> None:
    (service,) = select(config, (name,))
    eventually(lambda: service.ready(config), timeout_s=GRACE_AND_RESTART_S, what=f"{name} is ready")
    if name != HEALTH_WATCH:  # a process that has not answered its watcher yet has the far longer grace of a start
        eventually(lambda: record.read(config).services.get(name) == "ready", timeout_s=60, what="its watcher heard it")
    pid = pid_of(config, name)
    stopped = psutil.Process(pid)
    stopped.suspend()
    found = eventually(
        lambda: (
            (seen := line.ask(config)[0]).state is not State.UP
            and any(f"service {name} does not answer" in reason for reason in seen.reasons)
            and seen
        ),
        what=f"status says that {name} does not answer",
    )
    assert found is not None
    eventually(lambda: pid_of(config, name) not in (0, pid), timeout_s=GRACE_AND_RESTART_S, what=f"{name} is replaced")
    assert not stopped.is_running()
    eventually(lambda: service.ready(config), timeout_s=GRACE_AND_RESTART_S, what=f"{name} answers again")


def test_a_pause_that_is_shorter_than_the_grace_is_survived(config: StackConfig) -> None:
    """Stopped until the watch has seen it twice; then it goes on where it was."""
    pid = pid_of(config, "postgres")
    process = psutil.Process(pid)
    process.suspend()
    try:
        eventually(lambda: record.read(config).services.get("postgres") == "silent", timeout_s=60, what="it is seen")
        seen = record.read(config).at
        eventually(lambda: record.read(config).at > seen, timeout_s=60, what="another round")
    finally:
        process.resume()
    eventually(lambda: record.read(config).services.get("postgres") == "ready", timeout_s=60, what="it answers")
    assert pid_of(config, "postgres") == pid


def test_what_was_done_is_in_the_status(config: StackConfig) -> None:
    restarted = [row["service"] for row in status.collect(config)["healing"]["restarts"]]
    assert {"serving", "maintenance", JOB_KEEPER} <= set(restarted)
    assert "postgres" not in restarted
