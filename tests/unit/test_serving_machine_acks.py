"""Acknowledgements for machines: what could not be written in its time is in the log and in the record, and never twice."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest

from base.errors import UnavailableError
from base.ids import now_us
from schemas.alarms import Alarm
from serving.machine_acks import EXPIRES_US, MachineAcks, request_of
from tests.contract import examples
from tests.unit.served import Served, eventually, served

_DAY_US = 86_400_000_000


def acknowledged(ago_us: int) -> Alarm:
    """An alarm of a condition that was acknowledged here so long ago, and waits at its machine."""
    then_us = now_us() - ago_us
    return dataclasses.replace(
        examples.alarm(), condition="plc:ns=2;s=High", acknowledged_us=then_us, seen_us=then_us - 1_000_000
    )


def written(running: Served) -> list[str]:
    return [str(record["command_id"]) for name, record in running.requests.decoded if name == "CommandRequest"]


def id_of(alarm: Alarm) -> str:
    request = request_of(alarm)
    assert request is not None
    return str(request.command_id)


async def test_each_acknowledgement_is_one_command() -> None:
    async with served() as running:
        acks = MachineAcks(running.server.commands)
        first = acknowledged(0)
        again = dataclasses.replace(first, version=4, acknowledged_us=now_us(), acknowledged_by="bob")
        for alarm in (first, first, again, first):
            acks.look(alarm)
        await eventually(lambda: len(written(running)) == 2)
        assert written(running) == [id_of(first), id_of(again)]
        assert running.request().submitted_by == "bob"


async def test_what_is_late_is_an_error_and_a_command_that_expires(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as running:
        acks = MachineAcks(running.server.commands, sweep_s=0.01)
        late = acknowledged(EXPIRES_US + 1_000_000)
        with caplog.at_level(logging.ERROR, "serving.machine_acks"):
            acks.look(late)
            await eventually(lambda: written(running))
        assert [record.message for record in caplog.records] == ["an acknowledgement did not get to its machine"]
        assert running.request().expires_us < now_us()
        acks.look(late)
        MachineAcks(running.server.commands, sweep_s=0.01).look(late)  # another server, or after a start
        await asyncio.sleep(0.1)
        assert written(running) == [id_of(late)]


async def test_what_could_not_be_written_in_time_is_written_when_it_can_be(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as running:
        acks = MachineAcks(running.server.commands, sweep_s=0.01)
        running.requests.failure = UnavailableError("no broker")
        with caplog.at_level(logging.ERROR, "serving.machine_acks"):
            acks.look(acknowledged(EXPIRES_US - 200_000))
            await eventually(lambda: caplog.records)
        running.requests.failure = None
        await eventually(lambda: written(running))


async def test_what_the_machine_knows_by_now_and_what_is_old_is_not_written() -> None:
    async with served() as running:
        acks = MachineAcks(running.server.commands, sweep_s=0.05)
        late = acknowledged(EXPIRES_US + 1_000_000)
        acks.look(late)
        acks.look(dataclasses.replace(late, version=4, acknowledged_at_machine=True, seen_us=0))
        acks.look(acknowledged(EXPIRES_US + _DAY_US))
        await asyncio.sleep(0.2)
        assert written(running) == []
