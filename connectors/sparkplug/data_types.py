"""Sparkplug data types and their values on the wire: Python's own numbers, strings and bytes <-> fields of the protobuf.

Signed integers are two's complement in the width of their field. Array types, DataSet and Template have no single value:
`payload` reads the fields of the last two, and names what nothing here can carry.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from base.errors import UndecodableError

Value = float | int | bool | str | bytes | None
_FLOAT_MAX = 3.4028235677973366e38


class DataType(IntEnum):
    """Sparkplug data types that a metric here can have."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    UUID = 15
    DATA_SET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19


# data type -> field of the oneof, bits of the integer, signed
_SHAPE: dict[int, tuple[str, int, bool]] = {
    DataType.INT8: ("int_value", 8, True),
    DataType.INT16: ("int_value", 16, True),
    DataType.INT32: ("int_value", 32, True),
    DataType.INT64: ("long_value", 64, True),
    DataType.UINT8: ("int_value", 8, False),
    DataType.UINT16: ("int_value", 16, False),
    DataType.UINT32: ("int_value", 32, False),
    DataType.UINT64: ("long_value", 64, False),
    DataType.DATE_TIME: ("long_value", 64, False),
    DataType.FLOAT: ("float_value", 0, False),
    DataType.DOUBLE: ("double_value", 0, False),
    DataType.BOOLEAN: ("boolean_value", 0, False),
    DataType.STRING: ("string_value", 0, False),
    DataType.TEXT: ("string_value", 0, False),
    DataType.UUID: ("string_value", 0, False),
    DataType.BYTES: ("bytes_value", 0, False),
    DataType.FILE: ("bytes_value", 0, False),
}
_WIRE_BITS = {"int_value": 32, "long_value": 64}
STRINGS = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})
_ARRAYS = range(22, 35)


def of_number(number: int) -> DataType:
    """Data type of its number; UNKNOWN for arrays and for what a later version adds."""
    return DataType(number) if number <= DataType.TEMPLATE else DataType.UNKNOWN


def unreadable(number: int) -> str:
    """Why values of a data type's number cannot be carried; empty when they can."""
    if number <= DataType.TEMPLATE:
        return ""
    return f"an array (data type {number})" if number in _ARRAYS else f"an unknown data type ({number})"


def of_value(value: Value) -> DataType:
    """Data type that holds a Python value."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64
    if isinstance(value, float):
        return DataType.DOUBLE
    return DataType.STRING if isinstance(value, str) else DataType.BYTES


def write(out: Any, kind: DataType, value: Value) -> None:
    """Set a value that is not None in a message's oneof; raises ValueError or TypeError when it does not fit the type."""
    if kind not in _SHAPE:
        msg = f"values of type {kind.name} are not written"
        raise TypeError(msg)
    name, bits, signed = _SHAPE[kind]
    if kind is DataType.FLOAT and isinstance(value, int | float) and _FLOAT_MAX < abs(value) < float("inf"):
        msg = "outside the range of 32 bits"
        raise ValueError(msg)
    setattr(out, name, _to_wire(value, bits, signed, _WIRE_BITS[name]) if bits else value)


def read(source: Any, kind: int) -> Value:
    """Value of a message's oneof; None when it has none, or one that is no plain value. Raises UndecodableError."""
    name = source.WhichOneof("value")
    if name is None:
        return None
    value = getattr(source, name)
    if name in _WIRE_BITS:
        _, bits, signed = _SHAPE.get(kind, ("", 0, False))
        if signed:
            # Some nodes extend the sign to the wire's width, others send only the type's bits.
            value &= (1 << bits) - 1
            return int(value - (1 << bits) if value >> bits - 1 else value)
        return int(value)
    if name == "string_value":
        return text(value, "its value")
    return value if isinstance(value, float | bool | bytes) else None


def text(value: object, what: str) -> str:
    """A string field of a message; raises UndecodableError when it is not UTF-8, which the protobuf library hands out as bytes."""
    if not isinstance(value, str):
        msg = f"{what} is not UTF-8"
        raise UndecodableError(msg)
    return value


def _to_wire(value: Value, bits: int, signed: bool, wire_bits: int) -> int:
    if not isinstance(value, int):
        msg = "not an integer"
        raise TypeError(msg)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high:
        msg = f"outside {low} to {high}"
        raise ValueError(msg)
    return value % (1 << wire_bits)
