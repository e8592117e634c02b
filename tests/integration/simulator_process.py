"""A simulator as a process, and the two kinds of subscriber that see what it emits: an OPC UA client and a Sparkplug host."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gmqtt
import psutil
import yaml
from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from gmqtt.mqtt.constants import UNLIMITED_RECONNECTS, MQTTv311

from connectors.sparkplug import names, payload
from connectors.sparkplug.names import MessageType
from schemas import quality
from simulator.journal_reader import Emitted, JournalReader
from simulator.plant import Device, Protocol, parse_devices

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Seen = tuple[int, int, int]
"""Source time in microseconds, value bits, quality."""


async def eventually(condition: Callable[[], Any], *, timeout_s: float = 30, what: str = "") -> Any:
    """First true value of the condition."""
    async with asyncio.timeout(timeout_s):
        try:
            while not (value := condition()):  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            raise AssertionError(f"not within {timeout_s} s: {what}; last value {value!r}") from None
    return value


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bits(value: float | int | bool | None) -> int:
    """Bits of a value as the journal has them."""
    return int(struct.unpack("<q", struct.pack("<d", float("nan") if value is None else float(value)))[0])


class Simulator:
    """A running simulator and its files."""

    def __init__(
        self, folder: Path, plant: Mapping[str, Any], mqtt: tuple[str, int], *, opcua: str = "", sparkplug: str = ""
    ) -> None:
        self.devices: tuple[Device, ...] = parse_devices(plant)
        self.journal = folder / "journal.sqlite"
        self.opcua_url = f"opc.tcp://127.0.0.1:{free_port()}"
        self.admin_port = free_port()
        self.config = folder / "simulator.toml"
        (folder / "plant.yaml").write_text(yaml.safe_dump(dict(plant)))
        lines = {"plant": str(folder / "plant.yaml"), "journal": str(self.journal), "seed": 11}
        self.config.write_text(
            "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
            + f'\n[opcua]\nurl = "{self.opcua_url}"\n{opcua}\n'
            + f'[sparkplug]\nhost = "{mqtt[0]}"\nport = {mqtt[1]}\nreconnect_s = 0.2\n{sparkplug}\n'
            + f'[admin]\nhost = "127.0.0.1"\nport = {self.admin_port}\n[rhythm]\nenabled = false\n'
        )
        self._log = folder / "simulator.log"
        self._process: subprocess.Popen[bytes] | None = None
        # Path to an id, as the registry would give them.
        self.ids = {tag.path: 1000 + tag.index for device in self.devices for tag in device.tags}

    async def start(self) -> None:
        """Start and wait until it is healthy."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "simulator", "--config", str(self.config)]
            self._process = subprocess.Popen(command, stderr=log)  # noqa: ASYNC220 - outlives this loop's test
        await eventually(self.healthy, what=f"simulator is healthy; see {self._log}")

    def healthy(self) -> bool:
        """Whether it answers that it is; AssertionError when it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return bool(self.call("GET", "/health")["healthy"])
        except OSError:
            return False

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            await eventually(lambda: self._process and self._process.poll() is not None, what="simulator ends")
        return int(self._process.returncode)

    def kill(self) -> None:
        """No grace; for the end of a test."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def cpu_s(self) -> float:
        """Processor time used so far."""
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the admin interface."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    async def pause(self) -> Any:
        """Stop emitting; everything emitted is in the journal then."""
        return await asyncio.to_thread(self.call, "POST", "/pause")

    def emitted(self, *, sent: bool = True) -> Emitted:
        """What the journal has."""
        with JournalReader(self.journal) as reader:
            return reader.emitted(self.ids, sent=sent)

    def expected(self, protocol: Protocol, *, sent: bool = True) -> dict[str, set[Seen]]:
        """What the journal says a subscriber of that protocol saw, by tag path."""
        paths = {self.ids[tag.path]: tag.path for d in self.devices if d.protocol is protocol for tag in d.tags}
        found: dict[str, set[Seen]] = {path: set() for path in paths.values()}
        columns = self.emitted(sent=sent)
        rows = zip(
            columns.tag_id.tolist(), columns.time_us.tolist(), columns.value.view("i8").tolist(), columns.quality.tolist(),
            strict=True,
        )  # fmt: skip
        for tag_id, time_us, value, code in rows:
            if tag_id in paths:
                found[paths[tag_id]].add((time_us, value, code))
        return found


