"""Golden messages: the bytes of every released version stay what they were, in both directions."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from schemas import codec, frame
from schemas.codec import SchemaVersion
from tests.contract import examples, golden_files

VERSIONS = [version for versions in codec.all_schemas().values() for version in versions]
NEWEST = [versions[-1] for versions in codec.all_schemas().values()]


def ids(version: SchemaVersion) -> str:
    return f"{version.name}.v{version.version}"


def known_to(golden: Any, shown: Any) -> Any:
    """What is shown, without the fields that newer versions have added, at any depth."""
    if isinstance(golden, dict) and isinstance(shown, dict):
        return {field: known_to(golden[field], shown[field]) for field in golden if field in shown}
    if isinstance(golden, list) and isinstance(shown, list) and len(golden) == len(shown):
        return [known_to(one, other) for one, other in zip(golden, shown, strict=True)]
    return shown


def test_every_version_has_golden_files_and_nothing_else_has() -> None:
    expected = {f"{ids(version)}.{suffix}" for version in VERSIONS for suffix in ("hex", "json")}
    assert {path.name for path in golden_files.DIRECTORY.iterdir()} == expected


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
def test_decoding_the_golden_bytes_gives_the_golden_record(version: SchemaVersion) -> None:
    name, record = codec.decode(golden_files.load_message(version), version.name)
    shown: dict[str, Any] = golden_files.to_json(record)
    golden = golden_files.load_json(version)
    assert name == version.name
    assert known_to(golden, shown) == golden


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
def test_an_older_message_is_read_as_avros_resolution_reads_it(version: SchemaVersion) -> None:
    message = golden_files.load_message(version)
    body = io.BytesIO(message[codec.HEADER_BYTES :])
    resolved = fastavro.schemaless_reader(body, version.parsed, codec.newest(version.name).parsed)
    read = codec.decode(message)[1]
    assert golden_files.to_json(read) == golden_files.to_json(resolved)
    assert {name: type(value) for name, value in read.items()} == {
        name: type(value) for name, value in resolved.items()
    }


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
def test_encoding_the_golden_record_gives_the_golden_bytes(version: SchemaVersion) -> None:
    record = golden_files.from_json(golden_files.load_json(version))
    assert golden_files.encode_as(version, record) == golden_files.load_message(version)


@pytest.mark.parametrize("version", NEWEST, ids=ids)
def test_the_codec_writes_the_newest_version(version: SchemaVersion) -> None:
    assert codec.encode(version.name, examples.records()[version.name]) == golden_files.load_message(version)


def test_the_golden_frame_is_a_sound_frame() -> None:
    decoded = frame.decode(golden_files.load_message(codec.newest("TelemetryFrame")))
    assert decoded.computed_checksum() == decoded.checksum
    assert decoded.key == frame.SequenceKey("gw-north-1", examples.EPOCH, 1, frame.Stream.LIVE)


def test_creating_golden_files_never_overwrites() -> None:
    version = NEWEST[0]
    with pytest.raises(FileExistsError):
        golden_files.write(version, examples.records()[version.name])
