"""What a server takes in one call, and calls in batches that obey it.

A server states its limits (OPC 10000-5, 6.3.11: OperationLimits). One that refuses a call as too big all the same is asked
for half of it, and the smaller size is kept for the life of the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from asyncua import ua

T = TypeVar("T")
R = TypeVar("R")

_MOST = 1000
TOO_BIG = (
    ua.uaerrors.BadTooManyOperations,
    ua.uaerrors.BadRequestTooLarge,
    ua.uaerrors.BadResponseTooLarge,
    ua.uaerrors.BadEncodingLimitsExceeded,
    ua.uaerrors.BadTcpMessageTooLarge,
)


class Operation(Enum):
    """Kinds of calls; the value is the end of the limit's name in the address space."""

    READ = "MaxNodesPerRead"
    WRITE = "MaxNodesPerWrite"
    MONITOR = "MaxMonitoredItemsPerCall"
    CALL = "MaxNodesPerMethodCall"
    BROWSE = "MaxNodesPerBrowse"
    TRANSLATE = "MaxNodesPerTranslateBrowsePathsToNodeIds"
    HISTORY = "MaxNodesPerHistoryReadData"


class Limits:
    """Sizes of calls to one server. `items_per_subscription` is 0 when the server does not say."""

    def __init__(self) -> None:
        self._size = dict.fromkeys(Operation, _MOST)
        self.items_per_subscription = 0
        self.halved = 0

    def take(self, told: Mapping[Operation, int]) -> None:
        """Limits as the server states them; 0 is none. A size that was found too big stays reduced."""
        for operation, limit in told.items():
            if limit > 0:
                self._size[operation] = min(self._size[operation], limit)

    def size(self, operation: Operation) -> int:
        """Items of one call."""
        return self._size[operation]

    async def each(
        self, operation: Operation, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]
    ) -> list[R]:
        """Results of `call` over all items, in their order; raises what `call` raises for a batch that cannot be made smaller."""
        results: list[R] = []
        while len(results) < len(items):
            batch = items[len(results) : len(results) + self._size[operation]]
            try:
                found = await call(batch)
            except TOO_BIG:
                if len(batch) == 1:
                    raise
                self._size[operation] = len(batch) // 2
                self.halved += 1
                continue
            if len(found) != len(batch):
                msg = f"the server answered {len(found)} results to {len(batch)} operations"
                raise ua.UaError(msg)
            results += found
        return results

    def status(self) -> dict[str, int]:
        """Sizes that are smaller than they could be, by name."""
        found = {operation.value: size for operation, size in self._size.items() if size < _MOST}
        if self.items_per_subscription:
            found["MaxMonitoredItemsPerSubscription"] = self.items_per_subscription
        return found


_CAPABILITIES = "Server_ServerCapabilities_"
_PER_SUBSCRIPTION = "MaxMonitoredItemsPerSubscription"


async def read_limits(limits: Limits, read: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]) -> None:
    """Take over what the server states; `read` gives the data values of nodes. What it does not state has no limit."""
    names = [f"OperationLimits_{operation.value}" for operation in Operation] + [_PER_SUBSCRIPTION]
    nodes = [ua.NodeId(getattr(ua.ObjectIds, _CAPABILITIES + name)) for name in names]
    values = [_whole(value) for value in await read(nodes)]
    limits.take(dict(zip(Operation, values[:-1], strict=True)))
    limits.items_per_subscription = values[-1]


def _whole(value: Any) -> int:
    raw = value.Value.Value if value.Value is not None and value.StatusCode.is_good() else 0
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and raw > 0 else 0
