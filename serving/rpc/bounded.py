"""Bytes of a request to its message: decoded in the gate, bounded field by field before anything is done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from base.errors import InvalidRequestError
from serving import bounds


def decode(raw: bytes, parse: Callable[[bytes], Any], name: str) -> Any:
    """Message of a request to the method `name`; raises InvalidRequestError."""
    bounds.size(len(raw))
    try:
        message = parse(raw)
    except DecodeError:
        msg = f"these {len(raw):,} bytes are no request of {name}; is your .proto file of another version?"
        raise InvalidRequestError(msg) from None
    check(message)
    return message


def check(message: Message, within: str = "") -> None:
    """Bounds of every field that is set, and of the messages in it. Raises InvalidRequestError naming the field."""
    for field, value in message.ListFields():
        where = f"{within}{field.name}"
        if field.label != FieldDescriptor.LABEL_REPEATED:
            _one(field, value, where)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            bounds.value(field.name, value, where=where)
        else:
            bounds.count(field.name, len(value), where=where)
            if field.cpp_type in _WITH_CONTENT:
                for index, item in enumerate(value):
                    _one(field, item, f"{where}[{index}]")


_WITH_CONTENT = {FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_ENUM}


def _one(field: Any, value: Any, where: str) -> None:
    if field.message_type is not None:
        check(value, f"{where}.")
    elif field.enum_type is not None:
        if value not in field.enum_type.values_by_number:
            msg = f"{where} is {value}, which {field.enum_type.name} does not have"
            raise InvalidRequestError(msg, field=where)
    else:
        bounds.value(field.name, value, where=where)
