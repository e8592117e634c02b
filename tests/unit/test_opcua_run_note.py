"""The note of a run vouches for no sample that is lost: not while the disk fails, not before what is known is durable, for no other tag."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from connectors.gap_tracker import GapTracker
from connectors.opcua.run_note import Heard, RunNote
from connectors.opcua.table import ItemTable
from connectors.readings import Readings, Seen
from schemas.definitions import TagDefinition
from schemas.events import Gap
from tests.integration.gateway_support import MemorySink, tag

HEARD = Heard(("opc.tcp://server", "2026-01-01"), frozenset({1, 2}))
LAST_US = 1_000_000


def test_a_note_is_read_back_with_its_tags(tmp_path: Path) -> None:
    RunNote(tmp_path / "ua").write(HEARD, 0)
    assert RunNote(tmp_path / "ua").heard == HEARD


def test_a_note_that_cannot_be_taken_away_is_told_once_and_tried_until_it_is_gone(tmp_path: Path) -> None:
    told: list[str] = []
    note = RunNote(tmp_path, told.append)
    note.write(HEARD, note.doubts)
    file = tmp_path / "run.json"
    spoil(file)
    note.drop()
    note.drop()
    assert len(told) == 1
    assert "cannot be taken away" in told[0]
    assert note.problem == told[0]
    file.rmdir()
    file.write_text(json.dumps({"run": HEARD.run, "tags": [1, 2]}))
    note.retry()
    assert not file.exists()
    assert note.problem == ""
    assert told[1:] == ["the note of the server's run is right again"]


def test_a_note_that_cannot_be_written_leaves_no_other_one(tmp_path: Path) -> None:
    note = RunNote(tmp_path)
    note.write(HEARD, note.doubts)
    scratch = tmp_path / ".run.json.new"
    scratch.mkdir()
    note.write(HEARD._replace(tags=frozenset({1})), note.doubts)
    assert RunNote(tmp_path).heard is None
    scratch.rmdir()
    note.write(HEARD, note.doubts)
    assert RunNote(tmp_path).heard == HEARD


def test_a_note_that_cannot_be_read_is_taken_away_with_the_first_doubt(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    note = RunNote(tmp_path)
    assert note.heard is None
    note.drop()
    assert list(tmp_path.iterdir()) == []


def test_samples_that_are_durable_after_a_later_doubt_are_not_noted(tmp_path: Path) -> None:
    note = RunNote(tmp_path)
    before = note.doubts
    note.drop()
    note.write(HEARD, before)
    assert RunNote(tmp_path).heard is None


class Table:
    """The items of tags that have their last sample at LAST_US, and what is reported when they are heard half a period later."""

    def __init__(self, *tags: TagDefinition, noted: frozenset[int] = frozenset({1, 2})) -> None:
        self.gaps: list[Gap] = []
        self.tracker = GapTracker(lambda _, gap: self.gaps.append(gap))
        sink = MemorySink(seen={one.tag_id: Seen(LAST_US, 1.0) for one in tags})
        self.items = ItemTable("ua:", sink, self.tracker, noted)
        self.items.begin(LAST_US, same_run=True)
        self.want(*tags)

    def want(self, *tags: TagDefinition) -> None:
        self.items.follow({one.address: one for one in tags}, "cut")

    def doubtful(self) -> bool:
        return self.tracker.doubtful

    def lose(self, one: TagDefinition) -> None:
        """A loss of this tag is known."""
        item = self.items.get(one.address)
        assert item is not None
        self.items.ask(item)
        self.items.lost([item.handle], "notification lost")

    def hear(self, *tags: TagDefinition) -> list[tuple[int, str]]:
        readings = Readings()
        for one in tags:
            readings.add(one.tag_id, LAST_US + 500 * one.period_ms, 2.0, 0)
        self.tracker.heard(readings, self.items.by_tag)
        return [(item.tag_id, gap.cause) for gap in self.gaps for item in gap.items]


A, B = (tag(number, f"ua:ns=2;s=t{number}") for number in (1, 2))


def test_the_note_vouches_for_its_own_tags_only() -> None:
    table = Table(A, B, noted=frozenset({1}))
    assert table.doubtful()
    assert table.hear(A, B) == [(2, "cut")]


def test_another_sampling_interval_keeps_a_proven_loss() -> None:
    table = Table(A, B)
    table.lose(A)
    faster = dataclasses.replace(A, sampling_ms=10)
    table.want(faster, B)
    assert table.doubtful()
    assert table.hear(faster, B) == [(1, "notification lost")]


def test_a_tag_that_leaves_with_a_proven_loss_has_it_when_it_is_back() -> None:
    table = Table(A, B)
    table.lose(A)
    table.want(B)
    assert not table.doubtful()
    table.want(A, B)
    assert table.doubtful()
    assert table.hear(A, B) == [(1, "cut")]


def test_a_tag_that_leaves_while_the_line_is_away_has_no_open_gap() -> None:
    table = Table(A, B)
    table.items.begin(LAST_US, same_run=False)
    table.want(B)
    assert len(table.tracker) == 1


def spoil(file: Path) -> None:
    """Nobody can delete this as a file, or write over it."""
    file.unlink()
    file.mkdir()
