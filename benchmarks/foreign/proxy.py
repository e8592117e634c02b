"""A TCP link that can be cut or left half open, between a client and a server of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter

_CHUNK = 65_536


class Link:
    """Forwards connections to `port`. `cut` resets those that are open; `freeze` keeps them and passes nothing on."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[StreamWriter] = set()
        self._open: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port, `port`."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End all connections and listen no more."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection that is open; new ones pass."""
        for writer in tuple(self._writers):
            if writer.transport is not None:
                writer.transport.abort()

    def freeze(self) -> None:
        """Let every connection that is open hang for ever, as a cable pulled behind a switch does; new ones pass."""
        for passing in self._open:
            passing.clear()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        passing = asyncio.Event()
        passing.set()
        self._open.add(passing)
        self._writers |= {writer, far_writer}
        pumps = [
            asyncio.create_task(_pump(reader, far_writer, passing)),
            asyncio.create_task(_pump(far_reader, writer, passing)),
        ]
        self._tasks |= set(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks -= set(pumps)
            self._open.discard(passing)
            for one in (writer, far_writer):
                self._writers.discard(one)
                one.transport.abort()


async def _pump(source: StreamReader, sink: StreamWriter, passing: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            await passing.wait()
            sink.write(data)
            await sink.drain()
