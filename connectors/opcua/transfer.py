"""Subscriptions of a session whose connection was lost, handed over to the next session (TransferSubscriptions, OPC 10000-4, 5.14.7)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from asyncua import ua

log = logging.getLogger(__name__)


async def transfer(service: Any, subscription_ids: Sequence[int]) -> frozenset[int]:
    """Those of the subscriptions that the server handed over to this session; none from a server that cannot.

    Raises OSError and TimeoutError.
    """
    if not subscription_ids:
        return frozenset()
    # What the items queued comes; their present values are then the last of it.
    parameters = ua.TransferSubscriptionsParameters(SubscriptionIds=list(subscription_ids), SendInitialValues=False)
    try:
        results = await service.transfer_subscriptions(parameters)
    except ua.UaStatusCodeError as error:
        log.info("the server hands no subscriptions over", extra={"cause": type(error).__name__})
        return frozenset()
    statuses = {one: result.StatusCode for one, result in zip(subscription_ids, results, strict=True)}
    refused = {one: status.name for one, status in statuses.items() if not status.is_good()}
    if refused:
        log.info("subscriptions are made anew", extra={"refused": dict(list(refused.items())[:10])})
    return frozenset(subscription_ids) - refused.keys()
