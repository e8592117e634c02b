"""Calls of the journal in one thread; those that come while one is written to disk share the next write.

Enters: calls that change or read the journal, from the event loop. Leaves: their results, once they are on disk. A write to disk takes a
millisecond on a quiet disk and fifty on a busy one, whatever is in it: without this, twenty commands a second that need two or three each
wait for each other as soon as the disk is busy. Order: calls are done in the order in which they came. A call that raises undoes its own
changes alone; a write that fails fails all that were in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

T = TypeVar("T")
Result = tuple[Any, Exception | None]


class GroupCommit:
    """The thread of one journal. `together` makes one transaction of all that is done inside it."""

    def __init__(self, together: Callable[[], AbstractContextManager[None]]) -> None:
        self._together = together
        self._thread = ThreadPoolExecutor(1, "commands")
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Result of a call, when it is on disk; raises what it raised, or what the disk said."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await future

    async def close(self, last: Callable[[], None]) -> None:
        """End the thread after everything that waits and then `last`, which is in no transaction."""
        if self._writing is not None:
            await self._writing
        await asyncio.get_running_loop().run_in_executor(self._thread, last)
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            results: list[Result]
            try:
                results = await loop.run_in_executor(self._thread, self._carry_out, [call for call, _ in batch])
            except RuntimeError as error:  # the thread has ended
                results = [(None, error)] * len(batch)
            for (_, future), (value, problem) in zip(batch, results, strict=True):
                if future.done():  # its caller has gone
                    continue
                if problem is None:
                    future.set_result(value)
                else:
                    future.set_exception(problem)
        self._writing = None

    def _carry_out(self, calls: Sequence[Callable[[], Any]]) -> list[Result]:
        try:
            if len(calls) == 1:
                return [(calls[0](), None)]
            with self._together():
                return [_result(call) for call in calls]
        except Exception as error:  # noqa: BLE001 - every caller gets it
            return [(None, error)] * len(calls)


def _result(call: Callable[[], Any]) -> Result:
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - its caller gets it, and it alone
        return None, error
