"""What a machine knows of an acknowledgement, as callers see it: a real server that is fed by hand, topic by topic."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from base.ids import now_us
from millrace_client import Alarm as Shown
from millrace_client import AlarmState as ShownState
from millrace_client import MachineAcknowledgementState as At
from schemas import topics
from schemas.alarms import Alarm, AlarmState, at_machine
from schemas.commands import CommandAck, CommandRequest, CommandState, Effect, ParameterOutcome
from serving.caches import feeds
from serving.machine_acks import EXPIRES_US, request_of
from serving.server import ALARM_SERVICE
from tests.contract import examples
from tests.unit.served import Served, eventually, presses, record_of, served
from tests.unit.test_alarm_conditions import Conditions

CONDITION = "plc:ns=2;s=High"
REFUSED = "the server does not take it: BadUserAccessDenied"


class Fed:
    """A server, and what it reads of its topics."""

    def __init__(self, running: Served) -> None:
        self.running = running
        self.client = running.client
        self._feeds = {feed.topic.name: feed.apply for feed in running.server.feeds()}

    def alarm(self, alarm: Alarm) -> CommandRequest | None:
        """A version of an alarm; the command that it asks for."""
        self._feeds[topics.ALARMS.name](alarm.encode())
        return request_of(alarm)

    def command(self, request: CommandRequest, state: CommandState, version: int = 1, **about: Any) -> None:
        """A record of a command."""
        self._feeds[topics.STATES.name](record_of(request, state, version, **about).encode())

    async def shown(self) -> Shown:
        """The alarm as a caller sees it."""
        (found,) = [alarm async for alarm in self.client.alarms()]
        return found


@asynccontextmanager
async def fed() -> AsyncIterator[Fed]:
    async with served() as running:
        running.know(presses())
        made = Fed(running)
        await running.server.set_ready(ALARM_SERVICE)
        for offset in (1, 2):  # the alarms job advances
            at = {(topics.LATEST.name, 0): offset}
            running.server.alarms.job.saw(at, at)
        yield made


def standing(**fields: Any) -> Alarm:
    """An alarm of a condition that nobody has acknowledged."""
    usual: dict[str, Any] = {
        "condition": CONDITION, "state": AlarmState.UNACKNOWLEDGED, "device_id": 10, "tag_id": None, "overrides": (),
        "acknowledged_us": None, "acknowledged_by": "", "version": 1,
    }  # fmt: skip
    return dataclasses.replace(examples.alarm(), **(usual | fields))


def acknowledged(ago_us: int = 0, **fields: Any) -> Alarm:
    """The same, acknowledged here a while ago; its machine waits."""
    then_us = now_us() - ago_us
    usual = {"acknowledged_us": then_us, "acknowledged_by": "anna", "seen_us": then_us - 1, "version": 2}
    return standing(state=AlarmState.ACKNOWLEDGED, **(usual | fields))


async def test_an_acknowledgement_is_pending_until_its_machine_says_so() -> None:
    async with fed() as plant:
        assert plant.alarm(standing()) is None
        found = await plant.shown()
        assert (found.condition, found.at_machine) == (CONDITION, None)
        request = plant.alarm(acknowledged())
        assert request is not None
        await eventually(lambda: plant.running.requests.records)
        found = await plant.shown()
        assert found.at_machine is not None
        assert (found.at_machine.state, found.at_machine.detail) == (At.PENDING, "")
        assert found.at_machine.command_id == request.command_id
        plant.command(request, CommandState.DELIVERED)
        found = await plant.shown()
        assert found.at_machine is not None
        assert found.at_machine.state is At.PENDING
        plant.alarm(acknowledged(version=3, acknowledged_at_machine=True, seen_us=0))
        found = await plant.shown()
        assert found.at_machine is not None
        assert (found.at_machine.state, found.at_machine.command_id) == (At.ACKNOWLEDGED, None)


@pytest.mark.parametrize(
    ("state", "about", "shown", "detail"),
    [
        (CommandState.SUCCEEDED, {"detail": "acknowledged at the server"}, At.ACKNOWLEDGED, ""),
        (
            CommandState.FAILED,
            {"outcomes": (ParameterOutcome(name=CONDITION, effect=Effect.REFUSED, detail=REFUSED),)},
            At.FAILED,
            REFUSED,
        ),
        (CommandState.REJECTED, {"detail": "no such command"}, At.FAILED, "no such command"),
        (CommandState.EXPIRED, {"detail": "no gateway confirmed to have it"}, At.FAILED, "no gateway confirmed to have it"),
        (CommandState.CANCELLED, {}, At.FAILED, "CANCELLED"),
        (CommandState.UNKNOWN, {"detail": "its answer is lost"}, At.UNKNOWN, "its answer is lost"),
    ],
)  # fmt: skip
async def test_what_became_of_the_command_is_news_of_its_alarm(
    state: CommandState, about: dict[str, Any], shown: At, detail: str
) -> None:
    async with fed() as plant:
        request = plant.alarm(acknowledged())
        assert request is not None
        async with plant.client.watch_alarms() as changes:
            told = [alarm.at_machine async for alarm in _alarms(changes, 1)]
            assert [one and one.state for one in told] == [At.PENDING]
            plant.command(request, state, **about)
            (last,) = [alarm.at_machine async for alarm in _alarms(changes, 1)]
        assert last is not None
        assert (last.state, last.detail, last.command_id) == (shown, detail, request.command_id)


async def test_the_word_of_a_gateway_is_shown_before_the_record_has_it() -> None:
    async with fed() as plant:
        request = plant.alarm(acknowledged())
        assert request is not None
        await eventually(lambda: plant.running.requests.records)
        async with plant.client.watch_alarms() as changes:
            _ = [alarm async for alarm in _alarms(changes, 1)]
            ack = CommandAck(
                command_id=request.command_id, attempt=1, device_id=10, gateway_id=request.gateway_id,
                state=CommandState.FAILED, time_us=now_us(), detail=REFUSED,
            )  # fmt: skip
            plant._feeds[topics.ACKS.name](ack.encode(), "north")
            (last,) = [alarm.at_machine async for alarm in _alarms(changes, 1)]
        assert last is not None
        assert (last.state, last.detail) == (At.FAILED, REFUSED)


async def test_an_acknowledgement_once_more_is_pending_again() -> None:
    async with fed() as plant:
        first = plant.alarm(acknowledged(2_000_000))
        assert first is not None
        plant.command(first, CommandState.FAILED, detail=REFUSED)
        second = plant.alarm(acknowledged(version=3))
        assert second is not None
        found = await plant.shown()
        assert found.at_machine is not None
        assert (found.at_machine.state, found.at_machine.command_id) == (At.PENDING, second.command_id)
        plant.command(first, CommandState.UNKNOWN, 2)
        found = await plant.shown()
        assert found.at_machine is not None
        assert found.at_machine.command_id == second.command_id


async def test_what_no_record_has_is_unknown_when_its_time_is_over() -> None:
    async with fed() as plant:
        plant.alarm(acknowledged(EXPIRES_US + 3 * 86_400_000_000))
        found = await plant.shown()
        assert found.at_machine is not None
        assert found.at_machine.state is At.UNKNOWN
        assert found.at_machine.detail.startswith("the command is not in the record")


async def test_nobody_is_told_of_alarms_before_the_commands_that_carry_acknowledgements_are_read() -> None:
    class Reading:
        """As a follower that has not read to the end."""

        def __init__(self) -> None:
            self.caught_up = asyncio.Event()

    async with served() as running:
        table = running.server.feeds()
        followers: dict[str, Any] = {feed.topic.name: Reading() for feed in table}
        reading = asyncio.create_task(feeds.caught_up(followers, table, ALARM_SERVICE))
        of_commands = {topics.STATES.name, topics.REQUESTS.name}
        for name in followers.keys() - of_commands:
            followers[name].caught_up.set()
        for name in of_commands:
            await asyncio.sleep(0)
            assert not reading.done(), f"before {name} is read"
            followers[name].caught_up.set()
        await reading


async def test_a_refusal_at_the_machine_is_seen_in_the_alarm_that_had_returned() -> None:
    """The alarms job and serving together: what had returned stands until its machine has heard of it."""
    async with fed() as plant:
        machine = Conditions()
        machine.begin(branches=False)
        machine.rise()
        machine.fall()
        machine.acknowledge_here()
        (alarm,) = machine.alarms.values()
        request = plant.alarm(dataclasses.replace(alarm, device_id=10))
        assert request is not None
        plant.command(request, CommandState.FAILED, detail=REFUSED)
        found = await plant.shown()
        assert (found.state, found.active, found.acknowledged_by) == (ShownState.ACKNOWLEDGED, False, "alice")
        assert found.at_machine is not None
        assert (found.at_machine.state, found.at_machine.detail) == (At.FAILED, REFUSED)
        machine.acknowledge_there()
        (alarm,) = machine.alarms.values()
        assert plant.alarm(dataclasses.replace(alarm, device_id=10)) is None
        assert [one.condition async for one in plant.client.alarms()] == []


async def test_of_what_the_machine_said_itself_and_of_no_condition_there_is_no_command() -> None:
    async with fed() as plant:
        plant.alarm(acknowledged(acknowledged_by=at_machine("otto"), acknowledged_at_machine=True, seen_us=0))
        found = await plant.shown()
        assert found.at_machine is not None
        assert (found.at_machine.state, found.at_machine.command_id) == (At.ACKNOWLEDGED, None)
        assert found.acknowledged_by == "machine: otto"
    async with fed() as plant:
        plant.alarm(acknowledged(condition="", seen_us=0))
        found = await plant.shown()
        assert (found.condition, found.at_machine) == ("", None)


async def _alarms(changes: Any, count: int) -> AsyncIterator[Shown]:
    """So many alarms of a stream."""
    async for one in changes:
        for alarm in one.alarms:
            yield alarm
            count -= 1
        if count <= 0:
            return
