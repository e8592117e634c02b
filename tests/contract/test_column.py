"""Columns: numpy arrays in and out, and no cast that would lose anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import SchemaError
from schemas import codec
from schemas.column import EXACT_INTEGERS, read_column, write_column
from tests.contract import examples


def written(data: Any, dtype: str) -> bytes:
    return write_column(data, {"dtype": dtype})


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (np.array([1], np.int64), "<i4"),
        (np.array([1], np.int32), "<u2"),
        (np.array([1], np.int16), "<u2"),
        (np.array([1], np.uint16), "<u1"),
        (np.array([1], np.uint32), "<i4"),
        (np.array([1.0]), "<i8"),
        (np.array([1.0]), "<f4"),
        (np.array([1 + 0j]), "<f8"),
        (np.array(["1"]), "<f8"),
        (np.array([None]), "<f8"),
        ([1, 2], "<i4"),
        ([2**63], "<i8"),
        ([EXACT_INTEGERS + 1], "<f8"),
        (np.array([-EXACT_INTEGERS - 1], np.int64), "<f8"),
        (np.array([2**64 - 1], np.uint64), "<f8"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{np.asarray(value).dtype}",
)
def test_lossy_casts_are_refused(data: Any, dtype: str) -> None:
    with pytest.raises(TypeError):
        written(data, dtype)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (np.array([-1, 2], np.int16), "<i4"),
        (np.array([65_535], np.uint16), "<i4"),
        (np.array([1, 2], np.int32), "<i8"),
        (np.array([0.1], np.float32), "<f8"),
        (np.array([True, False]), "<u1"),
        (np.array([True, False]), "<f8"),
        (np.array([EXACT_INTEGERS, -EXACT_INTEGERS], np.int64), "<f8"),
        ([1, 2, 3], "<i8"),
        ([], "<f8"),
        (np.array([1.0, 2.0], ">f8"), "<f8"),
        (np.arange(10, dtype=np.int32)[::3], "<i4"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{np.asarray(value).dtype}",
)
def test_lossless_casts_keep_every_value(data: Any, dtype: str) -> None:
    assert read_column(written(data, dtype), {"dtype": dtype}).tolist() == np.asarray(data).tolist()


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_every_bit_pattern_of_a_float_survives(bits: list[int]) -> None:
    values = np.array(bits, np.uint64).view(np.float64)
    assert read_column(written(values, "<f8"), {"dtype": "<f8"}).view(np.uint64).tolist() == bits


def test_columns_have_one_dimension() -> None:
    for data in (np.zeros((2, 2)), np.float64(1)):
        with pytest.raises(ValueError, match="one dimension"):
            written(data, "<f8")


def test_bytes_pass_when_they_are_whole_elements() -> None:
    assert written(bytes(16), "<f8") == bytes(16)
    with pytest.raises(ValueError, match="15 bytes"):
        written(bytes(15), "<f8")


@pytest.mark.parametrize("length", [1, 7, 9])
def test_a_torn_column_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match="multiple of element size"):
        read_column(bytes(length), {"dtype": "<f8"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": np.array([2**53 + 1] * 12, np.int64)}, "9007199254740993"),
        ({"tag_ids": np.array([1, 2, 3, 4], np.int64)}, "Cannot cast"),
        ({"lane": 2**31}, "32-bit integer on field lane"),
        ({"lane": 1.5}, "float"),
        ({"lane": "1"}, "str"),
        ({"sequence": 2**63}, "too large"),
        ({"stream": "SIDEWAYS"}, "SIDEWAYS"),
        ({"gateway_id": None}, "gateway_id"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_codec_says_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        codec.encode("TelemetryFrame", examples.frame_record(examples.frame()) | change)


@pytest.mark.parametrize("missing", ["gateway_id", "lane", "value", "checksum"])
def test_a_missing_field_without_default_is_named(missing: str) -> None:
    record = examples.frame_record(examples.frame())
    del record[missing]
    with pytest.raises(SchemaError, match=missing):
        codec.encode("TelemetryFrame", record)


def test_a_missing_field_with_default_takes_it() -> None:
    record = examples.frame_record(examples.frame())
    del record["verdict"], record["traceparent"]
    _, decoded = codec.decode(codec.encode("TelemetryFrame", record))
    assert decoded["verdict"] is None
    assert decoded["traceparent"] is None


def test_an_unknown_record_names_the_known_ones() -> None:
    with pytest.raises(SchemaError, match=r"no schema named Frame; known: .*TelemetryFrame"):
        codec.encode("Frame", {})
