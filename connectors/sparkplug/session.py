"""A Sparkplug host's view of its edge nodes: births, aliases, sequence numbers, deaths. No MQTT in here.

Enters: messages as (topic, payload), in the order they came; the registry's tags by address
`spb:<group>/<edge node>/<device>/<metric>` (the device is empty for a metric of the node itself). Leaves, to a `Sink`:
samples, and notices of births, deaths, gaps and unknown metrics; through `publish`, requests for rebirth.

Data is QoS 0: what is lost on the way shows as a jump of the sequence number, and becomes a GAP event from the last sample
seen to the first new one, and a request for rebirth, at most one per node and interval. Data of a node whose birth was not
seen cannot be read (aliases), so it asks for a rebirth as well. A death makes no samples: the DEATH event says that the
values are stale. Births repeat current values: a (tag, time) seen before is not a new sample. Historical metrics are
handed over apart, for the BACKFILL stream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from base.errors import UndecodableError
from base.ids import Clock
from connectors.gap_tracker import GapTracker
from connectors.readings import Notice, Readings, Sink
from connectors.sparkplug import names, payload
from connectors.sparkplug.names import MessageType, Topic, parse_address
from connectors.sparkplug.nodes import Device, KnownMetric, Node
from connectors.sparkplug.payload import DataType, Metric, Payload
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind, Gap

log = logging.getLogger(__name__)

NodeName = tuple[str, str]
Publish = Callable[[str, bytes], None]
_CONTROL = "Node Control/"
_PROPOSALS_KEPT = 100_000
# A node's devices are born right behind it.
_DEVICE_BIRTH_US = 10_000_000


class HostSession:
    """State of all edge nodes that a host sees, of one connection after the other.

    `on_value` sees every (tag id, value) that arrives, for writes that wait for an answer.
    """

    def __init__(
        self,
        *,
        sink: Sink,
        clock: Clock,
        publish: Publish,
        on_value: Callable[[int, payload.Value], None] = lambda _tag_id, _value: None,
        connector: str = "spb",
        rebirth_interval_s: float = 5.0,
    ) -> None:
        self._sink, self._clock, self._publish, self._on_value = sink, clock, publish, on_value
        self._connector, self._rebirth_interval_us = connector, int(rebirth_interval_s * 1e6)
        self._tags: dict[str, TagDefinition] = {}
        self._by_id: dict[int, TagDefinition] = {}
        self._foreign: frozenset[str] = frozenset()
        self._last_us: dict[int, int] = {}
        self._proposed: set[str] = set()
        self._nodes: dict[NodeName, Node] = {}
        self._dead: set[int] = set()
        self._gaps = GapTracker(self._gap)
        self.messages = self.undecodable = self.repeats = self.rebirths_requested = 0

    # --- from the registry and the connection -----------------------------------------------------------------------

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the registry's tags by address."""
        self._tags, self._foreign = dict(tags), foreign
        self._by_id = {tag.tag_id: tag for tag in tags.values()}
        for tag in tags.values():
            if tag.tag_id not in self._last_us:
                seen = self._sink.last_seen_us(tag.tag_id)
                self._last_us[tag.tag_id] = seen
                self._gaps.open(tag, seen, "the gateway was not running")
        for node in self._nodes.values():
            for device in node.devices.values():
                for known in device.metrics.values():
                    known.tag = self._tags.get(known.address)

    def disconnected(self, cause: str) -> None:
        """The connection to the broker is gone: nobody can be heard, births must be seen again."""
        for name, node in self._nodes.items():
            node.online, node.seq = False, None
            self._all_dead(name, cause)
        for tag in self._tags.values():
            self._device_dead(tag.device_id, cause)

    def tick(self) -> None:
        """Look after what should be there and is not heard; about once a second."""
        expected = {parse_address(address)[:3]: tag.device_id for address, tag in self._tags.items()}
        for name in {(group, node_name) for group, node_name, _ in expected}:
            node = self._nodes.setdefault(name, Node())
            if not node.online:
                self._ask_for_birth(name, node, backoff=True)
        for (group, node_name, device_name), device_id in expected.items():
            node = self._nodes[group, node_name]
            device = node.devices.get(device_name)
            if node.online and not (device and device.online) and self._clock() - node.born_us > _DEVICE_BIRTH_US:
                self._device_dead(device_id, f"{node_name} is there without {device_name}")

    # --- messages ------------------------------------------------------------------------------------------------------

    def on_message(self, topic_name: str, data: bytes) -> None:
        """One MQTT message; never raises for what is in it."""
        self.messages += 1
        try:
            topic = names.parse(topic_name)
            if topic.type in {MessageType.NCMD, MessageType.DCMD}:
                return
            name = (topic.group, topic.node)
            node = self._nodes.setdefault(name, Node())
            device = node.devices.setdefault(topic.device, Device())
            message = payload.decode(data, device.types)
        except UndecodableError as error:
            self.undecodable += 1
            log.warning("message cannot be read", extra={"topic": topic_name, "cause": str(error)})
            return
        self._handle(topic, name, node, device, message)

    def _handle(self, topic: Topic, name: NodeName, node: Node, device: Device, message: Payload) -> None:
        if topic.type is MessageType.NDEATH:
            self._node_death(name, node, message)
            return
        if topic.type is MessageType.NBIRTH:
            self._node_birth(name, node, message)
            self._birth(topic, node.devices[""], message)
            return
        if not node.online:
            self._ask_for_birth(name, node)
            return
        self._check_sequence(name, node, message)
        if topic.type is MessageType.DBIRTH:
            self._birth(topic, device, message)
        elif topic.type is MessageType.DDEATH:
            device.online = False
            self._all_dead(name, f"device {topic.device} has died", only=topic.device)
        elif device.online or not topic.device:
            self._data(name, node, device, message)
        else:
            self._ask_for_birth(name, node)

    def _node_birth(self, name: NodeName, node: Node, message: Payload) -> None:
        bdseq = message.find(payload.BDSEQ_METRIC)
        value = bdseq.value if bdseq is not None else None
        node.bdseq = value if isinstance(value, int) else None
        node.online, node.seq, node.asks, node.born_us = True, message.seq, 0, self._clock()
        node.devices = {device: Device() for device in {"", *node.devices}}
        log.info("edge node born", extra={"node": "/".join(name), "bdseq": node.bdseq})

    def _node_death(self, name: NodeName, node: Node, message: Payload) -> None:
        bdseq = message.find(payload.BDSEQ_METRIC)
        if node.online and bdseq is not None and node.bdseq is not None and bdseq.value != node.bdseq:
            log.info("death of an earlier session", extra={"node": "/".join(name), "bdseq": bdseq.value})
            return
        node.online, node.seq = False, None
        for device in node.devices.values():
            device.online = False
        self._all_dead(name, "the edge node has died")

    def _check_sequence(self, name: NodeName, node: Node, message: Payload) -> None:
        expected = None if node.seq is None else (node.seq + 1) % payload.SEQ_MODULUS
        node.seq = message.seq
        if expected is None or message.seq == expected:
            return
        cause = f"messages of {'/'.join(name)} did not arrive: sequence {message.seq} instead of {expected}"
        log.warning("messages lost", extra={"node": "/".join(name), "cause": cause})
        for device_id in self._device_ids(name):
            self._open_gaps(device_id, cause, proven=True)
        self._ask_for_birth(name, node)

    def _birth(self, topic: Topic, device: Device, message: Payload) -> None:
        prefix = f"{self._connector}:{topic.group}/{topic.node}/{topic.device}/"
        device.online = True
        device.metrics, device.types = {}, {}
        fresh = Readings()
        for metric in message.metrics:
            if not metric.name or metric.name == payload.BDSEQ_METRIC or metric.name.startswith(_CONTROL):
                continue
            address = prefix + metric.name
            known = KnownMetric(address, metric.name, metric.data_type, self._tags.get(address))
            for key in (metric.alias, metric.name):
                if key is not None:
                    device.metrics[key], device.types[key] = known, metric.data_type
            if known.tag is None:
                self._propose(known, metric)
            else:
                self._collect(fresh, known.tag, metric, message, birth=True)
        for device_id in {known.tag.device_id for known in device.metrics.values() if known.tag is not None}:
            self._dead.discard(device_id)
            self._notice(EventKind.BIRTH, device_id, f"{topic.node}/{topic.device} is born")
        self._hand_over(fresh)

    def _data(self, name: NodeName, node: Node, device: Device, message: Payload) -> None:
        live, historical = Readings(), Readings(historical=True)
        for metric in message.metrics:
            known = device.metrics.get(metric.name if metric.alias is None else metric.alias)
            if known is None:
                log.warning(
                    "metric was in no birth", extra={"node": "/".join(name), "metric": metric.name or metric.alias}
                )
                self._ask_for_birth(name, node)
            elif known.tag is not None:
                self._collect(historical if metric.historical else live, known.tag, metric, message)
        self._hand_over(live)
        if len(historical):
            self._sink.readings(historical)

    def _collect(
        self, readings: Readings, tag: TagDefinition, metric: Metric, message: Payload, *, birth: bool = False
    ) -> None:
        time_us = (message.time_ms if metric.time_ms is None else metric.time_ms) * 1000
        if birth and time_us == self._last_us.get(tag.tag_id):
            self.repeats += 1
            self._gaps.repeated(tag)
            return
        code = quality.from_sparkplug(metric.quality)
        if metric.value is None and code == quality.GOOD:
            code = quality.BAD
        readings.add(tag.tag_id, time_us, metric.value, code)
        if not readings.historical:
            self._last_us[tag.tag_id] = time_us
            self._on_value(tag.tag_id, metric.value)

    def _hand_over(self, readings: Readings) -> None:
        if len(readings):
            self._gaps.heard(readings, self._by_id)
            self._sink.readings(readings)

    # --- asking, telling -------------------------------------------------------------------------------------------------

    def _ask_for_birth(self, name: NodeName, node: Node, *, backoff: bool = False) -> None:
        now = self._clock()
        interval_us = self._rebirth_interval_us * (min(2**node.asks, 16) if backoff else 1)
        if node.asked_us and now - node.asked_us < interval_us:
            return
        node.asked_us, node.asks = now, node.asks + 1
        self.rebirths_requested += 1
        metric = Metric(name=payload.REBIRTH_METRIC, time_ms=now // 1000, data_type=DataType.BOOLEAN, value=True)
        message = payload.encode(Payload(time_ms=now // 1000, metrics=(metric,)))
        self._publish(str(Topic(name[0], MessageType.NCMD, name[1])), message)

    def _propose(self, known: KnownMetric, metric: Metric) -> None:
        """Once per unknown metric, as soon as there is a registry to be unknown to."""
        if known.address in self._foreign or known.address in self._proposed or not (self._tags or self._foreign):
            return
        if len(self._proposed) >= _PROPOSALS_KEPT:
            return
        self._proposed.add(known.address)
        attributes = {"address": known.address, "name": known.name, "data_type": metric.data_type.name}
        attributes |= {key: str(value) for key, value in metric.properties.items()}
        self._notice(EventKind.PROPOSAL, 0, f"{known.address} is not in the registry", attributes)

    def _all_dead(self, name: NodeName, cause: str, only: str | None = None) -> None:
        for device_id in self._device_ids(name, only):
            self._device_dead(device_id, cause)

    def _device_dead(self, device_id: int, cause: str) -> None:
        self._open_gaps(device_id, cause)
        if device_id in self._dead:
            return
        self._dead.add(device_id)
        attributes = {"quality": f"0x{quality.BAD_NO_COMMUNICATION:04x}"}
        self._notice(EventKind.DEATH, device_id, f"values are stale: {cause}", attributes)

    def _gap(self, device_id: int, gap: Gap) -> None:
        self._notice(EventKind.GAP, device_id, f"samples may be missing: {gap.cause}", gap=gap)

    def _notice(
        self,
        kind: EventKind,
        device_id: int,
        text: str,
        attributes: Mapping[str, str] | None = None,
        gap: Gap | None = None,
    ) -> None:
        self._sink.notice(
            Notice(
                kind=kind,
                device_id=device_id,
                time_us=self._clock(),
                text=text,
                attributes={"connector": self._connector, **(attributes or {})},
                gap=gap,
            )
        )

    # --- looking up ------------------------------------------------------------------------------------------------------

    def metric_of(self, tag: TagDefinition) -> tuple[str, Metric] | None:
        """DCMD (or NCMD) topic and metric without value for a tag; None while its device is not born."""
        group, node_name, device_name, metric_name = parse_address(tag.address)
        node = self._nodes.get((group, node_name))
        device = node.devices.get(device_name) if node is not None and node.online else None
        known = device.metrics.get(metric_name) if device is not None and device.online else None
        if known is None:
            return None
        kind = MessageType.DCMD if device_name else MessageType.NCMD
        return str(Topic(group, kind, node_name, device_name)), Metric(name=metric_name, data_type=known.data_type)

    def nodes(self) -> dict[str, bool]:
        """Which nodes are online."""
        return {"/".join(name): node.online for name, node in self._nodes.items()}

    def _device_ids(self, name: NodeName, device: str | None = None) -> Iterable[int]:
        prefix = f"{self._connector}:{name[0]}/{name[1]}/" + ("" if device is None else f"{device}/")
        return {tag.device_id for address, tag in self._tags.items() if address.startswith(prefix)}

    def _open_gaps(self, device_id: int, cause: str, *, proven: bool = False) -> None:
        for tag in self._by_id.values():
            if tag.device_id == device_id:
                self._gaps.open(tag, self._last_us.get(tag.tag_id, 0), cause, proven=proven)
