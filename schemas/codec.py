"""Avro messages on the wire: single-object encoding, so every message names its schema.

A message is `C3 01`, the 8-byte little-endian CRC-64-AVRO fingerprint of the writer's schema, then the Avro body. All schema versions ever
released ship with the code (`schemas/avro/<Name>.v<N>.avsc`), so no schema service has to be up to read a topic. `encode` writes the
newest version; `decode` reads any version into the newest. The fingerprint ignores `dtype` (Avro's canonical form drops custom
attributes): a column may never change its dtype between versions, which the compatibility test holds.
"""

from __future__ import annotations

import io
import json
import operator
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from base.errors import SchemaError, UndecodableError, UnknownSchemaError

AVRO_DIR = Path(__file__).parent / "avro"
MARKER = b"\xc3\x01"
HEADER_BYTES = 10
_FILE_NAME = re.compile(r"(?P<name>\w+)\.v(?P<version>\d+)\.avsc")
# The same few ids come with every message of a topic, and to make one takes as long as to decode a small record.
_uuid = lru_cache(maxsize=4096)(UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaVersion:
    """One version of one record type. `header` is what its messages start with."""

    name: str
    version: int
    raw: dict[str, Any]
    parsed: Any
    header: bytes
    int_fields: tuple[str, ...]


@cache
def _avro() -> Any:
    """fastavro, which knows our columns and ids. At the first message: many need names of records alone, and it brings numpy."""
    import fastavro.read
    import fastavro.schema

    from schemas import column

    assert column.LOGICAL_TYPE == "column"  # it has registered it
    fastavro.read.LOGICAL_READERS["string-uuid"] = lambda text, *_: _uuid(text)
    return fastavro


def load_schema(path: Path) -> SchemaVersion:
    """Read one `.avsc` file named `<Name>.v<N>.avsc`."""
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        msg = f"schema file {path.name} is not named <Name>.v<N>.avsc"
        raise SchemaError(msg)
    raw = json.loads(path.read_text())
    avro = _avro()
    print_hex = avro.schema.fingerprint(avro.schema.to_parsing_canonical_form(raw), "CRC-64-AVRO")
    return SchemaVersion(
        name=match["name"],
        version=int(match["version"]),
        raw=raw,
        parsed=avro.parse_schema(raw, named_schemas={}),
        header=MARKER + bytes.fromhex(print_hex),
        int_fields=tuple(field["name"] for field in raw["fields"] if field["type"] == "int"),
    )


@cache
def all_schemas() -> dict[str, tuple[SchemaVersion, ...]]:
    """Every record type's versions, oldest first."""
    found: dict[str, list[SchemaVersion]] = {}
    for path in sorted(AVRO_DIR.glob("*.avsc")):
        schema = load_schema(path)
        found.setdefault(schema.name, []).append(schema)
    return {name: tuple(sorted(versions, key=lambda s: s.version)) for name, versions in found.items()}


@cache
def _by_header() -> dict[bytes, SchemaVersion]:
    return {schema.header: schema for versions in all_schemas().values() for schema in versions}


@cache
def newest(name: str) -> SchemaVersion:
    """Newest version of a record type; raises SchemaError for an unknown name."""
    try:
        return all_schemas()[name][-1]
    except KeyError:
        msg = f"no schema named {name}; known: {', '.join(sorted(all_schemas()))}"
        raise SchemaError(msg) from None


def encode(name: str, record: dict[str, Any], *, version: int | None = None) -> bytes:
    """Message of `record` in the newest version of `name`; raises SchemaError when the record does not fit.

    Fields with a default may be absent; unknown fields are refused, not dropped. An older `version` carries the fields that it has: for a
    record that says nothing in the newer ones, so that readers of the older version go on.
    """
    schema = newest(name)
    if version is not None and version != schema.version:
        schema = next(one for one in all_schemas()[name] if one.version == version)
        record = {field["name"]: record[field["name"]] for field in schema.raw["fields"] if field["name"] in record}
    out = io.BytesIO()
    out.write(schema.header)
    try:
        _check_ints(schema, record)
        _avro().schemaless_writer(out, schema.parsed, record, strict_allow_default=True)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        msg = f"record does not fit {name} v{schema.version}: {error}"
        raise SchemaError(msg) from error
    return out.getvalue()


def _check_ints(schema: SchemaVersion, record: dict[str, Any]) -> None:
    # fastavro writes an Avro int of more than 32 bits, which no other language reads, and cuts the fraction off a float.
    for name in schema.int_fields:
        if name in record and not -(1 << 31) <= operator.index(record[name]) < 1 << 31:
            msg = f"{record[name]} is no 32-bit integer on field {name}"
            raise ValueError(msg)


def schema_of(message: bytes) -> SchemaVersion:
    """Schema a message was written with; raises UndecodableError or UnknownSchemaError."""
    if len(message) < HEADER_BYTES or not message.startswith(MARKER):
        msg = f"not a single-object Avro message: {len(message)} bytes starting {message[:4].hex() or 'empty'}"
        raise UndecodableError(msg)
    schema = _by_header().get(message[:HEADER_BYTES])
    if schema is None:
        msg = f"schema fingerprint {message[2:HEADER_BYTES].hex()} is not among the schemas shipped with this version"
        raise UnknownSchemaError(msg)
    return schema


def decode(message: bytes, *expected: str) -> tuple[str, dict[str, Any]]:
    """Record type and record of a message, upgraded to the type's newest version.

    With `expected`, any other record type is refused. Raises UndecodableError (torn, truncated or trailing bytes) or UnknownSchemaError.
    """
    schema = schema_of(message)
    if expected and schema.name not in expected:
        msg = f"{schema.name} found where {' or '.join(expected)} was expected"
        raise UndecodableError(msg)
    reader = newest(schema.name)
    added = None if reader is schema else _added(schema.name, schema.version)
    body = io.BytesIO(message)
    body.seek(HEADER_BYTES)
    try:
        record = _avro().schemaless_reader(
            body, schema.parsed, None if reader is schema or added is not None else reader.parsed
        )
    except (
        Exception
    ) as error:  # fastavro raises whatever the bytes provoke: EOFError, ValueError, IndexError, UnicodeDecodeError ...
        msg = f"{schema.name} v{schema.version} cannot be decoded: {type(error).__name__}: {error}"
        raise UndecodableError(msg) from error
    if body.tell() != len(message):
        msg = f"{schema.name} v{schema.version} has {len(message) - body.tell()} bytes too many"
        raise UndecodableError(msg)
    if added:
        record.update(added)
    return schema.name, record


@cache
def _added(name: str, version: int) -> dict[str, Any] | None:
    """Values of the fields that the newest version has more, when that is the whole difference; None when it is not.

    fastavro's own resolution comes to the same, field by field of every record, and takes three times as long as decoding.
    """
    old = next(one for one in all_schemas()[name] if one.version == version).raw["fields"]
    new = newest(name).raw["fields"]
    types = {field["name"]: field["type"] for field in old}
    if types != {field["name"]: field["type"] for field in new if field["name"] in types}:
        return None
    added = [field for field in new if field["name"] not in types]
    if not all(_is_plain(field) for field in added):
        return None
    return {field["name"]: field["default"] for field in added}


_PLAIN: dict[str, type] = {"string": str, "boolean": bool, "int": int, "long": int, "double": float}


def _is_plain(field: dict[str, Any]) -> bool:
    """Whether a field's default stands for itself in any record: no list or map, which records would share, no number of another type."""
    default = field.get("default", ...)
    return default is None or (isinstance(field["type"], str) and type(default) is _PLAIN.get(field["type"]))


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Avro int or long at a place, and the place behind it; raises IndexError or ValueError for bytes that are none."""
    zigzag = shift = 0
    while True:
        byte = data[at]
        at += 1
        zigzag |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (zigzag >> 1) ^ -(zigzag & 1), at
        shift += 7
        if shift > 63:
            msg = "an Avro long has at most ten bytes"
            raise ValueError(msg)


def long_bytes(value: int) -> bytes:
    """Avro's encoding of an int or long."""
    zigzag = (value << 1) ^ (value >> 63)
    found = bytearray()
    while zigzag > 0x7F:
        found.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    found.append(zigzag)
    return bytes(found)
