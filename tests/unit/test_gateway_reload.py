"""A running gateway goes over to another configuration: what did not change loses nothing, what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from base import key_ring, settings
from base.ids import now_us, uuid7
from base.toml import to_toml
from edge import at_rest, command, status_view
from edge.at_rest import AtRestSettings, prepare
from edge.buffer import Buffer
from edge.config import GatewayConfig
from edge.events import unpack
from edge.gateway import Gateway
from edge.registry_cache import RegistryCache
from edge.remote import Remote
from edge.segment import Cursor, RecordKind
from schemas import events, frame
from schemas.commands import CommandRequest
from schemas.definitions import TagDefinition
from schemas.events import DeviceEvent, EventKind
from schemas.frame import Stream
from tests.integration.gateway_support import free_port, tag, until
from tests.integration.test_gateway import Counting
from tests.integration.test_gateway_opcua import Machine
from tests.unit.test_gateway_registry import records

pytestmark = pytest.mark.unit

COUNTED = tag(1, "line1:ns=2;s=d1.a", gateway_id="gw1", site="north")
ELSEWHERE = tag(2, "line2:a/b", device_id=2, gateway_id="gw1", site="north")


class Installed:
    """A gateway's file and state; nothing listens where its Kafka should be."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.file, self.state = folder / "gateway.toml", folder / "state"
        self.line1 = {"name": "line1", "protocol": "opcua", "endpoint": machine.url, "publishing_interval_ms": 20}
        self.kafka = f"127.0.0.1:{free_port()}"
        self.write([self.line1, self.line2(free_port())])
        self.state.mkdir()
        cache = RegistryCache(self.state / "registry.cache", gateway_id="gw1", site="north", on_view=lambda _: None)
        self.register(cache, 1, COUNTED)
        cache.caught_up()

    @staticmethod
    def line2(port: int) -> dict[str, Any]:
        return {"name": "line2", "protocol": "mqtt", "endpoint": f"mqtt://127.0.0.1:{port}"}

    def write(self, connections: Iterable[dict[str, Any]], **changes: Any) -> None:
        values: dict[str, Any] = {
            "gateway_id": "gw1", "site": "north", "state_dir": str(self.state), "shutdown_s": 0.1,
            "kafka": {"bootstrap_servers": self.kafka}, "connections": list(connections),
            "buffer": {"max_bytes": 64 << 20}, **changes,
        }  # fmt: skip
        self.file.write_text(to_toml(values))

    @staticmethod
    def register(cache: RegistryCache, version: int, *tags: TagDefinition) -> None:
        cache.on_messages(records(*tags, version))

    def appended(self) -> tuple[list[float], list[DeviceEvent]]:
        """Values of the counted tag in order, and events, that the stopped gateway left in its buffer."""
        buffer = Buffer(
            self.state / "buffer",
            gateway_id="gw1",
            gap_event=lambda gap: b"",
            keys=prepare(AtRestSettings(), self.state),
        )
        entries = [
            entry
            for stream in (Stream.LIVE, Stream.BACKFILL)
            for cursor in [Cursor(stream)]
            for batch in iter(lambda: buffer.read(cursor, 1 << 20), [])  # noqa: B023 - used at once
            for entry in batch
        ]
        buffer.close()
        frames = [frame.decode(entry.body) for entry in entries if entry.kind is RecordKind.FRAME]
        values = [v for one in frames for v, n in zip(one.value.tolist(), one.tag_id.tolist(), strict=True) if n == 1]
        return values, [events.decode(unpack(one.body)[1]) for one in entries if one.kind is RecordKind.EVENT]


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine(free_port())
    await made.start(["d1.a"])
    yield made
    await made.stop()


@contextlib.asynccontextmanager
async def running(installed: Installed) -> AsyncIterator[Gateway]:
    config = settings.load(GatewayConfig, installed.file)
    gateway, stop = Gateway(config, source=installed.file), asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    try:
        await until(lambda: any(one["samples"] for one in connections(gateway)) or task.done())
        yield gateway
    finally:
        stop.set()
        await task


def connections(gateway: Gateway) -> list[dict[str, Any]]:
    return gateway._connections.status()


async def test_other_connections_and_tags_change_and_no_sample_is_lost(tmp_path: Path, machine: Machine) -> None:
    installed = Installed(tmp_path, machine)
    async with running(installed) as gateway:
        counting = Counting(machine, "d1.a")
        await until(lambda: len(counting.emitted) > 5)
        for number, second in enumerate(([installed.line2(free_port())], [], [installed.line2(free_port())])):
            installed.write([installed.line1, *second])
            await gateway.reload()
            assert gateway._reloads.error == ""
            assert [one["name"] for one in connections(gateway)] == ["line1", *(["line2"] if second else [])]
            installed.register(gateway._registry, 2 + number, COUNTED, *([ELSEWHERE] if number % 2 else []))
            gateway._registry.caught_up()
            before = len(counting.emitted)
            await until(lambda before=before: len(counting.emitted) > before + 5)  # type: ignore[misc]
        await counting.stop()
        await until(lambda: connections(gateway)[0]["samples"] >= len(counting.emitted) + 1)
        assert [one["connects"] for one in connections(gateway) if one["name"] == "line1"] == [1]
    values, told = installed.appended()
    # 0 is what the server began with, at a later time than the test's own.
    assert [value for value in values if value] == [value for _, value in counting.emitted]
    assert values.count(0.0) == 1
    assert [one for one in told if one.kind is EventKind.GAP] == []
    assert [one.text for one in told if one.text.startswith("configuration reloaded")] == [
        "configuration reloaded: changed line2",
        "configuration reloaded: removed line2",
        "configuration reloaded: added line2",
    ]


