"""The gRPC server as a process beside a real broker, with and without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
import numpy as np
import pytest
import trustme
from confluent_kafka import Producer, TopicPartition
from grpc_health.v1 import health_pb2, health_pb2_grpc
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from base.ids import now_us, uuid7
from base.settings import KafkaSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as helpers
from millrace_client import (
    AlarmOutcome,
    AsyncClient,
    Connection,
    PermissionDeniedError,
    PreconditionError,
    UnavailableError,
)
from millrace_client import CommandState as Seen
from schemas import codec, definitions, topics
from schemas.alarms import Alarm, AlarmAction, AlarmEvent, AlarmEventKind, AlarmState, alarm_id, source_id, source_key
from schemas.commands import CommandAck, CommandRequest, CommandState, CommandStateRecord
from schemas.priorities import Priority
from serving.caches import alarm_job
from serving.tokens import hash_token
from tests.contract import examples
from tests.integration import registry_topic
from tests.integration.polling import eventually

SITE = "servingtest"
DEVICE = f"acme/{SITE}/press/line1/cell1/press01"
DEVICE_ID = 910_000
TAG_ID = 9_100_000
TAGS = {TAG_ID: "temperature", TAG_ID + 1: "speed_setpoint"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings(kafka: str) -> Iterator[KafkaSettings]:
    """A broker with the topics, the registry of one device, and values of its tags."""
    found = KafkaSettings(bootstrap_servers=kafka)
    registry_topic.empty(found)
    kafka_admin.apply(found, (SITE,))
    base = definitions.tag_from_record(examples.records()["TagDefinition"])
    shared: dict[str, Any] = {"device_id": DEVICE_ID, "site": SITE, "gateway_id": "gw-servingtest-1"}
    tags = [
        dataclasses.replace(
            base, tag_id=tag_id, path=f"{DEVICE}/{name}", name=name, writable=name == "speed_setpoint", **shared
        )
        for tag_id, name in TAGS.items()
    ]
    marker = definitions.encode_version(1, tags=len(tags), time_us=now_us())
    helpers.send(helpers.producer(found), topics.TAGS.name, [*map(definitions.encode_tag, tags), marker])
    yield found
    registry_topic.empty(found)


@pytest.fixture
def producer(settings: KafkaSettings) -> Iterator[Producer]:
    made = helpers.producer(settings, linger_ms=0)
    yield made
    made.flush(5)


def publish_values(producer: Producer, *values: float) -> None:
    """Values of the two tags, as the telemetry job sends them."""
    at_us = now_us()
    batch = {
        "gateway_id": "gw-servingtest-1",
        "lane": 0,
        "closed_time_us": at_us,
        "tag_id": np.array(list(TAGS), np.int32),
        "time_us": np.full(2, at_us, np.int64),
        "value": np.array(values),
        "quality": np.zeros(2, np.uint16),
    }
    helpers.send(producer, topics.LATEST.name, [(b"gw-servingtest-1/0", codec.encode("LatestBatch", batch))])


@contextmanager
def serving(
    tmp_path: Path, settings: KafkaSettings, *, listen: str = "127.0.0.1:0", extra: str = ""
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server process; gives its port. Ends with SIGTERM, and must end well."""
    config = tmp_path / "serving.toml"
    config.write_text(
        f'listen = "{listen}"\ndrain_s = 2.0\n{extra}\n[kafka]\nbootstrap_servers = "{settings.bootstrap_servers}"\n'
    )
    log = tmp_path / "serving.log"
    with ExitStack() as stack:
        command = [sys.executable, "-m", "serving", "--config", str(config)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=stack.enter_context(log.open("wb")))
        try:
            yield eventually(lambda: _port(log, process), what="the server listens"), process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0, log.read_text()[-2000:]


def _port(log: Path, process: subprocess.Popen[bytes]) -> int | None:
    assert process.poll() is None, log.read_text()
    listening = [json.loads(line) for line in log.read_text().splitlines() if '"listening"' in line]
    return int(listening[0]["port"]) if listening else None


def channel_of(connection: Connection) -> grpc.aio.Channel:
    """A plain channel, for what the client does not call."""
    credentials = connection.credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(connection.address)
    return grpc.aio.secure_channel(connection.address, credentials)


async def ready(channel: grpc.aio.Channel) -> None:
    """Wait until the server says that its caches are current."""
    stub = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(20):
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return


def request_on_the_topic(settings: KafkaSettings, command_id: UUID) -> CommandRequest | None:
    """The request of a command, from the topic."""
    for message in helpers.read_to_end(settings, topics.REQUESTS.for_site(SITE)):
        name, record = codec.decode(message.value() or b"")
        if name == "CommandRequest" and record["command_id"] == command_id:
            assert message.key() == str(DEVICE_ID).encode()
            return CommandRequest.from_record(record)
    return None


