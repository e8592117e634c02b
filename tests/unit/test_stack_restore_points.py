"""Where jobs go on from, and what is deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stack import flink, jobs, restore_points
from stack.config import StackConfig
from stack.restore_points import RestorePoint, candidates, newest, prune, remember


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    found = StackConfig(state=tmp_path)
    flink.checkpoint_dir(found).mkdir(parents=True)
    return found


def checkpoint(config: StackConfig, job_id: str, number: int, *, at: int, complete: bool = True) -> Path:
    return _made(flink.checkpoint_dir(config) / job_id / f"chk-{number}", at=at, complete=complete)


def savepoint(config: StackConfig, job_id: str, name: str, *, at: int, complete: bool = True) -> Path:
    return _made(restore_points.savepoint_dir(config, "telemetry") / job_id / name, at=at, complete=complete)


def _made(folder: Path, *, at: int, complete: bool) -> Path:
    folder.mkdir(parents=True)
    if complete:
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (at, at))
    return folder


def test_a_job_that_never_ran_begins_anew(config: StackConfig) -> None:
    assert newest(config, "telemetry") == ""
    assert jobs.interrupted(config) == ()


def test_newest_complete_checkpoint_of_the_last_run(config: StackConfig) -> None:
    older, newer = checkpoint(config, "abc", 9, at=5), checkpoint(config, "abc", 10, at=5)
    checkpoint(config, "abc", 11, at=6, complete=False)
    checkpoint(config, "other", 12, at=7)
    remember(config, "telemetry", RestorePoint(job_id="abc", restored_from="file:///gone"))
    assert candidates(config, "telemetry") == (newer.as_uri(), older.as_uri())
    assert jobs.interrupted(config) == ("telemetry",)


def test_a_savepoint_that_nobody_wrote_down_is_found(config: StackConfig) -> None:
    before = checkpoint(config, "abc", 10, at=5)
    stopped = savepoint(config, "abc", "savepoint-abc-1", at=6)
    savepoint(config, "abc", "savepoint-abc-2", at=7, complete=False)
    remember(config, "telemetry", RestorePoint(job_id="abc"))
    assert candidates(config, "telemetry") == (stopped.as_uri(), before.as_uri())


def test_then_what_the_run_began_with_then_older_savepoints(config: StackConfig) -> None:
    first, second = savepoint(config, "a", "savepoint-a-1", at=1), savepoint(config, "b", "savepoint-b-1", at=2)
    begun = checkpoint(config, "c", 4, at=3)
    own = checkpoint(config, "d", 5, at=4)
    remember(config, "telemetry", RestorePoint(job_id="d", restored_from=begun.as_uri()))
    assert candidates(config, "telemetry") == tuple(path.as_uri() for path in (own, begun, second, first))


def test_what_was_written_down_stays_when_nothing_is_there(config: StackConfig) -> None:
    """A submission that fails is better than a job that silently begins anew."""
    remember(config, "telemetry", RestorePoint(job_id="abc", restored_from="file:///savepoint"))
    assert newest(config, "telemetry") == "file:///savepoint"


def test_prune_keeps_what_jobs_go_on_from(config: StackConfig) -> None:
    saved = [savepoint(config, f"run{n}", f"savepoint-{n}", at=n) for n in range(6)]
    runs = {name: checkpoint(config, name, 1, at=9).parent for name in ("over", "last", "live", "begun")}
    remember(config, "telemetry", RestorePoint(job_id="last", restored_from=saved[0].as_uri()))
    remember(config, "historian", RestorePoint(job_id="", restored_from=(runs["begun"] / "chk-1").as_uri()))
    prune(config, live=["live"])
    assert [path.exists() for path in saved] == [True, False, False, True, True, True]
    assert not saved[1].parent.exists()
    assert {name: folder.exists() for name, folder in runs.items()} == {
        "over": False,
        "last": True,
        "live": True,
        "begun": True,
    }
