"""Reads what a server says of the types of its structures, with all that they contain, for `connectors.opcua.structures`.

Who calls: the connector, before it monitors a field of a structure. A type that the server does not describe (servers before OPC UA 1.04 do
not) stays unknown: its values are refused by name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from asyncua import ua

from connectors.opcua.items import Item
from connectors.opcua.node_types import built_in_of, ids_of
from connectors.opcua.structures import Structures

log = logging.getLogger(__name__)

_ROUNDS = 20
_MOST_TYPES = 2000
_STANDARD = {
    ua.NodeId(ua.ObjectIds.Structure): ua.VariantType.ExtensionObject,
    ua.NodeId(ua.ObjectIds.BaseDataType): ua.VariantType.Variant,
    ua.NodeId(ua.ObjectIds.Number): ua.VariantType.Variant,
    ua.NodeId(ua.ObjectIds.Integer): ua.VariantType.Variant,
    ua.NodeId(ua.ObjectIds.UInteger): ua.VariantType.Variant,
}
"""Abstract types: each value says what it is."""


class Reader(Protocol):
    """The calls of a session that are needed."""

    async def read(self, node_ids: Sequence[Any], attribute: int = ua.AttributeIds.Value) -> list[Any]:
        """Data values of an attribute."""

    async def parents(self, node_ids: Sequence[Any]) -> list[Any]:
        """Supertype of each type; None without one."""

    async def encodings(self, data_types: Sequence[Any]) -> list[Any]:
        """Id of the binary encoding of each type; None without one."""

    async def encoded(self, encodings: Sequence[Any]) -> list[Any]:
        """Type of each encoding; None without one."""


async def explain_fields(items: Iterable[Item], structures: Structures, reader: Reader) -> None:
    """Read the types of those items that are fields of structures, and give them what explains their values."""
    fields = [item for item in items if item.of_structure]
    for item in fields:
        item.explain = structures.explain
    try:
        await learn(structures, reader, [item.node_id for item in fields])
    except ua.UaStatusCodeError as error:
        log.warning("the server does not describe its types", extra={"cause": str(error)})


async def learn(structures: Structures, reader: Reader, node_ids: Sequence[Any]) -> None:
    """Add the types of these variables, and of what they contain."""
    if not node_ids:
        return
    types = ids_of(await reader.read(node_ids, ua.AttributeIds.DataType))
    await _add(structures, reader, types)
    # A variable of an abstract type: what its value is, the value says.
    values = [value.Value.Value if value.Value is not None else None for value in await reader.read(node_ids)]
    shown = {one.TypeId for value in values for one in _each(value) if isinstance(one, ua.ExtensionObject)}
    await _add(structures, reader, [one for one in await reader.encoded(list(shown)) if one is not None])


async def _add(structures: Structures, reader: Reader, types: Sequence[Any]) -> None:
    for _ in range(_ROUNDS):
        new = [one for one in dict.fromkeys(types) if not structures.knows(one)][:_MOST_TYPES]
        if not new:
            return
        read = await reader.read(new, ua.AttributeIds.DataTypeDefinition)
        values = [one.Value.Value if one.Value is not None else None for one in read]
        found = {
            one: value
            for one, value in zip(new, values, strict=True)
            if isinstance(value, ua.StructureDefinition) and one not in _STANDARD
        }
        simple = [one for one in new if one not in found]
        for one, built_in in zip(simple, await built_in_of(reader, simple), strict=True):
            structures.add_simple(one, _as_encoded(one, built_in))
        # The definition has its id, but not every server fills it in.
        encodings = await reader.encodings(list(found))
        for (one, value), encoding in zip(found.items(), encodings, strict=True):
            structures.add(one, value, encoding or value.DefaultEncodingId)
        types = [field.DataType for value in found.values() for field in value.Fields or ()]
        types += [value.BaseDataType for value in found.values()]


def _as_encoded(data_type: Any, built_in: Any) -> Any:
    """How values of a type without fields are encoded inside of a structure."""
    if data_type in _STANDARD:
        return _STANDARD[data_type]
    # A structure that is not described is not framed as an ExtensionObject there: nothing tells where it ends.
    return None if built_in == ua.VariantType.ExtensionObject else built_in


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
