"""What was heard at an MQTT broker, as devices that could be: Sparkplug births, and topics with JSON. Pure but for the messages given.

Births name their metrics; the rest of the topics are read as `connectors.mqtt` reads them. Bounds: topics, metrics and nodes kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.errors import UndecodableError
from browse.skeleton import Candidate, DeviceCandidate
from connectors.mqtt import payload as json_payload
from connectors.mqtt.proposals import Proposals
from connectors.sparkplug import names, payload
from connectors.sparkplug.births import is_own
from connectors.sparkplug.data_types import DataType
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import Metric
from registry.plant_names import plain_name, unique_name
from schemas import units

MAX_PAYLOAD = 4 * 1024 * 1024
_MAX_DEVICES = 10_000
_DATA_TYPES = {
    DataType.FLOAT: "DOUBLE", DataType.DOUBLE: "DOUBLE", DataType.BOOLEAN: "BOOLEAN",
    **dict.fromkeys(range(DataType.INT8, DataType.UINT64 + 1), "INTEGER"),
}  # fmt: skip


class Heard:
    """Takes messages one by one; `problems` says which topics could not be read."""

    def __init__(self) -> None:
        self._births: dict[tuple[str, str, str], tuple[Metric, ...]] = {}
        self._documents: dict[str, list[Mapping[str, str]]] = {}
        self._proposals = Proposals()
        self._nodes: set[tuple[str, str]] = set()
        self.problems: dict[str, str] = {}

    def take(self, topic: str, data: bytes) -> None:
        """One message."""
        try:
            if topic.startswith(f"{names.NAMESPACE}/STATE/"):
                return
            if topic.startswith(f"{names.NAMESPACE}/"):
                self._sparkplug(names.parse(topic), data)
            elif self._proposals.is_new(topic):
                document = json_payload.decode(data, MAX_PAYLOAD)
                self._documents[topic] = list(self._proposals.of(topic, document))
        except (UndecodableError, ValueError) as error:
            if len(self.problems) < _MAX_DEVICES:
                self.problems[topic] = str(error)

    def unborn(self) -> list[tuple[str, str]]:
        """Nodes (group, node) that sent something and whose birth was not heard."""
        born = {(group, node) for group, node, _ in self._births}
        return sorted(self._nodes - born)

    def sparkplug(self) -> list[DeviceCandidate]:
        """Devices of Sparkplug births; an edge node's own metrics are a device of its name."""
        used: set[str] = set()
        return [
            DeviceCandidate(
                name=unique_name(plain_name(device or node), used), kind="",
                tags=_metrics(f"{group}/{node}/{device}/", metrics), note=f"edge node {group}/{node}",
            )
            for (group, node, device), metrics in sorted(self._births.items())
        ]  # fmt: skip

    def documents(self) -> list[DeviceCandidate]:
        """Devices of topics with JSON: the level above the last one; a topic of one level is a device of that name."""
        groups: dict[str, list[Mapping[str, str]]] = {}
        for topic, proposals in sorted(self._documents.items()):
            groups.setdefault(topic.rpartition("/")[0] or topic, []).extend(proposals)
        used: set[str] = set()
        found = []
        for group, proposals in groups.items():
            names_used: set[str] = set()
            tags = tuple(_document_tag(one, names_used) for one in proposals)
            found.append(
                DeviceCandidate(name=unique_name(plain_name(group.rpartition("/")[2]), used), kind="", tags=tags)
            )
        return found

    def _sparkplug(self, topic: Topic, data: bytes) -> None:
        if topic.type in {MessageType.NCMD, MessageType.DCMD, MessageType.NDEATH, MessageType.DDEATH}:
            return
        if len(self._nodes) < _MAX_DEVICES:
            self._nodes.add((topic.group, topic.node))
        if topic.type in {MessageType.NBIRTH, MessageType.DBIRTH} and len(self._births) < _MAX_DEVICES:
            message = payload.decode(data)
            self._births[topic.group, topic.node, topic.device] = tuple(m for m in message.metrics if is_own(m))


def _metrics(prefix: str, metrics: tuple[Metric, ...]) -> tuple[Candidate, ...]:
    used: set[str] = set()
    return tuple(_metric(prefix, metric, unique_name(plain_name(metric.name), used)) for metric in metrics)


def _metric(prefix: str, metric: Metric, name: str) -> Candidate:
    data_type = _DATA_TYPES.get(metric.data_type, "")
    refused = metric.refused or ("" if data_type else f"its type is {metric.data_type.name}, which is no number")
    spelled = str(metric.properties.get("engUnit", ""))
    bounds = [metric.properties.get(key) for key in ("engLow", "engHigh")]
    eu = None
    if all(isinstance(one, int | float) for one in bounds) and float(bounds[0]) < float(bounds[1]):  # type: ignore[arg-type]
        eu = float(bounds[0]), float(bounds[1])  # type: ignore[arg-type]
    unit = units.to_ucum(spelled) or units.NO_UNIT
    return Candidate(
        name=name, address=prefix + metric.name, data_type=data_type or "DOUBLE", unit=unit,
        description=str(metric.properties.get("documentation") or metric.name)[:200], eu=eu, refused=refused,
    )  # fmt: skip


def _document_tag(proposal: Mapping[str, str], used: set[str]) -> Candidate:
    data_type: Any = proposal["data_type"]
    carried = data_type in {"BOOLEAN", "INTEGER", "DOUBLE"}
    return Candidate(
        # A number without a fraction in JSON says nothing of the next one.
        name=unique_name(plain_name(proposal["name"]), used), address=proposal["address"],
        data_type="DOUBLE" if data_type == "INTEGER" or not carried else data_type, description=proposal["address"][:200],
        refused="" if carried else f"its value is {data_type.lower()}, which is no number",
    )  # fmt: skip
