"""Nodes of a server's address space as `connectors.opcua.walk` finds them: plain data, no protocol library.

A node's `id` is portable: by namespace URI (`nsu=urn:x;s=Motor`), without one in namespace 0 (`i=85`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

OBJECTS = "i=85"
FOLDER_TYPES = frozenset({"", "i=58", "i=61"})
"""Type definitions that say nothing of what an object is: none, BaseObjectType, FolderType."""
HAS_COMPONENT = frozenset({"i=47", "i=49"})
"""HasComponent and HasOrderedComponent: the target is a part of the source. All others only order nodes."""
HAS_PROPERTY = "i=46"


class NodeClass(StrEnum):
    """What a node is, of the kinds that are walked."""

    OBJECT = "object"
    VARIABLE = "variable"
    METHOD = "method"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """EUInformation of OPC 10000-8: `unit_id` is a number of the table that `uri` names."""

    unit_id: int
    text: str
    description: str = ""
    uri: str = ""


@dataclass(kw_only=True, slots=True)
class Found:
    """One node. `parent` is the index of the node it was first found below, -1 for the topmost.

    `part` says that it is a component of the parent, `property` that it is a property of it: a fact, seldom a measurement.
    """

    id: str
    name: str
    node_class: NodeClass
    parent: int
    depth: int
    part: bool = False
    property: bool = False
    type_definition: str = ""
    type_name: str = ""
    description: str = ""
    # Of variables:
    data_type: str = ""
    """Name of the built-in type that values have; Enumeration for enumerations."""
    data_type_name: str = ""
    """Name of the data type itself, where it is one of the server's own."""
    array: bool = False
    readable: bool = True
    writable: bool = False
    sampling_ms: float = 0.0
    """Fastest sampling that the server names; 0 where it names none."""
    value: Any = None
    status: str = ""
    unit: Unit | None = None
    eu_range: tuple[float, float] | None = None
    states: tuple[str, ...] = ()
    """Names of an enumeration's or a multi-state variable's values, from 0."""


@dataclass(kw_only=True, slots=True)
class Space:
    """What a walk found, in the order of the walk; a parent stands before its children."""

    nodes: list[Found] = field(default_factory=list)
    namespaces: tuple[str, ...] = ()
    cut: str = ""
    """Why the walk ended before everything was seen; empty when it did not."""
    problems: list[str] = field(default_factory=list)
    """What the server refused to show."""

    def path(self, index: int) -> tuple[str, ...]:
        """Names from the root to a node."""
        names: list[str] = []
        while index >= 0:
            names.append(self.nodes[index].name)
            index = self.nodes[index].parent
        return tuple(reversed(names))


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """An endpoint that a server offers."""

    url: str
    policy: str
    """Short name: None, Basic256Sha256, ..."""
    mode: str
    """None, Sign or SignAndEncrypt."""
    user_tokens: tuple[str, ...]
    """Anonymous, UserName, Certificate, IssuedToken."""
    level: int = 0
    """The server's own rating; higher is safer."""
