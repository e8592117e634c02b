"""What `up` refuses, and whether the message helps."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import preflight, processes
from stack.config import Memory, Parallelism, Ports, StackConfig
from stack.errors import PreflightError
from stack.instance import free_block


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_taken_port_names_setting_and_process(listener: int) -> None:
    with free_block() as base, pytest.raises(PreflightError) as caught:
        preflight.check_ports(StackConfig(ports=Ports(base=base, opcua=listener)))
    text = str(caught.value)
    assert f"port {listener} (ports.opcua)" in text
    assert f"process {os.getpid()}" in text
    assert "MILLRACE_PORTS_OPCUA" in text


@pytest.mark.security("T-HOST-SOCKET")
def test_a_folder_of_sockets_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    preflight.check_run(tmp_path)
    preflight.check_run(tmp_path / "not yet")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PreflightError, match="belongs to somebody else or is a link: delete it"):
        preflight.check_run(tmp_path / "link")


def test_memory_that_is_not_there_is_refused() -> None:
    config = StackConfig(memory=Memory(kafka_heap_mb=10_000_000))
    with pytest.raises(PreflightError, match=r"memory\.\*"):
        preflight.check_memory(config, flink=True)
    assert 0 < preflight.available_mb() < 10_000_000


@pytest.mark.security("SR 2.9")
def test_disk_that_is_not_there_is_refused(tmp_path: object) -> None:
    config = StackConfig(state=tmp_path, min_free_disk_gb=10_000_000)  # type: ignore[arg-type]
    with pytest.raises(PreflightError, match="min_free_disk_gb"):
        preflight.check_disk(config)


def test_too_few_taskmanagers_for_the_jobs() -> None:
    config = dataclasses.replace(StackConfig(), taskmanagers=2, parallelism=Parallelism(telemetry=2))
    with pytest.raises(PreflightError, match="need 5 slots"):
        preflight.check_slots(config)


def test_free_port_is_free(listener: int) -> None:
    assert not preflight.is_free("127.0.0.1", listener)
    assert processes.listener(listener).endswith(f"(process {os.getpid()})")


@pytest.mark.security("T-JOBS-CODE", "T-KAFKA-LOCAL", "SR 5.2", "SR 7.7", "V12.3.1")
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_the_stack_does_not_listen_where_other_machines_are(host: str) -> None:
    with pytest.raises(PreflightError, match=r"which other machines reach.*loopback"):
        preflight.check_host(StackConfig(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_loopback_is_fine(host: str) -> None:
    preflight.check_host(StackConfig(host=host))
