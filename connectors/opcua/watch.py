"""What a session asks of the server itself: changes of its namespaces, and its conditions."""

from __future__ import annotations

import logging

from asyncua import ua

from connectors.opcua import alarms
from connectors.opcua.monitored import Monitored
from connectors.opcua.namespaces import NAMESPACE_ARRAY
from connectors.opcua.session import OpcUaSession
from connectors.opcua.subscriptions import Subscriptions
from connectors.opcua.table import EVENTS_HANDLE, NAMESPACES_HANDLE

log = logging.getLogger(__name__)


async def watch_server(session: OpcUaSession, subscriptions: Subscriptions, *, conditions: bool) -> None:
    """Monitor the server; one that does not let itself be monitored is asked in other ways, or has no conditions."""
    nodes = [Monitored(NAMESPACES_HANDLE, NAMESPACE_ARRAY)]
    if conditions:
        nodes.append(Monitored(EVENTS_HANDLE, alarms.SERVER, events=alarms.event_filter()))
    answers = await subscriptions.add(nodes)
    if not conditions:
        return
    if isinstance(refused := answers[EVENTS_HANDLE], str):
        log.warning("the server tells of no conditions", extra={"cause": refused})
        return
    try:
        (result,) = await session.service.call([alarms.refresh_call(subscriptions.id_of(EVENTS_HANDLE))])
        result.StatusCode.check()
    except ua.UaStatusCodeError as error:
        log.info("the server does not repeat its conditions", extra={"cause": str(error)})
