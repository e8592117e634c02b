"""LineService of the fake plant: a handler a method. No locks; the plant holds its own around each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from millrace_client._proto.millrace.v1 import line_pb2
from millrace_client.calls import Method
from millrace_client.calls import line as calls
from millrace_client.fake import hierarchy, pack
from millrace_client.fake.archive import Archive
from millrace_client.fake.log import Log
from millrace_client.fake.registry import Registry
from millrace_client.fake.subscriptions import EventSubscription, GatewaySubscription, Subscription
from millrace_client.results import Accounting, Gateway, GatewayState, LaneAccount


class LineService:
    """Handlers by method. A unary one takes request and caller, a streaming one request and what wakes its reader."""

    def __init__(self, registry: Registry, archive: Archive, log: Log, clock: Callable[[], int]) -> None:
        self._registry = registry
        self._archive = archive
        self._log = log
        self._clock = clock
        self.unary: dict[Method, Callable[[Any, str], Message]] = {
            calls.LIST_GATEWAYS: self._list_gateways,
            calls.GET_LINE_HEALTH: self._get_line_health,
            calls.GET_ACCOUNTING: self._get_accounting,
        }
        self.streaming: dict[Method, Callable[[Any, Callable[[], None]], Subscription]] = {
            calls.WATCH_GATEWAYS: self._watch_gateways,
            calls.WATCH_EVENTS: self._watch_events,
        }

    def gateways(self, site: str) -> list[Gateway]:
        """Gateways by id: as reported, the others as the registry names them."""
        named = {
            device.gateway_id: Gateway(
                gateway_id=device.gateway_id,
                site=device.site,
                state=GatewayState.ONLINE,
                reported_us=self._clock(),
            )
            for device in self._registry.devices
        }
        found = named | self._log.gateways
        return [found[name] for name in sorted(found) if site in {"", found[name].site}]

    def _list_gateways(self, request: line_pb2.ListGatewaysRequest, _: str) -> Message:
        return line_pb2.ListGatewaysResponse(gateways=pack.messages(self.gateways(request.site)))

    def _get_line_health(self, request: line_pb2.GetLineHealthRequest, _: str) -> Message:  # noqa: ARG002 - it has no field
        return pack.message(self._log.line_health(self._clock()))

    def _get_accounting(self, request: line_pb2.GetAccountingRequest, _: str) -> Message:
        if self._log.accounting is not None:
            return pack.message(self._log.accounting)
        stored = dict.fromkeys((one.gateway_id for one in self.gateways(request.site)), 0)
        for device in self._registry.devices:
            tags = self._registry.find_device(device.path).tags
            if device.gateway_id in stored:
                stored[device.gateway_id] += sum(self._archive.count(tag.tag_id) for tag in tags)
        lanes = tuple(
            LaneAccount(gateway_id=name, lane=1, produced=count, stored=count) for name, count in stored.items()
        )
        return pack.message(Accounting(lanes=lanes, exact=True, observed_us=self._clock()))

    def _watch_gateways(self, request: line_pb2.WatchGatewaysRequest, wake: Callable[[], None]) -> Subscription:
        stream = GatewaySubscription(
            wake, wanted=lambda one: request.site in {"", one.site}, key=lambda one: one.gateway_id
        )
        for gateway in self.gateways(request.site):
            stream.offer(gateway)
        return stream

    def _watch_events(self, request: line_pb2.WatchEventsRequest, wake: Callable[[], None]) -> Subscription:
        wanted, kinds = hierarchy.under(request.prefix), set(request.kinds)
        return EventSubscription(
            wake,
            wanted=lambda one: (not one.device_path or wanted(one.device_path)) and (not kinds or one.kind in kinds),
        )
