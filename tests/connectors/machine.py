"""What the conformance suite needs of a protocol: a real server of it, on which a test plays one device, and a connector to it."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from base.ids import now_us
from connectors.catalogue import Connection
from connectors.protocol import Context
from connectors.readings import Connector, WriteStatus
from schemas.definitions import DataType, TagDefinition
from schemas.events import EventKind
from tests.integration.gateway_support import MemorySink, tag, until

NAMES: Mapping[str, tuple[int, DataType, Any]] = {
    "speed": (1, DataType.DOUBLE, 1.5),
    "count": (2, DataType.INTEGER, 3),
    "running": (3, DataType.BOOLEAN, False),
    "later": (4, DataType.DOUBLE, 0.25),
}
"""Values of the device that every machine has: tag id, type, first value. `speed` can be written."""


SOON: Mapping[str, Any] = {"reconnect_min_s": 0.05, "reconnect_max_s": 0.1}
"""Settings of a protocol with connections, so that a test does not wait for the next attempt."""


class Machine(ABC):
    """One device behind a server of the protocol. Values set once are there again after `stop` and `start`."""

    protocol: ClassVar[str]
    exempt: ClassVar[Mapping[str, str]] = {}
    """What the protocol cannot do, and why: `time`, `quality`, `gap`, `refuse`, `write`, `redelivery`."""
    refusal: ClassVar[WriteStatus] = WriteStatus.REFUSED
    """How a write ends that the machine does not carry out."""
    settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values: dict[str, tuple[Any, int]] = {}
        """Value and time of each name."""

    async def set(self, name: str, value: Any, *, bad: bool = False) -> int:
        """Give a value with the present time, which is returned in µs; `bad` with a quality that says so."""
        time_us = max(now_us() // 1000 * 1000, self.values[name][1] + 1000 if name in self.values else 0)
        self.values[name] = (value, time_us)
        await self.put(name, value, time_us, bad=bad)
        return time_us

    def miss(self, name: str, value: Any) -> None:
        """Change a value while the machine is stopped: five periods after its last change, or now."""
        self.values[name] = (value, max(now_us() // 1000 * 1000, self.values[name][1] + 100_000))

    async def prepare(self) -> None:
        """First values, then `start`."""
        time_us = now_us() // 1000 * 1000
        self.values = {name: (value, time_us) for name, (_, _, value) in NAMES.items()}
        await self.start()

    def needs(self, aspect: str) -> None:
        """Skip the test when the protocol has no such thing."""
        if aspect in self.exempt:
            pytest.skip(f"{self.protocol}: {self.exempt[aspect]}")

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Endpoint of a connection."""

    @abstractmethod
    async def start(self) -> None:
        """Take connections, with `values`."""

    @abstractmethod
    async def stop(self) -> None:
        """Break all connections and take no more; also when it is not running."""

    @abstractmethod
    def address(self, name: str) -> str:
        """Address of a name; `missing` is well formed and nowhere."""

    @abstractmethod
    async def put(self, name: str, value: Any, time_us: int, *, bad: bool) -> None:
        """Make a value the present one."""

    @abstractmethod
    async def poison(self) -> None:
        """Send what no connector can take; afterwards the device is as it was."""

    async def get(self, name: str) -> Any:
        """The machine's own value; for protocols with writes."""
        raise NotImplementedError

    async def refuse_writes(self) -> None:
        """Carry out no write from now on; for protocols with writes."""
        raise NotImplementedError


def tag_of(machine: Machine, name: str, **changes: Any) -> TagDefinition:
    """The tag of a name, on the connection `m`."""
    tag_id, data_type, _ = NAMES.get(name, (9, DataType.DOUBLE, 0.0))
    changes = {"period_ms": 20, "writable": name == "speed", **changes}
    return tag(tag_id, f"m:{machine.address(name)}", name=name, data_type=data_type, **changes)


def connector_of(machine: Machine, sink: MemorySink, *tags: TagDefinition) -> Connector:
    """A connector as a gateway makes it, from a table of its configuration."""
    table = {"name": "m", "protocol": machine.protocol, "endpoint": machine.endpoint, **machine.settings}
    context = Context(
        gateway_id="gw1",
        sink=sink,
        clock=now_us,
        state_dir=machine.folder / "state",
        shared_dir=machine.folder / "shared",
    )
    connector = Connection.from_table(table, where="test").make(context)
    connector.update({one.address: one for one in tags}, frozenset())
    return connector


@contextlib.asynccontextmanager
async def running(connector: Connector) -> AsyncIterator[asyncio.Task[None]]:
    """Run the connector, and cancel it."""
    task = asyncio.create_task(connector.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(machine: Machine, sink: MemorySink, *names: str) -> AsyncIterator[Connector]:
    """A running connector that has reached the device."""
    connector = connector_of(machine, sink, *(tag_of(machine, name) for name in names))
    async with running(connector) as task:
        await until(lambda: sink.of(EventKind.BIRTH), what="birth of the device")
        yield connector
        assert not task.done(), "the connector has ended by itself"
