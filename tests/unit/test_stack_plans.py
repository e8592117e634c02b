"""Under which name a job's plan is kept, what is compiled, and what of it stays."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stack import bounded, flink, plans, roots
from stack.config import StackConfig
from stack.errors import StepError
from stack.plans import Submission

TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1\nNameError: nothing\n\tat java'


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    found = StackConfig(state=tmp_path)
    flink.conf_dir(found).mkdir(parents=True)
    (flink.conf_dir(found) / "config.yaml").write_text("a: 1")
    for name in ("one", "other"):
        roots.path(found, name).mkdir(parents=True)
    roots.activate(found, "one")
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    found = tmp_path / "job.toml"
    found.write_text("parallelism = 1")
    return found


@pytest.fixture
def clients(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Programs by client; one that is named `jobs.broken` leaves no plan."""
    started: list[list[str]] = []

    def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        programs = [json.loads(text) for text in command if text.startswith("{")]
        started.append([one["program"] for one in programs])
        for one in programs:
            if one["program"] != "jobs.broken":
                Path(one["plan"]).write_bytes(b"graph of " + one["program"].encode())
        return subprocess.CompletedProcess(command, 0, stdout="", stderr=TRACE)

    monkeypatch.setattr(bounded, "run", run)
    monkeypatch.setattr(flink, "client_command", lambda config, *arguments: arguments)
    return started


def of(job: str, *arguments: str) -> Submission:
    return Submission(job=job, program=f"jobs.{job}", arguments=arguments)


def kept(config: StackConfig) -> list[Path]:
    return sorted((config.data / "flink" / "plans").iterdir())


def test_a_plan_is_known_by_all_that_a_compilation_reads(
    config: StackConfig, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name: Callable[[], Path] = lambda: of("commands", "--config", str(settings)).file(config)  # noqa: E731
    names = [name()]
    assert name() == names[0]
    settings.write_text("parallelism = 2")
    names.append(name())
    (flink.conf_dir(config) / "config.yaml").write_text("a: 2")
    names.append(name())
    assert of("commands", "--config", str(settings)).file(config, "other") not in names
    roots.activate(config, "other")
    names.append(name())
    monkeypatch.setenv("MILLRACE_JOBS_PARALLELISM", "3")
    names.append(name())
    names.append(of("commands", "--config", str(settings), "--more").file(config))
    assert len(set(names)) == len(names)


def test_all_that_have_no_plan_are_compiled_in_one_client(config: StackConfig, clients: list[list[str]]) -> None:
    commands, telemetry, alarms = of("commands"), of("telemetry"), of("alarms")
    assert plans.compile_missing(config, [commands]) == ["commands"]
    assert plans.compile_missing(config, [commands, telemetry, alarms]) == ["telemetry", "alarms"]
    assert plans.compile_missing(config, [commands, telemetry, alarms]) == []
    assert clients == [["jobs.commands"], ["jobs.telemetry", "jobs.alarms"]]
    assert telemetry.file(config).read_bytes() == b"graph of jobs.telemetry"


def test_one_plan_a_job_is_kept_and_only_its_owner_reads_it(config: StackConfig, clients: list[list[str]]) -> None:
    older, newer, other = of("commands"), of("commands", "--more"), of("telemetry")
    for one in (older, other, newer):
        plans.compile_missing(config, [one])
    assert kept(config) == sorted([newer.file(config), other.file(config)])
    assert stat.S_IMODE(newer.file(config).stat().st_mode) == 0o600
    assert stat.S_IMODE(newer.file(config).parent.stat().st_mode) == 0o700
    plans.forget(config, "commands")
    assert kept(config) == [other.file(config)]


def test_what_is_compiled_for_another_root_leaves_the_plan_of_the_active_one(
    config: StackConfig, clients: list[list[str]]
) -> None:
    one = of("commands")
    plans.compile_missing(config, [one])
    plans.compile_missing(config, [one], root="other")
    assert kept(config) == sorted([one.file(config), one.file(config, "other")])


def test_a_program_that_fails_is_named_and_keeps_no_other_from_being_compiled(
    config: StackConfig, clients: list[list[str]]
) -> None:
    with pytest.raises(StepError, match=r"broken: not compiled:\nTraceback(.|\n)*NameError: nothing$"):
        plans.compile_missing(config, [of("broken"), of("commands")])
    assert kept(config) == [of("commands").file(config)]


def test_a_client_that_fails_leaves_nothing_half_written(
    config: StackConfig, clients: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans.compile_missing(config, [of("telemetry")])

    def late(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        Path(json.loads(command[-1])["plan"]).write_bytes(b"half a gr")
        raise StepError("late")

    monkeypatch.setattr(bounded, "run", late)
    with pytest.raises(StepError, match="late"):
        plans.compile_missing(config, [of("commands")])
    assert kept(config) == [of("telemetry").file(config)]
