"""Messages of the contract as JSON values, and values of a request as messages: field names as in the .proto files.

Times are integers; enumerations are names without their prefix (GOOD, SUCCEEDED); a number that is not finite, and an optional field that
is absent, is null. What a caller sends is checked field by field: an unknown name or a value of another type is an InvalidRequestError
that names the field. Bounds of texts and lists are those of every face (`serving.rpc.bounded`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NoReturn

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from base.errors import InvalidRequestError, shown
from serving.http.contract import short
from serving.pushed import PushedBatch

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


def dumps(value: Any) -> bytes:
    """JSON in UTF-8, without blanks. Values are plain already; what is not finite is a defect here."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def loads(body: bytes) -> Any:
    """Value of a JSON text; raises InvalidRequestError for what is none, for NaN and Infinity, and for a name that comes twice."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        msg = f"the body is no JSON: {error if isinstance(error, json.JSONDecodeError) else type(error).__name__}"
        raise InvalidRequestError(msg) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name stands twice in an object of the body; which value counts nobody can say"
        raise InvalidRequestError(msg)
    return found


def _constant(name: str) -> NoReturn:
    msg = f"{name} is no number of JSON"
    raise InvalidRequestError(msg)


def plain(message: Message) -> dict[str, Any]:
    """A message as values of JSON, every field of it."""
    return _plan(message.DESCRIPTOR)(message)


def text_of(message: Message | PushedBatch) -> str:
    """A message of a stream in JSON."""
    return message.json() if isinstance(message, PushedBatch) else dumps(plain(message)).decode()


@cache
def _plan(descriptor: Descriptor) -> Callable[[Any], dict[str, Any]]:
    """What makes messages of a kind plain; worked out once, as streams do it for every update."""
    fields = [(field.name, field.has_presence, _value_of(field)) for field in descriptor.fields]

    def make(message: Any) -> dict[str, Any]:
        return {
            name: None if presence and not message.HasField(name) else convert(getattr(message, name))
            for name, presence, convert in fields
        }

    return make


def _value_of(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        one = _one_of(field.message_type.fields_by_name["value"])
        return lambda entries: {str(key): one(value) for key, value in sorted(entries.items())}
    one = _one_of(field)
    if field.label == FieldDescriptor.LABEL_REPEATED:
        return lambda items: [one(item) for item in items]
    return one


def _one_of(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.message_type is not None:
        # Messages hold each other, not themselves.
        return _plan(field.message_type)
    if field.enum_type is not None:
        names = {value.number: short(field.enum_type, value.name) for value in field.enum_type.values}
        return lambda number: names.get(number, str(number))
    if field.cpp_type in _FLOATS:
        return lambda number: number if math.isfinite(number) else None
    if field.type == FieldDescriptor.TYPE_BYTES:
        msg = f"{field.full_name} is a column; serving.http.columns makes series of it"
        raise TypeError(msg)
    return lambda value: value


def fill(message: Message, values: Any, within: str = "") -> None:
    """Set the fields of a message from an object of JSON. Raises InvalidRequestError naming the field."""
    if not isinstance(values, Mapping):
        msg = f"{within or 'the body'} is no object"
        raise InvalidRequestError(msg, field=within)
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        where = f"{within}.{name}" if within else name
        if name not in fields:
            msg = f"no field {shown(name)} here; there are: {', '.join(fields)}"
            raise InvalidRequestError(msg, field=within)
        if value is not None:
            _set(message, fields[name], value, where)


def _set(message: Any, field: FieldDescriptor, value: Any, where: str) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, Mapping):
            _wrong(where, "an object", value)
        target, kind = getattr(message, field.name), field.message_type.fields_by_name["value"]
        for key, item in value.items():
            target[key] = _scalar(kind, item, f"{where}[{shown(key)}]")
    elif field.label == FieldDescriptor.LABEL_REPEATED:
        if not isinstance(value, list):
            _wrong(where, "a list", value)
        target = getattr(message, field.name)
        for index, item in enumerate(value):
            if field.message_type is not None:
                fill(target.add(), item, f"{where}[{index}]")
            else:
                target.append(_scalar(field, item, f"{where}[{index}]"))
    elif field.message_type is not None:
        fill(getattr(message, field.name), value, where)
    else:
        other = field.containing_oneof and message.WhichOneof(field.containing_oneof.name)
        if other and other != field.name:
            msg = f"{where} and {other} exclude each other; send one"
            raise InvalidRequestError(msg, field=where)
        setattr(message, field.name, _scalar(field, value, where))


def _scalar(field: FieldDescriptor, value: Any, where: str) -> Any:
    if field.enum_type is not None:
        return _enumerated(field.enum_type, value, where)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return value if isinstance(value, bool) else _wrong(where, "true or false", value)
    if field.cpp_type in _INTEGERS:
        return _integer(*_INTEGERS[field.cpp_type], value, where)
    if field.cpp_type in _FLOATS:
        return _number(value, where)
    if not isinstance(value, str):
        _wrong(where, "a text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        _wrong(where, "a text of Unicode", "")
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _wrong(where, "a number", value)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    return found if math.isfinite(found) else _wrong(where, "a finite number", value)


def _integer(low: int, high: int, value: Any, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _wrong(where, f"an integer from {low} to {high}", value)
    return int(value)


def _enumerated(enum: EnumDescriptor, value: Any, where: str) -> int:
    names = {short(enum, one.name): one.number for one in enum.values}
    if not isinstance(value, str) or value.upper() not in names:
        _wrong(where, f"one of {', '.join(name for name, number in names.items() if number)}", value)
    return int(names[value.upper()])


def _wrong(where: str, expected: str, value: Any) -> NoReturn:
    msg = f"{where} is {shown(value)}, not {expected}"
    raise InvalidRequestError(msg, field=where)


def of_text(field: FieldDescriptor, texts: Iterable[str], where: str) -> Any:
    """Value of JSON that the texts of a query parameter stand for: one, or a list for a field that is repeated."""
    values = [_read(field, text) for text in texts]
    if field.label == FieldDescriptor.LABEL_REPEATED:
        return values
    if len(values) > 1:
        msg = f"{where} stands {len(values)} times in the query; send it once"
        raise InvalidRequestError(msg, field=where)
    return values[0]


def _read(field: FieldDescriptor, text: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if field.cpp_type in _INTEGERS and field.enum_type is None:
        # No more digits than an integer of 64 bits has: int() of a long text takes its time.
        return int(text) if len(text) <= 20 and text.isascii() and text.lstrip("-").isdigit() else text
    if field.cpp_type in _FLOATS:
        try:
            return float(text)
        except ValueError:
            return text
    return text