def state_of(request: CommandRequest, state: CommandState, version: int, **fields: Any) -> tuple[bytes, bytes]:
    """A record of a command, as the commands job sends it."""
    kept = ("command_id", "device_id", "gateway_id", "site", "name", "parameters", "submitted_by", "submitted_us")
    shared = {name: getattr(request, name) for name in (*kept, "expires_us", "attempt")}
    record = CommandStateRecord(**shared | {"state": state, "version": version, "updated_us": now_us()} | fields)
    return str(request.command_id).encode(), record.encode()


async def test_values_reach_a_watch_within_a_second(
    tmp_path: Path, settings: KafkaSettings, producer: Producer
) -> None:
    publish_values(producer, 1.0, 2.0)
    with serving(tmp_path, settings) as (port, _):
        connection = Connection(f"127.0.0.1:{port}")
        async with AsyncClient(connection) as client, channel_of(connection) as channel:
            await ready(channel)
            async with aclosing(client.watch([DEVICE], max_rate_hz=100)) as updates:
                snapshot = {update.path: update.value.value for update in [await anext(updates), await anext(updates)]}
                assert snapshot == {f"{DEVICE}/temperature": 1.0, f"{DEVICE}/speed_setpoint": 2.0}
                delays_s = []
                for i in range(40):
                    sent_s = time.monotonic()
                    await asyncio.to_thread(publish_values, producer, 100.0 + i, 2.0 + i)
                    for _ in TAGS:
                        await anext(updates)
                    delays_s.append(time.monotonic() - sent_s)
                # A busy machine may hold one up; a poll somewhere on the way would show in all.
                assert sorted(delays_s)[35] < 1.0
                assert sorted(delays_s)[20] < 0.25


async def test_a_command_goes_out_and_its_states_come_back(
    tmp_path: Path, settings: KafkaSettings, producer: Producer
) -> None:
    with serving(tmp_path, settings) as (port, _):
        connection = Connection(f"127.0.0.1:{port}")
        async with AsyncClient(connection) as client, channel_of(connection) as channel:
            await ready(channel)
            command = await client.submit(DEVICE, "write", {"speed_setpoint": 42.5})
            command_id = command.command_id
            request = await asyncio.to_thread(request_on_the_topic, settings, command_id)
            assert request is not None
            assert (request.parameters, request.gateway_id) == ({"speed_setpoint": 42.5}, "gw-servingtest-1")
            async with aclosing(client.watch_command(command_id)) as states:
                assert (await anext(states)).provisional
                ack = CommandAck(
                    command_id=command_id,
                    attempt=1,
                    device_id=DEVICE_ID,
                    gateway_id=request.gateway_id,
                    state=CommandState.SUCCEEDED,
                    time_us=now_us(),
                )
                await asyncio.to_thread(
                    helpers.send, producer, topics.ACKS.for_site(SITE), [(str(command_id).encode(), ack.encode())]
                )
                pushed = await anext(states)
                assert (pushed.state, pushed.provisional) == (Seen.SUCCEEDED, True)
                final = state_of(request, CommandState.SUCCEEDED, 4, readback={"speed_setpoint": 42.5})
                await asyncio.to_thread(helpers.send, producer, topics.STATES.name, [final])
                rest = [state async for state in states]
                assert (rest[-1].state, rest[-1].provisional, rest[-1].version) == (
                    Seen.SUCCEEDED,
                    False,
                    4,
                )


async def test_a_restarted_server_knows_commands_and_their_ids(tmp_path: Path, settings: KafkaSettings) -> None:
    ids = []
    for _ in range(2):
        with serving(tmp_path, settings) as (port, _process):
            connection = Connection(f"127.0.0.1:{port}")
            async with AsyncClient(connection) as client, channel_of(connection) as channel:
                await ready(channel)
                command = await client.submit(
                    DEVICE, "write", {"speed_setpoint": 30.0}, command_id=UUID(int=(7 << 76) | (2 << 62) | os.getpid())
                )
                ids.append((command.command_id, command.submitted_us))
    assert ids[0] == ids[1]


