"""A condition of a real server (OPC UA Part 9), a gateway as a process, Kafka, and the logic of the alarms job: both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from base.ids import now_us, uuid7
from base.settings import KafkaSettings
from benchmarks.foreign import plan
from benchmarks.foreign.plan import LEVEL, ServerPlan
from benchmarks.foreign.process import NODE_OPCUA, Foreign
from benchmarks.foreign.proxy import Link
from connectors.kafka import client as kafka_client
from connectors.kafka.client import AsyncProducer
from connectors.kafka.connection import DeliveryError
from schemas import codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmAction, AlarmActionKind, AlarmState
from schemas.commands import CommandAck, CommandState
from schemas.definitions import TagDefinition, encode_tag, encode_version
from schemas.topics import Topic
from serving.machine_acks import request_of
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from tests.integration.gateway_process import GatewayProcess
from tests.integration.gateway_support import free_port, tag

T = TypeVar("T")
RULE = AlarmRule.from_record(
    {
        "name": "machine",
        "kind": "CONDITION",
        "device_class": "pump",
        "condition_type": "*LimitAlarmType",
        "by_severity": {"1": "MAJOR PROMPT"},
        "severity": "MINOR",
        "response": "LATER",
        "title": "Boiler",
    }
)


class Plant:
    """The server, the gateway, and the alarms of its device as the job would have them."""

    def __init__(self, folder: Path, settings: KafkaSettings) -> None:
        self.settings = settings
        self.gateway = GatewayProcess(folder, settings, free_port())
        self.server, self._port = Foreign(NODE_OPCUA, folder), free_port()
        self.link = Link(self._port)
        self.journal = folder / "journal.jsonl"
        self.tag: TagDefinition = tag(
            self.gateway.first_tag,
            f"plc:{LEVEL}",
            device_id=1,
            name="level",
            site=self.gateway.site,
            gateway_id=self.gateway.gateway_id,
        )
        self.logic = AlarmLogic(AlarmConfig(), now_us())
        self.logic.apply_registry(encode_tag(self.tag)[1])
        self.logic.apply_registry(encode_version(1, tags=1, time_us=1)[1])
        self.logic.apply_rule(RULE)
        self.alarms: dict[str, Alarm] = {}
        self._read: set[bytes] = set()

    async def start(self) -> None:
        await self.start_server()
        await self.link.start()
        url = f"opc.tcp://127.0.0.1:{self.link.port}"
        settings = {"endpoint": url, "alarms": True, "publishing_interval_ms": 20, "reconnect_max_s": 1.0}
        self.gateway.changes = {"connections": [{"name": "plc", "protocol": "opcua", **settings}]}
        self.gateway.make_topics()
        self.gateway.register([self.tag], version=1)
        self.gateway.start()
        await self.gateway.until_status(lambda status: status["connectors"][0]["connected"], timeout_s=120)

    async def start_server(self) -> None:
        await self.server.start(
            ServerPlan(port=self._port, journal=str(self.journal), items=(), conditions=True).dumps()
        )

    def read(self) -> list[Alarm]:
        """Alarms after all that the gateway has told."""
        for message in self._messages(topics.EVENTS):
            if message not in self._read:
                self._read.add(message)
                record = codec.decode(message, "DeviceEvent")[1]
                self._told(self.logic.on_record(self.gateway.site, "DeviceEvent", record, now_us()).alarms)
        return list(self.alarms.values())

    async def alarm(self, fits: Callable[[Alarm], bool]) -> Alarm:
        """The newest alarm, once it fits."""

        def newest() -> Alarm | None:
            alarms = self.read()
            return alarms[-1] if alarms and fits(alarms[-1]) else None

        return await _soon(newest)

    def _messages(self, topic: Topic) -> list[bytes]:
        found = kafka_client.read_to_end(self.settings, topic.for_site(self.gateway.site))
        return [message.value() or b"" for message in found]

    def acknowledge(self, alarm: Alarm, reason: str) -> Alarm:
        """Somebody acknowledges here."""
        action = AlarmAction(
            action_id=uuid7(),
            kind=AlarmActionKind.ACKNOWLEDGE,
            site=alarm.site,
            rule=alarm.rule,
            device_id=alarm.device_id,
            gateway_id=alarm.gateway_id,
            alarm_id=alarm.alarm_id,
            by="alice",
            time_us=now_us(),
            reason=reason,
            condition=alarm.condition,
        )
        record = codec.decode(action.encode(), "AlarmAction")[1]
        self._told(self.logic.on_record(alarm.site, "AlarmAction", record, now_us()).alarms)
        return self.alarms[str(alarm.alarm_id)]

    async def command(self, alarm: Alarm) -> CommandAck:
        """Send the command that follows from an alarm; what the gateway made of it."""
        request = request_of(alarm)
        assert request is not None
        producer = AsyncProducer(self.settings, linger_ms=0)
        try:
            for _ in range(2):  # the same command again changes nothing
                await producer.send(
                    topics.REQUESTS.for_site(request.site), str(request.device_id).encode(), request.encode()
                )
        finally:
            await producer.close()

        def outcome() -> CommandAck | None:
            found = self._messages(topics.ACKS)
            acks = [CommandAck.from_record(codec.decode(one, "CommandAck")[1]) for one in found]
            mine = [one for one in acks if one.command_id == request.command_id]
            ended = [one for one in mine if one.state not in (CommandState.DELIVERED, CommandState.EXECUTING)]
            return ended[0] if ended else None

        return await _soon(outcome)

    def at_server(self) -> list[tuple[str, str]]:
        return plan.acknowledged(self.journal.read_text().splitlines())

    def _told(self, alarms: list[Alarm]) -> None:
        for one in alarms:
            known: Any = Alarm.from_record(codec.decode(one.encode(), "Alarm")[1])
            self.alarms[str(one.alarm_id)] = known


async def _soon(found: Callable[[], T | None]) -> T:
    """What is found within two minutes; each look reads a topic from its beginning."""
    for _ in range(240):
        with contextlib.suppress(DeliveryError):  # a topic that was made a moment ago
            if (value := await asyncio.to_thread(found)) is not None:
                return value
        await asyncio.sleep(0.5)
    raise AssertionError


@pytest.fixture
async def boiler(tmp_path: Path, kafka: str) -> AsyncIterator[Plant]:
    made = Plant(tmp_path, KafkaSettings(bootstrap_servers=kafka))
    try:
        await made.start()
        yield made
    finally:
        if made.gateway.process is not None:
            made.gateway.kill()
        await made.server.kill()
        await made.link.stop()


async def test_what_is_acknowledged_here_is_acknowledged_at_the_server(boiler: Plant) -> None:
    await boiler.server.order("level", value=0.85)
    raised = await boiler.alarm(lambda alarm: alarm.active)
    assert (raised.state, raised.priority, raised.title) == (
        AlarmState.UNACKNOWLEDGED,
        "HIGH",
        "Boiler: 4:Level: Level",
    )
    assert raised.device_id == boiler.tag.device_id
    # A gateway that starts anew has the EventId again from the server's refresh.
    boiler.gateway.kill()
    boiler.gateway.start()
    taken = boiler.acknowledge(raised, "on my way")
    ack = await boiler.command(taken)
    assert (ack.state, ack.detail) == (CommandState.SUCCEEDED, "acknowledged at the server")
    assert boiler.at_server() == [("", "alice: on my way")]
    there = await boiler.alarm(lambda alarm: alarm.acknowledged_at_machine)
    assert (there.state, there.acknowledged_by, there.activations) == (AlarmState.ACKNOWLEDGED, "alice", 1)
    assert request_of(there) is None
    await boiler.server.order("level", value=0.5)
    assert (await boiler.alarm(lambda alarm: not alarm.active)).state is AlarmState.NORMAL


async def test_what_is_acknowledged_at_the_machine_is_acknowledged_here(boiler: Plant) -> None:
    await boiler.server.order("level", value=0.95)
    await boiler.alarm(lambda alarm: alarm.active)
    await boiler.server.order("acknowledge", comment="seen by the fitter")
    taken = await boiler.alarm(lambda alarm: alarm.state is AlarmState.ACKNOWLEDGED)
    assert (taken.acknowledged_by, taken.acknowledged_at_machine) == ("machine", True)
    assert request_of(taken) is None
    await boiler.server.order("level", value=0.5)
    assert (await boiler.alarm(lambda alarm: not alarm.active)).state is AlarmState.NORMAL


async def test_what_came_and_went_is_acknowledged_at_the_server_as_a_branch(boiler: Plant) -> None:
    await boiler.server.order("level", value=0.85)
    await boiler.alarm(lambda alarm: alarm.active)
    await boiler.server.order("level", value=0.5)
    gone = await boiler.alarm(lambda alarm: not alarm.active)
    assert gone.state is AlarmState.RETURNED_UNACKNOWLEDGED
    taken = boiler.acknowledge(gone, "")
    assert taken.state is AlarmState.ACKNOWLEDGED, "until its server has heard of it"
    ack = await boiler.command(taken)
    assert (ack.state, boiler.at_server()) == (CommandState.SUCCEEDED, [("branch", "alice")])
    over = await boiler.alarm(lambda alarm: alarm.state is AlarmState.NORMAL)
    assert (over.alarm_id, over.acknowledged_at_machine) == (taken.alarm_id, True)


async def test_what_came_again_is_not_acknowledged_unseen(boiler: Plant) -> None:
    await boiler.server.order("level", value=0.85)
    seen = boiler.acknowledge(await boiler.alarm(lambda alarm: alarm.active), "")
    await boiler.server.order("level", value=0.5)
    await boiler.server.order("level", value=0.85)
    await boiler.alarm(lambda alarm: alarm.active and alarm.acknowledged_us is None)
    ack = await boiler.command(seen)
    assert ack.state is CommandState.FAILED
    assert "it came again since" in ack.detail
    assert boiler.at_server() == []


async def test_what_was_acknowledged_and_over_while_the_gateway_was_away_is_so_here(boiler: Plant) -> None:
    await boiler.server.order("level", value=0.85)
    await boiler.alarm(lambda alarm: alarm.active)
    boiler.gateway.kill()
    await boiler.server.order("acknowledge", comment="")
    await boiler.server.order("level", value=0.5)
    boiler.gateway.start()
    over = await boiler.alarm(lambda alarm: not alarm.active)
    assert (over.state, over.acknowledged_by) == (AlarmState.NORMAL, "machine")


async def test_what_is_active_and_acknowledged_ends_with_it_and_not_with_a_connection(boiler: Plant) -> None:
    """The server retains nothing that is acknowledged, though it is active: a refresh does not say whether it is over."""
    await boiler.server.order("level", value=0.85)
    await boiler.alarm(lambda alarm: alarm.active)
    await boiler.server.order("acknowledge", comment="")
    await boiler.alarm(lambda alarm: alarm.acknowledged_at_machine)
    boiler.link.cut()
    await boiler.gateway.until_status(lambda status: status["connectors"][0]["connects"] > 1, timeout_s=60)
    await asyncio.sleep(3)
    assert (await boiler.alarm(lambda _: True)).active
    await boiler.server.kill()
    await boiler.start_server()
    over = await boiler.alarm(lambda alarm: not alarm.active)
    assert (over.state, over.activations) == (AlarmState.NORMAL, 1)
