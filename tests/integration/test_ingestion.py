"""Gateways that may not open Kafka, with the real broker, ingestion service and gateway.

Samples, events, a command and its acknowledgement; what a certificate opens; a service that is killed, a certificate that is revoked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from authority.book import Usage
from base.ids import now_us
from base.settings import KafkaSettings
from connectors.ingestion import wire
from connectors.ingestion.ingestion_pb2 import (
    AppendRequest,
    AppendResponse,
    FollowRequest,
    FollowResponse,
    NewRecord,
    Open,
    Place,
    Starts,
)
from connectors.ingestion.platform import IngestionPlatform, connect
from connectors.ingestion.settings import IngestionSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from connectors.platform import Failure
from schemas import topics
from schemas.commands import CommandState
from schemas.events import EventKind
from schemas.frame import SequenceKey
from schemas.topics import TOPICS, Access
from stack import certificates, render, trust
from stack.config import StackConfig
from stack.instance import Instance
from stages.intake.dedup import LaneDedup, Seen
from tests.integration.gateway_process import GatewayProcess, Ledger
from tests.integration.gateway_support import free_port, until
from tests.integration.test_gateway import Counting, Office, opcua_tag, serve_opcua
from tests.integration.test_gateway_opcua import Machine

SITES = ("ingest-a", "ingest-b", "ingest-c", "ingest-d")
REVOKED_WITHIN_S = 5.0
_PATIENCE_S = 120.0
_DENIED = ("PERMISSION_DENIED", "INTERNAL")
"""The second where the stream was refused while the client still wrote: gRPC says so of its own writing."""
ROOT = Path(__file__).resolve().parents[2]


class ServiceProcess:
    """`python -m ingestion` with the files that the stack renders."""

    def __init__(self, config: StackConfig, folder: Path) -> None:
        self.config, self.log = config, folder / "ingestion.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        render.write(
            render.ingestion_file(self.config),
            render.ingestion(self.config) | {"kafka": {"bootstrap_servers": self.config.bootstrap_servers}},
        )
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "ingestion", "--config", str(render.ingestion_file(self.config))]
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def config(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """A broker that knows a gateway of each of some sites."""
    running = stack.require("kafka")
    plant = tmp_path_factory.mktemp("plant") / "plant.yaml"
    sites = "".join(
        f"  - {{name: {site}, gateways: [{{id: gw-{site}, uplink: ingestion}}], areas: []}}\n" for site in SITES
    )
    plant.write_text(f"enterprise: acme\ntag_classes: {{}}\ndevice_classes: {{}}\nsites:\n{sites}")
    mine = dataclasses.replace(running, plant=plant)
    assert trust.INGESTION in {name for name, (usage, _) in trust.holders(mine).items() if usage is Usage.SERVER}
    trust.prepare(mine)
    mine.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    kafka_admin.apply(KafkaSettings(bootstrap_servers=mine.bootstrap_servers), SITES)
    trust.allow(mine)
    return mine


@pytest.fixture(scope="module")
def service(config: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    made = ServiceProcess(config, tmp_path_factory.mktemp("ingestion"))
    made.start()
    yield made
    assert made.terminate() == 0, made.log.read_text()[-3000:]


def settings_of(config: StackConfig, site: str) -> IngestionSettings:
    return IngestionSettings(**trust.ingestion_table(config, f"gw-{site}"))


def everybody(config: StackConfig) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=config.bootstrap_servers)


# --- what a certificate opens ------------------------------------------------------------------------------------------------


def opened(channel: grpc.aio.Channel, path: str, **options: Any) -> Any:
    """A stream to the service."""
    messages: dict[str, tuple[Any, Any]] = {
        wire.APPEND: (AppendRequest, AppendResponse),
        wire.FOLLOW: (FollowRequest, FollowResponse),
    }
    request, response = messages[path]
    method: Any = channel.stream_stream(
        path,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return method(**options)


async def appended(settings: IngestionSettings, topic: str) -> str:
    """What a record is answered: empty when it is durable."""
    async with connect(settings) as channel:
        call = opened(channel, wire.APPEND, wait_for_ready=True, timeout=60)
        try:
            await call.write(AppendRequest(records=[NewRecord(number=7, topic=topic, key=b"k", value=b"stolen")]))
            answer = await call.read()
        except grpc.aio.AioRpcError as error:
            return error.code().name
        finally:
            call.cancel()
        if answer is wire.EOF:
            return str(await call.code())
        return "" if list(answer.durable) == [7] else str(answer.refused[0].text)


async def let_in(settings: IngestionSettings, topic: str) -> None:
    """The broker tells of rights a moment after it was given them."""
    async with asyncio.timeout(_PATIENCE_S):
        while said := await appended(settings, topic):
            assert said in _DENIED, said


async def followed(settings: IngestionSettings, topic: str) -> str:
    """How an attempt to read from the beginning is answered: empty when a record or the end came."""
    async with connect(settings) as channel:
        call = opened(channel, wire.FOLLOW, wait_for_ready=True, timeout=60)
        try:
            await call.write(FollowRequest(open=Open(topic=topic, in_flight=1, batch=10, wait_ms=100)))
            while (answer := await call.read()) is not wire.EOF:
                if answer.WhichOneof("kind") != "marks":
                    return ""
                places = [Place(partition=one.partition, offset=one.low) for one in answer.marks.marks]
                await call.write(FollowRequest(starts=Starts(places=places)))
            return str(await call.code())
        except grpc.aio.AioRpcError as error:
            return error.code().name
        finally:
            call.cancel()


@pytest.mark.security("T-EDGE-KEY", "T-INGEST-RIGHTS")
async def test_a_stolen_certificate_of_one_site_writes_and_reads_nothing_of_another(
    config: StackConfig, service: ServiceProcess
) -> None:
    stolen = settings_of(config, SITES[0])
    names = {topic.for_site(site) for topic in TOPICS for site in (SITES if topic.per_site else ("",))}
    names |= {"__consumer_offsets", "__transaction_state", "no.such.topic", "", "*"}
    kafka_admin.apply(everybody(config), SITES)
    await let_in(stolen, topics.FRAMES.for_site(SITES[0]))
    found = {(Access.WRITE, name): await appended(stolen, name) for name in names}
    found |= {(Access.READ, name): await followed(stolen, name) for name in names}
    own = {(topic.gateways, topic.for_site(SITES[0])) for topic in TOPICS if topic.gateways is not None}
    assert {one: found[one] for one in own if found[one]} == {}
    # The other site's, the platform's own, the broker's own: 0 successes.
    assert [one for one in found if not found[one] and one not in own] == []
    assert len(found) - len(own) > 70
    foreign = [message.value() for message in kafka.read_to_end(everybody(config), topics.FRAMES.for_site(SITES[1]))]
    assert b"stolen" not in foreign


@pytest.mark.security("T-INGEST-SPOOF")
async def test_who_shows_no_certificate_or_somebody_elses_gets_no_stream(
    config: StackConfig, service: ServiceProcess
) -> None:
    good = settings_of(config, SITES[0])
    frames = topics.FRAMES.for_site(SITES[0])
    issuing = trust.authority(config)
    # A server's certificate of the same authority is no gateway's.
    server = str(issuing.file(trust.KAFKA))
    other = dataclasses.replace(good, ssl_certificate_location=server, ssl_key_location=server)
    assert await asyncio.wait_for(_refused(other, frames), 30)
    bare = grpc.ssl_channel_credentials(await asyncio.to_thread(Path(good.ssl_ca_location).read_bytes))
    async with grpc.aio.secure_channel(good.address, bare) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await opened(channel, wire.APPEND, timeout=5).read()
    assert service.process is not None
    assert service.process.poll() is None


async def _refused(settings: IngestionSettings, topic: str) -> bool:
    async with connect(settings) as channel:
        call = opened(channel, wire.APPEND, timeout=10)
        try:
            await call.write(AppendRequest(records=[NewRecord(number=1, topic=topic, value=b"stolen")]))
            return await call.read() is wire.EOF
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return True


# --- a gateway ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine(free_port())
    yield made
    await made.stop()


@contextmanager
def gateway_of(config: StackConfig, folder: Path, site: str, machine: Machine) -> Iterator[GatewayProcess]:
    """A gateway that could not reach Kafka if it tried."""
    made = GatewayProcess(folder, everybody(config), free_port(), site=site)
    made.changes = serve_opcua(machine) | {
        "kafka": {"bootstrap_servers": "127.0.0.1:1"},
        "uplink": {"kind": "ingestion"},
        "ingestion": trust.ingestion_table(config, made.gateway_id),
    }
    try:
        yield made
    finally:
        if made.process is not None:
            made.kill()


async def more(counting: Counting, count: int) -> None:
    """So many values more."""
    enough = len(counting.emitted) + count
    await until(lambda: len(counting.emitted) >= enough, timeout_s=_PATIENCE_S)


@pytest.mark.security("T-INGEST-LOSS")
async def test_kill_9_of_the_service_loses_nothing_and_a_command_goes_down_and_its_acknowledgement_up(
    config: StackConfig, service: ServiceProcess, machine: Machine, tmp_path: Path
) -> None:
    await machine.start(["d1.a", "d1.speed", "d1.text"])
    with gateway_of(config, tmp_path, SITES[2], machine) as gateway:
        gateway.register(
            [
                opcua_tag(gateway, 0, "d1.a"),
                opcua_tag(gateway, 1, "d1.speed", writable=True, limit_low=0.0, limit_high=100.0),
                opcua_tag(gateway, 2, "d1.text"),
            ],
            version=901,
        )
        gateway.start()
        await gateway.until_status(
            lambda s: s["connectors"][0]["connected"] and not s["commands"]["problem"] and s["lanes"],
            what="start",
            timeout_s=_PATIENCE_S,
        )
        office = Office(gateway)
        counting = Counting(machine, "d1.a")
        await machine.set("d1.text", "hello")
        for round_ in range(3):
            await more(counting, 50)
            await asyncio.to_thread(service.kill)
            await more(counting, 50)
            service.start()
            late_us = now_us() + int(_PATIENCE_S * 1e6)
            request = office.request(parameters={"speed": 40.0 + round_}, expires_us=late_us)
            await office.send(request)
            ack = await office.outcome(request.command_id, timeout_s=_PATIENCE_S)
            assert (ack.state, ack.readback) == (CommandState.SUCCEEDED, {"speed": 40.0 + round_})
            assert office.states(request.command_id) == ["DELIVERED", "EXECUTING", "SUCCEEDED"]
        assert await machine.nodes["d1.speed"].read_value() == 42.0
        await until(lambda: len(counting.emitted) >= 500)
        await counting.stop()
        await gateway.until_status(
            lambda s: s["uplink"]["live"] and s["lanes"] and not any(lane["buffered_samples"] for lane in s["lanes"]),
            what="everything is confirmed",
            timeout_s=_PATIENCE_S,
        )
        assert (await gateway.page("/health")) == {"healthy": True, "problems": [], "warnings": []}
        assert await gateway.terminate() == 0
        await office.close()

        received = await asyncio.to_thread(gateway.frames)
        ledger = Ledger.of(received)
        rows = sorted((time_us, value) for tag_id, time_us, value, _ in ledger.samples() if tag_id == gateway.first_tag)
        assert rows[:-1] == counting.emitted
        found = await asyncio.to_thread(gateway.events)
        last = [event for event in found if event.kind is EventKind.GATEWAY_HEALTH][-1]
        ledger.assert_matches(last.lanes)
        assert "hello" in [one.attributes["value"] for one in found if one.kind is EventKind.STRING]
        # Copies, where an answer was lost, are removed downstream by their identity, as the telemetry job does it.
        dedup, seen = LaneDedup(256), Counter[Seen]()
        for one in received:
            key = SequenceKey(one.gateway_id, one.epoch, one.lane, one.stream)
            seen[found_as := dedup.classify(key, one.sequence, one.checksum)] += 1
            if found_as is Seen.NEW:
                dedup.record(key, one.sequence, one.checksum)
        assert (seen[Seen.NEW], seen[Seen.DUPLICATE]) == (len(ledger.frames), ledger.duplicates)
        assert seen[Seen.CONFLICT] == 0


async def test_the_service_stops_with_what_it_took_durable_and_said(
    config: StackConfig, service: ServiceProcess
) -> None:
    answers: list[Failure | None] = []
    sender = IngestionPlatform(settings_of(config, SITES[1])).sender(linger_ms=1)
    topic = topics.EVENTS.for_site(SITES[1])
    try:
        for number in range(2000):
            sender.produce(topic, b"0", f"drain {number}".encode(), answers.append)
            if number == 1000:
                await until(lambda: answers)
                assert await asyncio.to_thread(service.terminate) == 0
                service.start()
        assert await sender.flush(60) == 0
    finally:
        await sender.abandon()
    assert answers == [None] * 2000
    there = [bytes(one.value() or b"") for one in await asyncio.to_thread(read, config, topic)]
    assert [one for one in there if one.startswith(b"drain")] == [f"drain {number}".encode() for number in range(2000)]


def read(config: StackConfig, topic: str) -> list[Any]:
    return list(kafka.read_to_end(everybody(config), topic))


@pytest.mark.security("T-EDGE-KEY", "T-INGEST-RIGHTS")
async def test_a_revoked_gateway_does_nothing_more_within_five_seconds_on_open_streams_too(
    config: StackConfig,
    service: ServiceProcess,
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in render.instance_environment(config).items():
        monkeypatch.setenv(key, value)
    await machine.start(["d1.a", "d1.speed"])
    site = SITES[3]
    with gateway_of(config, tmp_path, site, machine) as gateway:
        gateway.register([opcua_tag(gateway, 0, "d1.a"), opcua_tag(gateway, 1, "d1.speed", writable=True)], version=902)
        gateway.start()
        await gateway.until_status(
            lambda s: s["connectors"][0]["connected"] and not s["commands"]["problem"] and s["lanes"],
            what="start",
            timeout_s=_PATIENCE_S,
        )
        counting = Counting(machine, "d1.a")
        await until(lambda: len(counting.emitted) >= 50)
        revoked_s = time.monotonic()
        assert await asyncio.to_thread(certificates.main, ["revoke", f"gateway-gw-{site}"]) == 0
        await gateway.until_status(
            lambda s: (
                "PERMISSION_DENIED" in s["uplink"]["last_error"] and "PERMISSION_DENIED" in s["commands"]["problem"]
            ),
            timeout_s=_PATIENCE_S,
            what="both directions are refused",
        )
        # However soon it was said: from here on nothing may come.
        await asyncio.sleep(max(0.0, revoked_s + REVOKED_WITHIN_S - time.monotonic()))
        before = await asyncio.to_thread(end_of, config, site)
        office = Office(gateway)
        await office.send(office.request(parameters={"speed": 99.0}))
        await more(counting, 300)
        await counting.stop()
        assert await asyncio.to_thread(end_of, config, site) == before
        assert await machine.nodes["d1.speed"].read_value() != 99.0
        await office.close()
        status = await gateway.page("/status")
        assert sum(lane["buffered_samples"] for lane in status["lanes"]) > 0  # it goes on collecting
        # A certificate that was stolen before is refused at the door too.
        stolen = IngestionSettings(**trust.ingestion_table(config, f"gw-{site}"))
        assert await appended(stolen, topics.FRAMES.for_site(site)) in _DENIED
        assert await followed(stolen, topics.TAGS.name) in _DENIED


def end_of(config: StackConfig, site: str) -> int:
    """Records of what the site's gateway writes."""
    return sum(len(read(config, topic.for_site(site))) for topic in TOPICS if topic.gateways is Access.WRITE)
