"""Batches of live values as bytes: what the library and the JSON of the contract would have made of them."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import definitions
from schemas.proto.millrace.v1 import state_pb2
from serving import pushed
from serving.caches.plant import Plant
from serving.handlers.watching import Batch
from serving.http.plain import dumps, plain, text_of
from serving.pushed import Pieces, varint
from tests.unit.served import definition

NOW_US = 1_767_600_000_000_000
PATHS = {1: "acme/north/a", 2: f"acme/north/{'long/' * 60}b", 3: 'acme/süd/"quoted"\\x'}


def plant_of(paths: dict[int, str], version: int = 8) -> Plant:
    plant = Plant()
    know(plant, paths, version)
    return plant


def know(plant: Plant, paths: dict[int, str], version: int) -> None:
    for tag_id, path in paths.items():
        plant.apply(definitions.encode_tag(definition(tag_id=tag_id, path=path, registry_version=version))[1])
    plant.apply(definitions.encode_version(version, tags=len(paths), time_us=NOW_US)[1])


PLANT = plant_of(PATHS)


def batch_of(*rows: tuple[int, float, int, int, int], sent_us: int = NOW_US, **fields: Any) -> Batch:
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], [], []]
    known: dict[str, Any] = {
        "with_paths": True, "snapshot_complete": False, "sequence": 1, "position": "a1.8.f.7", "interval_ms": 250, "notice": "",
    }  # fmt: skip
    names = ("tag_ids", "values", "times_us", "qualities", "changes")
    return Batch(**dict(zip(names, columns, strict=True)) | known | fields, sent_us=sent_us)


def checked(pieces: Pieces, batch: Batch, paths: dict[int, str]) -> state_pb2.TagBatch:
    """The message; it is, to the byte, what the library and the other face make of the same."""
    found = pieces.pushed(batch)
    encoded = found.SerializeToString()
    message = state_pb2.TagBatch.FromString(encoded)
    assert message.SerializeToString() == encoded
    assert text_of(found) == dumps(plain(message)).decode()
    assert json.loads(found.json())["position"] == found.position == message.position
    columns = zip(batch.tag_ids, batch.values, batch.times_us, batch.qualities, message.updates, strict=True)
    for tag_id, number, time_us, code, update in columns:
        assert (update.tag_id, update.path) == (tag_id, paths.get(tag_id, "") if batch.with_paths else "")
        value = update.value
        assert (value.time_us, value.quality_code) == (time_us, code)
        assert value.value == number or (math.isnan(number) and math.isnan(value.value))
        assert value.age_us == max(0, batch.sent_us - time_us)
    return message


rows = st.tuples(
    st.sampled_from((*PATHS, 900)),
    st.floats(allow_nan=True, allow_infinity=True),
    st.one_of(st.integers(NOW_US - 10_000_000, NOW_US + 10), st.integers(-(1 << 62), 1 << 62), st.just(NOW_US)),
    st.sampled_from((0, 0x4000, 0x8000, 0x8034)),
)


@settings(max_examples=60, deadline=None)
@given(
    given_rows=st.lists(rows, max_size=5, unique_by=lambda row: row[0]),
    sent_us=st.lists(st.integers(NOW_US, NOW_US + 1_000_000), min_size=1, max_size=3),
    with_paths=st.booleans(),
    sequence=st.integers(0, 1 << 40),
    complete=st.booleans(),
    notice=st.sampled_from(("", "heartbeat", "ä")),
)
def test_it_is_what_the_library_makes_of_the_message(
    given_rows: list[tuple[int, float, int, int]],
    sent_us: list[int],
    *,
    with_paths: bool,
    sequence: int,
    complete: bool,
    notice: str,
) -> None:
    pieces = Pieces(PLANT)
    numbered = [(*row, change) for change, row in enumerate(given_rows)]
    for at_us in sent_us:  # the second time from what is kept
        about = {"with_paths": with_paths, "sequence": sequence, "snapshot_complete": complete, "notice": notice}
        checked(pieces, batch_of(*numbered, sent_us=at_us, **about), PATHS)


def test_each_reader_gets_the_change_that_it_was_sent_whatever_was_sent_to_others() -> None:
    pieces = Pieces(plant_of(PATHS))
    old, new = (1, 0.0, NOW_US, 0, 4), (1, -0.0, NOW_US, 0, 5)
    for row in (old, new, old, new):
        (update,) = checked(pieces, batch_of(row), PATHS).updates
        assert math.copysign(1, update.value.value) == math.copysign(1, row[1])


def test_a_path_is_that_of_the_present_version() -> None:
    plant = plant_of(PATHS)
    pieces, row = Pieces(plant), (1, 1.0, NOW_US, 0, 4)
    checked(pieces, batch_of(row), PATHS)
    moved = PATHS | {1: "acme/north/moved"}
    know(plant, moved, 9)
    checked(pieces, batch_of(row), moved)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "_KEPT", 10)
    pieces = Pieces(plant_of(PATHS))
    rows = [(tag_id, 1.0, NOW_US, 0, 1) for tag_id in range(1, 60)]
    checked(pieces, batch_of(*rows), PATHS)
    assert len(pieces._kept) <= 10


def test_an_update_is_encoded_once_for_all_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(plant_of(PATHS))
    batch = batch_of(*((tag_id, 1.0, NOW_US - 5_000, 0, 1) for tag_id in PATHS))
    first = pieces.pushed(batch).SerializeToString()

    def forbidden(_: float) -> bytes:
        raise AssertionError

    monkeypatch.setattr(pushed, "_DOUBLE", forbidden)
    again = dataclasses.replace(batch, sequence=2)
    assert len(pieces.pushed(again).SerializeToString()) == len(first)


@pytest.mark.parametrize(
    ("number", "encoded"), [(1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (1 << 63, "80" * 9 + "01")]
)
def test_numbers_in_base_128(number: int, encoded: str) -> None:
    assert varint(number).hex() == encoded
