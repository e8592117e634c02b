"""Structures whose types a server describes (DataTypeDefinition, OPC 10000-3, 8.47): from their bytes to their fields. Pure.

Enters: what `connectors.opcua.type_definitions` has read, and values as ua.ExtensionObject with the bytes that came. Leaves: a dict of
field names to values, structures in it as dicts too. The encoding is OPC 10000-6, 5.2.6 to 5.2.8.

It belongs to one session: type ids have the session's namespace indexes. (asyncua makes classes of such types for the whole process, by
index: with two servers it would take the type of one for the other's.) A body that has more or fewer bytes than its type says is refused
as a whole; it may be of another version of the type.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary

from connectors.readings import Unusable

_DEEPEST = 20
_ERRORS = (ua.UaError, ValueError, TypeError, IndexError, OverflowError, struct.error)
_KINDS = (ua.StructureType.Structure, ua.StructureType.StructureWithOptionalFields, ua.StructureType.Union)


class _UndecodableError(ValueError):
    """A body is not what its type says, or of a type that is not known."""


class Structures:
    """What is known of the types of one server. Type ids are ua.NodeIds."""

    def __init__(self) -> None:
        self._definitions: dict[Any, Any] = {}
        self._built_in: dict[Any, Any] = {}
        self._of_encoding: dict[Any, Any] = {}

    def knows(self, data_type: Any) -> bool:
        """Whether the type was added, in whatever way."""
        return data_type in self._definitions or data_type in self._built_in

    def add(self, data_type: Any, definition: Any, encoding: Any) -> None:
        """A structure: its ua.StructureDefinition, and the id that its values carry."""
        self._definitions[data_type] = definition
        self._of_encoding[encoding] = data_type

    def add_simple(self, data_type: Any, built_in: Any) -> None:
        """A type whose values are encoded as a built-in one (ua.VariantType); None when the server does not say."""
        self._built_in[data_type] = built_in

    def explain(self, value: Any) -> Mapping[str, Any] | Unusable:
        """Fields of a ua.ExtensionObject; `Unusable` says why there are none."""
        data_type = self._of_encoding.get(value.TypeId)
        if data_type is None or value.Body is None:
            return Unusable("a structure whose type the server does not explain")
        data = Buffer(value.Body)
        try:
            found = self._structure(data_type, data, 0)
            if len(data):
                msg = f"{len(data)} bytes too many"
                raise _UndecodableError(msg)
        except _ERRORS as error:
            return Unusable(f"a structure that is not what the server says of its type: {str(error)[:200]}")
        return found

    def _structure(self, data_type: Any, data: Any, depth: int) -> dict[str, Any]:
        definition = self._definitions.get(data_type)
        if definition is None or definition.StructureType not in _KINDS or depth > _DEEPEST:
            msg = f"type {data_type.to_string()} is not described, or not in a way that is known"
            raise _UndecodableError(msg)
        fields = self._fields(definition)
        if definition.StructureType == ua.StructureType.Union:
            return self._union(fields, data, depth)
        mask = 0
        if definition.StructureType == ua.StructureType.StructureWithOptionalFields:
            mask = ua_binary.unpack_uatype(ua.VariantType.UInt32, data)
        else:
            fields = [(field, False) for field, _ in fields]
        found: dict[str, Any] = {}
        for field, optional in fields:
            there = not optional or mask & 1
            mask >>= optional
            found[field.Name] = self._field(field, data, depth) if there else None
        return found

    def _union(self, fields: Sequence[tuple[Any, bool]], data: Any, depth: int) -> dict[str, Any]:
        """One of the fields; 0 is none."""
        found: dict[str, Any] = dict.fromkeys(field.Name for field, _ in fields)
        number = ua_binary.unpack_uatype(ua.VariantType.UInt32, data)
        if number:
            field, _ = fields[number - 1]
            found[field.Name] = self._field(field, data, depth)
        return found

    def _fields(self, definition: Any) -> list[tuple[Any, bool]]:
        """Fields with whether they are optional; those of the base type come first, whether the server repeats them or not."""
        own = list(definition.Fields or ())
        base = self._definitions.get(definition.BaseDataType)
        inherited = list(base.Fields or ()) if base is not None else []
        names = [field.Name for field in own]
        if names[: len(inherited)] != [field.Name for field in inherited]:
            own = inherited + own
        return [(field, bool(field.IsOptional)) for field in own]

    def _field(self, field: Any, data: Any, depth: int) -> Any:
        if field.ValueRank > 1:
            msg = f"field {field.Name} is a matrix"
            raise _UndecodableError(msg)
        if field.ValueRank < 1:
            return self._element(field.DataType, data, depth)
        count = ua_binary.unpack_uatype(ua.VariantType.Int32, data)
        if count > len(data):
            msg = f"field {field.Name} has {count} elements in {len(data)} bytes"
            raise _UndecodableError(msg)
        return None if count < 0 else [self._element(field.DataType, data, depth) for _ in range(count)]

    def _element(self, data_type: Any, data: Any, depth: int) -> Any:
        built_in = self._built_in.get(data_type)
        if built_in is None:
            return self._structure(data_type, data, depth + 1)
        value = ua_binary.unpack_uatype(built_in, data)
        return value.Value if isinstance(value, ua.Variant) else value