class OpcUaSubscriber:
    """Subscribes to every tag of protocol opcua and keeps what it gets."""

    def __init__(self, devices: tuple[Device, ...]) -> None:
        tags = [tag for device in devices if device.protocol is Protocol.OPCUA for tag in device.tags]
        self.path_of = {f"ns=2;s={tag.device}.{tag.name}": tag.path for tag in tags}
        self.seen: dict[str, set[Seen]] = {tag.path: set() for tag in tags}
        self.notifications = 0
        self.variant_types: set[tuple[str, Any]] = set()

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        """Called by asyncua."""
        value = data.monitored_item.Value
        time_us = int((value.SourceTimestamp - EPOCH).total_seconds() * 1_000_000 + 0.5)
        path = self.path_of[node.nodeid.to_string()]
        self.seen[path].add((time_us, bits(value.Value.Value), quality.from_status_code(value.StatusCode.value)))
        self.variant_types.add((path.rpartition("/")[2], value.Value.VariantType))
        self.notifications += 1

    async def subscribe(self, client: Client) -> Any:
        """As the gateway does: every change of status, value or timestamp, queued."""
        subscription = await client.create_subscription(100, self)
        nodes = [client.get_node(address) for address in self.path_of]
        wanted = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        results = await subscription._subscribe(nodes, ua.AttributeIds.Value, mfilter=wanted, queuesize=1000)
        assert not [result for result in results if not isinstance(result, int)]
        return subscription


@asynccontextmanager
async def opcua_client(simulator: Simulator) -> AsyncIterator[Client]:
    """A connected client."""
    client = Client(simulator.opcua_url, timeout=10)
    client.session_timeout = 60_000
    async with client:
        yield client


@dataclass
class Session:
    """What a node said between two births."""

    bdseq: int
    births: list[str] = field(default_factory=list)
    ended: bool = False


