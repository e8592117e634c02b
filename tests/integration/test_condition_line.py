"""A condition of a real server over the whole way, with a gateway and serving as processes: acknowledged by a call, and at the machine.

The logic of the alarms job runs between the topics in the place of the job, which needs Flink for it; nobody runs the commands job, so the
gateway's own word is all that is known of a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from base.ids import now_us
from base.machine_names import is_machines
from base.settings import KafkaSettings
from connectors.kafka import client as kafka_client
from connectors.kafka.connection import DeliveryError
from millrace_client import Alarm, AlarmOutcome, AlarmState, AsyncClient, Connection, MachineAcknowledgementState
from millrace_client.errors import MillraceError
from schemas import codec, topics
from schemas.commands import CommandRequest
from serving.caches import alarm_job
from tests.integration import registry_topic
from tests.integration.test_gateway_conditions import Plant
from tests.integration.test_serving import channel_of, ready, serving

pytestmark = pytest.mark.timeout(600)
_PATIENCE_S = 180.0


class Line(Plant):
    """With the logic of the alarms job between the topics."""

    def __init__(self, folder: Path, settings: KafkaSettings) -> None:
        super().__init__(folder, settings)
        self._producer = kafka_client.producer(settings)

    async def run(self) -> None:
        """Judge what comes, until cancelled."""
        while True:
            with suppress(DeliveryError):  # a topic that was made a moment ago
                await asyncio.to_thread(self._turn)
            await asyncio.sleep(0.1)

    def _turn(self) -> None:
        for topic, name in (
            (topics.EVENTS.for_site(self.gateway.site), "DeviceEvent"),
            (topics.ALARM_ACTIONS.name, "AlarmAction"),
        ):
            for message in kafka_client.read_to_end(self.settings, topic):
                value = message.value() or b""
                if value in self._read:
                    continue
                self._read.add(value)
                record = codec.decode(value, name)[1]
                if name == "DeviceEvent" or record["site"] == self.gateway.site:  # other tests have actions too
                    step = self.logic.on_record(self.gateway.site, name, record, now_us())
                    self._tell(topics.ALARMS.name, [(one.key, one.encode()) for one in step.alarms])
                    self._tell(topics.ALARM_EVENTS.name, [(one.key, one.encode()) for one in step.events])

    def commands(self) -> list[CommandRequest]:
        """What serving has asked the gateway for."""
        found = (codec.decode(one, "CommandRequest")[1] for one in self._messages(topics.REQUESTS))
        return [CommandRequest.from_record(record) for record in found]

    def _tell(self, topic: str, records: list[tuple[bytes, bytes]]) -> None:
        if records:
            kafka_client.send(self._producer, topic, records)


@pytest.fixture
async def line(tmp_path: Path, kafka: str) -> AsyncIterator[Line]:
    settings = KafkaSettings(bootstrap_servers=kafka)
    registry_topic.empty(settings)
    made = Line(tmp_path, settings)
    running = None
    try:
        await made.start()
        running = asyncio.create_task(made.run())
        yield made
    finally:
        if running is not None:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        if made.gateway.process is not None:
            made.gateway.kill()
        await made.server.kill()
        await made.link.stop()
        registry_topic.empty(settings)


async def _until(client: AsyncClient, fits: Callable[[Alarm], bool]) -> Alarm:
    """The condition's alarm as a caller sees it, once it fits."""
    seen: Alarm | None = None
    try:
        async with asyncio.timeout(_PATIENCE_S), client.watch_alarms() as changes:
            async for one in changes:
                for seen in one.alarms:
                    if seen.condition and fits(seen):
                        return seen
    except TimeoutError:
        pytest.fail(f"the alarm is {seen}")
    raise AssertionError


async def _over(client: AsyncClient) -> None:
    """Until no alarm of a condition stands."""
    async with asyncio.timeout(_PATIENCE_S):
        while any([one.condition async for one in client.alarms()]):  # noqa: ASYNC110 - a stream tells no end of what it never told of
            await asyncio.sleep(0.2)


def _commit(settings: KafkaSettings) -> None:
    """As the alarms job does with a checkpoint: alarms are switched on."""
    member = kafka_client.consumer(settings, group=alarm_job.GROUP)
    try:
        member.commit(offsets=[TopicPartition(topics.LATEST.name, 0, 0)], asynchronous=False)
    finally:
        member.close()


async def _switched_on(client: AsyncClient) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:  # the server looks every five seconds whether the job advances
            with suppress(MillraceError):
                await client.alarms_page(page_size=1)
                return
            await asyncio.sleep(0.2)


async def test_a_condition_is_acknowledged_by_a_call_at_its_machine_and_at_the_machine_here(
    line: Line, tmp_path: Path
) -> None:
    (folder := tmp_path / "serving").mkdir()
    await asyncio.to_thread(_commit, line.settings)
    with serving(folder, line.settings) as (port, _):
        connection = Connection(f"127.0.0.1:{port}", name="alice")
        async with AsyncClient(connection) as client, channel_of(connection) as channel:
            await ready(channel)
            await _switched_on(client)
            await line.server.order("level", value=0.85)
            raised = await _until(client, lambda alarm: alarm.state is AlarmState.UNACKNOWLEDGED)
            assert (raised.title, raised.at_machine) == ("Boiler: 4:Level: Level", None)
            answer = await client.acknowledge_alarm(raised, "on my way")
            assert answer.outcome in {AlarmOutcome.DONE, AlarmOutcome.RECORDED}  # RECORDED: a busy machine
            # Its AckedState, as the server says it by an event of its own: no command is named then.
            there = await _until(client, lambda alarm: alarm.at_machine is not None and not alarm.at_machine.command_id)
            assert there.at_machine is not None
            assert there.at_machine.state is MachineAcknowledgementState.ACKNOWLEDGED
            assert (there.state, there.acknowledged_by) == (AlarmState.ACKNOWLEDGED, "local:alice")
            assert line.at_server() == [("", "local:alice: on my way")]

            await line.server.order("level", value=0.5)
            await _over(client)

            await line.server.order("level", value=0.95)
            again = await _until(client, lambda alarm: alarm.state is AlarmState.UNACKNOWLEDGED)
            assert again.alarm_id != raised.alarm_id
            await line.server.order("acknowledge", comment="seen by the fitter")
            taken = await _until(client, lambda alarm: alarm.state is AlarmState.ACKNOWLEDGED)
            assert taken.alarm_id == again.alarm_id
            # With the user of the last session that called a method of the condition, which node-opcua leaves there.
            assert is_machines(taken.acknowledged_by)
            assert taken.at_machine is not None
            assert taken.at_machine.state is MachineAcknowledgementState.ACKNOWLEDGED
            assert len(line.commands()) == 1, "no command is made of what the machine did itself"
