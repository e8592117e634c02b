"""Subscriptions of i3X: what a client wants to hear of, and what it has not acknowledged yet.

Changes are captured when the client asks (`sync`), or twice a second (`stream`): of an object that changed often in between, the newest
value. A subscription belongs to one client of one principal and lives in this process, for `TTL_S` after it was last used; behind a
balancer a client has to come back to the same process. Everything is bounded: subscriptions, objects, updates that wait (the oldest are
dropped and told).
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from base.errors import NotFoundError, OverloadedError, PreconditionError

TTL_S = 300.0
MAX_SUBSCRIPTIONS = 200
MAX_OBJECTS = 1_000
MAX_UPDATES = 10_000

Capture = Callable[[str, int], dict[str, Any]]
"""Value of an object, to this depth."""


@dataclass(slots=True)
class Subscription:
    """One. `streams` grows with each stream that opens, so that an older one knows that it is over."""

    subscription_id: str
    client_id: str
    owner: str
    name: str
    used_s: float
    objects: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    batches: deque[dict[str, Any]] = field(default_factory=deque)
    sequence: int = 0
    waiting: int = 0
    dropped: bool = False
    streams: int = 0
    streaming: bool = False

    def changes(self, capture: Capture) -> list[dict[str, Any]]:
        """Objects whose value is another one than last time, with their values."""
        found = []
        for element_id, depth in self.objects.items():
            value = capture(element_id, depth)
            value.pop("isComposition", None)
            told = {name: part for name, part in value.items() if name != "timestamp" or value["value"] is not None}
            if self.seen.get(element_id) != told:
                self.seen[element_id] = told
                found.append({"elementId": element_id} | value)
        return found

    def capture(self, capture: Capture) -> None:
        """Queue what has changed; the oldest of too much is dropped."""
        if updates := self.changes(capture):
            self.sequence += 1
            self.batches.append({"sequenceNumber": self.sequence, "updates": updates})
            self.waiting += len(updates)
        while self.waiting > MAX_UPDATES and len(self.batches) > 1:
            self.waiting -= len(self.batches.popleft()["updates"])
            self.dropped = True

    def acknowledge(self, last: int | None) -> None:
        """Forget what the client has; -1 is everything."""
        if last is None:
            return
        while self.batches and (last == -1 or self.batches[0]["sequenceNumber"] <= last):
            self.waiting -= len(self.batches.popleft()["updates"])

    def sync(self, capture: Capture, last: int | None) -> tuple[list[dict[str, Any]], bool]:
        """What is not acknowledged, and whether something was dropped. Raises PreconditionError while a stream is open."""
        if self.streaming:
            msg = "the subscription has an open stream; close it before sync"
            raise PreconditionError(msg)
        self.acknowledge(last)
        if last != -1:
            self.capture(capture)
        else:
            self.changes(capture)  # what is pending is acknowledged too
        dropped, self.dropped = self.dropped, False
        return list(self.batches), dropped


class Subscriptions:
    """All of a process."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._all: dict[str, Subscription] = {}

    def create(self, owner: str, client_id: str, name: str) -> Subscription:
        """A new one. Raises OverloadedError when there are too many."""
        self._forget()
        if len(self._all) >= MAX_SUBSCRIPTIONS:
            msg = f"{len(self._all)} subscriptions are open here, the limit; delete some"
            raise OverloadedError(msg, retry_after_s=10.0)
        made = Subscription(secrets.token_urlsafe(32), client_id, owner, name, self._clock_s())
        self._all[made.subscription_id] = made
        return made

    def get(self, owner: str, client_id: str, subscription_id: str) -> Subscription:
        """One of this client. Raises NotFoundError, also for another client's."""
        self._forget()
        found = self._all.get(subscription_id)
        if found is None or (found.owner, found.client_id) != (owner, client_id):
            msg = "no such subscription; it may have ended because nobody used it"
            raise NotFoundError(msg)
        found.used_s = self._clock_s()
        return found

    def delete(self, found: Subscription) -> None:
        """Forget one, and end its stream."""
        found.streams += 1
        self._all.pop(found.subscription_id, None)

    def register(self, found: Subscription, element_ids: Iterable[str], depth: int) -> None:
        """Hear of these objects too. Raises OverloadedError for too many."""
        new = [one for one in element_ids if one not in found.objects]
        if len(found.objects) + len(new) > MAX_OBJECTS:
            msg = f"a subscription has at most {MAX_OBJECTS} objects"
            raise OverloadedError(msg)
        for element_id in new:
            found.objects[element_id] = depth

    def _forget(self) -> None:
        limit_s = self._clock_s() - TTL_S
        for old in [one for one in self._all.values() if one.used_s < limit_s and not one.streaming]:
            self.delete(old)
