"""What `up` refuses, and whether the message helps."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator

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


def test_memory_that_is_not_there_is_refused() -> None:
    config = StackConfig(memory=Memory(kafka_heap_mb=10_000_000))
    with pytest.raises(PreflightError, match=r"memory\.\*"):
        preflight.check_memory(config, flink=True)
    assert 0 < preflight.available_mb() < 10_000_000


def test_disk_that_is_not_there_is_refused(tmp_path: object) -> None:
    config = StackConfig(state=tmp_path, min_free_disk_gb=10_000_000)  # type: ignore[arg-type]
    with pytest.raises(PreflightError, match="min_free_disk_gb"):
        preflight.check_disk(config)


def test_too_few_taskmanagers_for_the_jobs() -> None:
    config = dataclasses.replace(StackConfig(), taskmanagers=2, parallelism=Parallelism(telemetry=2))
    with pytest.raises(PreflightError, match="need 4 slots"):
        preflight.check_slots(config)


def test_free_port_is_free(listener: int) -> None:
    assert not preflight.is_free("127.0.0.1", listener)
    assert processes.listener(listener).endswith(f"(process {os.getpid()})")
