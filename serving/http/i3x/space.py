"""The address space of i3X: namespaces, types, objects and their relationships, made of one version of the registry.

Enters: the devices of the plant. Leaves: records as i3X 1.0 has them. An object's elementId is its path. Levels of the plant have types
of their own; a device is of its class's type, whose schema is an object with a property for each tag; a tag is a scalar, and a component
of its device. Everything is built once a version: some hundred milliseconds for 100,000 tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.definitions import DataType, TagDefinition
from serving.caches.plant import Device

LEVELS = ("Enterprise", "Site", "Area", "Line", "Cell")
PLANT = "urn:millrace:i3x:plant"
CLASSES = "urn:millrace:i3x:classes"
RELATIONS = "urn:millrace:i3x:relationships"
NAMESPACES = (
    {"uri": PLANT, "displayName": "Levels of the plant, and scalars"},
    {"uri": CLASSES, "displayName": "Device classes"},
    {"uri": RELATIONS, "displayName": "Relationships"},
)
_REVERSE = {
    "HasParent": "HasChildren",
    "HasChildren": "HasParent",
    "HasComponent": "ComponentOf",
    "ComponentOf": "HasComponent",
}
RELATIONSHIP_TYPES = tuple(
    {
        "elementId": name,
        "displayName": name,
        "namespaceUri": RELATIONS,
        "relationshipId": name,
        "reverseOf": reverse,
    }
    for name, reverse in _REVERSE.items()
)
_SCALARS = {DataType.DOUBLE: "number", DataType.INTEGER: "integer", DataType.BOOLEAN: "boolean"}
_VERSION = "1.0.0"


@dataclass(slots=True)
class Node:
    """An object. `device` and `tag` are set for what they say."""

    element_id: str
    type_id: str
    parent_id: str | None
    device: Device | None = None
    tag: TagDefinition | None = None
    children: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.element_id.rpartition("/")[2]

    @property
    def is_composition(self) -> bool:
        """Whether it has components."""
        return self.device is not None

    def edges(self) -> list[tuple[str, str]]:
        """Relationship and other end, of every edge that leaves here."""
        found = [("HasParent", self.parent_id)] if self.parent_id is not None else []
        if self.tag is not None and self.parent_id is not None:
            found.append(("ComponentOf", self.parent_id))
        found += [("HasChildren", child) for child in self.children]
        if self.is_composition:
            found += [("HasComponent", child) for child in self.children]
        return found


@dataclass(frozen=True, slots=True)
class Space:
    """The space of one version."""

    nodes: dict[str, Node]
    types: dict[str, dict[str, Any]]

    def record(self, node: Node, *, metadata: bool) -> dict[str, Any]:
        """An object as i3X shows it."""
        found: dict[str, Any] = {
            "elementId": node.element_id,
            "displayName": node.name,
            "typeElementId": node.type_id,
            "parentId": node.parent_id,
            "isComposition": node.is_composition,
            "isExtended": False,
        }
        if metadata:
            found["metadata"] = self._metadata(node)
        return found

    def _metadata(self, node: Node) -> dict[str, Any]:
        kind = self.types[node.type_id]
        edges: dict[str, Any] = {}
        for name, other in node.edges():
            if name in {"HasParent", "ComponentOf"}:
                edges[name] = other
            else:
                edges.setdefault(name, []).append(other)
        found: dict[str, Any] = {
            "typeNamespaceUri": kind["namespaceUri"],
            "sourceTypeId": kind["sourceTypeId"],
            "relationships": edges,
        }
        if node.tag is not None:
            found["description"] = node.tag.description
            found["system"] = {"tagId": node.tag.tag_id, "unit": node.tag.unit, "writable": node.tag.writable}
        elif node.device is not None:
            found["system"] = {"deviceId": node.device.device_id, "gatewayId": node.device.gateway_id}
        return found


def build(devices: Iterable[Device]) -> Space:
    """The space of these devices."""
    nodes: dict[str, Node] = {}
    types = {name: _type(name, PLANT, {"type": "object"}) for name in LEVELS}
    for kind, scalar in _SCALARS.items():
        types[_scalar_id(kind)] = _type(_scalar_id(kind), PLANT, {"type": scalar})
    for device in devices:
        parent = _levels(nodes, device.path)
        class_id = f"class:{device.device_class}"
        known = types.setdefault(class_id, _type(class_id, CLASSES, {"type": "object", "properties": {}}))
        node = Node(device.path, class_id, parent, device=device)
        _hang(nodes, node)
        for tag in device.tags:
            known["schema"]["properties"].setdefault(tag.name, _property(tag))
            _hang(nodes, Node(tag.path, _scalar_id(tag.data_type), device.path, tag=tag))
    return Space(nodes, types)


def _levels(nodes: dict[str, Node], device_path: str) -> str | None:
    """Make the levels above a device; returns the lowest."""
    parts = device_path.split("/")[:-1]
    parent: str | None = None
    for depth in range(len(parts)):
        path = "/".join(parts[: depth + 1])
        if path not in nodes:
            _hang(nodes, Node(path, LEVELS[min(depth, len(LEVELS) - 1)], parent))
        parent = path
    return parent


def _hang(nodes: dict[str, Node], node: Node) -> None:
    nodes[node.element_id] = node
    if node.parent_id is not None:
        nodes[node.parent_id].children.append(node.element_id)


def _scalar_id(kind: DataType) -> str:
    return f"scalar:{_SCALARS.get(kind, 'number')}"


def _property(tag: TagDefinition) -> dict[str, Any]:
    """A tag may have no value, so its property may be null."""
    found: dict[str, Any] = {"type": [_SCALARS.get(tag.data_type, "number"), "null"], "x-unit": tag.unit}
    return found | ({"description": tag.description} if tag.description else {})


def _type(element_id: str, namespace: str, schema: dict[str, Any]) -> dict[str, Any]:
    name = element_id.partition(":")[2] or element_id
    return {
        "elementId": element_id,
        "displayName": name,
        "namespaceUri": namespace,
        "sourceTypeId": name,
        "version": _VERSION,
        "schema": schema,
    }
