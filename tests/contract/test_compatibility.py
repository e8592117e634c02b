"""FULL_TRANSITIVE compatibility of every record, and proof that the checker fails when it should."""

from __future__ import annotations

import copy
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from schemas import codec
from schemas.codec import SchemaVersion
from tests.contract import examples, golden_files
from tests.contract.compatibility import problems, transitive_problems

ALL = codec.all_schemas()
VERSIONS = [version for versions in ALL.values() for version in versions]


def ids(version: SchemaVersion) -> str:
    return f"{version.name}.v{version.version}"


@pytest.mark.security("V1.5.2")
@pytest.mark.parametrize("name", sorted(ALL))
def test_every_version_reads_every_other(name: str) -> None:
    assert transitive_problems(ALL[name]) == []


@pytest.mark.parametrize(
    ("writer", "reader"),
    [pair for versions in ALL.values() for pair in itertools.product(versions, repeat=2)],
    ids=ids,
)
def test_golden_messages_are_read_by_every_version(writer: SchemaVersion, reader: SchemaVersion) -> None:
    body = io.BytesIO(golden_files.load_message(writer)[codec.HEADER_BYTES :])
    record = fastavro.schemaless_reader(body, writer.parsed, reader.parsed)
    assert isinstance(record, dict)
    assert set(record) == {field["name"] for field in reader.raw["fields"]}


@pytest.mark.parametrize("name", sorted(ALL))
def test_versions_are_numbered_from_one_without_holes(name: str) -> None:
    assert [version.version for version in ALL[name]] == list(range(1, len(ALL[name]) + 1))


def test_fingerprints_are_unique() -> None:
    assert len({version.header for version in VERSIONS}) == len(VERSIONS)


def test_fingerprint_is_the_crc_of_the_avro_specification() -> None:
    """CRC-64-AVRO computed here from the specification's definition, over the canonical form, little-endian."""
    empty = 0xC15D213AA4D7A795
    table = []
    for index in range(256):
        crc = index
        for _ in range(8):
            crc = (crc >> 1) ^ (empty & -(crc & 1))
        table.append(crc)
    for version in VERSIONS:
        crc = empty
        for byte in fastavro.schema.to_parsing_canonical_form(version.raw).encode():
            crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
        assert version.header == codec.MARKER + crc.to_bytes(8, "little"), ids(version)


