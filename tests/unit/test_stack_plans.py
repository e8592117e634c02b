"""Under which name a job's plan is kept, and what of it stays."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from base import plan
from stack import flink, plans, roots
from stack.config import StackConfig

ARGUMENTS = ("-p", "1", "-pym", "jobs.commands", "--config")


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


def test_a_plan_is_known_by_all_that_a_compilation_reads(
    config: StackConfig, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name() -> Path:
        return plans.of_submission(config, "commands", (*ARGUMENTS, str(settings)))

    names = [name()]
    assert name() == names[0]
    settings.write_text("parallelism = 2")
    names.append(name())
    (flink.conf_dir(config) / "config.yaml").write_text("a: 2")
    names.append(name())
    roots.activate(config, "other")
    names.append(name())
    monkeypatch.setenv("MILLRACE_JOBS_PARALLELISM", "3")
    names.append(name())
    names.append(plans.of_submission(config, "commands", (*ARGUMENTS, str(settings), "--more")))
    assert len(set(names)) == len(names)


def test_one_plan_a_job_is_kept_and_only_its_owner_reads_it(config: StackConfig, settings: Path) -> None:
    older = plans.of_submission(config, "commands", ARGUMENTS)
    newer = plans.of_submission(config, "commands", (*ARGUMENTS, str(settings)))
    other = plans.of_submission(config, "telemetry", ARGUMENTS)
    for file, job in ((older, "commands"), (other, "telemetry"), (newer, "commands")):
        with plans.keeping(config, job, file) as environment:
            Path(environment[plan.VARIABLE]).write_bytes(b"graph")
    assert sorted(file.parent.iterdir()) == sorted([newer, other])
    assert stat.S_IMODE(newer.stat().st_mode) == 0o600
    plans.forget(config, "commands")
    assert sorted(file.parent.iterdir()) == [other]
    assert plans.filled(newer, job_id="00" * 16, restore="file:///a") is None


def test_a_client_that_fails_or_keeps_none_leaves_the_plan_that_is_there(config: StackConfig) -> None:
    file = plans.of_submission(config, "commands", ARGUMENTS)
    with plans.keeping(config, "commands", file) as environment:
        Path(environment[plan.VARIABLE]).write_bytes(b"graph")
    with plans.keeping(config, "commands", file):
        pass
    with pytest.raises(RuntimeError), plans.keeping(config, "commands", file) as environment:  # noqa: PT012
        Path(environment[plan.VARIABLE]).write_bytes(b"half a gr")
        raise RuntimeError
    assert [one.read_bytes() for one in file.parent.iterdir()] == [b"graph"]


def test_where_no_plan_can_be_kept_the_job_is_submitted_all_the_same(config: StackConfig) -> None:
    file = plans.of_submission(config, "commands", ARGUMENTS)
    file.parent.parent.mkdir(parents=True)
    file.parent.write_text("no folder")
    with plans.keeping(config, "commands", file) as environment:
        assert environment == {}
