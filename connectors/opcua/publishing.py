"""Publish requests of a session: several under way at once, no more than the server takes, with the acknowledgements that are due.

Several are under way so that the server can send while earlier notifications wait for their acknowledgement. Leaves, through `result`,
every ua.PublishResult in the order in which it came. A reader that is slow lets the server wait: nothing more is asked for while so many
results wait. What was asked for always has room, since waiting for it would let a later result overtake.
"""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua import ua

_REQUESTS = 4
_RESULTS_WAITING = 16
_PAUSE_S = 0.2
_PATIENCE = 20
"""Requests refused one after the other although there is a subscription, before the session counts as broken."""


class Publishing:
    """Used once, for one session. `subscriptions` is how many there are now.

    `acknowledgements` are those that are due; of a session before, when its subscriptions were taken over.
    """

    def __init__(self, service: Any, acknowledgements: list[Any] | None = None) -> None:
        self._results: asyncio.Queue[Any] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._service = service
        self.acknowledgements: list[Any] = [] if acknowledgements is None else acknowledgements
        self._allowed = 0xFFFF
        self._requests: set[asyncio.Task[None]] = set()
        self._subscriptions = 0
        self._exists = asyncio.Event()

    @property
    def requests(self) -> int:
        """Requests under way."""
        return len(self._requests)

    async def result(self) -> Any:
        """The next ua.PublishResult."""
        result = await self._results.get()
        if self._results.qsize() < _RESULTS_WAITING:
            self._room.set()
        return result

    def serve(self, subscriptions: int) -> None:
        """There are so many subscriptions now; without one the server takes no publish request."""
        self._subscriptions = subscriptions
        if subscriptions:
            self._exists.set()
        else:
            self._exists.clear()

    def acknowledge(self, subscription_id: int, number: int) -> None:
        """Tell the server, with the next request, that a notification is safe."""
        acknowledgement = ua.SubscriptionAcknowledgement()
        acknowledgement.SubscriptionId, acknowledgement.SequenceNumber = subscription_id, number
        self.acknowledgements.append(acknowledgement)

    async def run(self) -> None:
        """Keep requests under way until cancelled; raises what ends the session."""
        try:
            while True:
                await self._exists.wait()
                wanted = min(max(_REQUESTS, 2 + self._subscriptions), self._allowed)
                while len(self._requests) < wanted:
                    self._requests.add(asyncio.create_task(self._request()))
                done, _ = await asyncio.wait(self._requests, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
                self._requests -= done
                # All of them end at once when the connection is lost: each failure is looked at, the first one is raised.
                failures = [failure for request in done if (failure := request.exception()) is not None]
                if failures:
                    raise failures[0]
        finally:
            for request in self._requests:
                request.cancel()
            await asyncio.gather(*self._requests, return_exceptions=True)

    async def _request(self) -> None:
        """One request after the other, until there are too many."""
        refused = 0
        while True:
            await self._room.wait()
            acknowledged = self.acknowledgements.copy()
            self.acknowledgements.clear()
            try:
                response = await self._service.publish(acknowledged)
            except ua.uaerrors.BadTooManyPublishRequests:
                # Whether the acknowledgements were taken is not said; a second one does no harm.
                self.acknowledgements[:0] = acknowledged
                if len(self._requests) > 1:
                    self._allowed = max(1, len(self._requests) - 1)
                    return
                refused += 1
            except ua.uaerrors.BadNoSubscription:
                self.acknowledgements[:0] = acknowledged
                refused += bool(self._subscriptions)
            except ua.uaerrors.BadTimeout:
                self.acknowledgements[:0] = acknowledged
                continue
            except BaseException:
                self.acknowledgements[:0] = acknowledged
                raise
            else:
                refused = 0
                self._results.put_nowait(response.Parameters)
                if self._results.qsize() >= _RESULTS_WAITING:
                    self._room.clear()
                continue
            if refused > _PATIENCE:
                msg = "the server refuses every publish request"
                raise ua.UaError(msg)
            await asyncio.sleep(_PAUSE_S)
            await self._exists.wait()
