"""What a certificate opens at the stack's MQTT broker: the whole matrix of who writes what and who reads it; nothing without one."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from authority.authority import Authority
from authority.book import Usage
from connectors.mqtt_transport.connection import Message, MqttConnection, MqttError
from connectors.mqtt_transport.settings import MqttSettings, MqttVersion
from connectors.sparkplug.names import MessageType
from stack import doors, mosquitto, renewal, trust
from stack.config import StackConfig
from stack.health.answer import READY
from stack.instance import Instance
from tests.integration.polling import eventually

SITES = ("north", "south")
NODES = {site: f"node-sim-{site}" for site in SITES}
GATEWAYS = {site: f"gateway-gw-{site}-1" for site in SITES}
EVERYBODY = (*NODES.values(), *GATEWAYS.values())
COMMANDS = {MessageType.NCMD, MessageType.DCMD}
Heard = set[tuple[str, str, str]]
"""(writer, topic, reader)"""


@pytest.fixture(scope="module")
def config(stack: Instance) -> StackConfig:
    """The broker, for the example plant."""
    running = stack.require("mosquitto")
    renewal.tell_mosquitto(running)  # others may have told it of plants of their own
    return running


def topics_of(site: str) -> dict[str, MessageType]:
    """Everything that is said of a site's node."""
    tails = {kind: "/press-02" if kind.startswith("D") else "" for kind in MessageType}
    return {f"spBv1.0/{site}/{kind}/sim-{site}{tails[kind]}": kind for kind in MessageType}


def state_of(site: str) -> str:
    return f"spBv1.0/STATE/millrace-gw-{site}-1"


def expected() -> Heard:
    """What Sparkplug needs, written down without the rules."""
    found: Heard = set()
    for site in SITES:
        node, gateway = NODES[site], GATEWAYS[site]
        for topic, kind in topics_of(site).items():
            found.add((gateway, topic, node) if kind in COMMANDS else (node, topic, gateway))
        found |= {(gateway, state_of(site), node), (gateway, state_of(site), gateway)}
    return found


class Client:
    """The holder of a certificate, who reads all it may."""

    def __init__(
        self, config: StackConfig, name: str, *, keys: dict[str, str] | None = None, client_id: str = ""
    ) -> None:
        endpoint = f"mqtts://{config.host}:{config.ports.mosquitto}"
        found: dict[str, Any] = dict(trust.mqtt_keys(config, name) if keys is None else keys)
        settings = MqttSettings(endpoint=endpoint, version=MqttVersion.V311, **found)
        self.name = name
        self.heard: list[tuple[str, str]] = []
        self._connection = MqttConnection(
            settings, client_id=client_id or name, on_message=self._on_message, max_payload=1000
        )

    def _on_message(self, message: Message) -> None:
        self.heard.append((message.topic, message.data.decode()))

    async def open(self) -> None:
        await self._connection.open()
        await self._connection.subscribe([("#", 0), ("$SYS/#", 0)])

    def write(self, topic: str) -> None:
        assert self._connection.publish(topic, self.name.encode(), qos=1)

    async def passed(self) -> None:
        """The broker has taken what was written before, and what it had for this client has come: it answers in order."""
        await self._connection.subscribe([("done", 0)])

    @property
    def is_open(self) -> bool:
        return self._connection.is_open

    async def lost(self) -> None:
        with pytest.raises(MqttError):
            await self._connection.ended(30)

    async def close(self) -> None:
        await self._connection.close()


@asynccontextmanager
async def clients(config: StackConfig, *names: str) -> AsyncIterator[dict[str, Client]]:
    async with AsyncExitStack() as exits:
        found = {name: Client(config, name) for name in names}
        for client in found.values():
            exits.push_async_callback(client.close)
            await client.open()
        yield found


@asynccontextmanager
async def closing_with(client: Client) -> AsyncIterator[dict[str, Client]]:
    """A client by its name, open for a while."""
    try:
        await client.open()
        yield {client.name: client}
    finally:
        await client.close()


async def said(found: dict[str, Client], *writers: str) -> Heard:
    """What came to whom when writers try everything."""
    tried = [topic for site in SITES for topic in (*topics_of(site), state_of(site))]
    for client in found.values():
        client.heard.clear()
    for name in writers or found:
        for topic in (*tried, "spBv1.0/north/NDATA/other", "spBv1.0/STATE/other", "plain/topic", "$SYS/broker/x"):
            found[name].write(topic)
    for client in (*found.values(), *found.values()):  # first all have written, then all have read
        await client.passed()
    return {(writer, topic, client.name) for client in found.values() for topic, writer in client.heard}


async def until(ask: Callable[[], Awaitable[Heard]], good: Callable[[Heard], bool]) -> None:
    """A signal is noticed soon, not at once."""
    async with asyncio.timeout(30):
        while not good(await ask()):
            pass


@pytest.mark.security("T-PLANT-NODE", "SR 5.2")
async def test_everybody_writes_and_reads_their_own_and_nothing_else(config: StackConfig) -> None:
    async with clients(config, *EVERYBODY) as found:
        await until(lambda: said(found), lambda heard: heard == expected())
        assert await said(found) == expected()


