"""The journal of a deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import deployment, roots
from stack.config import StackConfig
from stack.deployment import Deployment, Phase
from stack.priority import POLITE, wanted
from stack.proof import last_line


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    found = StackConfig(state=tmp_path)
    roots.folder(found).mkdir(parents=True)
    return found


def begun(number: int = 1) -> Deployment:
    return Deployment(
        id=str(number),
        started=deployment.now(),
        phase=Phase.STOPPING,
        old_root="old",
        new_root="new",
        jobs=("commands", "telemetry"),
        taskmanagers=("taskmanager-1",),
    )


def test_what_was_written_is_read_again(config: StackConfig) -> None:
    assert deployment.pending(config) is None
    found = begun().moved(Phase.STARTING, restore={"commands": "file:///a"}, stale=(7, 8))
    assert deployment.write(config, found) == deployment.pending(config) == found


def test_jobs_run_on_the_new_root_in_one_phase_only() -> None:
    assert {phase: begun().moved(phase).root for phase in Phase} == {
        Phase.STOPPING: "old",
        Phase.STARTING: "new",
        Phase.BACKING: "old",
        Phase.RESTORING: "old",
    }


def test_a_finished_deployment_is_the_last_one(config: StackConfig) -> None:
    assert deployment.last(config) is None
    for number in (1, 2):
        found = deployment.write(config, begun(number).moved(Phase.RESTORING, reason="it stood"))
        deployment.finish(config, found, "went back")
    assert deployment.pending(config) is None
    last = deployment.last(config)
    assert last is not None
    assert (last["id"], last["outcome"], last["reason"], last["new_root"]) == ("2", "went back", "it stood", "new")


def test_finishing_twice_lists_once(config: StackConfig) -> None:
    """Killed between the list and the journal, a deployment is finished again."""
    for _ in range(2):
        deployment.finish(config, deployment.write(config, begun()), "deployed")
    assert len((roots.folder(config) / "deployments.jsonl").read_text().splitlines()) == 1


def test_priority_is_where_the_commands_job_is() -> None:
    hosts = {"commands": {"tm-2"}, "historian": {"tm-1"}, "telemetry": {"tm-3", "tm-2"}}
    assert wanted(hosts, -2) == {"tm-1": POLITE - 2, "tm-2": -2, "tm-3": POLITE - 2}


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        ("", ""),
        ("RuntimeException: it\n\tat a.b(C.java:1)\nCaused by: PythonException: no\n\tat x", "PythonException: no"),
        ("Traceback (most recent call last):\n  File x\nValueError: wrong", "ValueError: wrong"),
    ],
)
def test_the_line_that_says_what_went_wrong(trace: str, line: str) -> None:
    assert last_line(trace) == line
