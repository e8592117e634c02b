"""For the gateway's integration tests: tags, a sink that remembers, waiting in an event loop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connectors.readings import Notice, Readings, Seen
from schemas.definitions import DataType, Historise, TagDefinition
from schemas.events import EventKind

T = TypeVar("T")


def tag(tag_id: int, address: str, *, device_id: int = 1, **changes: Any) -> TagDefinition:
    """A tag of gateway gw1 at site north."""
    name = changes.pop("name", f"t{tag_id}")
    values: dict[str, Any] = {
        "tag_id": tag_id, "device_id": device_id, "registry_version": 1,
        "path": f"acme/north/a/l/c/d{device_id}/{name}", "name": name, "site": "north", "device_class": "pump",
        "tag_class": "fast", "description": "", "data_type": DataType.DOUBLE, "unit": "1", "eu_low": None,
        "eu_high": None, "limit_low": None, "limit_high": None, "max_rate": None, "stuck_after_s": None,
        "period_ms": 100, "deadband": 0.0, "windows_s": (1, 60), "detector": "default", "historise": Historise.ALL,
        "gateway_id": "gw1", "lane": 0, "address": address, "writable": False, "retired": False,
    }  # fmt: skip
    return TagDefinition(**(values | changes))


@dataclass
class MemorySink:
    """Remembers what connectors hand over; confirms appends at once unless `hold` is set."""

    rows: list[tuple[int, int, Any, int]] = field(default_factory=list)
    historical: list[tuple[int, int, Any, int]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    seen: dict[int, int | Seen] = field(default_factory=dict)
    """What an earlier process appended last, by tag; of some only the time is known."""
    hold: bool = False
    held: list[Callable[[], None]] = field(default_factory=list)

    def readings(self, readings: Readings, on_appended: Callable[[], None] | None = None) -> None:
        target = self.historical if readings.historical else self.rows
        target += zip(readings.tag_id, readings.time_us, readings.value, readings.quality, strict=True)
        if on_appended is not None:
            if self.hold:
                self.held.append(on_appended)
            else:
                on_appended()

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    def last_seen(self, tag_id: int) -> Seen:
        found = self.seen.get(tag_id, 0)
        return Seen(found) if isinstance(found, int) else found

    def of(self, kind: EventKind) -> list[Notice]:
        return [notice for notice in self.notices if notice.kind is kind]

    def values(self, tag_id: int) -> list[Any]:
        return [value for one, _, value, _ in self.rows if one == tag_id]


async def until(condition: Callable[[], T | None], *, timeout_s: float = 20, what: str = "") -> T:
    """First true value of the condition; the event loop goes on meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what or condition}; last value {value!r}"
        await asyncio.sleep(0.01)
    return value


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
