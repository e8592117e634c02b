"""A real OPC UA server (asyncua) for all devices of protocol opcua.

Enters: samples (`emit`), writes of clients. Leaves: values with source timestamp and status code, to whoever reads or subscribes.

A sample goes straight into the node and to its monitored items, past asyncua's sessions: about 30 microseconds each. `sent` in the journal
means that the node had a monitored item. A new subscription's first notification repeats the current value: when that value had been
recorded as not sent, it is marked sent then; the journal has each (tag, time) once. Clients that want every sample subscribe with the
trigger StatusValueTimestamp and a queue, as the gateway does. With a bad status there is no value (null), as OPC 10000-4, 7.7.1
demands.

A write is carried out before it is answered, and its effect is emitted at once as a sample of the machine's own; what the client wrote is
never itself shown as a value.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import Server, ua
from asyncua.common.callback import CallbackType
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.address_space import AttributeService

from simulator.config import OpcUaSettings
from simulator.machines import WriteRefusedError
from simulator.opcua_space import VARIANT_TYPES, build, node_id
from simulator.plant import Device, Tag
from simulator.ports import Plant, Recorder
from simulator.simulation import Sample

logger = logging.getLogger(__name__)

APPLICATION_URI = "urn:millrace:simulator"
DRAIN_TIMEOUT_S = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS_OF_REFUSAL = {
    WriteRefusedError.NOT_WRITABLE: ua.StatusCodes.BadNotWritable,
    WriteRefusedError.WRONG_TYPE: ua.StatusCodes.BadTypeMismatch,
    WriteRefusedError.OUT_OF_RANGE: ua.StatusCodes.BadOutOfRange,
    WriteRefusedError.WRONG_STATE: ua.StatusCodes.BadInvalidState,
    "offline": ua.StatusCodes.BadNoCommunication,
    "refused": ua.StatusCodes.BadDeviceFailure,
}
_STATUS_CODES: dict[int, Any] = {}


class _Value(ua.DataValue):  # type: ignore[misc]  # asyncua is not typed for us
    """A value that is never changed once made, so monitored items may share it.

    asyncua copies every value deeply for every monitored item; that is two thirds of the cost of a notification.
    """

    __slots__ = ()

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class _Node:
    """A tag's variable. `unseen` is the journal's number of the current value when nobody could see it yet."""

    __slots__ = ("attribute", "tag", "unseen")

    def __init__(self, tag: Tag, attribute: Any) -> None:
        self.tag = tag
        self.attribute = attribute
        self.unseen: int | None = None


class _PlantAttributes(AttributeService):  # type: ignore[misc]
    """asyncua's attribute service, with writes to tags going to the machines."""

    def __init__(self, server: OpcUaServer, address_space: Any) -> None:
        super().__init__(address_space)
        self._server = server

    async def write(self, params: Any, user: Any = None) -> list[Any]:
        """Answer a write request, one status code for each value."""
        results = []
        for item in params.NodesToWrite:
            tag = self._server.tag_of(item.NodeId) if item.AttributeId == ua.AttributeIds.Value else None
            if tag is not None:
                results.append(await self._server.client_writes(tag, item.Value))
            else:
                one = ua.WriteParameters()
                one.NodesToWrite = [item]
                results += await super().write(one, *(() if user is None else (user,)))
        return results


