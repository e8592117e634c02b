"""The plant of the suite as a case sees it: three presses, changed through `Plant`; both clients behind one face."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Protocol, Self
from uuid import UUID

from millrace_client import (
    Aggregate,
    Anomaly,
    AnomalyPhase,
    AsyncClient,
    Client,
    CommandState,
    Contributor,
    Event,
    Gateway,
    Reject,
    Stream,
    TagBatch,
)

LINE = "acme/north/press/line1/cell1"
PRESSES = [f"{LINE}/press{number:02}" for number in range(3)]
TAGS = (
    ("temperature", "DOUBLE", False),
    ("speed_setpoint", "DOUBLE", True),
    ("packml_command", "INTEGER", True),
    ("running", "BOOLEAN", True),
)
"""Tags of each press: name, type, writable. Device ids count from 10, tag ids from 100, ten a device; unit Cel, range 0 to 150."""
EVERYTHING = ("read", "command", "approve", "plan", "alarm")


class Plant(Protocol):
    """What a case does to the plant, and how it gets clients of it."""

    def client(self, name: str = "", *, allow: Collection[str] = EVERYTHING, **options: Any) -> Any:
        """A client that is called `name` and may do what `allow` says. It is closed after the case."""

    def define(self, path: str, *, tag_id: int, device_id: int) -> object:
        """The registry gains a tag."""

    def set(self, tag_id: int, value: float, *, code: int = 0, time_us: int | None = None) -> None:
        """A tag has a new value."""

    def publish(self, step: Anomaly) -> None:
        """An anomaly episode goes on."""

    def set_state(self, device_id: int, *, heard: bool) -> None:
        """A device dies, or is born again."""

    def close_window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        """The stream closes a window of a tag over the samples that were set; returns it."""

    def tell(self, event: Event) -> None:
        """Something happens that is not a sample."""

    def reject(self, reject: Reject) -> None:
        """Validation refuses a sample."""

    def report(self, gateway: Gateway) -> None:
        """A gateway reports."""

    def know_work(self) -> None:
        """There are materials cap and coil, stops jam and setup (planned), scrap crack, a recipe brew 2 with 600 s of heat."""

    async def settle(self) -> None:
        """Return once history has everything that was set, told and refused."""

    def advance(self, command_id: UUID, state: CommandState, *, provisional: bool = False, **more: Any) -> None:
        """A command goes on: `detail` and `readback` as `more`."""

    def overheat(self, number: int, *, over: bool = False) -> None:
        """A press is 200 degrees hot, which is an alarm of the rule hot, of medium priority; or is it no more."""

    def switch_alarms_off(self) -> None:
        """No alarms job has ever run."""

    @property
    def submitted(self) -> list[UUID]:
        """Commands that were written, each once."""

    @property
    def controls(self) -> list[tuple[str, UUID, str, str]]:
        """Cancellations and approvals: action, command, by whom, reason."""

    async def stop(self) -> None:
        """The server goes away."""

    async def start(self) -> None:
        """It comes back, at the same address, and knows what it knew."""


class InThreads:
    """A `Client` behind the face of an `AsyncClient`: its calls run in threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        kind = inspect.signature(method).return_annotation
        if kind.startswith("Iterator"):
            return lambda *args, **more: _each(method(*args, **more))
        if kind.startswith("Stream"):
            return lambda *args, **more: _StreamInThreads(method(*args, **more))
        return lambda *args, **more: asyncio.to_thread(method, *args, **more)


_END = object()


async def _each(items: Any) -> AsyncIterator[Any]:
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield item


class _StreamInThreads:
    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._stream, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        await asyncio.to_thread(self._stream.close)


START_US = 1_699_999_980_000_000
"""A time that is the start of a minute's window, and of no hour's."""


def face(client: Client | AsyncClient) -> Any:
    """The asynchronous face of a client."""
    return InThreads(client) if isinstance(client, Client) else client


def step(**changes: Any) -> Anomaly:
    """A step of an anomaly episode of the second press."""
    fields: dict[str, Any] = {
        "episode_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "device_id": 11,
        "device_path": PRESSES[1],
        "phase": AnomalyPhase.OPEN,
        "start_us": 1_700_000_000_000_000,
        "score": 0.75,
        "peak_score": 0.875,
        "threshold": 0.5,
        "contributors": (
            Contributor(tag_id=110, path=f"{PRESSES[1]}/temperature", score=0.5, value=91.5, expected_low=60.0),
        ),
        "detector": "robust",
        "detector_version": 3,
    }
    return Anomaly(**fields | changes)


async def rest(items: Any) -> list[Any]:
    return [item async for item in items]


async def snapshot(batches: Any) -> tuple[dict[int, float], TagBatch]:
    """Values by tag of a snapshot, and its last batch."""
    values: dict[int, float] = {}
    while True:
        batch = await anext(batches)
        values |= {update.tag_id: update.value.value for update in batch.updates}
        if batch.snapshot_complete:
            return values, batch
