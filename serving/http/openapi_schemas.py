"""JSON schemas of the contract's messages and fields, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from serving import bounds
from serving.http import columns
from serving.http.contract import comment, short


def reference(descriptor: Descriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    """Reference to a message's schema, which is put into `schemas` with those it needs."""
    name = descriptor.name
    if name not in schemas:
        schemas[name] = {}
        fields = [field for field in descriptor.fields if field.name != "tag_complete"]
        schemas[name] = {
            "type": "object",
            "description": comment(descriptor.full_name),
            "required": [field.name for field in fields],
            "properties": {field.name: of_field(field, schemas) for field in fields},
        }
    return {"$ref": f"#/components/schemas/{name}"}


def of_field(field: FieldDescriptor, schemas: dict[str, Any], *, request: bool = False) -> dict[str, Any]:
    """Schema of a field; with `request` with the bounds of what may be sent."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = _one(field.message_type.fields_by_name["value"], schemas, request=request)
        made: dict[str, Any] = {"type": "object", "additionalProperties": value}
        if request:
            made["maxProperties"] = bounds.ITEMS.get(field.name, bounds.MAX_ITEMS)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        made = {"type": "array", "items": _COLUMNS[columns.TYPES[field.name]]}
        if field.name == "repaired":
            made["items"] = {"type": "boolean"}
    elif field.label == FieldDescriptor.LABEL_REPEATED:
        made = {"type": "array", "items": _one(field, schemas, request=request)}
        if request:
            made["maxItems"] = bounds.ITEMS.get(field.name, bounds.MAX_ITEMS)
    else:
        made = _one(field, schemas, request=request)
        if field.has_presence and not request:
            made = or_null(made)
    text = comment(field.full_name)
    return made | ({"description": text} if text else {})


_COLUMNS: dict[str, dict[str, Any]] = {
    "<i8": {"type": "integer", "format": "int64"},
    "<f8": {"type": ["number", "null"]},
    "<u2": {"type": "integer", "minimum": 0, "maximum": 65535},
    "|u1": {"type": "boolean"},
}
_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
}


def _one(field: FieldDescriptor, schemas: dict[str, Any], *, request: bool) -> dict[str, Any]:
    if field.message_type is not None:
        return reference(field.message_type, schemas)
    if field.enum_type is not None:
        names = [short(field.enum_type, value.name) for value in field.enum_type.values]
        return {"type": "string", "enum": names}
    if field.cpp_type in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return {"type": "number"} if request else {"type": ["number", "null"]}
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        limit = {"maxLength": bounds.TEXT.get(field.name, bounds.MAX_TEXT)} if request else {}
        return {"type": "string"} | limit
    return dict(_SCALARS[field.cpp_type])


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    kind = schema.get("type")
    if kind is None:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema if isinstance(kind, list) else schema | {"type": [kind, "null"]}
