"""The rule every schema change must pass: any version reads what any other version wrote (FULL_TRANSITIVE), columns included.

Enters: schema JSON, writer and reader. Leaves: a list of problems, each naming record, field and what is wrong; empty when
compatible. Called by the contract tests. Stricter than Avro on purpose: to Avro a column is just bytes, so a changed dtype
would be read as other numbers without any error; here it is a problem. So are changed logical types.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.codec import SchemaVersion

Schema = Any
PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
PROMOTIONS = frozenset({
    ("int", "long"), ("int", "float"), ("int", "double"), ("long", "float"), ("long", "double"), ("float", "double"),
    ("string", "bytes"), ("bytes", "string"),
})  # fmt: skip
"""What an Avro reader may widen. One way only, so a promotion always fails in the other direction."""


def transitive_problems(versions: Sequence[SchemaVersion]) -> list[str]:
    """Problems of every ordered pair of versions of one record, and of versions that a message cannot tell apart."""
    found = [
        f"{writer.name} v{writer.version} read as v{reader.version}: {problem}"
        for writer, reader in itertools.permutations(versions, 2)
        for problem in problems(writer.raw, reader.raw)
    ]
    found += [
        f"{one.name} v{one.version} and v{other.version} have the same fingerprint: a message cannot tell them apart"
        for one, other in itertools.combinations(versions, 2)
        if one.header == other.header
    ]
    return found


def problems(writer: Schema, reader: Schema) -> list[str]:
    """Why `reader` cannot read what `writer` wrote; empty when it can."""
    return list(_compare(writer, reader, _named_types(writer), _named_types(reader), str(reader.get("name", "?"))))


def _named_types(schema: Schema, into: dict[str, Schema] | None = None) -> dict[str, Schema]:
    """Records, enums and fixed of a schema by unqualified name, so that later references can be resolved."""
    found = {} if into is None else into
    if isinstance(schema, list):
        for branch in schema:
            _named_types(branch, found)
    elif isinstance(schema, dict):
        if schema["type"] in {"record", "enum", "fixed"}:
            found[_unqualified(schema["name"])] = schema
        for field in schema.get("fields", ()):
            _named_types(field["type"], found)
        for inner in ("items", "values"):
            if inner in schema:
                _named_types(schema[inner], found)
        if isinstance(schema["type"], dict | list):
            _named_types(schema["type"], found)
    return found


def _unqualified(name: str) -> str:
    return name.rpartition(".")[2]


def _resolve(schema: Schema, names: dict[str, Schema]) -> Schema:
    """Schema behind a name; a dict with `type` for everything but a union."""
    if isinstance(schema, str):
        return {"type": schema} if schema in PRIMITIVES else names[_unqualified(schema)]
    if isinstance(schema, dict) and isinstance(schema["type"], dict | list):
        return _resolve(schema["type"], names)
    return schema


def _kind(schema: Schema) -> str:
    if isinstance(schema, list):
        return "union"
    name = f" {_unqualified(schema['name'])}" if "name" in schema else ""
    return f"{schema['type']}{name}"


def _compare(
    writer: Schema, reader: Schema, writer_names: dict[str, Schema], reader_names: dict[str, Schema], at: str
) -> Iterator[str]:
    writer, reader = _resolve(writer, writer_names), _resolve(reader, reader_names)
    if isinstance(writer, list) or isinstance(reader, list):
        yield from _compare_unions(writer, reader, writer_names, reader_names, at)
        return
    for attribute in ("logicalType", "dtype"):
        if writer.get(attribute) != reader.get(attribute):
            yield f"{at}: {attribute} {writer.get(attribute)} became {reader.get(attribute)}"
    if writer["type"] != reader["type"]:
        if (writer["type"], reader["type"]) not in PROMOTIONS:
            yield f"{at}: {_kind(writer)} cannot be read as {_kind(reader)}"
        return
    if "name" in writer and _unqualified(writer["name"]) != _unqualified(reader["name"]):
        yield f"{at}: {_kind(writer)} became {_kind(reader)}"
    match writer["type"]:
        case "record":
            yield from _compare_records(writer, reader, writer_names, reader_names, at)
        case "enum":
            lost = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            if lost and "default" not in reader:
                yield f"{at}: enum {_unqualified(reader['name'])} does not know {', '.join(lost)} and has no default"
        case "fixed":
            if writer["size"] != reader["size"]:
                yield f"{at}: size {writer['size']} became {reader['size']}"
        case "array":
            yield from _compare(writer["items"], reader["items"], writer_names, reader_names, f"{at}[]")
        case "map":
            yield from _compare(writer["values"], reader["values"], writer_names, reader_names, f"{at}{{}}")


def _compare_records(
    writer: Schema, reader: Schema, writer_names: dict[str, Schema], reader_names: dict[str, Schema], at: str
) -> Iterator[str]:
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        where = f"{at}.{field['name']}"
        if field["name"] in written:
            yield from _compare(written[field["name"]]["type"], field["type"], writer_names, reader_names, where)
        elif "default" not in field:
            yield f"{where}: not written, and the reader has no default"


def _compare_unions(
    writer: Schema, reader: Schema, writer_names: dict[str, Schema], reader_names: dict[str, Schema], at: str
) -> Iterator[str]:
    """Every branch that may be written needs a branch that reads it; the misfit with the like-named branch is reported."""
    for branch in writer if isinstance(writer, list) else [writer]:
        wanted = _kind(_resolve(branch, writer_names))
        attempts = {
            _kind(_resolve(option, reader_names)): list(_compare(branch, option, writer_names, reader_names, at))
            for option in (reader if isinstance(reader, list) else [reader])
        }
        if [] not in attempts.values():
            yield from attempts.get(wanted, [f"{at}: {wanted} cannot be read as {' or '.join(attempts)}"])
