"""What `cat` shows of each record, for people and as JSON, and what it does with bytes that are none."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from connectors.kafka.cat_format import as_json, as_text, quality_text, show, time_text, verdict_text
from schemas import codec
from schemas.verdicts import LATE_FLAG, Verdict
from tests.contract import examples

TAGS = {101: ("acme/north/press01/temperature", "Cel"), 205: ("acme/north/press01/speed", "")}


def lookup(tag_id: int) -> tuple[str, str]:
    return TAGS.get(tag_id, (f"(tag {tag_id})", ""))


@dataclass
class Record:
    """A Kafka message."""

    content: bytes | None
    name: bytes | None = b"gw-north-1/1"

    def topic(self) -> str:
        return "telemetry.validated"

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 40

    def timestamp(self) -> tuple[int, int]:
        return 1, examples.T0_US // 1000

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.content


def encoded(name: str) -> Record:
    return Record(codec.encode(name, examples.records()[name]))


def test_a_frame_is_a_header_and_a_table_of_samples() -> None:
    text = as_text(show(encoded("TelemetryFrame")), lookup, samples=0)
    head, *lines = text.splitlines()
    assert head == "telemetry.validated[2]@40  2026-01-05T08:00:00.000Z  key gw-north-1/1  TelemetryFrame"
    assert "stream LIVE · sequence 42" in text
    table = [line.split() for line in lines if line.strip().startswith(("time ", "2026"))]
    assert table[0] == ["time", "tag", "value", "quality", "verdict"]
    assert len(table) == 13
    assert ["2026-01-05T08:00:00.009Z", "acme/north/press01/temperature", "71.895", "Cel", "good", "GOOD"] in table
    assert any(row[-2:] == ["GOOD", "late"] for row in table)
    assert any(row[2:] == ["nan", "good", "NOT_FINITE"] for row in table)


def test_a_long_frame_is_cut_and_says_so() -> None:
    assert as_text(show(encoded("TelemetryFrame")), lookup, samples=3).endswith("… 9 more (--samples 0 shows all)")


@pytest.mark.parametrize("name", sorted(examples.records()))
def test_every_record_can_be_shown_both_ways(name: str) -> None:
    shown = show(encoded(name))
    assert f"  {name}\n" in as_text(shown, lookup)
    plain = json.loads(json.dumps(as_json(shown), allow_nan=False))
    assert plain["record"] == name
    assert set(plain["value"]) == set(examples.records()[name])


def test_json_is_complete_and_has_no_bare_nan() -> None:
    value = as_json(show(encoded("TelemetryFrame")))["value"]
    assert value["value"][2:5] == ["nan", "inf", "-inf"]
    assert value["tag_ids"] == [101, 102, 205, 70_000]


@pytest.mark.parametrize(
    "content", [b"", b"garbage", codec.encode("Anomaly", examples.records()["Anomaly"])[:-3], b"\xc3\x01" + bytes(12)]
)
def test_what_cannot_be_decoded_is_shown_as_such(content: bytes) -> None:
    shown = show(Record(content))
    text = as_text(shown, lookup)
    assert f"UNDECODABLE {len(content)} bytes: " in text
    assert content[:4].hex(" ") in text
    assert as_json(shown)["undecodable"]


def test_a_tombstone_and_a_key_that_is_no_text() -> None:
    shown = show(Record(None, name=b"\xff\x00"))
    assert "key \\xff\x00  tombstone" in as_text(shown, lookup)
    assert as_json(shown)["value"] is None


def test_names_of_verdicts_qualities_and_odd_times() -> None:
    assert verdict_text(Verdict.OUT_OF_RANGE | LATE_FLAG) == "OUT_OF_RANGE late"
    assert verdict_text(99) == "VERDICT 99"
    assert [quality_text(code) for code in (0, 0x4090, 0x808C, 0x8000)] == [
        "good",
        "uncertain 0x4090",
        "bad 0x808C",
        "bad",
    ]
    assert time_text(1 << 62) == f"{1 << 62} us"
