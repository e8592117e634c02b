"""Calls of LineService."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import history_pb2, line_pb2
from millrace_client.calls.method import Call, Method, message, texts
from millrace_client.results import Accounting, Event, Gateway, LineHealth

_SERVICE = "LineService"
LIST_GATEWAYS = Method(_SERVICE, "ListGateways", line_pb2.ListGatewaysRequest, line_pb2.ListGatewaysResponse)
WATCH_GATEWAYS = Method(_SERVICE, "WatchGateways", line_pb2.WatchGatewaysRequest, line_pb2.Gateway, streaming=True)
GET_LINE_HEALTH = Method(_SERVICE, "GetLineHealth", line_pb2.GetLineHealthRequest, line_pb2.LineHealth)
GET_ACCOUNTING = Method(_SERVICE, "GetAccounting", line_pb2.GetAccountingRequest, line_pb2.Accounting)
WATCH_EVENTS = Method(_SERVICE, "WatchEvents", line_pb2.WatchEventsRequest, history_pb2.Event, streaming=True)
METHODS = (LIST_GATEWAYS, WATCH_GATEWAYS, GET_LINE_HEALTH, GET_ACCOUNTING, WATCH_EVENTS)


def list_gateways(site: str) -> Call[tuple[Gateway, ...]]:
    """Gateways with their last reports."""
    return Call(LIST_GATEWAYS, message(line_pb2.ListGatewaysRequest, site=site), unpack.results(Gateway, "gateways"))


def watch_gateways(site: str) -> Call[Gateway]:
    """Gateways, then every change."""
    request = message(line_pb2.WatchGatewaysRequest, site=site)
    return Call(WATCH_GATEWAYS, request, partial(unpack.result, Gateway))


def get_line_health() -> Call[LineHealth]:
    """Health of the line's stages."""
    return Call(GET_LINE_HEALTH, line_pb2.GetLineHealthRequest(), partial(unpack.result, LineHealth))


def get_accounting(site: str) -> Call[Accounting]:
    """The promise, per gateway and lane."""
    request = message(line_pb2.GetAccountingRequest, site=site)
    return Call(GET_ACCOUNTING, request, partial(unpack.result, Accounting))


def watch_events(prefix: str, kinds: str | Iterable[str]) -> Call[Event]:
    """Events from now on."""
    request = message(line_pb2.WatchEventsRequest, prefix=prefix, kinds=texts(kinds))
    return Call(WATCH_EVENTS, request, partial(unpack.result, Event))
