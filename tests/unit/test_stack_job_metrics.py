"""What `status` asks of the jobs' metrics, of a JobManager that speaks as Flink does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from jobs.flink import unsigned as of_jobs
from stack import unsigned
from stack.flink_rest import FlinkRest

METRICS = {
    "a": {"telemetry.millrace.calculated_left_out": [7, 0, 3], "telemetry.millrace.frames": [9], "0.numRecordsIn": [1]},
    "b": {"other.millrace.calculated_left_out": [5], "other.millrace.tags_not_calculated": [2]},
    "c": {"sink.numRecordsIn": [1]},
    "d": {"a.millrace.gateway.gw-1.unsigned_newest_s": [0, 70], "b.millrace.gateway.others.unsigned_newest_s": [3]},
    "e": {"a.millrace.gateway.gw-1.unsigned_newest_s": [60], "a.millrace.gateway.gw-1.something": [99]},
}


class JobManager(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = urlsplit(self.path)
        parts, query = address.path.strip("/").split("/"), parse_qs(address.query)
        if len(parts) == 2:
            answer: object = {"vertices": [{"id": one} for one in METRICS]}
        else:
            metrics = METRICS[parts[3]]
            names = query["get"][0].split(",") if query else []
            name = query["agg"][0] if query else ""
            found = max if name == "max" else sum
            answer = [{"id": one, name: float(found(metrics[one]))} for one in names] or [
                {"id": one} for one in metrics
            ]
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test is quiet."""


@pytest.fixture
def flink() -> Iterator[FlinkRest]:
    with ThreadingHTTPServer(("127.0.0.1", 0), JobManager) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield FlinkRest(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_metrics_of_ours_are_summed_over_operators_and_subtasks(flink: FlinkRest) -> None:
    names = ("tags_not_calculated", "calculated_left_out", "tags_waiting")
    assert flink.sums("job", names) == {"calculated_left_out": 15, "tags_not_calculated": 2}


def test_metrics_of_gateways_are_the_highest_of_operators_and_subtasks(flink: FlinkRest) -> None:
    assert flink.highest_by_gateway("job", unsigned.METRIC) == {"gw-1": 70, "others": 3}


def test_the_jobs_and_status_have_one_name_for_it() -> None:
    assert unsigned.METRIC == of_jobs.NAME