async def test_a_file_that_is_wrong_is_refused_whole(tmp_path: Path, machine: Machine) -> None:
    installed = Installed(tmp_path, machine)
    async with running(installed) as gateway:
        before = connections(gateway)[0]["connects"]
        for change, cause in (
            (lambda: installed.file.write_text("gateway_id = "), "not valid TOML"),
            (
                lambda: installed.write([{**installed.line2(1), "name": "line3"}, {"name": "x", "protocol": "y"}]),
                "protocol is 'y'",
            ),
            (lambda: installed.write([], kafka={"bootstrap_servers": "elsewhere:9092"}), "kafka cannot be changed"),
            (installed.file.unlink, "does not exist"),
        ):
            change()
            await gateway.reload()
            assert cause in gateway._reloads.error
            assert [one["name"] for one in connections(gateway)] == ["line1", "line2"]
            warnings = (await gateway._pages._health_page()).body["warnings"]
            assert any(cause in warning for warning in warnings)
        assert connections(gateway)[0]["connects"] == before
        installed.write([installed.line1])
        await gateway.reload()
        assert gateway._reloads.error == ""
        assert (gateway._reloads.applied, gateway._reloads.refused) == (1, 4)
    _, told = installed.appended()
    assert sum(one.text.startswith("configuration refused") for one in told) == 4


POLICIES = """
[[interlocks]]
name = "limit"
when = "has(command.values.b) && command.values.b > 100"
text = "b goes to 100"

[[rules]]
name = "follow"
when = "tag.a > 50"
write = { b = 7 }
event = "a is high"
"""


async def test_policies_work_offline_and_are_reloaded_whole(tmp_path: Path, machine: Machine) -> None:
    await machine.stop()
    await machine.start(["d1.a", "d1.b"])
    installed = Installed(tmp_path, machine)
    a = replace(COUNTED, name="a", path="acme/north/x/l/c/d1/a")
    b = replace(a, tag_id=3, name="b", path="acme/north/x/l/c/d1/b", address="line1:ns=2;s=d1.b", writable=True)
    policies = tmp_path / "policies.toml"
    policies.write_text(POLICIES)
    installed.write([installed.line1], policies=str(policies))
    async with running(installed) as gateway:
        installed.register(gateway._registry, 2, a, b)
        gateway._registry.caught_up()
        await until(lambda: connections(gateway)[0]["samples"] >= 2)
        await machine.set("d1.a", 51.0)
        await until(lambda: gateway._commands.status()["outcomes"] == {"SUCCEEDED": 1}, what="the rule's command")
        assert await machine.nodes["d1.b"].read_value() == 7.0

        await gateway._commands.receive([_write(b=101.0), _write(b=9.0)], [])
        await until(
            lambda: gateway._commands.status()["outcomes"] == {"SUCCEEDED": 2, "REJECTED": 1}, what="two commands"
        )
        assert await machine.nodes["d1.b"].read_value() == 9.0
        assert gateway._commands.status()["interlocked"] == 1

        policies.write_text(POLICIES.replace("tag.a > 50", "tag.a >"))
        await gateway.reload()
        assert "policy follow: when: it cannot be read" in gateway._reloads.error
        assert gateway._policies.status()["rules"] == 1
        policies.write_text("")
        await gateway.reload()
        assert gateway._reloads.error == ""
        await gateway._commands.receive([_write(b=101.0)], [])
        await until(lambda: gateway._commands.status()["outcomes"].get("SUCCEEDED") == 3, what="no interlock any more")
    _, told = installed.appended()
    (fired,) = [one for one in told if one.text == "rule follow: a is high"]
    assert fired.device_id == 1
    assert fired.attributes["command_id"]


def _write(**values: float) -> CommandRequest:
    now = now_us()
    return CommandRequest(
        command_id=uuid7(now), device_id=1, gateway_id="gw1", site="north", name="write", parameters=values,
        submitted_by="ann", submitted_us=now, expires_us=now + 60_000_000,
    )  # fmt: skip


@pytest.mark.security("T-EDGE-DISK", "V11.2.2")
@pytest.mark.drill("at-rest-keys")
async def test_keys_of_data_at_rest_are_rotated_while_it_runs(tmp_path: Path, machine: Machine) -> None:
    installed, used = Installed(tmp_path, machine), list[str]()
    async with running(installed) as gateway:
        counting = Counting(machine, "d1.a")
        for _ in range(3):
            used.append(key_ring.read(installed.state / "at-rest.keys")[-1].id)
            await until(lambda: list(at_rest.uses(installed.state))[-1] == used[-1])
            before = len(counting.emitted)
            await until(lambda before=before: len(counting.emitted) > before + 5)  # type: ignore[misc]
            assert await asyncio.to_thread(command.main, ["key", "rotate", "--config", str(installed.file)]) == 0
        await counting.stop()
        await until(lambda: connections(gateway)[0]["samples"] >= len(counting.emitted) + 1)
        page = await asyncio.to_thread(Remote(f"http://127.0.0.1:{gateway.admin_port}").page, "/status")
    newest = key_ring.read(installed.state / "at-rest.keys")[-1].id
    assert (page["at_rest"]["encrypted"], page["at_rest"]["key"], page["at_rest"]["problem"]) == (True, newest, "")
    assert page["buffer"]["plain_segments"] == 0
    assert f"encrypted with key {newest}" in status_view.render(
        page, page, 1.0, {"healthy": True, "problems": [], "warnings": []}
    )
    assert list(at_rest.uses(installed.state)) == [*used, newest]
    values, told = installed.appended()
    assert [value for value in values if value] == [value for _, value in counting.emitted]
    assert [one for one in told if one.kind is EventKind.GAP] == []
