"""What a session asks of the server itself: changes of its namespaces, and its conditions."""

from __future__ import annotations

import logging
from typing import Any

from asyncua import ua

from connectors.opcua.alarms import SERVER, Alarms, event_filter, refresh_call
from connectors.opcua.monitored import Monitored
from connectors.opcua.namespaces import NAMESPACE_ARRAY
from connectors.opcua.session import OpcUaSession
from connectors.opcua.subscriptions import Subscriptions
from connectors.opcua.table import EVENTS_HANDLE, NAMESPACES_HANDLE, ItemTable
from connectors.pauses import Pauses

log = logging.getLogger(__name__)

_AGAIN_MIN_S, _AGAIN_MAX_S = 2.0, 300.0
"""Pauses before another refresh: each repeats all that the server retains, and may itself be more than its queue holds."""


async def watch_namespaces(subscriptions: Subscriptions) -> None:
    """Hear of changes of the namespaces; a server that does not let itself be monitored is asked in other ways."""
    await subscriptions.remove([NAMESPACES_HANDLE])
    await subscriptions.add([Monitored(NAMESPACES_HANDLE, NAMESPACE_ARRAY)])


async def watch_conditions(session: OpcUaSession, subscriptions: Subscriptions, conditions: Alarms) -> None:
    """Hear of the server's conditions, those that it retains first. Where it does not let itself be monitored there are none."""
    await subscriptions.remove([EVENTS_HANDLE])
    answers = await subscriptions.add([Monitored(EVENTS_HANDLE, SERVER, events=event_filter())])
    if isinstance(refused := answers[EVENTS_HANDLE], str):
        log.warning("the server tells of no conditions", extra={"cause": refused})
        return
    await _refresh(session, subscriptions, conditions)


async def ask_of_conditions(
    session: OpcUaSession, subscriptions: Subscriptions, conditions: Alarms, items: ItemTable
) -> None:
    """Until cancelled: read conditions in doubt, and ask for a refresh after lost events, with growing pauses while they are lost."""
    pauses, before = Pauses(_AGAIN_MIN_S, _AGAIN_MAX_S), conditions.refreshes
    while True:
        await conditions.asks.wait()
        conditions.asks.clear()
        await _read_in_doubt(session, conditions, items)
        if conditions.refresh_wanted:
            await pauses.sleep(connected=conditions.refreshes > before)
            before = conditions.refreshes
            await _refresh(session, subscriptions, conditions)


async def _refresh(session: OpcUaSession, subscriptions: Subscriptions, conditions: Alarms) -> None:
    conditions.refresh_wanted = False
    if not (subscription_id := subscriptions.id_of(EVENTS_HANDLE)):
        return  # asked for when it is in one again
    try:
        (result,) = await session.service.call([refresh_call(subscription_id)])
        result.StatusCode.check()
    except ua.uaerrors.BadRefreshInProgress:
        conditions.lost()
    except ua.UaStatusCodeError as error:
        log.info("the server does not repeat its conditions", extra={"cause": str(error)})


async def _read_in_doubt(session: OpcUaSession, conditions: Alarms, items: ItemTable) -> None:
    doubts = {
        name: conditions.acknowledging.node(last.get("condition_id", "")) for name, last in conditions.in_doubt.items()
    }
    nodes = [node for node in doubts.values() if node is not None]
    try:
        paths = await session.properties(nodes, ("ActiveState/Id", "AckedState/Id")) if nodes else []
        there = [one for found in paths for one in found if one is not None]
        values = dict(zip(there, await session.read(there) if there else [], strict=True))
    except ua.UaStatusCodeError as error:
        log.warning("conditions that the server does not repeat stay as they were", extra={"cause": str(error)})
        return
    states = {node: [_truth(values.get(one)) for one in found] for node, found in zip(nodes, paths, strict=True)}
    for name, node in doubts.items():
        active, acked = states.get(node, (None, None))
        conditions.answered(name, active, acked, list(items))


def _truth(data: Any) -> bool | None:
    value = data.Value.Value if data is not None and data.Value is not None else None
    return value if isinstance(value, bool) else None
