"""What `status` says of calculated tags, asked of a JobManager that speaks as Flink does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from stack.flink_rest import FlinkRest

METRICS = {
    "a": {"telemetry.millrace.calculated_left_out": [7, 0, 3], "telemetry.millrace.frames": [9], "0.numRecordsIn": [1]},
    "b": {"other.millrace.calculated_left_out": [5], "other.millrace.tags_not_calculated": [2]},
    "c": {"sink.numRecordsIn": [1]},
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
            answer = [{"id": one, "sum": float(sum(metrics[one]))} for one in names] or [{"id": one} for one in metrics]
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
    names = ("tags_not_calculated", "calculated_left_out", "calculated_not_heard")
    assert flink.sums("job", names) == {"calculated_left_out": 15, "tags_not_calculated": 2}
