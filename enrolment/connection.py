"""A connection to the door: it has so long for its one request, and an address has so many connections at once.

Uvicorn has no timer before the first request of a connection, and counts connections that say nothing: some dozens of
them, opened by anybody, would close the door for good.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""From the end of the handshake until the request is read, its body included."""
MOST_OF_A_PEER = 16
"""Connections of one address at once. Gateways behind one address share it; each has one, for a moment."""


class Connection(H11Protocol):
    """One request, in its time. The application closes the connection with its answer."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse an address that has enough of them."""
        super().connection_made(transport)
        peer = self.client and self.client[0]
        of_peer = [
            one for one in self.connections if isinstance(one, Connection) and one.client and one.client[0] == peer
        ]
        if len(of_peer) > MOST_OF_A_PEER:
            self.logger.warning("an address has too many connections", extra={"peer": peer})
            self.connections.discard(self)
            transport.abort()
            return
        self._deadline = self.loop.call_later(REQUEST_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """A request that is whole has no deadline any more."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body:
            self._in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
