"""A Sparkplug host's view of its edge nodes: births, aliases, sequence numbers, deaths. No MQTT in here.

Enters: messages as (topic, payload), in the order they came; the registry's tags by address
`<connection>:<group>/<edge node>/<device>/<metric>` (the device is empty for a metric of the node itself). Leaves, to a
`Sink`: samples, and notices of births, deaths, gaps, unknown metrics and refusals; through `publish`, requests for rebirth.

Data is QoS 0: what is lost on the way shows as a jump of the sequence number. Messages behind a jump are held for the
reorder timeout; then the loss is proven, and becomes a GAP of every tag of the node, from its last sample to its next one,
and a request for rebirth. A message applies whole or not at all; what cannot be read is a REFUSED event, a gap of the
tags it may have held, and for a birth a request for another. Retained messages say what was, not what is: they apply not
at all. A death makes no samples: the DEATH event says that the values are stale. Births repeat current values: the same
value with the same time is not a new sample. Historical metrics are handed over apart, for the BACKFILL stream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from base.errors import UndecodableError
from base.ids import Clock
from connectors.readings import Sink
from connectors.sparkplug import births, names, payload
from connectors.sparkplug.expected import Expected, NodeName
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.nodes import Device, Node, Requests, target_of
from connectors.sparkplug.notices import Notices
from connectors.sparkplug.payload import DataType, Metric, Payload, RefusedPayloadError
from connectors.sparkplug.samples import Samples
from schemas.definitions import TagDefinition

log = logging.getLogger(__name__)

Publish = Callable[[str, bytes], object]
_NODES_KEPT = 10_000
_DEVICES_KEPT = 10_000
_HELD_BYTES = payload.MAX_BYTES
# A node's devices are born right behind it.
_DEVICE_BIRTH_US = 10_000_000
# A node that was asked so often without an answer is dead.
_ASKED_IN_VAIN = 3


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
        endpoint: str = "",
        rebirth_interval_s: float = 5.0,
        rebirth_max_s: float = 300.0,
        reorder_timeout_ms: int = 1000,
    ) -> None:
        self._clock, self._publish = clock, publish
        self._reorder_us = reorder_timeout_ms * 1000
        self._rebirth_us = (int(rebirth_interval_s * 1e6), int(rebirth_max_s * 1e6))
        self._expected = Expected(connector)
        self._nodes: dict[NodeName, Node] = {}
        self._connected = False
        self.notices = Notices(sink, clock, connector=connector, endpoint=endpoint)
        self._samples = Samples(sink, clock, self.notices, on_value)
        self.messages = self.undecodable = self.lost = self.retained = self.rebirths_requested = 0

    # --- from the registry and the connection -----------------------------------------------------------------------

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the registry's tags by address."""
        self._expected.update(tags, foreign)
        self._samples.update(tags)
        for name, node in self._nodes.items():
            if node.assign(tags):
                self._ask_for_birth(name, node)  # its birth has their values of now

    def connected(self) -> None:
        """There is a connection to the broker: births may be asked for."""
        self._connected = True

    def disconnected(self, cause: str) -> None:
        """The connection to the broker is gone: nobody can be heard, births must be seen again."""
        self._connected = False
        for name, node in self._nodes.items():
            self._give_up(name, node)
            node.online, node.rebirth, node.unanswered = False, Requests(*self._rebirth_us), 0
        for name in self._expected.nodes:
            self._dead(name, cause)

    def tick(self) -> None:
        """Look after what should be there and is not heard; some times a second."""
        now = self._clock()
        for name in self._expected.nodes:
            if name not in self._nodes:
                self._nodes[name] = self._new_node()
        for name, node in self._nodes.items():
            if node.sequence.since_us and now - node.sequence.since_us >= self._reorder_us:
                self._give_up(name, node)
            if not node.online and name in self._expected.nodes:
                self._ask_for_birth(name, node)
                if node.unanswered > _ASKED_IN_VAIN:
                    self._dead(name, f"edge node {'/'.join(name)} does not answer requests for its birth")
            elif self._connected and node.rebirth.due(now):
                self._request_birth(name)
        for name, devices in self._expected.nodes.items():
            node = self._nodes[name]
            if node.online and now - node.born_us > _DEVICE_BIRTH_US:
                for device_name in devices:
                    if not ((device := node.devices.get(device_name)) and device.online):
                        self._dead(name, f"{name[1]} is there without {device_name}", device=device_name)

    # --- messages ------------------------------------------------------------------------------------------------------

    def on_message(self, topic_name: str, data: bytes, *, retained: bool = False) -> None:
        """One MQTT message; never raises for what is in it. `retained`: the broker had kept it from before."""
        self.messages += 1
        try:
            topic = names.parse(topic_name)
        except UndecodableError as error:
            self.undecodable += 1
            self.notices.refuse(topic_name, str(error))
            return
        if topic.type in {MessageType.NCMD, MessageType.DCMD}:
            return
        name = (topic.group, topic.node)
        node = self._nodes.get(name)
        if node is None:
            if len(self._nodes) >= _NODES_KEPT:
                self.notices.refuse(topic_name, f"more than {_NODES_KEPT} edge nodes")
                return
            node = self._nodes[name] = self._new_node()
        if retained:
            self.retained += 1
            self.notices.refuse(topic_name, "retained: it says what was, not what is", self._expected.device_id(topic))
        elif topic.type is MessageType.NBIRTH:
            self._node_birth(topic, name, node, data)
        elif topic.type is MessageType.NDEATH:
            self._node_death(topic, name, node, data)
        elif not node.online:
            self._decode(topic, Device(), data)  # tells what cannot be read at all
            self._ask_for_birth(name, node)
        else:
            self._in_order(topic, name, node, data)

    def _node_birth(self, topic: Topic, name: NodeName, node: Node, data: bytes) -> None:
        self._give_up(name, node)
        message = self._decode(topic, Device(), data)
        node.devices = {device: Device() for device in {"", *node.devices}}
        node.online = isinstance(message, Payload)
        node.sequence.restart(message.seq)
        node.unnumbered = message.seq is None
        if not isinstance(message, Payload):
            self._dead(name, f"the birth of {topic.node} cannot be read: {message}")
            self._ask_for_birth(name, node)
            return
        bdseq = message.find(payload.BDSEQ_METRIC)
        value = bdseq.value if bdseq is not None else None
        node.bdseq = value if isinstance(value, int) else None
        node.born_us = self._clock()
        node.rebirth.answered()
        node.unanswered = 0
        log.info("edge node born", extra={"node": "/".join(name), "bdseq": node.bdseq})
        self._birth(topic, node, message)

    def _node_death(self, topic: Topic, name: NodeName, node: Node, data: bytes) -> None:
        message = self._decode(topic, Device(), data)
        if not isinstance(message, Payload):
            if node.online:
                self._ask_for_birth(name, node)  # a node that is alive answers
            return
        bdseq = message.find(payload.BDSEQ_METRIC)
        if node.online and bdseq is not None and node.bdseq is not None and bdseq.value != node.bdseq:
            log.info("death of an earlier session", extra={"node": "/".join(name), "bdseq": bdseq.value})
            return
        self._give_up(name, node)
        node.online = False
        for device in node.devices.values():
            device.online = False
        self._dead(name, "the edge node has died")

    def _in_order(self, topic: Topic, name: NodeName, node: Node, data: bytes) -> None:
        """Apply a message when it is its turn, and those that waited for it."""
        message = self._decode(topic, node.devices.get(topic.device, Device()), data)
        if message.seq is None:
            if isinstance(message, Payload) and not node.unnumbered:
                node.unnumbered = True
                self.notices.refuse(
                    str(topic), "no sequence number: losses cannot be seen", self._expected.device_id(topic)
                )
            self._apply(topic, name, node, message)
            return
        if node.sequence.is_full(message.seq):
            self._give_up(name, node)
        ready = node.sequence.take(message.seq, (topic, data), self._clock())
        for at, (one, held) in enumerate(ready):
            # A message that waited is read now: a birth before it may have given its aliases.
            again = self._decode(one, node.devices.get(one.device, Device()), held) if at else message
            self._apply(one, name, node, again)
        node.held_bytes = sum(len(held) for _, held in node.sequence.held.values()) if node.sequence.held else 0
        if node.sequence.held and (not self._reorder_us or node.held_bytes > _HELD_BYTES):
            self._give_up(name, node)

    def _give_up(self, name: NodeName, node: Node) -> None:
        """What is missing before the messages that are held did not arrive."""
        for (topic, data), lost in node.sequence.give_up():
            if lost:
                cause = f"messages of {'/'.join(name)} did not arrive: {lost}"
                log.warning("messages lost", extra={"node": "/".join(name), "cause": cause})
                self.lost += 1
                self._open_gaps(name, cause, proven=True)
                self._ask_for_birth(name, node)
            device = node.devices.get(topic.device, Device())
            self._apply(topic, name, node, self._decode(topic, device, data))

    def _apply(self, topic: Topic, name: NodeName, node: Node, message: Payload | RefusedPayloadError) -> None:
        device = node.devices.get(topic.device)
        if topic.type is MessageType.DDEATH:
            if device is not None:
                device.online = False
            time_us = message.time_ms * 1000 if isinstance(message, Payload) and message.time_ms else None
            self._dead(name, f"device {topic.device} has died", device=topic.device, time_us=time_us)
        elif not isinstance(message, Payload):
            self._unreadable(topic, name, node, message)
        elif topic.type is MessageType.DBIRTH:
            if device is None and len(node.devices) >= _DEVICES_KEPT:
                self.notices.refuse(str(topic), f"more than {_DEVICES_KEPT} devices of one edge node")
                return
            self._birth(topic, node, message)
        elif device is not None and (device.online or not topic.device):
            self._data(topic, name, node, device, message)
        else:
            self._ask_for_birth(name, node)

    def _unreadable(self, topic: Topic, name: NodeName, node: Node, error: RefusedPayloadError) -> None:
        cause = f"a message of {topic.node}/{topic.device} cannot be read: {error}"
        self._open_gaps(name, cause, device=topic.device, proven=True)
        if topic.type is MessageType.DBIRTH:
            node.devices[topic.device] = Device()
            self._dead(name, cause, device=topic.device)
            self._ask_for_birth(name, node)

    def _birth(self, topic: Topic, node: Node, message: Payload) -> None:
        prefix = self._expected.prefix(topic)
        device = node.devices[topic.device] = births.declared(message, prefix, self._expected.tags)
        expected = self._expected.of(topic)
        device_id = self._expected.device_id(topic)
        for alias in sorted(device.ambiguous)[:10]:
            self.notices.refuse(str(topic), f"alias {alias} stands for several metrics", device_id)
        if missing := [tag.address for tag in expected if tag.address.removeprefix(prefix) not in device.metrics]:
            cause = f"the birth lacks {len(missing)} of {len(expected)} tags, the first is {missing[0]}"
            self.notices.refuse(str(topic), cause, device_id)
        for metric in message.metrics:
            if metric.name in device.metrics and self._expected.is_new(prefix + metric.name):
                self.notices.proposal(prefix + metric.name, metric)
        for born in sorted({known.tag.device_id for known in device.metrics.values() if known.tag is not None}):
            self.notices.birth(born, f"{topic.node}/{topic.device} is born")
        self._take(topic, prefix, device, message, birth=True)

    def _data(self, topic: Topic, name: NodeName, node: Node, device: Device, message: Payload) -> None:
        if not all(self._is_declared(topic, device, metric) for metric in message.metrics):
            self._ask_for_birth(name, node)
        self._take(topic, self._expected.prefix(topic), device, message)

    def _take(self, topic: Topic, prefix: str, device: Device, message: Payload, *, birth: bool = False) -> None:
        if message.unread:
            self.notices.refuse(str(topic), message.unread, self._expected.device_id(topic))
        self._samples.take(topic, prefix, device, message, birth=birth)

    def _is_declared(self, topic: Topic, device: Device, metric: Metric) -> bool:
        """Whether the birth has the metric as the data has it; what cannot be placed is told, and is a gap."""
        if metric.name in device.metrics:
            return metric.part or metric.alias is None or device.stands_for(metric.alias, metric.name)
        if metric.alias is not None and not metric.name:
            ambiguous = metric.alias in device.ambiguous
            cause = f"alias {metric.alias} stands for {'several metrics' if ambiguous else 'nothing that was born'}"
            self.notices.refuse(str(topic), cause, self._expected.device_id(topic))
            if not device.unplaced:
                device.unplaced = True
                self._open_gaps((topic.group, topic.node), cause, device=topic.device, proven=True)
            return ambiguous
        return not births.is_own(metric)

    # --- asking, telling -------------------------------------------------------------------------------------------------

    def _ask_for_birth(self, name: NodeName, node: Node) -> None:
        node.rebirth.want()
        if self._connected and node.rebirth.due(self._clock()):
            self._request_birth(name)

    def _request_birth(self, name: NodeName) -> None:
        self.rebirths_requested += 1
        self._nodes[name].unanswered += 1
        now_ms = self._clock() // 1000
        metric = Metric(name=payload.REBIRTH_METRIC, time_ms=now_ms, data_type=DataType.BOOLEAN, value=True)
        message = payload.encode(Payload(time_ms=now_ms, metrics=(metric,)))
        self._publish(str(Topic(name[0], MessageType.NCMD, name[1])), message)

    def _dead(self, name: NodeName, cause: str, *, device: str | None = None, time_us: int | None = None) -> None:
        self._open_gaps(name, cause, device=device)
        for device_id in dict.fromkeys(tag.device_id for tag in self._expected.tags_of(name, device)):
            self.notices.death(device_id, f"values are stale: {cause}", time_us)

    def _open_gaps(self, name: NodeName, cause: str, *, device: str | None = None, proven: bool = False) -> None:
        self._samples.lost(self._expected.tags_of(name, device), cause, proven=proven)

    # --- looking up ------------------------------------------------------------------------------------------------------

    def metric_of(self, tag: TagDefinition) -> tuple[str, Metric] | str:
        """DCMD (or NCMD) topic and metric without value for a tag; or why it cannot be written now."""
        return target_of(self._nodes, tag)

    def status(self) -> dict[str, Any]:
        """Numbers and states, for people."""
        return {
            "nodes": {"/".join(name): node.state() for name, node in self._nodes.items()},
            "silent_nodes": self.silent()[:20],
            "messages": self.messages,
            "undecodable": self.undecodable,
            "refused": self.notices.refusals,
            "retained": self.retained,
            "lost": self.lost,
            "repeats": self._samples.repeats,
            "rebirths_requested": self.rebirths_requested,
        }

    def silent(self) -> list[str]:
        """Nodes with tags that were asked for their birth again and again."""
        mine = ((name, self._nodes[name]) for name in self._expected.nodes if name in self._nodes)
        return ["/".join(name) for name, node in mine if not node.online and node.unanswered > _ASKED_IN_VAIN]

    def _new_node(self) -> Node:
        return Node(Requests(*self._rebirth_us))

    def _decode(self, topic: Topic, device: Device, data: bytes) -> Payload | RefusedPayloadError:
        fresh = topic.type in {MessageType.NBIRTH, MessageType.DBIRTH}
        try:
            return payload.decode(data, *(() if fresh else (device.types, device.names)))
        except RefusedPayloadError as error:
            self.undecodable += 1
            self.notices.refuse(str(topic), str(error), self._expected.device_id(topic))
            return error
