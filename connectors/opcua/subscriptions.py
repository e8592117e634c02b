"""The subscriptions of a session: as many as the server needs to take all items, and their notifications in order.

Who calls: `connectors.opcua.connector`. Leaves, to a `Receiver`: each notification message once, in the order of its
subscription's sequence numbers; items whose subscription ended, or whose notifications were lost for good.

What the server answers decides: items that a subscription does not take go into another one, a notification that did not
arrive is asked for (Republish) before it counts as lost. After a loss
the subscription is made anew, because the value of an item that changed meanwhile is not known.

A server keeps subscriptions for a while after their session has lost its connection: `move` takes them over into the next session
(TransferSubscriptions), and what they queued meanwhile is not lost. One that says nothing then is made anew.

Over 350 lines: the numbers of subscriptions, items and messages are one state, which creation, delivery and repair share.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from asyncua import ua

from connectors.opcua.items import Revised
from connectors.opcua.limits import Limits, Operation
from connectors.opcua.monitored import NO_FILTER, Monitored, request
from connectors.opcua.publishing import Publishing
from connectors.opcua.session import until_first_ends
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.transfer import transfer

log = logging.getLogger(__name__)

_KEEP_ALIVE_MS = 5000
_LIFETIME_KEEP_ALIVES = 10
_REPUBLISHED_AT_ONCE = 100
_WRAP = 0xFFFF_FFFF
_NO_ROOM = frozenset({"BadTooManyMonitoredItems"})
_MOVED_S = 2.0
"""A subscription that was moved is heard within its keep-alive, and so much; one that got a new item, within two publications."""


class Receiver(Protocol):
    """Who uses the subscriptions."""

    def notified(self, message: Any, acknowledge: Callable[[], None]) -> None:
        """A ua.NotificationMessage with data; `acknowledge` is called when it is safe."""

    def lost(self, handles: Iterable[int], cause: str) -> None:
        """A notification was lost for good; any of these items may have been in it."""

    def ended(self, handles: Iterable[int], cause: str) -> None:
        """These items are in no subscription any more."""


@dataclass(slots=True)
class Subscription:
    """One subscription at the server. `handles`: the server's id of each item by handle; `full`: it takes no more.

    `unsure`: it may have items that are not in `handles`. `due_s`: it came into this session, and is to be heard by then; 0: it was.
    """

    id: int
    publishing_ms: float
    keep_alive_s: float
    lifetime_s: float
    heard_s: float
    handles: dict[int, int] = field(default_factory=dict)
    sequence: int = 0
    full: bool = False
    unsure: bool = False
    due_s: float = 0.0


class Subscriptions:
    """All subscriptions of a session, and of the next one that takes them over.

    `moved` counts subscriptions that were taken over. `stays_silent`: the server took one over and said nothing of it afterwards.
    """

    def __init__(self, service: Any, settings: OpcUaSettings, limits: Limits, receiver: Receiver) -> None:
        """`service` is asyncua's session: its calls and no more."""
        self._service, self._settings, self._limits, self._receiver = service, settings, limits, receiver
        self._by_id: dict[int, Subscription] = {}
        self._of_handle: dict[int, Subscription] = {}
        self._publishing = Publishing(service)
        self._changing = asyncio.Lock()
        self.republished = self.lost = self.moved = 0
        self.stays_silent = False

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return {
            "subscriptions": [
                {
                    "items": len(one.handles),
                    "publishing_interval_ms": one.publishing_ms,
                    "lifetime_s": one.lifetime_s,
                    "keep_alive_s": one.keep_alive_s,
                }
                for one in list(self._by_id.values())[:20]
            ],
            "publish_requests": self._publishing.requests,
            "transferred": self.moved,
            "republished": self.republished,
            "lost_notifications": self.lost,
        }

    async def move(self, service: Any) -> frozenset[int]:
        """Go on in a session of the same server and user: handles of the nodes that the server still monitors.

        The notifications that did not arrive are asked for once a later one comes, as always.
        """
        # What was delivered in the session before may become safe in this one.
        self._service, self._publishing = service, Publishing(service, self._publishing.acknowledgements)
        # Of one that was never heard, nobody could tell which notification was its first.
        known = [one.id for one in self._by_id.values() if one.sequence and not one.unsure and not one.due_s]
        granted = await transfer(service, known)
        for one in list(self._by_id.values()):
            if one.id in granted:
                one.heard_s = time.monotonic()
                one.due_s = one.heard_s + min(one.keep_alive_s, _KEEP_ALIVE_MS / 1000) + _MOVED_S
            else:
                self._forget(one)
        self.moved += len(granted)
        self._publishing.serve(len(self._by_id))
        return frozenset(self._of_handle)

    # --- items ---------------------------------------------------------------------------------------------------------

    async def add(self, nodes: Sequence[Monitored]) -> dict[int, Revised | str]:
        """What became of each node by handle: what the server granted, or the name of the status with which it refused."""
        outcome: dict[int, Revised | str] = {}
        async with self._changing:
            waiting = list(nodes)
            while waiting:
                subscription, new = await self._with_room()
                if isinstance(subscription, str):
                    return outcome | dict.fromkeys((node.handle for node in waiting), subscription)
                room = self._limits.items_per_subscription - len(subscription.handles)
                now = waiting[:room] if self._limits.items_per_subscription else waiting
                answers = await self._monitor(subscription, now)
                unplaced = [node for node in now if answers[node.handle] in _NO_ROOM]
                outcome |= answers
                subscription.full = bool(unplaced) or len(now) < len(waiting)
                if new and not subscription.handles and unplaced:
                    # An empty subscription takes none of them: the server as a whole is full.
                    await self._delete(subscription)
                    return outcome | {node.handle: answers[unplaced[0].handle] for node in waiting[len(now) :]}
                waiting = unplaced + waiting[len(now) :]
        return outcome

    def id_of(self, handle: int) -> int:
        """The server's id of the subscription that a node is in; 0 when it is in none."""
        subscription = self._of_handle.get(handle)
        return 0 if subscription is None else subscription.id

    async def remove(self, handles: Iterable[int]) -> None:
        """Take nodes out; a subscription that is left empty is deleted."""
        async with self._changing:
            of: dict[int, list[int]] = {}
            for handle in handles:
                if (subscription := self._of_handle.pop(handle, None)) is not None:
                    of.setdefault(subscription.id, []).append(subscription.handles.pop(handle))
            for subscription_id, items in of.items():
                subscription = self._by_id.get(subscription_id)
                if subscription is None:
                    continue
                subscription.full = False
                if subscription.handles:
                    call = functools.partial(self._unmonitor, subscription_id)
                    await self._limits.each(Operation.MONITOR, items, call)
                else:
                    await self._delete(subscription)

    async def _with_room(self) -> tuple[Subscription | str, bool]:
        """A subscription that may take more, and whether it is new; or the status with which the server refused one."""
        for subscription in self._by_id.values():
            if not subscription.full:
                return subscription, False
        try:
            return await self._create(), True
        except (ua.uaerrors.BadTooManySubscriptions, ua.uaerrors.BadTooManyMonitoredItems) as error:
            return type(error).__name__, False

    async def _create(self) -> Subscription:
        interval_ms = self._settings.publishing_interval_ms
        keep_alive = max(1, _KEEP_ALIVE_MS // interval_ms)
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=float(interval_ms),
            RequestedLifetimeCount=_LIFETIME_KEEP_ALIVES * keep_alive,
            RequestedMaxKeepAliveCount=keep_alive,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        created = await self._service.create_subscription(parameters, callback=_unused)
        revised_ms = created.RevisedPublishingInterval
        subscription = Subscription(
            id=created.SubscriptionId,
            publishing_ms=revised_ms,
            keep_alive_s=created.RevisedMaxKeepAliveCount * revised_ms / 1000,
            lifetime_s=created.RevisedLifetimeCount * revised_ms / 1000,
            heard_s=time.monotonic(),
        )
        self._by_id[subscription.id] = subscription
        self._publishing.serve(len(self._by_id))
        return subscription

    async def _monitor(self, subscription: Subscription, nodes: Sequence[Monitored]) -> dict[int, Revised | str]:
        """Answers by handle. A node whose filter the server refuses is asked for with a simpler one, at last with none."""
        answers: dict[int, Revised | str] = {}
        asked = [(node, node.filters()) for node in nodes]
        while asked:
            wanted = [(node, next(filters)) for node, filters in asked]
            results = await self._limits.each(
                Operation.MONITOR, wanted, functools.partial(self._create_items, subscription)
            )
            for (node, _), result in zip(wanted, results, strict=True):
                if isinstance(result, str):
                    answers[node.handle] = result
                elif result.StatusCode.is_good():
                    answers[node.handle] = Revised(
                        result.RevisedSamplingInterval, result.RevisedQueueSize, subscription.publishing_ms
                    )
                else:
                    answers[node.handle] = result.StatusCode.name
            simplest = {node.handle for node, used in wanted if used is None or node.events is not None}
            asked = [
                (node, filters)
                for node, filters in asked
                if answers[node.handle] in NO_FILTER and node.handle not in simplest
            ]
        return answers

    async def _create_items(self, subscription: Subscription, batch: Sequence[tuple[Monitored, Any]]) -> Sequence[Any]:
        parameters = ua.CreateMonitoredItemsParameters()
        parameters.SubscriptionId = subscription.id
        parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        parameters.ItemsToCreate = [request(node, filtered, self._settings.queue_size) for node, filtered in batch]
        subscription.unsure = True
        try:
            results = list(await self._service.create_monitored_items(parameters))
            subscription.unsure = False
        except ua.uaerrors.BadTooManyMonitoredItems as error:
            subscription.unsure = False
            return [type(error).__name__] * len(batch)
        for (node, _), result in zip(batch, results, strict=False):
            if result.StatusCode.is_good():
                # At once, so that what follows a batch that fails is taken out again with the others.
                subscription.handles[node.handle] = result.MonitoredItemId
                self._of_handle[node.handle] = subscription
        if subscription.due_s and subscription.handles:
            # A new item tells its value at once.
            soon_s = time.monotonic() + 2 * subscription.publishing_ms / 1000 + _MOVED_S
            subscription.due_s = min(subscription.due_s, soon_s)
        return results

    async def _unmonitor(self, subscription_id: int, items: Sequence[int]) -> Sequence[Any]:
        parameters = ua.DeleteMonitoredItemsParameters()
        parameters.SubscriptionId = subscription_id
        parameters.MonitoredItemIds = list(items)
        return list(await self._service.delete_monitored_items(parameters))

    async def _delete(self, subscription: Subscription) -> None:
        self._forget(subscription)
        try:
            await self._service.delete_subscriptions([subscription.id])
        except ua.UaStatusCodeError as error:
            log.debug("a subscription cannot be deleted", extra={"cause": str(error)})

    def _forget(self, subscription: Subscription) -> list[int]:
        """Handles that were in it."""
        self._by_id.pop(subscription.id, None)
        handles = list(subscription.handles)
        for handle in handles:
            self._of_handle.pop(handle, None)
        self._publishing.serve(len(self._by_id))
        return handles

    # --- notifications -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take notifications until the session ends, then raise why."""
        await until_first_ends(self._publishing.run(), self._taking(), self._watching())

    async def _taking(self) -> None:
        while True:
            result = await self._publishing.result()
            subscription = self._by_id.get(result.SubscriptionId)
            if subscription is not None:
                await self._take(subscription, result.NotificationMessage)

    async def _take(self, subscription: Subscription, message: Any) -> None:
        subscription.heard_s, subscription.due_s = time.monotonic(), 0.0
        number, data = int(message.SequenceNumber), message.NotificationData
        # The first number of a subscription is taken as it is.
        expected = _after(subscription.sequence) if subscription.sequence else number
        behind = (number - expected) % _WRAP
        if behind > _WRAP // 2:
            if data:
                # It came again, after it was asked for.
                self._publishing.acknowledge(subscription.id, number)
            return
        cause = ""
        # A message without data (keep-alive) has the number of the next one with data.
        if behind:
            cause = await self._repair(subscription, expected, behind)
        if data:
            subscription.sequence = number
            cause = self._deliver(subscription, message) or cause
        if cause:
            await self._renew(subscription, cause)

    async def _renew(self, subscription: Subscription, cause: str) -> None:
        """Give it up: its items are asked for again."""
        if subscription.id not in self._by_id:
            return
        async with self._changing:
            handles = self._forget(subscription)
            await self._delete(subscription)
        self._receiver.ended(handles, cause)

    async def _repair(self, subscription: Subscription, first: int, count: int) -> str:
        """Get notifications that did not arrive; a cause when one is lost for good."""
        number = first
        for _ in range(min(count, _REPUBLISHED_AT_ONCE)):
            try:
                message = await self._service.republish(subscription.id, number)
            except ua.UaStatusCodeError as error:
                log.info("a notification cannot be had again", extra={"number": number, "cause": str(error)})
                break
            if int(message.SequenceNumber) != number or not message.NotificationData:
                break
            self.republished += 1
            subscription.sequence = number
            self._deliver(subscription, message)
            number = _after(number)
        missing = count - (number - first) % _WRAP
        if not missing:
            return ""
        self.lost += missing
        cause = f"notifications {number} to {(number + missing - 2) % _WRAP + 1} of the server did not arrive"
        log.warning("notifications lost", extra={"url": self._settings.endpoint, "cause": cause})
        self._receiver.lost(list(subscription.handles), cause)
        return cause

    def _deliver(self, subscription: Subscription, message: Any) -> str:
        """Hand a message over; a cause when it says that the subscription has ended."""
        number = int(message.SequenceNumber)
        ended = [one.Status for one in message.NotificationData if isinstance(one, ua.StatusChangeNotification)]
        self._receiver.notified(message, lambda: self._publishing.acknowledge(subscription.id, number))
        bad = [status for status in ended if not status.is_good() or status.value]
        return f"the server ended the subscription: {bad[0].name}" if bad else ""

    async def _watching(self) -> None:
        """Raise TimeoutError when a subscription is silent for longer than its keep-alive allows."""
        while True:
            await asyncio.sleep(0.5)
            now_s = time.monotonic()
            for one in list(self._by_id.values()):
                if one.due_s and (self.stays_silent or now_s > one.due_s):
                    self.stays_silent = True
                    await self._renew(one, "the server handed the subscription over, and said nothing more")
                    continue
                allowed_s = one.keep_alive_s + self._settings.request_timeout_s
                if now_s - one.heard_s > allowed_s:
                    msg = f"neither data nor keep-alive for {allowed_s:g} s"
                    raise TimeoutError(msg)


def _after(number: int) -> int:
    """Sequence numbers go from 1 to 2^32 - 1 and begin at 1 again."""
    return number % _WRAP + 1


def _unused(_result: Any) -> None:
    """Results come through `run`."""