async def test_values_reach_a_browser_and_the_process_drains(
    tmp_path: Path, settings: KafkaSettings, producer: Producer
) -> None:
    publish_values(producer, 1.0, 2.0)
    with serving(tmp_path, settings, extra='[http]\nlisten = "127.0.0.1:0"') as (_, process):
        log = (tmp_path / "serving.log").read_text
        (listens,) = [json.loads(line) for line in log().splitlines() if '"HTTP listens"' in line]
        host = f"127.0.0.1:{listens['port']}"

        async with httpx.AsyncClient(base_url=f"http://{host}", trust_env=False) as client:
            async with asyncio.timeout(20):
                while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - another process is asked
                    await asyncio.sleep(0.05)
            tag = (await client.get(f"/api/v1/tags/by-path/{DEVICE}/temperature")).json()
            assert tag["last"]["value"] == 1.0
        async with connect(f"ws://{host}/api/v1/ws") as link:
            await link.send(json.dumps({"subscribe": 1, "what": "tags", "prefixes": [DEVICE], "min_interval_ms": 10}))
            await link.recv()
            await asyncio.to_thread(publish_values, producer, 100.0, 2.0)
            async with asyncio.timeout(5):
                while '"value":100.0' not in str(await link.recv()):
                    pass
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ConnectionClosed):
                async for _ in link:
                    pass
            assert link.close_code == 1012
        assert await asyncio.to_thread(process.wait, 15) == 0
        assert "Traceback" not in log()


async def test_a_reader_that_does_not_read_delays_nobody(
    tmp_path: Path, settings: KafkaSettings, producer: Producer
) -> None:
    with serving(tmp_path, settings) as (port, _):
        connection = Connection(f"127.0.0.1:{port}")
        async with (
            AsyncClient(connection) as stuck,
            AsyncClient(connection) as client,
            channel_of(connection) as channel,
        ):
            await ready(channel)
            asleep = [stuck.watch([DEVICE], max_rate_hz=100) for _ in range(20)]
            await asyncio.to_thread(publish_values, producer, 0.0, 0.0)
            for stream in asleep:
                await anext(stream)
            async with aclosing(client.watch([f"{DEVICE}/temperature"], max_rate_hz=100)) as updates:
                await anext(updates)
                delays_s = []
                for i in range(1, 41):
                    sent_s = time.monotonic()
                    await asyncio.to_thread(publish_values, producer, float(i), 0.0)
                    while (await anext(updates)).value.value != i:
                        pass  # what was published before this watch
                    delays_s.append(time.monotonic() - sent_s)
                assert sorted(delays_s)[35] < 1.0
            for stream in asleep:
                await stream.aclose()


def write_certificates(folder: Path) -> dict[str, str]:
    """Two authorities: one signs the server and an analyst, the other a stranger. PEM files by name."""
    authority, stranger = trustme.CA(), trustme.CA()
    pairs = {
        "server": authority.issue_cert("127.0.0.1", "localhost"),
        "analyst": authority.issue_cert("analyst@plant"),
        "stranger": stranger.issue_cert("else@where"),
    }
    contents = {"ca": authority.cert_pem.bytes(), "other_ca": stranger.cert_pem.bytes()}
    for name, issued in pairs.items():
        contents[name] = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        contents[f"{name}_key"] = issued.private_key_pem.bytes()
    for name, content in contents.items():
        (folder / f"{name}.pem").write_bytes(content)
    return {name: str(folder / f"{name}.pem") for name in contents}


async def test_tls_with_client_certificates_and_tokens(tmp_path: Path, settings: KafkaSettings) -> None:
    files = write_certificates(tmp_path)
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[principals.ann]\nsha256 = "{hash_token("secret")}"\nallow = ["read"]\n')
    extra = f'tokens = "{tokens}"\ntls = {{cert = "{files["server"]}", key = "{files["server_key"]}", client_ca = "{files["ca"]}"}}'
    with serving(tmp_path, settings, listen="0.0.0.0:0", extra=extra) as (port, _):
        right = Connection(
            f"127.0.0.1:{port}",
            ca=files["ca"],
            cert=files["analyst"],
            key=files["analyst_key"],
            token="secret",
        )
        async with AsyncClient(right) as client, channel_of(right) as channel:
            await ready(channel)
            assert (await client.tag(f"{DEVICE}/temperature")).tag_id == TAG_ID
            with pytest.raises(PermissionDeniedError, match="ann may not command"):
                await client.submit(DEVICE, "write", {"speed_setpoint": 31.0})
        async with AsyncClient(dataclasses.replace(right, token="wrong")) as client:
            with pytest.raises(PermissionDeniedError, match="token is not known"):
                await client.tag(TAG_ID)
        wrong = [
            Connection(right.address),
            dataclasses.replace(right, cert="", key=""),
            dataclasses.replace(right, cert=files["stranger"], key=files["stranger_key"]),
            dataclasses.replace(right, ca=files["other_ca"]),
        ]
        for connection in wrong:
            async with AsyncClient(connection, deadline_s=3) as client:
                with pytest.raises(UnavailableError):
                    await client.tag(TAG_ID)