@pytest.mark.security("T-PLANT-NODE", "SR 3.8")
async def test_a_stolen_certificate_takes_over_nobody_s_session(config: StackConfig) -> None:
    own = trust.mqtt_keys(config, NODES["south"])
    async with clients(config, GATEWAYS["north"], NODES["north"]) as found:
        subjects = [entry.subject for entry in trust.authority(config).entries() if entry.name in found]
        for victim in (*found, *subjects):
            async with closing_with(Client(config, NODES["south"], keys=own, client_id=victim)) as thief:
                assert await said(found | thief, *thief) == set()
                assert all(client.is_open for client in found.values())


async def test_a_revoked_node_says_and_hears_nothing_at_once_and_comes_back_as_somebody_new(
    config: StackConfig, tmp_path: Path
) -> None:
    node, gateway = NODES["south"], GATEWAYS["south"]
    stolen = tmp_path / "stolen.pem"
    shutil.copyfile(trust.authority(config).file(node), stolen)
    keys = trust.mqtt_keys(config, node) | {"certificate_file": str(stolen), "key_file": str(stolen)}
    mine = {one for one in expected() if node in one}
    async with clients(config, gateway, node) as found:
        assert mine <= await said(found)
        trust.authority(config).revoke(node)
        assert renewal.restart_mosquitto(config)
        # The gateway learns that what it holds of the node is old: the connection over which it would hear its death is gone.
        for client in found.values():
            await client.lost()
    await asyncio.to_thread(eventually, lambda: mosquitto.health(config) == READY, what="the broker again")
    async with clients(config, gateway) as found:
        async with clients(config, node) as own:
            assert node not in str(await said(found | own))
        async with closing_with(Client(config, "stolen", keys=keys)) as thief:
            assert "stolen" not in str(await said(found | thief))
        trust.authority(config).issue(node, Usage.CLIENT)
        assert renewal.tell_mosquitto(config)
        async with clients(config, node) as renewed, closing_with(Client(config, "stolen", keys=keys)) as thief:
            await until(lambda: said(found | renewed), lambda heard: mine <= heard)
            assert "stolen" not in str(await said(found | renewed | thief))


def answer(config: StackConfig, context: ssl.SSLContext | None) -> bytes:
    """What the broker says to CONNECT; nothing where it ends the connection."""
    with socket.create_connection((config.host, config.ports.mosquitto), timeout=10) as plain:
        try:
            secure = plain if context is None else context.wrap_socket(plain, server_hostname=config.host)
            with secure:
                secure.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x0a\x00\x05thief")
                return secure.recv(4)
        except (ssl.SSLError, ConnectionError):
            return b""


@pytest.mark.security("SR 1.2", "V12.1.3")
@pytest.mark.parametrize("who", ["a node", "nobody", "another authority's", "a server", "an older TLS", "no TLS"])
def test_nobody_comes_in_without_a_client_s_certificate_and_tls_1_3(
    config: StackConfig, tmp_path: Path, who: str
) -> None:
    issued = trust.authority(config)
    context = ssl.create_default_context(cafile=issued.root_file)
    if who == "another authority's":
        other = Authority(tmp_path / "other")
        other.ensure(NODES["north"], Usage.CLIENT)
        context.load_cert_chain(other.file(NODES["north"]))
    elif who != "nobody":
        context.load_cert_chain(issued.file(trust.KAFKA if who == "a server" else NODES["north"]))
    if who == "an older TLS":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    found = answer(config, None if who == "no TLS" else context)
    assert found == (b"\x20\x02\x00\x00" if who == "a node" else b"")


def test_at_the_socket_of_the_watch_nothing_can_be_read_or_written(config: StackConfig) -> None:
    connect = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x0a\x00\x05watch"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(mosquitto.socket_file(config)))
        stream = connection.makefile("rwb")
        topic = state_of("north").encode()
        subscribe = b"\x00\x01\x00\x01#\x00"
        publish = len(topic).to_bytes(2, "big") + topic + b"\x00\x02x"
        stream.write(connect)
        stream.write(bytes([0x82, len(subscribe)]) + subscribe)
        stream.write(bytes([0x32, len(publish)]) + publish)
        stream.write(b"\xc0\x00")
        stream.flush()
        # CONNACK, SUBACK, PUBACK, PINGRESP: what it published did not come to its own subscription.
        assert stream.read(4) == b"\x20\x02\x00\x00"
        assert stream.read(4) == b"\x90\x03\x00\x01"
        assert stream.read(1) in (b"\x00", b"\x80")
        assert stream.read(4) == b"\x40\x02\x00\x02"
        assert stream.read(2) == b"\xd0\x00"


@pytest.mark.drill("mqtt-certificate")
async def test_a_renewed_certificate_is_in_use_without_a_restart(config: StackConfig) -> None:
    def serial() -> str:
        return doors.shown(config, trust.MOSQUITTO)

    async with clients(config, NODES["north"], GATEWAYS["north"]) as found:
        before, renewed = serial(), trust.authority(config).renew(trust.MOSQUITTO)
        assert serial() == before
        renewal.reload(config, trust.MOSQUITTO)
        await asyncio.to_thread(eventually, lambda: serial() == renewed.serial, what="the new certificate")
        assert {one for one in expected() if NODES["north"] in one} <= await said(found)
