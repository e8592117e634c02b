"""What a host knows of edge nodes and their devices, as their births declared them; and when it may ask for a birth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.sparkplug.names import MessageType, Topic, parse_address
from connectors.sparkplug.payload import DataType, Metric
from connectors.sparkplug.sequence import Sequence
from schemas.definitions import TagDefinition


@dataclass(slots=True)
class KnownMetric:
    """A metric as its birth declared it. `tag` is None when the registry does not give it to this gateway.

    `part`: a field of a structure, which a command cannot address.
    """

    address: str
    name: str
    data_type: DataType
    part: bool = False
    tag: TagDefinition | None = None


@dataclass(slots=True)
class Device:
    """A device of a node (or the node itself, under the empty name). Metrics by name; `names` by alias."""

    online: bool = False
    metrics: dict[str, KnownMetric] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    types: dict[int | str, DataType] = field(default_factory=dict)
    ambiguous: frozenset[int] = frozenset()
    """Aliases that the birth gave to several metrics: they stand for none."""
    unplaced: bool = False
    """Data came that no birth explains; its tags have a gap until the next birth."""

    def stands_for(self, alias: int, name: str) -> bool:
        """Whether the birth gave the alias to this metric, or to several."""
        return alias in self.ambiguous or self.names.get(alias) == name


@dataclass(slots=True)
class Requests:
    """When something may be asked for: at once, then with growing pauses while that does not help.

    A request that falls into a pause is postponed to its end. Times in microseconds.
    """

    first_us: int
    max_us: int
    sent_us: int = 0
    count: int = 0
    waiting: bool = False

    def pause_us(self) -> int:
        """From the last request to the next one."""
        return min(self.first_us << min(self.count - 1, 20), self.max_us) if self.count else 0

    def want(self) -> None:
        """Ask for it when it is `due`."""
        self.waiting = True

    def due(self, now_us: int) -> bool:
        """Whether a request that waits is to be sent now; it counts as sent then."""
        if self.waiting and self.count and now_us - self.sent_us > 2 * self.pause_us():
            self.count = 0  # the last one helped for a while
        if not self.waiting or (self.count and now_us - self.sent_us < self.pause_us()):
            return False
        self.waiting, self.sent_us = False, now_us
        self.count += 1
        return True

    def answered(self) -> None:
        """A request that waits is needless."""
        self.waiting = False


@dataclass(slots=True)
class Node:
    """An edge node. The sequence holds messages as they came, with their topic, and their size beside them.

    `unanswered`: requests for its birth since the last one.
    """

    rebirth: Requests
    online: bool = False
    bdseq: int | None = None
    born_us: int = 0
    sequence: Sequence[tuple[Topic, bytes]] = field(default_factory=Sequence)
    held_bytes: int = 0
    unnumbered: bool = False
    unanswered: int = 0
    devices: dict[str, Device] = field(default_factory=dict)

    def assign(self, tags: Mapping[str, TagDefinition]) -> bool:
        """Give each metric its tag; whether one has a tag that had none."""
        found = False
        for device in self.devices.values():
            for known in device.metrics.values():
                tag = tags.get(known.address)
                found = found or (known.tag is None and tag is not None)
                known.tag = tag
        return found

    def state(self) -> dict[str, Any]:
        """For people."""
        return {
            "online": self.online,
            "bdseq": self.bdseq,
            "devices": sum(device.online for device in self.devices.values()),
            "held": len(self.sequence.held),
            "unanswered_requests": self.unanswered,
        }


def target_of(nodes: Mapping[tuple[str, str], Node], tag: TagDefinition) -> tuple[str, Metric] | str:
    """DCMD (or NCMD) topic and metric without value for a tag; or why it cannot be written now."""
    group, node_name, device_name, metric_name = parse_address(tag.address)
    node = nodes.get((group, node_name))
    device = node.devices.get(device_name) if node is not None and node.online else None
    if device is None or not device.online:
        return "the device is not born"
    known = device.metrics.get(metric_name)
    if known is None:
        return f"{tag.name}: the device was born without {metric_name}"
    if known.part:
        return f"{tag.name}: a field of a structure cannot be written alone"
    kind = MessageType.DCMD if device_name else MessageType.NCMD
    return str(Topic(group, kind, node_name, device_name)), Metric(name=metric_name, data_type=known.data_type)
