"""Readers of `bench watch`, many in a process of their own: those that keep up, and those that do not.

Every message is noted with the time it came. A reader that is refused or cut off tries again after a second, as an application does; the
reasons are counted. `ready` counts the streams whose snapshot has come.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum

import grpc
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import WebSocketException

from base.errors import MillraceError
from base.ids import now_us
from benchmarks.watch.streams import FACES, Address
from benchmarks.watch.worker import Signals

_OPENING = 64
"""Streams that a process opens at once."""
_AGAIN_S = 1.0
_SLOW_S = 1.0
_LOOK_S = 0.1


class Kind(StrEnum):
    """How a reader reads."""

    PLAIN = "plain"
    """As fast as messages come."""
    SLOW = "slow"
    """A message a second."""
    NEVER = "never"
    """One message, and no more."""
    GREEDY = "greedy"
    """Everything, as often as the server sends it, as fast as messages come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """One stream."""

    kind: Kind
    address: Address
    path: str
    interval_ms: int = 0


@dataclass(kw_only=True, slots=True)
class Seen:
    """What the readers of a process have seen; one row for each message that had updates."""

    reader: NDArray[np.int64]
    """Place in the list of readers."""
    received_us: NDArray[np.int64]
    newest_us: NDArray[np.int64]
    updates: NDArray[np.int64]
    ended: Counter[str]
    """Streams that ended before they were told to, by cause."""


@dataclass
class _Notes:
    columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))
    ended: Counter[str] = field(default_factory=Counter)

    def note(self, *row: int) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)


def run(face: str, readers: Sequence[Reader], signals: Signals) -> Seen:
    """Read until told to stop."""
    notes = asyncio.run(_run(face, readers, signals))
    reader, received_us, newest_us, updates = (np.frombuffer(column, np.int64) for column in notes.columns)
    return Seen(reader=reader, received_us=received_us, newest_us=newest_us, updates=updates, ended=notes.ended)


async def _run(face: str, readers: Sequence[Reader], signals: Signals) -> _Notes:
    notes, opening = _Notes(), asyncio.Semaphore(_OPENING)
    tasks = [asyncio.create_task(_read(face, at, one, notes, opening, signals)) for at, one in enumerate(readers)]
    while not signals.stopped:
        await asyncio.sleep(_LOOK_S)
        for task in tasks:
            if task.done():
                task.result()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return notes


async def _read(
    face: str, number: int, reader: Reader, notes: _Notes, opening: asyncio.Semaphore, signals: Signals
) -> None:
    known = False
    while True:
        await opening.acquire()
        held = True
        try:
            async with aclosing(FACES[face](reader.address, reader.path, reader.interval_ms)) as messages:
                async for message in messages:
                    if message.updates:
                        notes.note(number, now_us(), message.newest_us, message.updates)
                    if held and message.complete:
                        opening.release()
                        held = False
                        signals.ready += not known
                        known = True
                    await _pause(reader.kind, opened=not held)
            notes.ended["the server closed the stream"] += 1
        except grpc.aio.AioRpcError as error:
            notes.ended[f"{error.code().name}: {str(error.details())[:120]}"] += 1
        except (MillraceError, OSError, WebSocketException, asyncio.IncompleteReadError) as error:
            notes.ended[f"{type(error).__name__}: {str(error)[:120]}"] += 1
        finally:
            if held:
                opening.release()
        await asyncio.sleep(_AGAIN_S)


async def _pause(kind: Kind, *, opened: bool) -> None:
    if kind is Kind.SLOW and opened:
        await asyncio.sleep(_SLOW_S)
    elif kind is Kind.NEVER and opened:
        await asyncio.Event().wait()
