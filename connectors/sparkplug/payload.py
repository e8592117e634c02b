"""Sparkplug B payload codec: bytes on MQTT <-> plain dataclasses.

Used by the host (gateway) and by edge nodes. Times are milliseconds UTC, as the standard has them. Values are Python's own.
A message is read whole or not at all: one malformed part refuses it, with the cause. Structures are flat here: a field of
a Template or of a DataSet with one row is a metric of its own, `<metric>/<field>`. What has no values that can be carried
(arrays, tables of several rows) is a metric with `refused` set, never an empty one. Bytes, metrics and depth are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError

from base.errors import SchemaError, UndecodableError
from connectors.sparkplug import compressed, data_types
from connectors.sparkplug import sparkplug_b_pb2 as pb
from connectors.sparkplug.data_types import STRINGS, DataType, Value, text

__all__ = ["STRINGS", "DataType", "Metric", "Payload", "RefusedPayloadError", "Value", "decode", "encode"]

QUALITY_PROPERTY = "Quality"
QUALITY_GOOD = 192
QUALITY_STALE = 500
QUALITY_BAD = 0
SEQ_MODULUS = 256
BDSEQ_METRIC = "bdSeq"
REBIRTH_METRIC = "Node Control/Rebirth"
MAX_BYTES = 16 << 20
"""Of a message, and of what is inside of a compressed one."""
MAX_METRICS = 100_000
_MAX_DEPTH = 8
_STRUCTURES = frozenset({"template_value", "dataset_value"})


class RefusedPayloadError(UndecodableError):
    """A message that is not read. `seq` is its sequence number, where that much could be read."""

    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric of a message.

    Births carry name, alias and type; data may carry the alias alone (type UNKNOWN: as in the birth). `refused` says why
    the value cannot be carried. `part` is a field of a structure.
    """

    name: str = ""
    alias: int | None = None
    time_ms: int | None = None
    data_type: DataType = DataType.UNKNOWN
    value: Value = None
    historical: bool = False
    transient: bool = False
    properties: Mapping[str, Value] = field(default_factory=dict)
    refused: str = ""
    part: bool = False

    @property
    def quality(self) -> int:
        """Sparkplug quality code: 192 good unless the property says otherwise."""
        value = self.properties.get(QUALITY_PROPERTY, QUALITY_GOOD)
        return value if isinstance(value, int) else QUALITY_BAD


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """One message. `seq` is None in commands and node deaths; `time_ms` is 0 where the message has none.

    `unread` says what beside the metrics is of an unknown encoding; `structures` has the name of each structure that has
    an alias: only its fields are metrics.
    """

    time_ms: int
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()
    unread: str = ""
    structures: Mapping[int, str] = field(default_factory=dict)

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


def decode(
    data: bytes, types: Mapping[int | str, DataType] | None = None, names: Mapping[int, str] | None = None
) -> Payload:
    """Message of an MQTT payload; raises RefusedPayloadError.

    `types` gives the data type of a name or alias, from the birth, for metrics that carry none: without it, a signed
    integer sent without its type would come out unsigned. `names` gives the name behind an alias.
    """
    message = _parse(data)
    seq = message.seq if message.HasField("seq") else None
    try:
        if message.uuid == compressed.UUID:
            message = _parse(compressed.decompress(message.body, _algorithm(message), MAX_BYTES))
            seq = message.seq if message.HasField("seq") else seq
            if message.uuid == compressed.UUID:
                msg = "compressed twice"
                raise UndecodableError(msg)
        return _read(message, seq, _Reader(types or {}, names or {}))
    except UndecodableError as error:
        raise RefusedPayloadError(str(error), seq) from error


def _parse(data: bytes) -> pb.Payload:
    if len(data) > MAX_BYTES:
        msg = f"{len(data)} bytes, more than {MAX_BYTES}"
        raise RefusedPayloadError(msg)
    try:
        return pb.Payload.FromString(data)
    except DecodeError as error:
        msg = f"{len(data)} bytes are not a Sparkplug B payload: {error}"
        raise RefusedPayloadError(msg) from error


def _algorithm(message: pb.Payload) -> str:
    metric = next((one for one in message.metrics if one.name == compressed.ALGORITHM_METRIC), None)
    return "" if metric is None else text(metric.string_value, "the compression's name")


def _read(message: pb.Payload, seq: int | None, reader: _Reader) -> Payload:
    if seq is not None and seq >= SEQ_MODULUS:
        msg = f"the sequence number {seq} is not between 0 and 255"
        raise UndecodableError(msg)
    unread = ""
    if message.uuid or message.body:
        uuid = text(message.uuid, "the uuid")
        unread = f"a body of {len(message.body)} bytes in an unknown encoding, uuid {uuid[:40]!r}"
        if not message.metrics:
            raise UndecodableError(unread)
    if len(message.metrics) > MAX_METRICS:
        msg = f"{len(message.metrics)} metrics, more than {MAX_METRICS}"
        raise UndecodableError(msg)
    metrics: list[Metric] = []
    for at, source in enumerate(message.metrics):
        try:
            metrics += reader.metric(source)
        except UndecodableError as error:
            msg = f"metric {at + 1} of {len(message.metrics)}: {error}"
            raise UndecodableError(msg) from error
    return Payload(
        time_ms=message.timestamp, seq=seq, metrics=tuple(metrics), unread=unread, structures=reader.structures
    )


