"""Connections under supervision: whatever one connector raises, the others go on, and it is tried again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from base.errors import ConfigError, cause_of
from base.ids import now_us
from connectors.catalogue import Connection
from connectors.protocol import Context
from connectors.readings import Connector, Readings, Sink, Write, WriteResult, WriteStatus
from edge.connections import Connections
from edge.supervised import ConnectionSpec, Pace
from schemas.definitions import TagDefinition
from schemas.events import EventKind
from tests.integration.gateway_support import MemorySink, free_port, tag, until
from tests.integration.test_gateway_opcua import Machine

pytestmark = pytest.mark.unit

QUICK = Pace(min_s=0.01, max_s=0.05, configuration_s=0.05, stop_s=0.4)
SOUND = tag(1, "opcua:ns=2;s=d1.a")
BROKEN = tag(2, "bad:x", device_id=2)
TAGS = {one.address: one for one in (SOUND, BROKEN)}


class Odd:
    """A connector of a library that does whatever the test wants; by default it sends one value and stays."""

    def __init__(self, sink: Sink, **behaviour: Callable[[], Any]) -> None:
        self.name = "bad"
        self.sink, self._behaviour = sink, behaviour
        self.tags: Mapping[str, TagDefinition] = {}

    def _do(self, what: str) -> Any:
        return self._behaviour[what]() if what in self._behaviour else None

    def serves(self, address: str) -> bool:
        return address.startswith("bad:")

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        self._do("update")
        self.tags = tags

    async def run(self) -> None:
        readings = Readings()
        readings.add(2, now_us(), 1.0, 0)
        self.sink.readings(readings)
        found = self._do("run")
        await (found if found is not None else asyncio.Event().wait())

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        found = self._do("write")
        result: WriteResult = await found if asyncio.iscoroutine(found) else found
        return result

    def status(self) -> dict[str, Any]:
        self._do("status")
        return {"connected": True, "problem": ""}


def raising(error: BaseException) -> Callable[[], Any]:
    def do() -> Any:
        raise error

    return do


def steady() -> ConnectionSpec:
    """A sound connection of its own, for tests whose fault is no library's."""
    return ConnectionSpec(name="opcua", settings=0, make=Steady)


class Steady(Odd):
    """Sends a value of tag 1 every few milliseconds."""

    async def run(self) -> None:
        while True:
            readings = Readings()
            readings.add(1, now_us(), float(now_us()), 0)
            self.sink.readings(readings)
            await asyncio.sleep(0.005)

    def serves(self, address: str) -> bool:
        return address.startswith("opcua:")


async def goes_on(sink: MemorySink) -> None:
    """The sound connection still delivers."""
    before = len(sink.values(1))
    await until(lambda: len(sink.values(1)) > before + 1)


async def _settled() -> None:
    """The sink of these tests appends at once."""


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine(free_port())
    await made.start(["d1.a"])
    yield made
    await made.stop()


def opcua(machine: Machine, folder: Path) -> ConnectionSpec:
    own = {"publishing_interval_ms": 20, "reconnect_min_s": 0.1, "reconnect_max_s": 0.2}
    table = {"name": "opcua", "protocol": "opcua", "endpoint": machine.url, **own}
    connection = Connection.from_table(table, where="test")

    def make(sink: Sink) -> Connector:
        return connection.make(Context(gateway_id="gw1", sink=sink, clock=now_us, state_dir=folder, shared_dir=folder))

    return ConnectionSpec(name="opcua", settings=connection, make=make)


def odd(settings: Any = None, **behaviour: Callable[[], Any]) -> ConnectionSpec:
    return ConnectionSpec(name="bad", settings=settings, make=lambda sink: Odd(sink, **behaviour))


@contextlib.asynccontextmanager
async def running(sink: MemorySink, *specs: ConnectionSpec) -> AsyncIterator[Connections]:
    made = Connections(sink=sink, clock=now_us, settled=_settled, pace=QUICK)
    made.update(TAGS, frozenset())
    await made.apply(specs)
    watching = asyncio.create_task(made.run())
    try:
        yield made
        assert not watching.done(), "a supervisor failed"
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await made.close()


def of(connections: Connections, name: str) -> dict[str, Any]:
    return next(one for one in connections.status() if one["name"] == name)


