"""Whether the line is up, and what is said when it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stack import status
from stack.config import StackConfig
from stack.health import record
from stack.health.answer import READY, Health, not_ready, silent
from stack.line_state import JobView, LineState, ServiceView, State, last_line, line_state

SERVICES = ("kafka", "postgres", "jobmanager", "taskmanager-1", "gateway-a", "serving", "job-keeper")
JOBS = ("millrace-commands", "millrace-historian", "millrace-telemetry")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def services(**changed: Health | str) -> list[ServiceView]:
    """All well, but for some that answer otherwise or are in another state."""
    found = []
    for name in SERVICES:
        change = changed.get(name.replace("-", "_"), READY)
        state, health = (change, READY) if isinstance(change, str) else ("RUNNING", change)
        found.append(ServiceView(name=name, state=state, health=health))
    return found


def jobs(**changed: JobView) -> list[JobView]:
    well = {n: JobView(name=n, state="RUNNING", running=True, condition="advancing") for n in JOBS}
    return [changed.get(name.removeprefix("millrace-"), view) for name, view in well.items()]


def job(name: str, state: str = "RUNNING", *, running: bool = True, condition: str = "", detail: str = "") -> JobView:
    return JobView(name=f"millrace-{name}", state=state, running=running, condition=condition, detail=detail)


def test_all_well() -> None:
    assert line_state(services(), jobs()) == LineState(state=State.UP)


def test_jobs_that_nobody_watches_are_well_when_their_tasks_run() -> None:
    assert line_state(services(), [job(name) for name in ("commands", "historian", "telemetry")]).state is State.UP


@pytest.mark.parametrize(
    ("views", "found", "state", "reason"),
    [
        (services(serving=silent("no answer")), jobs(), State.DEGRADED, "service serving does not answer: no answer"),
        (services(gateway_a=not_ready("disk")), jobs(), State.DEGRADED, "service gateway-a is not ready: disk"),
        (services(job_keeper="BACKOFF"), jobs(), State.DEGRADED, "service job-keeper is BACKOFF"),
        (services(kafka=silent("nothing")), jobs(), State.DOWN, "service kafka does not answer: nothing"),
        (services(taskmanager_1="STARTING"), jobs(), State.DOWN, "service taskmanager-1 is STARTING"),
        (services(), None, State.DOWN, "the jobs are not known: the JobManager does not answer"),
        (
            services(),
            jobs(telemetry=job("telemetry", "RESTARTING", condition="failing", detail="ModuleNotFoundError: no jobs")),
            State.DOWN,
            "job millrace-telemetry fails again and again: ModuleNotFoundError: no jobs",
        ),
        (
            services(),
            jobs(historian=job("historian", condition="standing")),
            State.DOWN,
            "job millrace-historian runs without progress",
        ),
        (
            services(),
            jobs(commands=job("commands", "ABSENT", detail="OSError: gone")),
            State.DEGRADED,
            "job millrace-commands does not run: OSError: gone",
        ),
        (
            services(),
            jobs(telemetry=job("telemetry", running=False)),
            State.DOWN,
            "job millrace-telemetry: not all of its tasks run",
        ),
        (
            services(),
            jobs(telemetry=job("telemetry", condition="starting")),
            State.DOWN,
            "job millrace-telemetry has not completed a checkpoint since it was started",
        ),
        (
            services(),
            [job(name, "ABSENT") for name in ("commands", "historian", "telemetry")],
            State.DOWN,
            "no job runs",
        ),
    ],
)
def test_one_thing_wrong(views: list[ServiceView], found: list[JobView] | None, state: State, reason: str) -> None:
    assert line_state(views, found) == LineState(state=state, reasons=(reason,))


def test_what_stops_the_line_is_named_first() -> None:
    found = line_state(services(gateway_a=silent("a"), kafka=silent("k")), jobs())
    assert found.state is State.DOWN
    assert [reason.split()[1] for reason in found.reasons] == ["kafka", "gateway-a"]


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        ("", ""),
        (
            "pemja.core.PythonException: <class 'ModuleNotFoundError'>: No module named 'jobs.flink'\n"
            "\tat /x/pickle.loads(pickle.py:29)\n\tat pemja.core.PythonInterpreter.exec(Native Method)\n",
            "pemja.core.PythonException: <class 'ModuleNotFoundError'>: No module named 'jobs.flink'",
        ),
        (
            "a.JobException: Recovery is suppressed\n\tat a.b(C.java:1)\n"
            "Caused by: java.io.IOException: cannot read\n\tat d.e(F.java:2)\n\t... 5 more\n"
            "Caused by: java.io.FileNotFoundException: chk-7/_metadata\n\tat g.h(I.java:3)\n\t... 9 more\n",
            "java.io.FileNotFoundException: chk-7/_metadata",
        ),
        (
            'flink run of historian failed:\nTraceback (most recent call last):\n  File "x.py", line 1, in <module>\n'
            "    import y\nModuleNotFoundError: No module named 'y'\n",
            "ModuleNotFoundError: No module named 'y'",
        ),
    ],
)
def test_the_last_line_of_a_trace_is_its_cause(trace: str, line: str) -> None:
    assert last_line(trace) == line


def test_since_is_kept_as_long_as_the_line_is_not_up(tmp_path: Path) -> None:
    config = StackConfig(state=tmp_path)
    config.run.mkdir(parents=True)
    known = record.Record()
    for minutes, state in enumerate((State.UP, State.UP, State.DEGRADED, State.DOWN, State.DOWN)):
        now = NOON + timedelta(minutes=minutes)
        line = LineState(state=state, reasons=("why",) if state is not State.UP else ())
        known = record.take(known, now=now, line=line, answers={"kafka": silent("x")}, restarts=())
    record.write(config, known)
    assert record.read(config) == known
    assert (known.state, known.reasons, known.services) == ("DOWN", ("why",), {"kafka": "silent"})
    now = NOON + timedelta(minutes=5)
    rows = status.line_rows(config, LineState(state=State.DOWN, reasons=("why",)), now)
    assert rows == {"state": "DOWN", "since": "2026-01-01T12:02:00+00:00", "for_s": 180, "reasons": ["why"]}
    assert status.line_text(rows) == "the line is DOWN since 2026-01-01T12:02:00+00:00 (3 min)\n  why"
    assert status.line_rows(config, LineState(state=State.UP), now)["since"] == now.isoformat()


def test_only_the_newest_restarts_are_kept(tmp_path: Path) -> None:
    known = record.Record()
    for number in range(60):
        restart = record.Restart(at="", service=f"s{number}", detail="")
        known = record.take(known, now=NOON, line=LineState(state=State.UP), answers={}, restarts=[restart])
    assert [one.service for one in known.restarts] == [f"s{number}" for number in range(10, 60)]


def test_a_record_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    config = StackConfig(state=tmp_path)
    config.run.mkdir(parents=True)
    assert record.read(config) == record.Record()
    for text in ("", "[]", '{"at": 1}', "{"):
        record.file(config).write_text(text)
        assert record.read(config) == record.Record()


@pytest.mark.parametrize(("state", "code"), [("up", 0), ("not running", 3), ("degraded", 4), ("DOWN", 4)])
def test_exit_status(state: str, code: int) -> None:
    assert status.exit_status(state) == code


def test_status_names_what_was_done_by_itself() -> None:
    found = {
        "line": {"state": "up", "since": NOON.isoformat(), "for_s": 0, "reasons": []},
        "page": "http://127.0.0.1:29080",
        "told": "",
        "services": [],
        "jobs": [],
        "not_calculated": {"tags_not_calculated": 2, "calculated_left_out": 0, "tags_waiting": 5},
        "signatures": "required",
        "unsigned": {
            "taken_until": "2026-01-08T12:00:00+00:00",
            "gateways": [{"gateway": "gw-1", "record": "frames", "newest": "2026-01-01T12:00:00+00:00"}],
        },
        "storage": {},
        "accounting": {},
        "safety": {"text": "backup: none"},
        "code": {"root": "", "phase": "", "deploying": "", "last": {}},
        "healing": {
            "steps": [{"at": "2026-01-01T12:00:05", "job": "telemetry", "step": "restart", "outcome": "taskmanager-2"}],
            "restarts": [{"at": "2026-01-01T12:00:01", "service": "serving", "detail": "no answer"}],
            "jobs": {"telemetry": {"held": "", "next_step": "resubmission", "next_step_at": "2026-01-01T12:01:00"}},
        },
    }
    lines = [line.strip() for line in status.text(found).splitlines()]
    assert "page: http://127.0.0.1:29080" in lines
    assert "signatures: required" in lines
    assert lines[1:5] == [
        "healing",
        "2026-01-01T12:00:01 service serving: restarted: no answer",
        "2026-01-01T12:00:05 job telemetry: restart: taskmanager-2",
        "next for job telemetry: resubmission, not before 2026-01-01T12:01:00",
    ]
    at = lines.index("not calculated")
    assert lines[at : at + 3] == [
        "not calculated",
        "2 tags have an expression that cannot be evaluated; the log of the telemetry job names them and says why",
        "5 tags wait for an input that was never heard",
    ]
    assert "gateway gw-1: frames, the newest at 2026-01-01T12:00:00+00:00" in lines
    assert any("it is taken until 2026-01-08T12:00:00+00:00, and refused from then on" in line for line in lines)
    found["unsigned"] = {"taken_until": "", "gateways": []}
    assert "without a signature" not in status.text(found)
