"""Sparkplug B payload codec: bytes on MQTT <-> plain dataclasses.

Used by the host (gateway) and by edge nodes. Times are milliseconds UTC, as the standard has them. Values are Python's
own: signed and unsigned integers as `int` (two's complement is done here), floats, booleans, strings; other types are
carried as bytes or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from google.protobuf.message import DecodeError

from base.errors import SchemaError, UndecodableError
from connectors.sparkplug import sparkplug_b_pb2 as pb

Value = float | int | bool | str | bytes | None

QUALITY_PROPERTY = "Quality"
QUALITY_GOOD = 192
QUALITY_STALE = 500
QUALITY_BAD = 0
SEQ_MODULUS = 256
BDSEQ_METRIC = "bdSeq"
REBIRTH_METRIC = "Node Control/Rebirth"


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
    DataType.DATA_SET: ("dataset_value", 0, False),
    DataType.TEMPLATE: ("template_value", 0, False),
}
_WIRE_BITS = {"int_value": 32, "long_value": 64}
STRINGS = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric of a message.

    Births carry name, alias and type; data may carry the alias alone (type UNKNOWN: as in the birth).
    """

    name: str = ""
    alias: int | None = None
    time_ms: int | None = None
    data_type: DataType = DataType.UNKNOWN
    value: Value = None
    historical: bool = False
    transient: bool = False
    properties: Mapping[str, Value] = field(default_factory=dict)

    @property
    def quality(self) -> int:
        """Sparkplug quality code: 192 good unless the property says otherwise."""
        value = self.properties.get(QUALITY_PROPERTY, QUALITY_GOOD)
        return value if isinstance(value, int) else QUALITY_BAD


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """One message. `seq` is None in commands and node deaths."""

    time_ms: int
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()

    def find(self, name: str) -> Metric | None:
        """First metric of that name."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def encode(payload: Payload) -> bytes:
    """MQTT payload; raises SchemaError when a value does not fit its type."""
    message = pb.Payload(timestamp=payload.time_ms)
    if payload.seq is not None:
        message.seq = payload.seq
    for metric in payload.metrics:
        try:
            _write_metric(message.metrics.add(), metric)
        except (ValueError, TypeError) as error:
            msg = f"metric {metric.name or metric.alias!r}: {metric.value!r} is not a {metric.data_type.name}: {error}"
            raise SchemaError(msg) from error
    return message.SerializeToString()


def decode(data: bytes, types: Mapping[int | str, DataType] | None = None) -> Payload:
    """Message of an MQTT payload; raises UndecodableError.

    `types` gives the data type of a name or alias, from the birth, for metrics that carry none: without it, a signed
    integer sent without its type would come out unsigned.
    """
    try:
        message = pb.Payload.FromString(data)
    except DecodeError as error:
        msg = f"{len(data)} bytes are not a Sparkplug B payload: {error}"
        raise UndecodableError(msg) from error
    return Payload(
        time_ms=message.timestamp,
        seq=message.seq if message.HasField("seq") else None,
        metrics=tuple(_read_metric(metric, types or {}) for metric in message.metrics),
    )


def _write_metric(out: pb.Metric, metric: Metric) -> None:
    if metric.name:
        out.name = metric.name
    if metric.alias is not None:
        out.alias = metric.alias
    if metric.time_ms is not None:
        out.timestamp = metric.time_ms
    if metric.data_type:
        out.datatype = metric.data_type
    if metric.historical:
        out.is_historical = True
    if metric.transient:
        out.is_transient = True
    for key, value in metric.properties.items():
        out.properties.keys.append(key)
        _write_property(out.properties.values.add(), value)
    if metric.value is None:
        out.is_null = True
        return
    name, bits, signed = _SHAPE[metric.data_type or _type_of(metric.value)]
    setattr(out, name, _to_wire(metric.value, bits, signed, _WIRE_BITS[name]) if bits else metric.value)


def _to_wire(value: Value, bits: int, signed: bool, wire_bits: int) -> int:
    if not isinstance(value, int):
        msg = "not an integer"
        raise TypeError(msg)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high:
        msg = f"outside {low} to {high}"
        raise ValueError(msg)
    return value % (1 << wire_bits)


def _type_of(value: Value) -> DataType:
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64
    if isinstance(value, float):
        return DataType.DOUBLE
    return DataType.STRING if isinstance(value, str) else DataType.BYTES


def _write_property(out: pb.PropertyValue, value: Value) -> None:
    if value is None:
        out.is_null = True
        return
    # The Quality property is an Int32 in the standard; other integers go the same way while they fit.
    small = isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31
    kind = DataType.INT32 if small else _type_of(value)
    name, bits, signed = _SHAPE[kind]
    out.type = kind
    setattr(out, name, _to_wire(value, bits, signed, _WIRE_BITS[name]) if bits else value)


def _read_metric(source: pb.Metric, types: Mapping[int | str, DataType]) -> Metric:
    alias = source.alias if source.HasField("alias") else None
    known = types.get(source.name if alias is None else alias, DataType.UNKNOWN)
    kind = _data_type(source.datatype) if source.datatype else known
    return Metric(
        name=source.name,
        alias=alias,
        time_ms=source.timestamp if source.HasField("timestamp") else None,
        data_type=kind,
        value=_read_value(source, kind, null=source.is_null),
        historical=source.is_historical,
        transient=source.is_transient,
        properties=_read_properties(source.properties) if source.HasField("properties") else {},
    )


def _read_properties(source: pb.PropertySet) -> dict[str, Value]:
    pairs = zip(source.keys, source.values, strict=False)
    return {key: _read_value(value, value.type, null=value.is_null) for key, value in pairs}


def _data_type(number: int) -> DataType:
    # Array types and whatever a later version adds: present, but nothing here can carry their values.
    return DataType(number) if number <= DataType.TEMPLATE else DataType.UNKNOWN


def _read_value(source: Any, kind: int, *, null: bool) -> Value:
    name = source.WhichOneof("value")
    if null or name is None:
        return None
    value = getattr(source, name)
    if name in _WIRE_BITS:
        _, bits, signed = _SHAPE.get(kind, ("", 0, False))
        if signed:
            # Some nodes extend the sign to the wire's width, others send only the type's bits.
            value &= (1 << bits) - 1
            return int(value - (1 << bits) if value >> bits - 1 else value)
        return int(value)
    return value if isinstance(value, float | bool | str | bytes) else None