async def delivers(machine: Machine, sink: MemorySink, value: float) -> None:
    """The real connection still brings a value from its server."""
    await machine.set("d1.a", value)
    await until(lambda: value in sink.values(1), what=f"value {value}")


ERRORS = [
    RuntimeError("a library's"), KeyError("x"), AttributeError("y"), RecursionError(), ExceptionGroup("g", [ValueError("z")]),
    asyncio.CancelledError(), StopAsyncIteration(), MemoryError(), NotImplementedError("x" * 10_000),
]  # fmt: skip


async def test_whatever_run_raises_restarts_that_one_alone(machine: Machine, tmp_path: Path) -> None:
    sink = MemorySink()
    async with running(sink, opcua(machine, tmp_path)) as connections:
        for number, error in enumerate(ERRORS):
            sink.notices.clear()
            await connections.apply([opcua(machine, tmp_path), odd(number, run=raising(error))])
            await until(lambda: of(connections, "bad")["restarts"] >= 2)
            await delivers(machine, sink, float(number + 1))
            # It is tried again and again, and is there for a moment each time.
            await until(lambda: not of(connections, "bad")["connected"])
            found = of(connections, "bad")
            assert type(error).__name__ in found["last_error"] or "cancelled from within" in found["last_error"]
            assert len(found["last_error"]) <= 300
            (state,) = sink.of(EventKind.STATE)  # once for one cause, not at each restart
            assert state.attributes["connector"] == "bad"
            assert state.attributes["error"].endswith(found["last_error"])
            assert {one.device_id for one in sink.of(EventKind.DEATH)} == {2}
        assert of(connections, "opcua")["connects"] == 1
        assert of(connections, "opcua")["restarts"] == 0


async def test_a_connector_that_ends_by_itself_is_a_failure() -> None:
    sink = MemorySink()
    async with running(sink, steady(), odd(run=lambda: asyncio.sleep(0))) as connections:
        await until(lambda: of(connections, "bad")["restarts"] >= 1)
        assert "ended without an error" in of(connections, "bad")["last_error"]


@pytest.mark.parametrize("what", ["update", "make"])
async def test_what_fails_before_it_runs(what: str) -> None:
    sink = MemorySink()

    def refuse(_sink: Sink) -> Connector:
        msg = "no such security policy 'Basic256Sha265'"
        raise ConfigError(msg)

    broken = (
        odd(update=raising(ValueError("v")))
        if what == "update"
        else ConnectionSpec(name="bad", settings=1, make=refuse)
    )
    async with running(sink, steady(), broken) as connections:
        await until(lambda: of(connections, "bad")["restarts"] >= 2)
        await goes_on(sink)
        assert of(connections, "bad")["problem"]
        written = await connections.write([Write(BROKEN, 1.0)], 1.0)
        assert written.status is WriteStatus.NOT_SENT
        assert "not running" in written.detail
    if what == "make":
        assert (
            sink.of(EventKind.STATE)[0]
            .attributes["error"]
            .startswith("configuration: ConfigError: no such security policy")
        )


async def test_an_update_that_raises_later_restarts_the_connector_with_the_new_tags() -> None:
    sink, updates = MemorySink(), []

    def update() -> None:
        updates.append(1)
        if len(updates) == 2:
            raise LookupError

    async with running(sink, steady(), odd(update=update)) as connections:
        await until(lambda: of(connections, "bad")["connected"])
        connections.update(TAGS, frozenset({"elsewhere"}))
        await until(lambda: of(connections, "bad")["restarts"] == 1 and of(connections, "bad")["connected"])
        await goes_on(sink)
    assert len(updates) == 3


async def test_a_status_that_raises_costs_no_sample() -> None:
    sink = MemorySink()
    async with running(sink, steady(), odd(status=raising(TypeError("t")))) as connections:
        await until(lambda: 1.0 in sink.values(2))
        await goes_on(sink)
        found = of(connections, "bad")
        assert found["restarts"] == 0
        assert found["errors"] >= 1
        assert found["last_error"] == "status: TypeError: t"
    assert len(sink.of(EventKind.STATE)) == 1


