"""Health checks against real sockets: what answers, what refuses, and what only accepts, as the kernel does for a stopped process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from base.heartbeat import Heartbeat, age_s
from stack.health import probes
from stack.health.answer import Answer, Health

PROBES: dict[str, Callable[[str, int], Health]] = {
    "http": probes.http_health,
    "grpc": lambda host, port: probes.grpc_health(f"{host}:{port}"),
    "kafka": lambda host, port: probes.kafka_health(f"{host}:{port}"),
    "postgres": lambda host, port: probes.postgres_health(f"host={host} port={port} user=nobody dbname=none"),
    "mqtt": lambda host, port: probes.mqtt_health((host, port)),
}


@pytest.fixture
def backlog() -> Iterator[int]:
    """A port whose connections are accepted by the kernel and never read."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answering(reply: bytes) -> Iterator[int]:
    """A server that reads something and sends `reply` to one client."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize("name", PROBES)
def test_a_connection_alone_is_no_answer(name: str, backlog: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_S", 1.0)
    began = time.monotonic()
    found = PROBES[name]("127.0.0.1", backlog)
    assert found.answer is Answer.SILENT, found
    assert found.detail
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", PROBES)
def test_a_closed_port_is_silent(name: str, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_S", 1.0)
    assert PROBES[name]("127.0.0.1", free_port).answer is Answer.SILENT


@pytest.mark.parametrize(
    ("reply", "answer", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Answer.READY, ""),
        (
            b'HTTP/1.1 503 Not\r\nContent-Length: 45\r\n\r\n{"problems": ["kafka does not take frames"] }',
            Answer.NOT_READY,
            "kafka does not take frames",
        ),
        (b"HTTP/1.1 503 Not\r\nContent-Length: 0\r\n\r\n", Answer.NOT_READY, "GET /health is answered with 503"),
        (b"220 mail.example.org", Answer.SILENT, "no answer to GET /health"),
    ],
)
def test_http(reply: bytes, answer: Answer, detail: str) -> None:
    server = answering(reply)
    found = probes.http_health("127.0.0.1", next(server))
    next(server, None)
    assert found.answer is answer
    assert detail in found.detail


@pytest.mark.parametrize(
    ("reply", "answer"),
    [(b"\x20\x02\x00\x00", Answer.READY), (b"\x20\x02\x00\x05", Answer.NOT_READY), (b"", Answer.SILENT)],
)
def test_mqtt(reply: bytes, answer: Answer) -> None:
    server = answering(reply)
    found = probes.mqtt_health(("127.0.0.1", next(server)))
    next(server, None)
    assert found.answer is answer


def test_grpc() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        assert probes.grpc_health(address).answer is Answer.READY
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert probes.grpc_health(address) == Health(answer=Answer.NOT_READY, detail="NOT_SERVING")
    finally:
        server.stop(0).wait()


def test_a_heartbeat_advances_until_its_loop_has_been_silent_for_too_long(tmp_path: Path) -> None:
    path, now = tmp_path / "beat", [0.0]
    beat = Heartbeat(None, patience_s=10.0, clock=lambda: now[0])
    assert probes.heartbeat_health(path).answer is Answer.SILENT
    beat.tick()
    now[0] = 9.0
    assert beat.beat(path)
    assert probes.heartbeat_health(path).answer is Answer.READY
    now[0] = 11.0
    assert not beat.beat(path)
    beat.tick()
    assert beat.beat(path)


def test_a_heartbeat_that_is_old_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    path.write_text(f"{time.time() - 7:.3f} 1\n")
    found = probes.heartbeat_health(path)
    assert (found.answer, found.detail) == (Answer.SILENT, "last heartbeat 7 s ago")
    assert age_s(path, time.time() + 3) == pytest.approx(10, abs=1)


def test_a_stopped_process_does_not_beat(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    code = (
        "import sys, pathlib, threading; from base.heartbeat import Heartbeat;"
        "Heartbeat(pathlib.Path(sys.argv[1]), patience_s=60).tick(); threading.Event().wait()"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root) as process:
        try:
            until(path.exists)
            os.kill(process.pid, signal.SIGSTOP)
            stopped = path.read_text()
            until(lambda: (age_s(path, time.time()) or 0) > 3)
            assert path.read_text() == stopped
            os.kill(process.pid, signal.SIGCONT)
            until(lambda: path.read_text() != stopped)
        finally:
            process.kill()


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
