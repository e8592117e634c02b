"""The note of a server's run at a real server: what is known and not durable yet, and a disk that fails."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from schemas.events import EventKind
from tests.integration.gateway_support import MemorySink, until
from tests.unit.opcua_servers import Machine, connected, tags_of
from tests.unit.test_opcua_run_note import spoil

pytestmark = pytest.mark.asyncio(loop_scope="module")
OVERFLOW = 0x0480


async def test_a_disk_that_fails_loses_no_readings_and_is_no_lost_connection(machine: Machine, tmp_path: Path) -> None:
    tags = tags_of(await machine.add(["disk.a"]))
    await machine.set("disk.a", 1.0)
    sink, file = MemorySink(), tmp_path / "run.json"
    async with connected(machine, tags, sink, state=tmp_path) as connector:
        await until(file.exists)
        spoil(file)
        await machine.set("disk.a", 2.0, status=OVERFLOW)
        await until(lambda: 2.0 in sink.values(1))
        status = connector.status()
        assert (status["connects"], status["problem"]) == (1, "")
        (warning,) = status["warnings"]
        assert "cannot be taken away" in warning
        assert [one.text for one in sink.of(EventKind.STATE)] == [f"ua: {warning}"]
        file.rmdir()
        await machine.set("disk.a", 3.0)
        await until(lambda: 3.0 in sink.values(1))
        assert connector.status()["warnings"] == []
        assert json.loads(file.read_text())["tags"] == [1]
    assert sink.values(1) == [1.0, 2.0, 3.0]


async def test_an_overflow_is_no_longer_excused_before_its_gap_is_durable(machine: Machine, tmp_path: Path) -> None:
    tags = tags_of(await machine.add(["over.a"]))
    await machine.set("over.a", 1.0)
    sink, file = MemorySink(), tmp_path / "run.json"
    async with connected(machine, tags, sink, state=tmp_path):
        await until(file.exists)
        sink.hold = True
        await machine.set("over.a", 2.0, status=OVERFLOW)
        await until(lambda: sink.held)
        assert not file.exists()
        sink.held.pop()()
        assert file.exists()


async def test_readings_before_a_loss_do_not_make_a_note_before_its_gap_is_durable(
    machine: Machine, tmp_path: Path
) -> None:
    tags = [dataclasses.replace(one, period_ms=60_000) for one in tags_of(await machine.add(["held.a"]))]
    await machine.set("held.a", 1.0)
    sink, file = MemorySink(hold=True), tmp_path / "run.json"
    async with connected(machine, tags, sink, state=tmp_path):
        await until(lambda: len(sink.held) == 1)
        machine.limited.swallow, machine.limited.forget = 1, True
        await machine.set("held.a", 2.0)
        await until(lambda: not machine.limited.swallow)
        await machine.set("held.a", 3.0)
        await until(lambda: sink.of(EventKind.GAP) and len(sink.held) > 1)
        sink.held[0]()
        assert not file.exists()
        for appended in sink.held[1:]:
            appended()
        assert file.exists()
