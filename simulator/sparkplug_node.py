"""A real Sparkplug B edge node (gmqtt) for the sparkplug devices of one site: node `sim-<site>` of the group that is the site.

Enters: samples (`emit`), device losses (`connection`), NCMD Rebirth and DCMD of hosts. Leaves: NBIRTH, DBIRTH, DDATA, DDEATH, NDEATH.

With a primary host the node lives only while that host is online (STATE), and dies (NDEATH, disconnect) when it goes: then `sent` means
that the host was there. Without, that the broker was.

Sequence: every session has its own MQTT client, because the will (NDEATH) carries the session's bdSeq. Subscribed before born. Data carries
aliases only, in batches per device. What is sampled outside a session is not stored: the journal has it as not sent.

A birth carries each metric's current value with its own timestamp, usually one that was sent as data before; hosts treat a (tag, time) they
have seen as not new, and the journal has each (tag, time) once. A value that had been recorded as not sent is marked sent when a birth
shows it. `sent` means handed to a live session; at QoS 0 the last instants before a connection breaks may be lost all the same.

Over 350 lines: one node's life, whose session, births and data share sequence numbers and what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from base.errors import ConfigError, SchemaError, UndecodableError
from base.ids import Clock
from connectors.sparkplug import payload
from connectors.sparkplug.names import MessageType, Topic, decode_state, state_topic
from connectors.sparkplug.payload import DataType, Metric, Payload
from simulator.config import SparkplugSettings
from simulator.plant import Device
from simulator.ports import Plant, Recorder
from simulator.simulation import Sample
from simulator.sparkplug_metrics import NodeMetric, birth_metric, data_metric

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 10


class _Client(gmqtt.Client):  # type: ignore[misc]  # gmqtt is not typed
    """An MQTT client for one session: the node makes a new one instead, with a new will."""

    async def reconnect(self, delay: bool = False) -> None:
        """Never."""


class SparkplugNode:
    """The edge node of one site. `next_bdseq` gives the birth-death number of each new session."""

    def __init__(
        self,
        settings: SparkplugSettings,
        site: str,
        devices: Iterable[Device],
        *,
        plant: Plant,
        recorder: Recorder,
        clock: Clock,
        next_bdseq: Callable[[], int],
    ) -> None:
        self.site = site
        self.node = node_name(site)
        self.devices = tuple(devices)
        self.born = False
        self.births = 0
        self._settings = settings
        self._plant = plant
        self._recorder = recorder
        self._clock = clock
        self._next_bdseq = next_bdseq
        self._bdseq = 0
        self._seq = 0
        self._client: Any = None
        self._failed = False
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._host_state = state_topic(_primary_host(settings, self.devices)) if settings.primary_host else ""
        self._host_online = asyncio.Event()
        self._host_online_ms = 0
        self._lost: set[str] = set()
        self._metrics: dict[str, dict[str, NodeMetric]] = {}
        alias = 0
        for device in self.devices:
            self._metrics[device.name] = {}
            for tag in device.tags:
                alias += 1
                self._metrics[device.name][tag.name] = NodeMetric(tag, alias)
        self._by_alias = {m.alias: m for metrics in self._metrics.values() for m in metrics.values()}
        self.tag_indexes = frozenset(m.tag.index for m in self._by_alias.values())
        self._by_index = {m.tag.index: m for m in self._by_alias.values()}
        self._device_of = {tag.index: device for device in self.devices for tag in device.tags}
        self._pending: dict[str, list[Sample]] = {}
        self._flushed_us = 0

    async def run(self) -> None:
        """Keep a session with the broker until `stop`; then say NDEATH and leave."""
        while not self._stop.is_set():
            try:
                await self._session()
            except (OSError, TimeoutError, MQTTConnectError) as error:
                # Once a loss, not once a second.
                level = logging.DEBUG if self._failed else logging.WARNING
                logger.log(level, "no session with the MQTT broker", extra={"site": self.site, "reason": repr(error)})
                self._failed = True
            with contextlib.suppress(TimeoutError):  # the usual end of this wait
                await asyncio.wait_for(self._stop.wait(), self._settings.reconnect_s)

    def stop(self) -> None:
        """Make `run` send what is pending, say NDEATH and return."""
        self._stop.set()
        self._ended.set()

    def emit(self, samples: Iterable[Sample]) -> None:
        """Take samples over; they are published with the next flush."""
        for sample in samples:
            metric = self._by_index[sample.tag.index]
            device = self._device_of[sample.tag.index].name
            metric.newest = sample
            if self.born and device not in self._lost:
                self._pending.setdefault(device, []).append(sample)
            else:
                metric.unseen = self._recorder.record(sample, sent=False)
        now_us = self._clock()
        if now_us - self._flushed_us >= self._settings.publish_ms * 1000:
            self._flushed_us = now_us
            self.flush()

    def flush(self) -> None:
        """Publish pending samples, one DDATA a device."""
        pending, self._pending = self._pending, {}
        for device, samples in pending.items():
            self._data(device, samples)

    def send_past(self, device: Device, samples: Sequence[Sample]) -> bool:
        """Send samples of one device that were stored, as historical values; False, and nothing is sent, outside a session."""
        if not (self.born and self._client.is_connected) or device.name in self._lost:
            return False
        for sample in samples:
            self._recorder.record(sample, sent=True)
        metrics = [data_metric(self._by_index[one.tag.index].alias, one, historical=True) for one in samples]
        self._publish_next(MessageType.DDATA, device.name, metrics)
        return True

    def connection(self, device: Device, *, online: bool) -> None:
        """A device was lost or came back: DDEATH or DBIRTH."""
        self.flush()
        if online:
            self._lost.discard(device.name)
            if self.born:
                self._device_birth(device)
        else:
            self._lost.add(device.name)
            if self.born:
                self._publish_next(MessageType.DDEATH, device.name, ())

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return {"node": self.node, "born": self.born, "births": self.births, "bdseq": self._bdseq, "seq": self._seq}

    async def _session(self) -> None:
        self._bdseq = self._next_bdseq()
        self._ended, self._host_online = asyncio.Event(), asyncio.Event()
        death = Topic(self.site, MessageType.NDEATH, self.node)
        will = gmqtt.Message(str(death), payload.encode(self._death()), qos=1)
        client = self._client = _Client(self.node, clean_session=True, will_message=will)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._connect(client)
            self._failed = False
            await self._host_or_end()
            if not self._over():
                self._birth()
                logger.info("edge node born", extra={"site": self.site, "bdseq": self._bdseq})
                await self._ended.wait()
                if client.is_connected:
                    self.flush()
                    self._publish(death, self._death())
        finally:
            self.born = False
            self._not_sent()
            await self._disconnect(client)
        logger.info("session with the MQTT broker ended", extra={"site": self.site, "bdseq": self._bdseq})

    def _over(self) -> bool:
        return self._stop.is_set() or self._ended.is_set()

    async def _host_or_end(self) -> None:
        """Wait until the primary host is online, or the session over."""
        if not self._host_state:
            return
        waits = [asyncio.create_task(event.wait()) for event in (self._host_online, self._ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _connect(self, client: Any) -> None:
        settings, subscribed = self._settings, asyncio.Event()
        if settings.username:
            client.set_auth_credentials(settings.username, settings.password)
        client.on_message = self._message
        client.on_disconnect = lambda *_: self._ended.set()
        client.on_subscribe = lambda *_: subscribed.set()
        await client.connect(
            settings.host,
            settings.port,
            ssl=_tls(settings, self.node),
            keepalive=settings.keepalive_s,
            version=MQTTv311,
        )
        client.subscribe([gmqtt.Subscription(topic, qos=1) for topic in self._command_topics()])
        await subscribed.wait()

    async def _disconnect(self, client: Any) -> None:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await client.disconnect()
        except (OSError, TimeoutError) as error:
            logger.debug("disconnecting from the MQTT broker failed", extra={"site": self.site, "reason": repr(error)})

    def _command_topics(self) -> Sequence[str]:
        node = Topic(self.site, MessageType.NCMD, self.node)
        topics = (str(node), f"{Topic(self.site, MessageType.DCMD, self.node)}/+")
        return (*topics, self._host_state) if self._host_state else topics

    def _birth(self) -> None:
        """NBIRTH and the DBIRTH of every device that is there; the numbers start again from 0."""
        self.flush()
        self._seq = 0
        self.born = True
        self.births += 1
        now_ms = self._clock() // 1000
        metrics = (
            Metric(name=payload.BDSEQ_METRIC, time_ms=now_ms, data_type=DataType.INT64, value=self._bdseq),
            Metric(name=payload.REBIRTH_METRIC, time_ms=now_ms, data_type=DataType.BOOLEAN, value=False),
        )
        self._publish_next(MessageType.NBIRTH, "", metrics)
        for device in self.devices:
            if device.name not in self._lost:
                self._device_birth(device)

    def _device_birth(self, device: Device) -> None:
        metrics = []
        for metric in self._metrics[device.name].values():
            sample = metric.newest
            if sample is None:
                continue
            metrics.append(birth_metric(metric, sample))
            if metric.unseen is not None:
                self._recorder.mark_sent(metric.unseen)
                metric.unseen = None
        self._publish_next(MessageType.DBIRTH, device.name, metrics)

    def _data(self, device: str, samples: Sequence[Sample]) -> None:
        connected = self.born and self._client.is_connected
        for sample in samples:
            metric = self._by_index[sample.tag.index]
            seq = self._recorder.record(sample, sent=connected)
            if metric.newest is sample:
                metric.unseen = None if connected else seq
        if connected:
            self._publish_next(
                MessageType.DDATA, device, [data_metric(self._by_index[s.tag.index].alias, s) for s in samples]
            )

    def _not_sent(self) -> None:
        pending, self._pending = self._pending, {}
        for samples in pending.values():
            for sample in samples:
                metric = self._by_index[sample.tag.index]
                seq = self._recorder.record(sample, sent=False)
                if metric.newest is sample:
                    metric.unseen = seq

    def _message(self, _client: Any, topic: str, data: bytes, _qos: int, _properties: Any) -> int:
        try:
            if topic == self._host_state:
                self._host_says(*decode_state(data))
                return 0
            parts = topic.split("/")
            message = payload.decode(data)
            if parts[2] == MessageType.NCMD:
                self._node_command(message)
            elif parts[2] == MessageType.DCMD and len(parts) == 5:
                self._device_command(parts[4], message)
        except UndecodableError as error:
            logger.warning("message is no Sparkplug payload", extra={"topic": topic, "reason": str(error)})
        return 0

    def _host_says(self, online: bool, time_ms: int) -> None:
        if online:
            self._host_online_ms = max(self._host_online_ms, time_ms)
            self._host_online.set()
        elif self._host_online.is_set() and time_ms >= self._host_online_ms:
            # The will of an earlier connection of the host has an earlier time.
            logger.info("primary host is offline", extra={"site": self.site})
            self._ended.set()

    def _node_command(self, message: Payload) -> None:
        rebirth = message.find(payload.REBIRTH_METRIC)
        if rebirth is not None and rebirth.value is True and self.born:
            logger.info("rebirth requested", extra={"site": self.site})
            self._birth()

    def _device_command(self, device: str, message: Payload) -> None:
        for item in message.metrics:
            metric = self._metrics.get(device, {}).get(item.name) if item.name else self._by_alias.get(item.alias or 0)
            if metric is None or self._device_of[metric.tag.index].name != device:
                extra = {"site": self.site, "device": device, "metric": item.name or item.alias}
                logger.warning("command for an unknown metric", extra=extra)
                continue
            if not isinstance(item.value, int | float):
                logger.warning("command without a number", extra={"site": self.site, "metric": metric.tag.path})
                continue
            outcome = self._plant.write(metric.tag, item.value, "sparkplug")
            if outcome.sample is not None:
                self.emit([outcome.sample])
        # A host waits for the answer.
        self.flush()

    def _death(self) -> Payload:
        metric = Metric(name=payload.BDSEQ_METRIC, data_type=DataType.INT64, value=self._bdseq)
        return Payload(time_ms=self._clock() // 1000, metrics=(metric,))

    def _publish_next(self, kind: MessageType, device: str, metrics: Iterable[Metric]) -> None:
        message = Payload(time_ms=self._clock() // 1000, seq=self._seq, metrics=tuple(metrics))
        self._seq = (self._seq + 1) % payload.SEQ_MODULUS
        self._publish(Topic(self.site, kind, self.node, device), message)

    def _publish(self, topic: Topic, message: Payload) -> None:
        try:
            self._client.publish(str(topic), payload.encode(message), qos=0, retain=False)
        except SchemaError:
            logger.exception("a value does not fit its Sparkplug type", extra={"topic": str(topic)})


def node_name(site: str) -> str:
    """Name of a site's edge node; its group is the site."""
    return f"sim-{site}"


def _tls(settings: SparkplugSettings, node: str) -> ssl.SSLContext | bool:
    """TLS with the certificates as they are on disk now, or none; raises OSError."""
    if not settings.ca_file:
        return False
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.certificate_file:
        context.load_cert_chain(settings.certificate_file.replace("{node}", node))
    return context


def _primary_host(settings: SparkplugSettings, devices: Sequence[Device]) -> str:
    gateways = {device.gateway for device in devices}
    if "{gateway}" in settings.primary_host and len(gateways) != 1:
        msg = f"sparkplug.primary_host names {{gateway}}, but {devices[0].site} has several: {', '.join(sorted(gateways))}"
        raise ConfigError(msg)
    return settings.primary_host.replace("{gateway}", min(gateways))
