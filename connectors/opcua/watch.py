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


async def watch_namespaces(subscriptions: Subscriptions) -> None:
    """Hear of changes of the namespaces; a server that does not let itself be monitored is asked in other ways."""
    await subscriptions.remove([NAMESPACES_HANDLE])
    await subscriptions.add([Monitored(NAMESPACES_HANDLE, NAMESPACE_ARRAY)])


async def watch_conditions(session: OpcUaSession, subscriptions: Subscriptions) -> None:
    """Hear of the server's conditions, those that it retains first. Where it does not let itself be monitored there are none."""
    await subscriptions.remove([EVENTS_HANDLE])
    answers = await subscriptions.add([Monitored(EVENTS_HANDLE, alarms.SERVER, events=alarms.event_filter())])
    if isinstance(refused := answers[EVENTS_HANDLE], str):
        log.warning("the server tells of no conditions", extra={"cause": refused})
        return
    try:
        (result,) = await session.service.call([alarms.refresh_call(subscriptions.id_of(EVENTS_HANDLE))])
        result.StatusCode.check()
    except ua.UaStatusCodeError as error:
        log.info("the server does not repeat its conditions", extra={"cause": str(error)})
