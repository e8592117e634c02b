"""A job's counters are read with few questions, of a JobManager that speaks as Flink does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from stack.flink_rest import FlinkJob, FlinkRest
from stack.job_counters import JobCounters
from stack.progress import SourceCount

RECORDS, PENDING = "Source__frames.numRecordsOut", "Source__frames.pendingRecords"
JOB = FlinkJob(id="job", name="telemetry", state="RUNNING", start_time_ms=1, all_running=True, changed_ms=10)


class Flink(ThreadingHTTPServer):
    """A job of a source and what it feeds. `metrics` are the source's, by id; `asked` are the paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.metrics = {RECORDS: 5, PENDING: 2, "0.numRecordsIn": 1}
        self.attempt = 3
        self.completed = 7
        self.asked: list[str] = []

    def answer(self, path: str, query: dict[str, list[str]]) -> object:
        if path.endswith("/metrics"):
            names = query["get"][0].split(",") if query else []
            kept = [{"id": one, "sum": float(self.metrics[one])} for one in names if one in self.metrics]
            return kept if query else [{"id": one} for one in self.metrics]
        if path.endswith("/checkpoints"):
            newest = {"latest_ack_timestamp": 99}
            return {"counts": {"completed": self.completed}, "latest": {"completed": newest}}
        if "/vertices/" in path:
            return {"subtasks": [{"attempt": self.attempt}]}
        nodes = [{"id": "source"}, {"id": "fed", "inputs": [{"id": "source"}]}]
        return {"state": "RUNNING", "vertices": [{"id": "source"}, {"id": "fed"}], "plan": {"nodes": nodes}}


class Handler(BaseHTTPRequestHandler):
    server: Flink

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.server.asked.append(address.path + ("?" if address.query else ""))
        body = json.dumps(self.server.answer(address.path, parse_qs(address.query))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test is quiet."""


@pytest.fixture
def flink() -> Iterator[Flink]:
    with Flink() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def counters(flink: Flink) -> JobCounters:
    return JobCounters(FlinkRest(f"http://127.0.0.1:{flink.server_port}"))


def test_a_reading_has_the_counters_of_now(flink: Flink, counters: JobCounters) -> None:
    counters.reading(JOB)
    flink.metrics[RECORDS], flink.metrics[PENDING], flink.completed = 8, 0, 9
    reading = counters.reading(JOB)
    assert dict(reading.sources) == {"frames": SourceCount(records=8, pending=0)}
    assert (reading.attempt, reading.completed, reading.checkpoint_ms) == (3, 9, 99)


def test_a_job_whose_tasks_stay_as_they_are_is_asked_for_values_alone(flink: Flink, counters: JobCounters) -> None:
    counters.reading(JOB)
    flink.asked.clear()
    counters.reading(JOB)
    assert flink.asked == ["/jobs/job/vertices/source/subtasks/metrics?", "/jobs/job/checkpoints"]


def test_a_task_that_came_to_another_state_may_have_been_restarted(flink: Flink, counters: JobCounters) -> None:
    counters.reading(JOB)
    flink.attempt = 4
    assert counters.reading(dataclasses.replace(JOB, changed_ms=11)).attempt == 4


def test_another_job_of_the_name_is_asked_for_everything(flink: Flink, counters: JobCounters) -> None:
    counters.reading(JOB)
    flink.attempt = 0
    assert counters.reading(dataclasses.replace(JOB, id="next")).attempt == 0


def test_a_source_that_has_read_nothing_yet_is_asked_for_its_counters_again(
    flink: Flink, counters: JobCounters
) -> None:
    del flink.metrics[PENDING]
    flink.metrics["Source__quiet.numRecordsOut"] = 0
    assert dict(counters.reading(JOB).sources) == {
        "frames": SourceCount(records=5, pending=None),
        "quiet": SourceCount(records=0, pending=None),
    }
    flink.metrics[PENDING] = 4
    assert counters.reading(JOB).sources["frames"] == SourceCount(records=5, pending=4)


def test_a_job_that_is_being_initialised_is_not_asked(flink: Flink, counters: JobCounters) -> None:
    reading = counters.reading(dataclasses.replace(JOB, state="INITIALIZING", all_running=False))
    assert (reading.attempt, reading.completed, dict(reading.sources)) == (0, 0, {})
    assert not flink.asked
