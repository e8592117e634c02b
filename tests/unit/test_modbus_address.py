"""Modbus addresses: every form, every type in every order, and what is refused before anything is sent."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.modbus.address import Point, Table, parse
from connectors.modbus.plan import Block, Item, blocks
from tests.integration.gateway_support import tag

TYPES = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "table", "start", "count", "bit"),
    [
        ("1/coil/0", Table.COIL, 0, 1, -1),
        ("1/00001", Table.COIL, 0, 1, -1),
        ("1/discrete/65535", Table.DISCRETE, 65535, 1, -1),
        ("1/10012", Table.DISCRETE, 11, 1, -1),
        ("1/30001?type=int32", Table.INPUT, 0, 2, -1),
        ("1/input/40000?type=float64", Table.INPUT, 40000, 4, -1),
        ("1/40001", Table.HOLDING, 0, 1, -1),
        ("1/465536", Table.HOLDING, 65535, 1, -1),
        ("1/holding/7.15", Table.HOLDING, 7, 1, 15),
        ("1/40008.0", Table.HOLDING, 7, 1, 0),
    ],
)
def test_forms(text: str, table: Table, start: int, count: int, bit: int) -> None:
    point = parse(text)
    assert (point.unit, point.table, point.start, point.count, point.bit) == (1, table, start, count, bit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an address is"),
        ("1", "an address is"),
        ("1/holding/0/0", "an address is"),
        ("256/40001", "unit is '256'"),
        ("1/40000", "no reference"),
        ("1/20001", "no reference"),
        ("1/4000", "no reference"),
        ("1/465537", "no reference"),
        ("1/registers/1", "the tables are coil, discrete, input, holding"),
        ("1/holding/65536", "number is '65536'"),
        ("1/holding/-1", "number is '-1'"),
        ("1/holding/65535?type=int32", "ends behind the last register"),
        ("1/holding/0.16", "bit is '16'"),
        ("1/holding/0.", "bit is ''"),
        ("1/coil/0.1", "a bit already"),
        ("1/coil/0?type=int16", "has no type"),
        ("1/holding/0.3?scale=2", "has no scale"),
        ("1/holding/0?type=int8", "not one of int16"),
        ("1/holding/0?order=acbd", "not one of abcd"),
        ("1/holding/0?scale=0", "other than 0"),
        ("1/holding/0?offset=nan", "offset is 'nan'"),
        ("1/holding/0?scal=1", "known: offset=, order=, scale=, type="),
        ("1/holding/0?scale=1&scale=2", "given twice"),
        ("1/holding/" + "0" * 300, "longer than 200"),
    ],
)
def test_what_is_no_address_says_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")) as caught:
        parse(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("order", "registers"),
    [("abcd", (0x4148, 0xF5C3)), ("badc", (0x4841, 0xC3F5)), ("cdab", (0xF5C3, 0x4148)), ("dcba", (0xC3F5, 0x4841))],
)
def test_the_four_orders_of_a_float(order: str, registers: tuple[int, int]) -> None:
    point = parse(f"1/holding/0?type=float32&order={order}")
    assert point.decode(registers) == pytest.approx(12.56, abs=1e-6)
    assert point.encode(12.56) == registers


@given(
    kind=st.sampled_from(sorted(TYPES)),
    order=st.sampled_from(["abcd", "badc", "cdab", "dcba"]),
    data=st.binary(min_size=8, max_size=8),
)
def test_what_is_encoded_is_decoded(kind: str, order: str, data: bytes) -> None:
    size = struct.calcsize(TYPES[kind])
    number = struct.unpack(f">{TYPES[kind]}", data[:size])[0]
    point = parse(f"1/holding/0?type={kind}&order={order}")
    if math.isfinite(number):
        entries = point.encode(number)
        assert len(entries) == point.count == size // 2
        assert point.decode(entries) == number


def test_scaling_both_ways() -> None:
    point = parse("3/holding/12?type=int16&scale=0.1&offset=-40")
    assert point.decode((0xFFFF,)) == pytest.approx(-40.1)
    assert point.encode(-40.1) == (0xFFFF,)
    with pytest.raises(ValueError, match="outside of int16"):
        point.encode(4000)


def test_bits() -> None:
    assert parse("1/coil/3").decode((1,)) is True
    assert parse("1/holding/3.2").decode((0b100,)) is True
    assert parse("1/holding/3.1").decode((0b100,)) is False
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        parse("1/coil/3").encode(2)


@pytest.mark.parametrize(
    ("text", "value"), [("uint16", -1), ("uint16", 65536), ("int16", 1.5), ("float32", 1e39), ("float64", math.inf)]
)
def test_what_does_not_fit_is_refused(text: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"outside of|not a whole number|no number"):
        parse(f"1/holding/0?type={text}").encode(value)


# --- requests -----------------------------------------------------------------------------------------------------------


def item(tag_id: int, text: str, period_ms: int = 1000) -> Item:
    return Item(tag(tag_id, f"m:{text}", period_ms=period_ms), parse(text))


def planned(*items: Item) -> list[tuple[int, int, int]]:
    found = blocks(items, max_registers=10, max_bits=20, max_hole=3)
    return [(one.unit, one.start, one.count) for one in found]


def test_neighbours_are_read_together() -> None:
    wide = item(2, "1/holding/2?type=float32")
    assert planned(item(1, "1/holding/0"), wide, item(3, "1/holding/7"), item(4, "1/holding/11")) == [
        (1, 0, 8),
        (1, 11, 1),
    ]


def test_another_unit_table_or_period_is_another_request() -> None:
    items = (
        item(1, "1/holding/0"),
        item(2, "2/holding/0"),
        item(3, "1/input/0"),
        item(4, "1/holding/1", period_ms=500),
    )
    assert len(planned(*items)) == 4


def test_two_tags_may_share_registers() -> None:
    assert planned(item(1, "1/holding/0?type=float64"), item(2, "1/holding/1.3"), item(3, "1/holding/4")) == [(1, 0, 5)]


@given(places=st.lists(st.integers(0, 200), min_size=1, max_size=40), kind=st.sampled_from(sorted(TYPES)))
def test_every_item_is_in_one_request_within_the_limits(places: list[int], kind: str) -> None:
    items = [item(at, f"1/holding/{place}?type={kind}") for at, place in enumerate(places)]
    found = blocks(items, max_registers=10, max_bits=20, max_hole=3)
    assert sorted(one.tag.tag_id for block in found for one in block.items) == list(range(len(places)))
    assert all(block.count <= 10 for block in found)
    for block in found:
        assert all(block.start <= one.point.start and one.point.end <= block.start + block.count for one in block.items)


def test_a_refused_request_is_divided_at_its_largest_hole() -> None:
    block = Block(tuple(item(at, f"1/holding/{place}") for at, place in enumerate((0, 1, 4, 5))))
    assert [(half.start, half.count) for half in block.halves()] == [(0, 2), (4, 2)]
    assert [(half.start, half.count) for half in Block(block.items[:2]).halves()] == [(0, 1), (1, 1)]


def test_a_point_is_plain_data() -> None:
    assert parse("1/40001") == Point(unit=1, table=Table.HOLDING, start=0)