class _Reader:
    """Reads the metrics of one message."""

    def __init__(self, types: Mapping[int | str, DataType], names: Mapping[int, str]) -> None:
        self._types, self._names = types, names
        self._count = 0
        self.structures: dict[int, str] = {}

    def metric(self, source: pb.Metric, outer: Metric | None = None, depth: int = 0) -> Iterator[Metric]:
        """The metric, or the fields of a structure; `outer` is the structure that a member belongs to."""
        self._count += 1
        if self._count > MAX_METRICS or depth > _MAX_DEPTH:
            msg = f"more than {MAX_METRICS} metrics, or structures deeper than {_MAX_DEPTH}"
            raise UndecodableError(msg)
        alias = source.alias if source.HasField("alias") else None
        name = text(source.name, "its name")
        if name and outer is not None:
            name = f"{outer.name}/{name}"
        if not name and alias is not None:
            name = self._names.get(alias, "")
        kind = data_types.of_number(source.datatype)
        if not source.datatype:
            kind = self._types.get(name) or self._types.get("" if alias is None else alias, DataType.UNKNOWN)
        structured = source.WhichOneof("value") in _STRUCTURES and not source.is_null
        refused = data_types.unreadable(source.datatype)
        if not structured and kind in {DataType.TEMPLATE, DataType.DATA_SET}:
            refused = f"a {kind.name} without content"
        time_ms = source.timestamp if source.HasField("timestamp") else None
        if time_ms is None and outer is not None:
            time_ms = outer.time_ms
        value = None if structured or refused or source.is_null else data_types.read(source, kind)
        properties = _read_properties(source.properties) if source.HasField("properties") else {}
        found = Metric(
            name=name,
            alias=alias,
            time_ms=time_ms,
            data_type=kind,
            value=value,
            historical=source.is_historical or (outer is not None and outer.historical),
            transient=source.is_transient or (outer is not None and outer.transient),
            properties=properties or (outer.properties if outer is not None else {}),
            refused=refused,
            part=outer is not None,
        )
        if structured and name and alias is not None:
            self.structures[alias] = name
        if not structured:
            yield found
        elif source.HasField("template_value"):
            yield from self._template(source.template_value, found, depth)
        else:
            yield from self._dataset(source.dataset_value, found)

    def _template(self, source: pb.Template, found: Metric, depth: int) -> Iterator[Metric]:
        text(source.template_ref, "the name of its definition")
        if source.is_definition:
            return  # says which members instances have; births of instances name them all
        if not found.name:
            yield replace(found, refused="a Template whose name is unknown")
            return
        for member in source.metrics:
            yield from self.metric(member, found, depth + 1)

    def _dataset(self, source: pb.DataSet, found: Metric) -> Iterator[Metric]:
        columns = [text(column, "the name of a column") for column in source.columns]
        if len(source.types) != len(columns) or any(len(row.elements) != len(columns) for row in source.rows):
            msg = "a DataSet whose columns, types and rows do not have the same length"
            raise UndecodableError(msg)
        if len(source.rows) != 1 or not found.name:
            yield replace(found, refused=f"a DataSet of {len(source.rows)} rows: only one row can be read as values")
            return
        self._count += len(columns)
        for column, number, element in zip(columns, source.types, source.rows[0].elements, strict=True):
            kind, refused = data_types.of_number(number), data_types.unreadable(number)
            value = None if refused else data_types.read(element, kind)
            yield replace(
                found,
                name=f"{found.name}/{column}",
                alias=None,
                data_type=kind,
                value=value,
                refused=refused,
                part=True,
            )


def _read_properties(source: pb.PropertySet) -> dict[str, Value]:
    if len(source.keys) != len(source.values):
        msg = f"{len(source.keys)} keys and {len(source.values)} values of properties"
        raise UndecodableError(msg)
    found: dict[str, Value] = {}
    for key, value in zip(source.keys, source.values, strict=True):
        kind = data_types.of_number(value.type)
        found[text(key, "a property's key")] = None if value.is_null else data_types.read(value, kind)
    return found


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
    else:
        data_types.write(out, metric.data_type or data_types.of_value(metric.value), metric.value)


def _write_property(out: pb.PropertyValue, value: Value) -> None:
    if value is None:
        out.is_null = True
        return
    # The Quality property is an Int32 in the standard; other integers go the same way while they fit.
    small = isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31
    kind = DataType.INT32 if small else data_types.of_value(value)
    out.type = kind
    data_types.write(out, kind, value)