class OpcUaServer:
    """The server of one simulator."""

    def __init__(self, settings: OpcUaSettings, devices: Iterable[Device], *, plant: Plant, recorder: Recorder) -> None:
        self._settings = settings
        self._devices = tuple(devices)
        self._plant = plant
        self._recorder = recorder
        self._server: Any = None
        self._nodes: dict[int, _Node] = {}
        self._by_id: dict[Any, _Node] = {}
        self.listening = False

    async def prepare(self) -> None:
        """Build the address space; takes seconds. Emit a first sample of every tag before `listen`."""
        server = Server()
        server.set_endpoint(self._settings.url)
        server.set_server_name("Millrace simulated machines")
        await self._secure(server)
        await server.init()
        await server.set_application_uri(APPLICATION_URI)
        await build(server, self._devices)
        space = server.iserver.aspace
        for device in self._devices:
            for tag in device.tags:
                identifier = node_id(tag)
                node = _Node(tag, space[identifier].attributes[ua.AttributeIds.Value])
                self._nodes[tag.index] = self._by_id[identifier] = node
        server.iserver.attribute_service = _PlantAttributes(self, space)
        server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._subscribed)
        self._server = server

    async def listen(self) -> None:
        """Let clients in. Raises OSError when the port is taken."""
        await self._server.start()
        self.listening = True

    async def stop(self) -> None:
        """Let subscriptions publish what they hold, then close all sessions and stop listening."""
        self.listening = False
        if self._server is None:
            return
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while self._unpublished():  # noqa: ASYNC110 - asyncua announces nothing
                    await asyncio.sleep(0.01)
        except TimeoutError:
            logger.warning("subscriptions left before they took everything", extra={"samples": self._unpublished()})
        await self._server.stop()

    async def _secure(self, server: Any) -> None:
        settings = self._settings
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        server.set_security_policy([ua.SecurityPolicyType[name] for name in settings.security])
        if settings.secured:
            await server.load_certificate(settings.certificate)
            await server.load_private_key(settings.private_key)
            store = TrustStore([settings.trusted], [])
            await store.load()
            checks = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
            server.set_certificate_validator(CertificateValidator(checks, store))

    def _unpublished(self) -> int:
        # asyncua has no public view of it, and drops it when it stops.
        subscriptions = self._server.iserver.subscription_service.subscriptions.values()
        return sum(len(queue) for s in subscriptions for queue in s._triggered_datachanges.values())  # noqa: SLF001

    async def emit(self, samples: Iterable[Sample]) -> None:
        """Give nodes new values and notify their monitored items."""
        now = datetime.now(UTC)
        for sample in samples:
            node = self._nodes[sample.tag.index]
            listeners = node.attribute.datachange_callbacks
            if listeners and node.unseen is not None:
                # Whoever came since the last value was shown it on arrival.
                self._recorder.mark_sent(node.unseen)
            seq = self._recorder.record(sample, sent=bool(listeners))
            node.unseen = None if listeners else seq
            value = _data_value(sample, now)
            node.attribute.value = value
            for handle, notify in tuple(listeners.items()):
                try:
                    await notify(handle, value)
                except KeyError:
                    logger.debug("monitored item %s went away while it was notified", handle)

    def tag_of(self, identifier: Any) -> Tag | None:
        """Tag of a node id; None for all other nodes."""
        node = self._by_id.get(identifier)
        return None if node is None else node.tag

    async def client_writes(self, tag: Tag, written: Any) -> Any:
        """Carry out a client's write; returns the status code for it."""
        variant = written.Value
        if not tag.writable:
            return ua.StatusCode(ua.StatusCodes.BadNotWritable)
        if variant is None or variant.VariantType != VARIANT_TYPES[tag.data_type] or variant.is_array:
            return ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
        outcome = self._plant.write(tag, variant.Value, "opcua")
        if outcome.sample is not None:
            await self.emit([outcome.sample])
        if outcome.refused:
            return ua.StatusCode(_STATUS_OF_REFUSAL.get(outcome.refused, ua.StatusCodes.BadDeviceFailure))
        return ua.StatusCode()

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        items = sum(len(node.attribute.datachange_callbacks) for node in self._nodes.values())
        sessions = len(self._server.iserver.subscription_service.subscriptions) if self._server else 0
        return {
            "url": self._settings.url,
            "listening": self.listening,
            "tags": len(self._nodes),
            "monitored_items": items,
            "subscriptions": sessions,
        }

    def _subscribed(self, event: Any, _service: Any) -> None:
        requested: Sequence[Any] = event.request_params.ItemsToCreate
        for item in requested:
            node = self._by_id.get(item.ItemToMonitor.NodeId)
            if node is not None and node.unseen is not None and node.attribute.datachange_callbacks:
                self._recorder.mark_sent(node.unseen)
                node.unseen = None


def _data_value(sample: Sample, server_time: datetime) -> Any:
    value = sample.value
    if value is None:
        variant = ua.Variant(None, ua.VariantType.Null)
    elif isinstance(value, bool):
        variant = ua.Variant(value, ua.VariantType.Boolean)
    elif isinstance(value, int):
        variant = ua.Variant(value, ua.VariantType.Int64)
    else:
        variant = ua.Variant(value, ua.VariantType.Double)
    return _Value(variant, _status(sample.quality), _EPOCH + timedelta(microseconds=sample.time_us), server_time)


def _status(quality: int) -> Any:
    status = _STATUS_CODES.get(quality)
    if status is None:
        status = _STATUS_CODES[quality] = ua.StatusCode(quality << 16)
    return status
