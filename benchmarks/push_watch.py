"""Watching from outside when values are pushed: one gRPC stream of the watched tag of every gateway.

A thread with an event loop of its own. One tag per gateway stands for its lane, because a lane's values are published together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Self

from base import ids
from millrace_client import AsyncClient

_MAX_RATE_HZ = 100.0
"""The server's highest, so that the stream conflates nothing that the job has published."""


class PushWatch:
    """Open while the values are wanted. `pushed`: by tag id, (time of arrival, source time), both microseconds since 1970."""

    def __init__(self, address: str, tag_ids: Sequence[int], paths: Sequence[str]) -> None:
        self.pushed: dict[int, list[tuple[int, int]]] = {tag_id: [] for tag_id in tag_ids}
        self._address, self._paths = address, tuple(paths)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="push-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._stop()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the stream."""
        if self._failure is not None:
            raise self._failure

    def _stop(self) -> None:
        self._started.wait(10.0)
        self._loop.call_soon_threadsafe(self._stopped.set)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._until_stopped())
        except BaseException as error:  # noqa: BLE001 - raised by `check`
            self._failure = error

    async def _until_stopped(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        watching, stopping = asyncio.create_task(self._watch()), asyncio.create_task(self._stopped.wait())
        done, pending = await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    async def _watch(self) -> None:
        async with AsyncClient(self._address) as client, client.watch(self._paths, max_rate_hz=_MAX_RATE_HZ) as updates:
            async for update in updates:
                self.pushed[update.tag_id].append((ids.now_us(), update.value.time_us))


def shown_us(
    pushed: Mapping[int, Sequence[tuple[int, int]]], tag_id: int, source_us: int, start: int = 0
) -> tuple[int, int]:
    """When a tag was first shown with this source time or a newer one (0: never), and where in its list, to go on from there."""
    values = pushed[tag_id]
    place = start
    while place < len(values) and values[place][1] < source_us:
        place += 1
    return (values[place][0] if place < len(values) else 0), place
