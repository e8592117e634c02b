"""Machines in an address space: which object is one, what kind it is, and which of the variables below it are its.

Enters: a `Space`. Leaves: one `Machine` for each object that has variables. A machine is the uppermost object that has a variable as
a part of it, directly or by parts of parts (HasComponent); what folders only order (Organizes) is not one machine, and neither is an
object of no variables of its own that holds several objects of one type. Objects whose type is of a companion specification that
describes machines are machines whatever stands above them, and so are those that people name by a pattern of their path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from connectors.opcua.space import FOLDER_TYPES, OBJECTS, Found, NodeClass, Space

PACKML = "http://opcfoundation.org/UA/PackML/"
MACHINERY = "http://opcfoundation.org/UA/Machinery/"
COMPANIONS = {PACKML: "PackML", MACHINERY: "Machinery"}
"""Companion specifications by the namespace of their types."""
_MACHINE_TYPES = {PACKML: {"PackMLBaseObjectType"}, MACHINERY: set[str]()}
"""Types that a machine itself has; Machinery has none: a machine there is an object with `Identification` of one of its types."""
_IDENTIFICATION = {"MachineIdentificationType", "MachineryItemIdentificationType"}
_FOLDER = "i=61"


@dataclass(kw_only=True, slots=True)
class Machine:
    """`index` is the object's place in the space, `companion` the specification it follows, `variables` with their names below it."""

    index: int
    companion: str = ""
    variables: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)


def machines(space: Space, named: Sequence[str] = ()) -> list[Machine]:
    """Machines in the order of the walk; each variable that is no property belongs to one of them. `named`: patterns of paths."""
    marked, groups = _marked(space, named), _groups(space)
    found: dict[int, Machine] = {}
    for index, node in enumerate(space.nodes):
        if node.node_class is not NodeClass.VARIABLE or node.property:
            continue
        owner, names = _owner(space, index, marked, groups)
        machine = found.setdefault(owner, Machine(index=owner, companion=marked.get(owner, "")))
        machine.variables.append((index, names))
    return sorted(found.values(), key=lambda machine: machine.index)


def companion_of(node: Found) -> str:
    """Name of the companion specification that defines a node's type."""
    return COMPANIONS.get(_namespace(node.type_definition), "")


def matches(space: Space, index: int, pattern: str) -> bool:
    """Whether a pattern (`Line 1/Tanks/*`) means this object."""
    return space.nodes[index].node_class is NodeClass.OBJECT and fnmatchcase("/".join(space.path(index)), pattern)


def _marked(space: Space, named: Sequence[str]) -> dict[int, str]:
    """Objects that companion specifications mark as machines, with the specification; and those that people name."""
    marked: dict[int, str] = {}
    for index, node in enumerate(space.nodes):
        if node.node_class is not NodeClass.OBJECT:
            continue
        if any(matches(space, index, pattern) for pattern in named):
            marked[index] = ""
            continue
        uri = _namespace(node.type_definition)
        if node.type_name in _MACHINE_TYPES.get(uri, ()):
            marked[index] = COMPANIONS[uri]
        elif node.type_name in _IDENTIFICATION and node.parent >= 0:
            marked.setdefault(node.parent, COMPANIONS[MACHINERY])
    # A machine's PackML object below a machine of the Machinery specification is a part of it.
    return {index: name for index, name in marked.items() if not _below(space, index, marked)}


def _below(space: Space, index: int, marked: dict[int, str]) -> bool:
    above = space.nodes[index].parent
    part = space.nodes[index].part
    while above >= 0 and part:
        if above in marked:
            return True
        part, above = space.nodes[above].part, space.nodes[above].parent
    return False


def _groups(space: Space) -> set[int]:
    """Objects that have no variable of their own and several objects of one type: lines, not machines."""
    own: set[int] = set()
    types: dict[int, Counter[str]] = {}
    for node in space.nodes:
        if node.node_class is NodeClass.VARIABLE and not node.property:
            own.add(node.parent)
        elif node.node_class is NodeClass.OBJECT and node.type_definition not in FOLDER_TYPES:
            types.setdefault(node.parent, Counter())[node.type_definition] += 1
    return {index for index, found in types.items() if index not in own and found.most_common(1)[0][1] > 1}


def _owner(space: Space, index: int, marked: dict[int, str], groups: set[int]) -> tuple[int, tuple[str, ...]]:
    """Machine of a variable, -1 for the root, and the variable's names below it."""
    names = [space.nodes[index].name]
    at = space.nodes[index].parent
    # Up to an object: a variable can be a part of a variable.
    while at >= 0:
        node = space.nodes[at]
        above = node.parent
        ends = at in marked or not node.part or above < 0 or above in groups
        ends = ends or space.nodes[above].type_definition == _FOLDER
        if node.node_class is NodeClass.OBJECT and ends and not _marked_above(space, at, marked):
            break
        names.append(node.name)
        at = above
    return at, tuple(reversed(names))


def _marked_above(space: Space, index: int, marked: dict[int, str]) -> bool:
    """Whether an object that is no marked machine itself lies in one, even in a folder of it."""
    if index in marked:
        return False
    above = space.nodes[index].parent
    while above >= 0:
        if above in marked:
            return True
        above = space.nodes[above].parent
    return False


def _namespace(node_id: str) -> str:
    return node_id.removeprefix("nsu=").partition(";")[0] if node_id.startswith("nsu=") else ""


def kind_of(node: Found) -> str:
    """What an object's type is called; empty where it says nothing."""
    return "" if node.type_definition in FOLDER_TYPES or node.id == OBJECTS else node.type_name