@pytest.mark.parametrize(
    ("write", "detail"),
    [
        (raising(RuntimeError("no")), "RuntimeError: no"),
        (raising(asyncio.CancelledError()), "cancelled from within"),
        (lambda: asyncio.Event().wait(), "did not end"),
        (lambda: None, "answered with a NoneType"),
    ],
    ids=["raises", "cancels", "hangs", "answers nonsense"],
)
async def test_a_write_that_raises_or_hangs_is_unknown(write: Callable[[], Any], detail: str) -> None:
    sink = MemorySink()
    async with running(sink, steady(), odd(write=write)) as connections:
        await until(lambda: of(connections, "bad")["connected"])
        result = await connections.write([Write(BROKEN, 1.0)], 0.05)
        assert result.status is WriteStatus.UNKNOWN
        assert detail in result.detail
        assert of(connections, "bad")["restarts"] == 0
        await goes_on(sink)


async def test_an_error_in_a_callback_after_append_restarts_its_connector() -> None:
    sink = MemorySink(hold=True)
    made: list[Odd] = []

    def make(tap: Sink) -> Connector:
        made.append(Odd(tap))
        return made[-1]

    async with running(sink, ConnectionSpec(name="bad", settings=1, make=make)) as connections:
        await until(lambda: len(made) == 1 and made[0].tags)
        made[0].sink.readings(Readings(), raising(ZeroDivisionError()))
        for done in sink.held:
            done()  # as the pipeline does
        await until(lambda: of(connections, "bad")["restarts"] == 1)


@pytest.mark.parametrize(
    "row", [("2", 1, 1.0, 0), (2, 1.5, 1.0, 0), (2, 1, 1.0, 1 << 16), (2, 1, 1.0, -1), (1 << 40, 1, 1.0, 0)]
)
async def test_readings_no_frame_can_carry_are_their_connectors_failure(row: tuple[Any, ...]) -> None:
    sink, made = MemorySink(), list[Odd]()

    def make(tap: Sink) -> Connector:
        made.append(Odd(tap))
        return made[-1]

    async with running(sink, ConnectionSpec(name="bad", settings=1, make=make)) as connections:
        await until(lambda: sink.values(2))
        broken = Readings()
        broken.add(*row)
        with pytest.raises(ValueError, match="no frame can carry"):
            made[0].sink.readings(broken)
        await until(lambda: of(connections, "bad")["restarts"] == 1)
        before = len(sink.rows)
        late = Readings()
        late.add(2, 5, 1.0, 0)
        made[0].sink.readings(late)  # of a connector that is over
        assert len(sink.rows) == before


async def test_a_changed_connection_alone_is_restarted_and_a_removed_one_says_so(
    machine: Machine, tmp_path: Path
) -> None:
    sink = MemorySink()
    async with running(sink, opcua(machine, tmp_path), odd(1)) as connections:
        await delivers(machine, sink, 1.0)
        await until(lambda: len(sink.values(2)) == 1)
        changes = await connections.apply([opcua(machine, tmp_path), odd(2)])
        assert (changes.added, changes.removed, changes.changed) == ((), (), ("bad",))
        await until(lambda: len(sink.values(2)) == 2)
        changes = await connections.apply([opcua(machine, tmp_path)])
        assert changes.removed == ("bad",)
        assert connections.unserved() == ["bad:x"]
        assert of(connections, "opcua")["connects"] == 1
        changes = await connections.apply([opcua(machine, tmp_path), odd(3)])
        assert changes.added == ("bad",)
        await until(lambda: len(sink.values(2)) == 3)
        await delivers(machine, sink, 2.0)
    deaths = [one for one in sink.of(EventKind.DEATH) if one.device_id == 2]
    assert len(deaths) == 2


async def test_what_does_not_end_when_it_is_cancelled_is_left_alone() -> None:
    sink, released = MemorySink(), asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    async with running(sink, steady(), odd(1, run=stubborn, write=stubborn)) as connections:
        await until(lambda: sink.values(2))
        result = await connections.write([Write(BROKEN, 1.0)], 0.05)
        assert result.status is WriteStatus.UNKNOWN
        await connections.apply([steady(), odd(2)])
        await until(lambda: len(sink.values(2)) == 2)
        await goes_on(sink)
    released.set()


def test_a_cause_is_one_bounded_line() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert cause_of(ValueError("a\n  b")) == "ValueError: a b"
    assert cause_of(Mute()) == "Mute"
    assert len(cause_of(ValueError("x" * 1_000_000))) == 300
