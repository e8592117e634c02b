"""Built-in types of nodes: from a value when there is one, else from the DataType attribute and its supertypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from asyncua import ua

_BUILT_IN = 25
_ABSTRACT = {
    ua.ObjectIds.Number: ua.VariantType.Double,
    ua.ObjectIds.Integer: ua.VariantType.Int64,
    ua.ObjectIds.UInteger: ua.VariantType.UInt64,
    ua.ObjectIds.Enumeration: ua.VariantType.Int32,
}
_DEEPEST = 20


class Reader(Protocol):
    """The calls of a session that are needed."""

    async def read(self, node_ids: Sequence[Any], attribute: int = ua.AttributeIds.Value) -> list[Any]:
        """Data values of an attribute."""

    async def parents(self, node_ids: Sequence[Any]) -> list[Any]:
        """Supertype of each type; None without one."""


async def built_in_types(reader: Reader, node_ids: Sequence[Any]) -> list[Any]:
    """The ua.VariantType of each variable; None when the server does not say."""
    values = await reader.read(node_ids, ua.AttributeIds.DataType)
    types = [value.Value.Value if value.Value is not None else None for value in values]
    known = ids_of(values)
    found = dict(zip(known, await built_in_of(reader, known), strict=True))
    return [found.get(one) for one in types]


async def built_in_of(reader: Reader, types: Sequence[Any]) -> list[Any]:
    """The ua.VariantType that values of each data type have; None when the server does not say."""
    found: dict[Any, Any] = {}
    ancestors = {one: one for one in types}
    for _ in range(_DEEPEST):
        found |= {one: known for one, now in ancestors.items() if (known := _known(now)) is not None}
        open_now = [one for one in ancestors if one not in found and ancestors[one] is not None]
        if not open_now:
            break
        above = await reader.parents([ancestors[one] for one in open_now])
        ancestors = dict(zip(open_now, above, strict=True))
    return [found.get(one) for one in types]


def ids_of(values: Sequence[Any]) -> list[Any]:
    """Node ids among data values, each once."""
    found = [value.Value.Value for value in values if value.Value is not None]
    return list(dict.fromkeys(one for one in found if isinstance(one, ua.NodeId)))


def _known(data_type: Any) -> Any:
    if data_type is None or data_type.NamespaceIndex or not isinstance(data_type.Identifier, int):
        return None
    if 0 < data_type.Identifier < _BUILT_IN:
        return ua.VariantType(data_type.Identifier)
    return _ABSTRACT.get(data_type.Identifier)