def test_the_network_is_refused_without_tls_and_tokens(tmp_path: Path, settings: KafkaSettings) -> None:
    config = tmp_path / "serving.toml"
    config.write_text(f'listen = "0.0.0.0:0"\n[kafka]\nbootstrap_servers = "{settings.bootstrap_servers}"\n')
    command = [sys.executable, "-m", "serving", "--config", str(config)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert "reachable from the network" in result.stderr


async def test_without_a_broker_the_server_waits_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, KafkaSettings(bootstrap_servers="127.0.0.1:1")) as (port, _):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_alarms_are_off_until_their_job_has_run_then_actions_go_out_and_answers_come_back(
    tmp_path: Path, settings: KafkaSettings, producer: Producer
) -> None:
    publish_values(producer, 1.0, 2.0)
    site, rule = SITE, "hot"
    source = source_id(site, source_key(rule, DEVICE_ID, ""))
    raised = Alarm(
        alarm_id=alarm_id(source, 1), source_id=source, version=1, site=site, rule=rule, rule_version=1, device_id=DEVICE_ID,
        gateway_id="gw-servingtest-1", tag_id=TAG_ID, path=f"{DEVICE}/temperature", priority=Priority.HIGH,
        state=AlarmState.UNACKNOWLEDGED, active=True, start_us=1, activated_us=now_us(), updated_us=now_us(),
    )  # fmt: skip
    gone = dataclasses.replace(raised, alarm_id=UUID(int=7))
    records = [(raised.key, raised.encode()), (gone.key, gone.encode()), (gone.key, None)]
    helpers.send(producer, topics.ALARMS.name, records)
    with serving(tmp_path, settings) as (port, _):
        connection = Connection(f"127.0.0.1:{port}")
        async with AsyncClient(connection) as client, channel_of(connection) as channel:
            await ready(channel)
            with pytest.raises(
                PreconditionError, match="alarms are not switched on: no alarms job has completed a checkpoint"
            ):
                await client.calm_list()
            await asyncio.to_thread(_commit, settings)
            async with asyncio.timeout(30):
                while True:  # the server looks every five seconds whether the job advances
                    try:
                        # Of this site: other tests of this broker have alarms too, and the list is of twenty lines.
                        calm = await client.calm_list(f"acme/{SITE}")
                        break
                    except PreconditionError:
                        await asyncio.sleep(0.2)
            (line,) = calm.lines
            assert (line.head.alarm_id, line.head.device_path) == (raised.alarm_id, DEVICE)
            asked = asyncio.create_task(client.acknowledge_alarm(raised.alarm_id, "on it"))
            action = await asyncio.to_thread(
                lambda: eventually(lambda: _action_on_the_topic(settings, raised.alarm_id), what="the action is there")
            )
            answer = dataclasses.replace(
                raised, version=2, state=AlarmState.ACKNOWLEDGED, acknowledged_us=now_us(), acknowledged_by=action.by
            )
            event = AlarmEvent(
                event_id=uuid7(), alarm_id=raised.alarm_id, source_id=source, version=2, kind=AlarmEventKind.ACKNOWLEDGED,
                state=answer.state, site=site, time_us=now_us(), recorded_us=now_us(), action_id=action.action_id,
            )  # fmt: skip
            await asyncio.to_thread(helpers.send, producer, topics.ALARMS.name, [(answer.key, answer.encode())])
            await asyncio.to_thread(helpers.send, producer, topics.ALARM_EVENTS.name, [(event.key, event.encode())])
            assert (await asked).outcome in {AlarmOutcome.DONE, AlarmOutcome.RECORDED}  # RECORDED: a busy machine
            again = await client.acknowledge_alarm(raised.alarm_id, "on it", action_id=action.action_id)
            assert (again.outcome, again.alarm and again.alarm.acknowledged_by) == (AlarmOutcome.DONE, "local")


def _commit(settings: KafkaSettings) -> None:
    """As the alarms job does with a checkpoint."""
    member = helpers.consumer(settings, group=alarm_job.GROUP)
    try:
        member.commit(offsets=[TopicPartition(topics.LATEST.name, 0, 0)], asynchronous=False)
    finally:
        member.close()


def _action_on_the_topic(settings: KafkaSettings, wanted: UUID) -> AlarmAction | None:
    for message in helpers.read_to_end(settings, topics.ALARM_ACTIONS.name):
        action = AlarmAction.from_record(codec.decode(message.value() or b"", "AlarmAction")[1])
        if action.alarm_id == wanted:
            assert message.key() == SITE.encode()
            return action
    return None
