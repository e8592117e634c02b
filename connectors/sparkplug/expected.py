"""What the registry expects of a connection: its tags by edge node and device, and what is new to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.sparkplug.names import Topic, parse_address
from schemas.definitions import TagDefinition

NodeName = tuple[str, str]
_PROPOSALS_KEPT = 100_000


class Expected:
    """Tags of one connection, by address `<connection>:<group>/<edge node>/<device>/<metric>`."""

    def __init__(self, connector: str) -> None:
        self._connector = connector
        self._foreign: frozenset[str] = frozenset()
        self._proposed: set[str] = set()
        self.tags: dict[str, TagDefinition] = {}
        self.nodes: dict[NodeName, dict[str, list[TagDefinition]]] = {}

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the tags by address; `foreign` are those of other gateways."""
        self.tags, self._foreign, self.nodes = dict(tags), foreign, {}
        for address, tag in tags.items():
            group, node, device, _ = parse_address(address)
            self.nodes.setdefault((group, node), {}).setdefault(device, []).append(tag)

    def prefix(self, topic: Topic) -> str:
        """What stands before a metric's name in its address."""
        return f"{self._connector}:{topic.group}/{topic.node}/{topic.device}/"

    def of(self, topic: Topic) -> list[TagDefinition]:
        """Tags of the device that a topic is about."""
        return self.nodes.get((topic.group, topic.node), {}).get(topic.device, [])

    def device_id(self, topic: Topic) -> int:
        """Device of the registry that a topic is about; 0 when there is none."""
        tags = self.of(topic)
        return tags[0].device_id if tags else 0

    def tags_of(self, name: NodeName, device: str | None) -> Iterator[TagDefinition]:
        """Tags of a node, or of one of its devices."""
        mine = self.nodes.get(name, {})
        for tags in mine.values() if device is None else (mine.get(device, []),):
            yield from tags

    def is_new(self, address: str) -> bool:
        """Whether an address is to be proposed: once, and not before there is a registry to be unknown to."""
        if address in self.tags or address in self._foreign or address in self._proposed:
            return False
        if not (self.tags or self._foreign) or len(self._proposed) >= _PROPOSALS_KEPT:
            return False
        self._proposed.add(address)
        return True
