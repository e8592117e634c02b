"""Topics that the registry does not know: each is proposed once, as one tag or as the values in its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.mqtt.address import path_text
from connectors.mqtt.payload import leaves
from connectors.readings import Value

_TOPICS_KEPT = 10_000
_OF_ONE_TOPIC = 20


class Proposals:
    """Remembers what was proposed. `full` says that more topics came than are kept: those are not proposed."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self.full = False

    def __len__(self) -> int:
        """Topics that were proposed."""
        return len(self._topics)

    def is_new(self, topic: str) -> bool:
        """Whether the topic was never proposed and there is room for it."""
        if topic in self._topics:
            return False
        self.full = self.full or len(self._topics) >= _TOPICS_KEPT
        return not self.full

    def of(self, topic: str, document: Any) -> Iterator[Mapping[str, str]]:
        """Attributes of each proposal, `address` without the connection's name; remembers the topic."""
        self._topics.add(topic)
        if ";" in topic:
            return  # no address can name it
        for path, value in leaves(document, _OF_ONE_TOPIC):
            name = topic.rpartition("/")[2] if path is None else str(path[-1])
            address = topic if path is None else f"{topic}#{path_text(path)}"
            if ";" not in address.removeprefix(topic):
                yield {"address": address, "name": name, "data_type": _type(value)}


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INTEGER"
    return "DOUBLE" if isinstance(value, float) else "STRING" if isinstance(value, str) else "UNKNOWN"
