"""What is read again after a restore, and what is lost: the plan, its report, the job's forgotten restore points, the line's reasons."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import restore as drill
from historian import positions
from historian.positions import Position
from historian.recovery import Report, plan
from registry.recovery import Behind
from stack import flink, jobs, restore_points
from stack.backup.actions import damage
from stack.backup.state import Safety
from stack.config import ROOT, StackConfig
from stack.restore_points import RestorePoint

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
NOTHING = Behind(version=1, published=1)


def known(offset: int) -> Position:
    return Position(next_offset=offset, updated_at=AT)


@pytest.mark.parametrize(
    ("position", "bounds", "start", "lost", "note"),
    [
        (70, (10, 100), 70, 0, ""),
        (100, (10, 100), 100, 0, ""),
        (10, (10, 100), 10, 0, ""),
        (4, (10, 100), 10, 6, ""),
        (101, (10, 100), 10, 0, "made anew or has lost"),
        (None, (0, 100), 0, 0, ""),
        (None, (10, 100), 10, 0, "no position is known"),
    ],
)
def test_a_partition_is_read_from_the_position_or_from_what_kafka_has(
    position: int | None, bounds: tuple[int, int], start: int, lost: int, note: str
) -> None:
    positions_known = {} if position is None else {("t", 0): known(position)}
    (one,) = plan(positions_known, {("t", 0): bounds})
    assert (one.start, one.end, one.lost) == (start, bounds[1], lost)
    assert note in one.note
    assert bool(note) == bool(one.note)


def test_the_report_names_the_exact_range_that_is_lost() -> None:
    stretches = tuple(plan({("t", 0): known(4), ("t", 1): known(50)}, {("t", 0): (10, 100), ("t", 1): (10, 60)}))
    report = Report(stretches=stretches, written_at=AT, was_known=False, behind=NOTHING)
    assert report.records == 90 + 10
    text = "\n".join(report.lines())
    assert "LOST: t[0] offsets 4 to 9 (6 records, from 2026-11-28T12:00:00+00:00" in text
    assert "nothing is lost" not in text
    assert [one["lost_from"] for one in report.as_json()["lost"]] == [4]  # type: ignore[attr-defined]


def test_a_report_without_losses_says_so_and_one_with_doubts_does_not() -> None:
    whole = Report(
        stretches=tuple(plan({("t", 0): known(4)}, {("t", 0): (0, 9)})), written_at=AT, was_known=True, behind=NOTHING
    )
    assert "nothing is lost" in "\n".join(whole.lines())
    doubtful = Report(stretches=tuple(plan({}, {("t", 0): (3, 9)})), written_at=None, was_known=True, behind=NOTHING)
    assert "nothing is lost" not in "\n".join(doubtful.lines())
    gone = Report(stretches=(), gone=(("t", 0),), written_at=AT, was_known=True, behind=NOTHING)
    assert "no such partition any more" in "\n".join(gone.lines())


def test_the_group_is_that_of_the_job() -> None:
    assert jobs.flink_name("historian") == positions.GROUP


def test_a_forgotten_job_has_no_restore_point_and_the_others_keep_theirs(tmp_path: Path) -> None:
    config = StackConfig(state=tmp_path)
    (config.data / "flink").mkdir(parents=True)
    for job, run in (("historian", "a" * 32), ("commands", "b" * 32)):
        for folder in (
            flink.checkpoint_dir(config) / run / "chk-3",
            restore_points.savepoint_dir(config, job) / run / "savepoint-1",
        ):
            folder.mkdir(parents=True)
            (folder / "_metadata").touch()
        restore_points.remember(config, job, RestorePoint(job_id=run))
    restore_points.forget(config, "historian")
    assert restore_points.candidates(config, "historian") == ()
    assert len(restore_points.candidates(config, "commands")) == 2
    restore_points.forget(config, "historian")


@pytest.mark.parametrize(
    ("safety", "reason"),
    [
        (Safety(archives=False), ""),
        (Safety(archives=True, backup_age_s=3600.0, waiting=2, waiting_s=20.0), ""),
        (Safety(archives=True, backup_age_s=200 * 3600.0), "newest backup is 200 h old"),
        (Safety(archives=True, waiting=9, waiting_s=400.0), "400 s behind"),
        (Safety(archives=True, waiting=9, waiting_s=4.0, failing="0001"), "fails at 0001"),
        (Safety(archives=False, standby=True, standby_connected=True), ""),
        (Safety(archives=False, standby=True, standby_connected=False), "does not follow:"),
        (Safety(archives=False, standby=True, synchronous=True, standby_connected=False), "commits wait for it"),
        (Safety(archives=False, standby=True, standby_connected=False, standby_lost=True), "made anew|makes it anew"),
        (Safety(archives=True, problem="role does not exist"), "not known.* role does not exist"),
    ],
)
def test_what_is_not_safe_is_a_reason_of_the_line(safety: Safety, reason: str) -> None:
    found = safety.reasons(max_age_h=192, answers=True)
    assert len(found) == bool(reason)
    assert not reason or re.search(reason, found[0])
    assert safety.text()


def test_a_database_that_is_away_is_said_once() -> None:
    assert Safety(archives=True, problem="refused").reasons(max_age_h=192, answers=False) == ()


def test_damage_in_the_repository_is_found_in_what_verify_says() -> None:
    whole = (
        "stanza: millrace\nstatus: ok\n  archiveId: 15-1, total WAL checked: 7, total valid WAL: 7\n"
        "    missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n"
        "  backup: 20261128-215104F, status: valid, total files checked: 1528, total valid files: 1528\n"
        "    missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n"
    )
    assert damage(whole) == []
    assert damage(whole.replace("missing: 0, checksum invalid: 0", "missing: 0, checksum invalid: 2")[:500]) == [
        "archiveId: 15-1: 2 checksum invalid",
        "backup: 20261128-215104F: 2 checksum invalid",
    ]
    assert damage("stanza: millrace\nstatus: error\n") == ["status: error"]


def test_the_runbook_is_what_the_drill_runs() -> None:
    document = (ROOT / "docs" / "backup.md").read_text()
    told = [line.split("  #")[0].rstrip() for line in document.splitlines() if line.startswith("./millrace ")]
    places = [told.index(command) for command in drill.RUNBOOK]
    assert places, "every command of the drill is a line of the runbook"