class SparkplugHost:
    """A host application that believes nothing: checks sequence numbers, aliases and births while it collects."""

    def __init__(self, devices: tuple[Device, ...]) -> None:
        self.tags = {
            (d.site, d.name, t.name): t.path for d in devices for t in d.tags if d.protocol is Protocol.SPARKPLUG
        }
        self.seen: dict[str, set[Seen]] = {path: set() for path in self.tags.values()}
        self.messages: list[tuple[MessageType, str, str]] = []
        self.sessions: dict[str, list[Session]] = {}
        self.problems: list[str] = []
        self.samples = 0
        self._aliases: dict[tuple[str, int], tuple[str, str]] = {}
        self._seq: dict[str, int] = {}
        self._client: Any = None

    @asynccontextmanager
    async def connected(self, host: str, port: int) -> AsyncIterator[SparkplugHost]:
        """Subscribed to everything."""
        self._client = gmqtt.Client("test-host", clean_session=True)
        subscribed = asyncio.Event()
        self._client.on_message = self._message
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.set_config({"reconnect_delay": 0.2, "reconnect_retries": UNLIMITED_RECONNECTS})
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/#", qos=1)
        await self._client.connect(host, port, version=MQTTv311)
        async with asyncio.timeout(10):
            await subscribed.wait()
        try:
            yield self
        finally:
            await self._client.disconnect()

    def command(self, site: str, device: str, **values: float) -> None:
        """DCMD."""
        metrics = tuple(payload.Metric(name=name, value=value) for name, value in values.items())
        topic = names.Topic(site, MessageType.DCMD, f"sim-{site}", device)
        self._client.publish(str(topic), payload.encode(payload.Payload(time_ms=1, metrics=metrics)))

    def rebirth(self, site: str) -> None:
        """NCMD Node Control/Rebirth."""
        metric = payload.Metric(name=payload.REBIRTH_METRIC, data_type=payload.DataType.BOOLEAN, value=True)
        topic = names.Topic(site, MessageType.NCMD, f"sim-{site}")
        self._client.publish(str(topic), payload.encode(payload.Payload(time_ms=1, metrics=(metric,))))

    def state(self, host_id: str, *, online: bool, time_ms: int) -> None:
        """STATE of a host, retained."""
        self._client.publish(
            names.state_topic(host_id), names.encode_state(online=online, time_ms=time_ms), qos=1, retain=True
        )

    def count(self, kind: MessageType, site: str = "") -> int:
        """Messages of a kind so far."""
        return sum(k is kind and (not site or s == site) for k, s, _ in self.messages)

    def latest(self, path: str) -> float:
        """Newest value of a tag."""
        _, value, _ = max(self.seen[path])
        return float(struct.unpack("<d", struct.pack("<q", value))[0])

    def _message(self, _client: Any, topic: str, data: bytes, _qos: int, _properties: Any) -> int:
        if "/STATE/" in topic:
            return 0
        parsed = names.parse(topic)
        if parsed.type in {MessageType.NCMD, MessageType.DCMD}:
            return 0
        message = payload.decode(data)
        site = parsed.group
        self.messages.append((parsed.type, site, parsed.device))
        sessions = self.sessions.setdefault(site, [])
        if parsed.type is MessageType.NDEATH:
            self._death(site, message)
            return 0
        if parsed.type is MessageType.NBIRTH:
            bdseq = message.find(payload.BDSEQ_METRIC)
            assert bdseq is not None
            assert isinstance(bdseq.value, int)
            sessions.append(Session(bdseq.value))
            self._seq[site] = 0
        expected = self._seq.get(site, 0)
        if message.seq != expected:
            self.problems.append(f"{topic}: seq {message.seq} instead of {expected}")
        self._seq[site] = (expected + 1) % 256
        if parsed.type is MessageType.DBIRTH:
            sessions[-1].births.append(parsed.device)
        if parsed.device and parsed.type is not MessageType.DDEATH:
            self._metrics(site, parsed.device, message, born=parsed.type is MessageType.DBIRTH)
        return 0

    def _metrics(self, site: str, device: str, message: payload.Payload, *, born: bool) -> None:
        for metric in message.metrics:
            if born:
                self._aliases[site, metric.alias or 0] = (device, metric.name)
            elif metric.name:
                self.problems.append(f"{site}/{device}: data names {metric.name}")
            name = self._aliases.get((site, metric.alias or 0))
            if name is None or name[0] != device:
                self.problems.append(f"{site}/{device}: alias {metric.alias} is {name}")
                continue
            value = metric.value
            assert value is None or isinstance(value, float | int)
            seen = ((metric.time_ms or 0) * 1000, bits(value), quality.from_sparkplug(metric.quality))
            self.seen[self.tags[site, device, name[1]]].add(seen)
            self.samples += not born

    def _death(self, site: str, message: payload.Payload) -> None:
        bdseq = message.find(payload.BDSEQ_METRIC)
        for session in self.sessions.get(site, ()):
            if bdseq is not None and session.bdseq == bdseq.value:
                session.ended = True


async def make_certificate(folder: Path, name: str, uri: str, use: Any) -> tuple[Path, Path]:
    """Self-signed application certificate and key; returns their files."""
    certificate, key = folder / f"{name}.der", folder / f"{name}.pem"
    subject = {"countryName": "CH", "organizationName": "Millrace tests"}
    await setup_self_signed_certificate(key, certificate, uri, socket.gethostname(), [use], subject)
    return certificate, key