def fields_of(schema: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a schema, nested ones too, with its path."""
    if isinstance(schema, list):
        for branch in schema:
            yield from fields_of(branch, at)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            path = f"{at}.{field['name']}"
            yield path, field
            yield from fields_of(field["type"], path)
        for inner in ("items", "values"):
            yield from fields_of(schema.get(inner), f"{at}[]")


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
def test_every_record_and_field_is_documented(version: SchemaVersion) -> None:
    undocumented = [path for path, field in fields_of(version.raw, version.name) if not field.get("doc", "").strip()]
    assert undocumented == []
    assert version.raw["doc"].strip()
    assert version.raw["namespace"] == "io.millrace"


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
def test_times_say_their_unit_and_columns_their_dtype(version: SchemaVersion) -> None:
    for path, field in fields_of(version.raw, version.name):
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for branch in branches:
            if isinstance(branch, dict) and branch.get("logicalType") == "column":
                assert branch["type"] == "bytes", path
                dtype = np.dtype(branch["dtype"])
                assert branch["dtype"][0] == "<", path
                assert dtype.str.lstrip("<|") == branch["dtype"][1:], path
        if "time" in field["name"]:
            assert field["name"].endswith("_us"), path


# --- the checker itself -------------------------------------------------------------------------------------------------


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(field for field in schema["fields"] if field["name"] == name)
    return found


def change_dtype(schema: dict[str, Any]) -> None:
    field(schema, "value")["type"]["dtype"] = "<f4"


def change_nullable_dtype(schema: dict[str, Any]) -> None:
    field(schema, "verdict")["type"][1]["dtype"] = "<u2"


def drop_column_type(schema: dict[str, Any]) -> None:
    field(schema, "quality")["type"] = "bytes"


def remove_field(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "registry_version"))


def add_field(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "shift", "type": "string", "doc": "Shift."})


def rename_field(schema: dict[str, Any]) -> None:
    field(schema, "samples")["name"] = "sample_count"


def narrow_enum(schema: dict[str, Any]) -> None:
    field(schema, "stream")["type"]["symbols"].remove("REPLAY")


def widen_enum(schema: dict[str, Any]) -> None:
    field(schema, "clock_status")["type"]["symbols"].append("HOLDOVER")


def rename_type(schema: dict[str, Any]) -> None:
    field(schema, "stream")["type"]["name"] = "Sequence"


def promote(schema: dict[str, Any]) -> None:
    field(schema, "lane")["type"] = "long"


def change_type(schema: dict[str, Any]) -> None:
    field(schema, "gateway_id")["type"] = "int"


def drop_logical_type(schema: dict[str, Any]) -> None:
    field(schema, "epoch")["type"] = "string"


def forbid_null(schema: dict[str, Any]) -> None:
    field(schema, "traceparent").update(type="string", default="")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (change_dtype, "TelemetryFrame.value: dtype <f8 became <f4"),
        (change_nullable_dtype, "TelemetryFrame.verdict: dtype <u1 became <u2"),
        (drop_column_type, "TelemetryFrame.quality: logicalType column became None"),
        (remove_field, "TelemetryFrame.registry_version: not written, and the reader has no default"),
        (add_field, "TelemetryFrame.shift: not written, and the reader has no default"),
        (rename_field, "TelemetryFrame.sample_count: not written, and the reader has no default"),
        (narrow_enum, "TelemetryFrame.stream: enum Stream does not know REPLAY and has no default"),
        (widen_enum, "TelemetryFrame.clock_status: enum ClockStatus does not know HOLDOVER and has no default"),
        (rename_type, "TelemetryFrame.stream: enum Stream became enum Sequence"),
        (promote, "TelemetryFrame.lane: long cannot be read as int"),
        (change_type, "TelemetryFrame.gateway_id: string cannot be read as int"),
        (drop_logical_type, "TelemetryFrame.epoch: logicalType uuid became None"),
        (forbid_null, "TelemetryFrame.traceparent: null cannot be read as string"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_incompatible_changes_are_named(change: Callable[[dict[str, Any]], None], problem: str, tmp_path: Path) -> None:
    one = codec.newest("TelemetryFrame")
    other = next_version(one, change, tmp_path)
    assert any(problem in found for found in transitive_problems((one, other))), transitive_problems((one, other))


def test_incompatible_changes_inside_nested_records_are_named() -> None:
    one = codec.newest("DeviceEvent").raw
    other = copy.deepcopy(one)
    gap = field(other, "gap")["type"][1]
    field(gap, "cause")["type"] = "long"
    health = field(other, "lanes")["type"]["items"]
    health["fields"].remove(field(health, "dropped_samples"))
    assert problems(one, other) == ["DeviceEvent.gap.cause: string cannot be read as long"]
    assert "DeviceEvent.lanes[].dropped_samples: not written, and the reader has no default" in problems(other, one)


def test_a_dtype_alone_does_not_change_the_fingerprint_and_is_caught_for_that_too(tmp_path: Path) -> None:
    one = codec.newest("TelemetryFrame")
    other = next_version(one, change_dtype, tmp_path)
    assert other.header == one.header
    assert any("cannot tell them apart" in problem for problem in transitive_problems((one, other)))


def next_version(version: SchemaVersion, change: Callable[[dict[str, Any]], None], directory: Path) -> SchemaVersion:
    """The version as it would be after `change`, as a file beside a copy of the others."""
    raw = copy.deepcopy(version.raw)
    change(raw)
    path = directory / f"{version.name}.v{version.version + 1}.avsc"
    path.write_text(json.dumps(raw))
    return codec.load_schema(path)


# --- a good change, carried through the real codec --------------------------------------------------------------------------


def good_change(schema: dict[str, Any]) -> None:
    """What a later version may do: new fields with defaults, in any place, a column among them."""
    schema["fields"].insert(0, {"name": "shift", "type": ["null", "string"], "default": None, "doc": "Shift."})
    column = {"type": "bytes", "logicalType": "column", "dtype": "<i8"}
    schema["fields"].append({"name": "arrival_us", "type": ["null", column], "default": None, "doc": "Per sample."})


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SchemaVersion]:
    """The codec of a release that knows one version more of TelemetryFrame."""
    one = codec.newest("TelemetryFrame")
    (tmp_path / f"TelemetryFrame.v{one.version}.avsc").write_text(json.dumps(one.raw))
    other = next_version(one, good_change, tmp_path)
    caches = (codec.all_schemas, codec.newest, codec._by_header)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(codec, "AVRO_DIR", tmp_path)
    yield other
    for cache in caches:
        cache.cache_clear()


def test_a_good_change_passes(upgraded: SchemaVersion) -> None:
    assert transitive_problems(codec.all_schemas()["TelemetryFrame"]) == []


def test_an_upgraded_consumer_reads_old_messages(upgraded: SchemaVersion) -> None:
    old = golden_files.load_message(codec.all_schemas()["TelemetryFrame"][0])
    name, record = codec.decode(old)
    assert name == "TelemetryFrame"
    assert record.pop("shift") is None
    assert record.pop("arrival_us") is None
    golden = golden_files.load_json(codec.all_schemas()["TelemetryFrame"][0])
    assert golden_files.to_json(record) == golden


def test_an_old_reader_skips_what_a_newer_writer_added(upgraded: SchemaVersion) -> None:
    record = examples.frame_record(examples.frame())
    new = codec.encode("TelemetryFrame", record | {"shift": "early", "arrival_us": np.arange(12, dtype=np.int64)})
    assert new.startswith(upgraded.header)
    old = codec.all_schemas()["TelemetryFrame"][0]
    read = fastavro.schemaless_reader(io.BytesIO(new[codec.HEADER_BYTES :]), upgraded.parsed, old.parsed)
    assert isinstance(read, dict)
    assert golden_files.to_json(read) == golden_files.load_json(old)
