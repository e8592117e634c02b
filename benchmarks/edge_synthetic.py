"""A gateway whose machine is a part of it: what the gateway carries by itself, without a protocol.

`python -m benchmarks.edge_synthetic --config FILE` is `python -m edge` with one protocol more, `synthetic`, whose connector hands over
values at a rate once there are tags. Each step's time and count go to a journal, so that what must arrive is known.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from connectors import catalogue
from connectors.protocol import Context, MachineProtocol
from connectors.readings import Readings, Sink, Write, WriteResult, WriteStatus
from edge.__main__ import main
from schemas.definitions import TagDefinition

_STEP_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSettings:
    """How many values a second, and the file that says of each step when it was and how many values it had."""

    endpoint: str
    rate: float
    journal: Path

    def __post_init__(self) -> None:
        if self.rate <= 0:
            msg = "rate is not above 0"
            raise ValueError(msg)


class SyntheticConnector:
    """Hands over values at a rate, the tags in turn."""

    def __init__(self, name: str, settings: SyntheticSettings, context: Context) -> None:
        self.name, self._settings = name, settings
        self._sink: Sink = context.sink
        self._clock = context.clock
        self._ids: list[int] = []
        self._known = asyncio.Event()
        self._samples = 0

    def serves(self, address: str) -> bool:
        """Every tag of the connection."""
        return address.startswith(f"{self.name}:")

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:  # noqa: ARG002
        """Take over the tags."""
        self._ids = [tag.tag_id for tag in tags.values()]
        if self._ids:
            self._known.set()

    async def run(self) -> None:
        """Values from the first tags on, for ever. A step that comes late has the values of the time since."""
        loop = asyncio.get_running_loop()
        await self._known.wait()
        ids, began_s, values = cycle(self._ids), loop.time(), cycle(float(i) for i in range(1000))
        with self._settings.journal.open("a", buffering=1) as journal:
            while True:
                await asyncio.sleep(_STEP_S)
                count = int((loop.time() - began_s) * self._settings.rate) - self._samples
                self._samples += count
                time_us = self._clock()
                # In words first: what is written here arrives, or is lost.
                journal.write(f"{time_us} {count}\n")
                self._sink.readings(
                    Readings(list(islice(ids, count)), [time_us] * count, list(islice(values, count)), [0] * count)
                )

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:  # noqa: ARG002
        """There is nothing to write to."""
        return WriteResult(status=WriteStatus.NOT_SENT, detail="a synthetic machine takes no writes")

    def status(self) -> dict[str, Any]:
        """For the gateway's status page."""
        return {"name": self.name, "connected": bool(self._ids), "samples": self._samples}


def sent(journal: Path, from_us: int, to_us: int) -> int:
    """Values with times in a span (µs)."""
    rows = (line.split() for line in journal.read_text().splitlines())
    return sum(int(count) for time_us, count in rows if from_us <= int(time_us) < to_us)


def _check(address: str) -> None:
    if not address:
        msg = "an address is not empty"
        raise ValueError(msg)


SYNTHETIC = MachineProtocol(name="synthetic", settings=SyntheticSettings, check_address=_check, make=SyntheticConnector)


if __name__ == "__main__":
    catalogue.PROTOCOLS[SYNTHETIC.name] = SYNTHETIC
    sys.exit(main())
