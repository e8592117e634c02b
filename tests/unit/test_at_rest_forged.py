"""Plain records in a buffer or journal that is encrypted: taken where they were there before, refused where they were not."""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from base.key_ring import MissingKeyError
from edge.at_rest import NOTE, PLAIN, AtRest, AtRestSettings, prepare, uses
from edge.command_journal import CommandJournal
from edge.journal_cells import Cells
from edge.recovery import BufferFailedError
from schemas.commands import CommandRequest, CommandState
from schemas.events import Gap
from tests.state import gateway as stored_gateway
from tests.state.gateway import _message
from tests.unit.kept import KeptKeys, at_rest
from tests.unit.test_buffer import Disk, Harness, frames

pytestmark = pytest.mark.unit


def switch(harness: Harness, keys: AtRest) -> None:
    """The gateway starts again with other settings of data at rest."""
    harness.buffer._store.close()
    harness.options["keys"] = keys
    harness.buffer = harness.open()


def forge(folder: Path, scratch: Path, number: int, count: int = 5) -> Path:
    """Put a plain segment of true form there, that is of nobody."""
    with Harness(scratch, keys=PLAIN) as other:
        other.append(count)
        while other.buffer._active.number < number:
            other.buffer._roll()
        other.append(count, size=150)
        target = folder / f"segment-{number:012d}.log"
        target.write_bytes(other.buffer._active.path.read_bytes())
        return target


def assert_told(gaps: list[Gap], text: str) -> None:
    assert any(text in gap.cause for gap in gaps), gaps


@pytest.mark.security("T-EDGE-BUFFER", "SR 3.4")
@pytest.mark.parametrize("number", [0, 7])
def test_a_plain_segment_put_into_an_encrypted_buffer_is_refused(tmp_path: Path, number: int) -> None:
    folder, keys = tmp_path / "buffer", at_rest()
    with Harness(folder, keys=keys) as harness:
        harness.buffer._roll()  # so that a number before the oldest is free
        appended = harness.append(10)
        harness.confirm([])
        harness.sync()
        harness.buffer._store.close()
        (folder / "segment-000000000000.log").unlink(missing_ok=True)
        forged = forge(folder, tmp_path / "other", number)
        harness.buffer = harness.open()
        assert frames(harness.pending()) == appended
        assert harness.buffer.refused_segments == 1
        assert not forged.exists()
        assert forged.with_suffix(".refused").exists()
        if number:  # behind the newest: what stood there before is not known
            assert_told(harness.gaps(), f"{forged.name} is not encrypted")
        harness.reopen()
        assert harness.buffer.refused_segments == 1


def test_a_plain_segment_in_the_place_of_an_encrypted_one_is_an_exact_loss(tmp_path: Path) -> None:
    folder = tmp_path / "buffer"
    with Harness(folder, keys=at_rest()) as harness:
        kept = harness.append(3)
        harness.buffer._roll()
        lost = harness.append(10)
        harness.buffer._roll()
        kept += harness.append(10)
        harness.buffer._store.close()
        forge(folder, tmp_path / "other", 1)
        harness.buffer = harness.open()
        assert frames(harness.pending()) == kept
        (gap,) = [one for one in harness.gaps() if one.first_sequence is not None]
        assert (gap.first_sequence, gap.last_sequence, gap.samples) == (3, 12, sum(one.samples for one in lost))


def test_what_was_plain_before_is_taken_and_nothing_else_plain(tmp_path: Path) -> None:
    folder, keys = tmp_path / "buffer", at_rest()
    with Harness(folder, keys=PLAIN) as harness:
        appended = harness.append(10)
        harness.buffer._roll()
        appended += harness.append(10)
        switch(harness, keys)
        appended += frames(harness.append(3))
        harness.reopen()
        assert frames(harness.pending()) == appended
        assert (harness.gaps(), harness.buffer.refused_segments) == ([], 0)
        harness.buffer._store.close()
        forge(folder, tmp_path / "other", 9)
        harness.buffer = harness.open()
        assert frames(harness.pending()) == appended
        assert harness.buffer.refused_segments == 1


def test_a_crash_before_the_first_encrypted_segment_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Harness(tmp_path, keys=PLAIN) as harness:
        appended = harness.append(10)
        harness.buffer._store.close()
        harness.options["keys"] = at_rest()
        with monkeypatch.context() as crash:
            crash.setattr("edge.segment_store.SegmentStore.start_next", lambda *_: (_ for _ in ()).throw(KeyError))
            with pytest.raises(KeyError):
                harness.open()
        harness.buffer = harness.open()
        appended += frames(harness.append(3))
        assert frames(harness.pending()) == appended
        assert harness.gaps() == []


def test_plain_segments_go_on_while_the_note_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk has no room for it: no sample is given up, and what is plain stays true."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Harness(tmp_path, keys=PLAIN) as harness:
        appended = harness.append(10)
        with monkeypatch.context() as disk:
            disk.setattr("base.files.replace_durably", full)
            switch(harness, at_rest())
            appended += frames(harness.append(5))
            harness.buffer._roll()
            appended += frames(harness.append(5))
            assert (harness.buffer.plain_segments, harness.buffer._active.sealed) == (2, False)
            harness.reopen()
        appended += frames(harness.append(5))
        assert harness.buffer._active.sealed
        harness.reopen()
        assert frames(harness.pending()) == appended
        assert harness.gaps() == []


def test_on_a_full_disk_the_plain_segment_is_written_to_after_a_restart_too(tmp_path: Path) -> None:
    with Harness(tmp_path, keys=PLAIN, allocate=Disk(2)) as harness:
        appended = harness.append(10)
        while harness.buffer._store.has_spare:
            appended += frames(harness.append(10))
        switch(harness, at_rest())
        for _ in range(2):
            appended += frames(harness.append(1))
            assert not harness.buffer._active.sealed
            harness.reopen()
        assert frames(harness.pending()) == appended
        assert (harness.gaps(), harness.buffer.refused_segments) == ([], 0)


@pytest.mark.parametrize("spoil", ["deleted", "damaged", "of another gateway"])
def test_without_its_note_nothing_plain_is_taken(tmp_path: Path, spoil: str) -> None:
    folder, keys = tmp_path / "buffer", at_rest()
    with Harness(folder, keys=keys) as harness:
        appended = harness.append(10)
        harness.buffer._store.close()
        note = folder / NOTE
        if spoil == "deleted":
            note.unlink()
        elif spoil == "damaged":
            data = bytearray(note.read_bytes())
            data[-1] ^= 1
            note.write_bytes(data)
        else:
            note.write_bytes(b"any")
        forge(folder, tmp_path / "other", 3)
        harness.buffer = harness.open()
        assert frames(harness.pending()) == appended
        assert harness.buffer.refused_segments == 1
        harness.buffer._roll()
        harness.reopen()
        assert harness.buffer.refused_segments == 1
        assert note.exists()


def test_encryption_that_was_off_for_a_while_takes_what_was_written_then(tmp_path: Path) -> None:
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys)) as harness:
        appended = harness.append(10)
        switch(harness, AtRest(keys, encrypt=False))
        appended += frames(harness.append(5))
        switch(harness, at_rest(keys))
        appended += frames(harness.append(5))
        harness.reopen()
        assert frames(harness.pending()) == appended
        assert (harness.gaps(), harness.buffer.refused_segments) == ([], 0)


def test_without_encryption_and_without_keys_a_note_does_not_matter(tmp_path: Path) -> None:
    """All that was encrypted is gone, encryption is switched off, and its keys are removed: then it is switched on with others."""
    folder, keys = tmp_path / "buffer", KeptKeys()
    with Harness(folder, keys=at_rest(keys)) as harness:
        harness.append(3)
        switch(harness, AtRest(keys, encrypt=False))
        harness.confirm(harness.pending())
        harness.buffer._roll()
        harness.sync()
        opened = journal(tmp_path, at_rest(keys))
        opened.receive([request(1)], [])
        opened.close()
        journal(tmp_path, AtRest(keys, encrypt=False)).close()
        assert [name for names in uses(tmp_path, notes=False).values() for name in names if name == NOTE] == []
        assert not any(uses(tmp_path, notes=False).keys() - {""})
        without = prepare(AtRestSettings(encrypt=False), tmp_path)
        switch(harness, without)
        appended = frames(harness.append(5))
        assert ids(tmp_path, without) == [request(1).command_id]
        others = prepare(AtRestSettings(), tmp_path)
        switch(harness, others)
        assert frames(harness.pending()) == appended
        assert (harness.gaps(), harness.buffer.refused_segments) == ([], 0)
        assert ids(tmp_path, others) == [request(1).command_id]


def test_what_is_encrypted_needs_its_key_though_encryption_is_off(tmp_path: Path) -> None:
    with Harness(tmp_path / "buffer", keys=at_rest()) as harness:
        harness.append(3)
        opened = journal(tmp_path, at_rest())
        opened.receive([request(1)], [])
        opened.close()
        with pytest.raises(MissingKeyError):
            prepare(AtRestSettings(encrypt=False), tmp_path)
        with pytest.raises(BufferFailedError, match="key"):
            switch(harness, PLAIN)
        with pytest.raises(MissingKeyError):
            journal(tmp_path, PLAIN)
        harness.options["keys"] = at_rest()


def test_a_downgrade_with_encryption_off_first_costs_nothing_at_the_next_upgrade(tmp_path: Path) -> None:
    """As docs/security.md has it: an older version reads no note and writes plain."""
    folder, keys = tmp_path / "buffer", KeptKeys()
    with Harness(folder, keys=at_rest(keys)) as harness:
        harness.append(3)
        opened = journal(tmp_path, at_rest(keys))
        opened.receive([request(1)], [])
        opened.close()
        switch(harness, AtRest(keys, encrypt=False))
        journal(tmp_path, AtRest(keys, encrypt=False)).close()
        harness.confirm(harness.pending())
        harness.buffer._roll()
        harness.sync()
        note = (folder / NOTE).read_bytes()
        (folder / NOTE).unlink()  # the older version knows of none
        switch(harness, PLAIN)
        appended = frames(harness.append(5))
        (folder / NOTE).write_bytes(note)
        insert(tmp_path, request(2))
        switch(harness, at_rest(keys))
        assert frames(harness.pending()) == appended
        assert (harness.gaps(), harness.buffer.refused_segments) == ([], 0)
        assert len(ids(tmp_path, at_rest(keys))) == 2


def test_the_note_goes_with_the_key(tmp_path: Path) -> None:
    folder, keys = tmp_path / "buffer", KeptKeys()
    with Harness(folder, keys=at_rest(keys)) as harness:
        harness.append(10)
        first, second = keys.newest(), keys.rotate()
        assert NOTE in uses(tmp_path)[first.id]
        harness.append(1)
        harness.confirm(harness.pending())
        harness.sync()
        assert list(uses(tmp_path)) == [second.id]
        harness.buffer._store.close()
        keys.kept = KeptKeys().kept
        with pytest.raises(BufferFailedError, match=second.id):
            harness.open()
        keys.kept = [second]
        harness.buffer = harness.open()


# --- the journal ------------------------------------------------------------------------------------------------------


def journal(folder: Path, keys: AtRest) -> CommandJournal:
    clock = itertools.count(stored_gateway.START_US, 1_000).__next__
    return CommandJournal(folder / "commands.sqlite", clock=clock, at_rest=keys)


def request(number: int) -> CommandRequest:
    made = _message(number, at_us=stored_gateway.START_US + 1_000_000)
    assert isinstance(made, CommandRequest)
    return made


def insert(folder: Path, forged: CommandRequest) -> None:
    with closing(sqlite3.connect(folder / "commands.sqlite")) as db:
        db.execute(
            "INSERT INTO commands (command_id, request, attempt, state, expires_us, updated_us) VALUES (?, ?, 1, ?, ?, 1)",
            (str(forged.command_id), forged.encode(), CommandState.DELIVERED.value, forged.expires_us),
        )
        db.commit()


def ids(folder: Path, keys: AtRest) -> list[object]:
    opened = journal(folder, keys)
    found: list[object] = [one.request.command_id for one in opened.recover()]
    opened.close()
    return found


@pytest.mark.security("T-EDGE-BUFFER", "SR 3.4")
@pytest.mark.parametrize("note", ["there", "deleted", "damaged"])
def test_a_plain_row_put_into_an_encrypted_journal_is_never_carried_out(tmp_path: Path, note: str) -> None:
    keys = at_rest()
    opened = journal(tmp_path, keys)
    opened.receive([request(1)], [])
    opened.close()
    insert(tmp_path, request(2))
    if note != "there":
        with closing(sqlite3.connect(tmp_path / "commands.sqlite")) as db:
            db.execute("DELETE FROM sealing" if note == "deleted" else "UPDATE sealing SET note = x'00'")
            db.commit()
    assert ids(tmp_path, keys) == [request(1).command_id]
    again = journal(tmp_path, keys)
    assert again.find(request(2).command_id) is None
    assert again.damaged == 1
    (received,) = again.receive([dataclasses.replace(request(2), attempt=2)], [])
    assert (received.entry.state, received.ready) == (CommandState.UNKNOWN, False)
    again.close()


def test_a_row_that_is_forged_while_the_journal_is_open_is_not_sealed_as_true(tmp_path: Path) -> None:
    keys = KeptKeys()
    opened = journal(tmp_path, at_rest(keys))
    opened.receive([request(1)], [])
    insert(tmp_path, request(2))
    keys.rotate()
    opened.reseal()
    opened.close()
    assert ids(tmp_path, at_rest(keys)) == [request(1).command_id]


def test_plain_rows_of_before_are_taken_and_then_none(tmp_path: Path) -> None:
    opened = journal(tmp_path, PLAIN)
    opened.receive([request(1)], [])
    opened.close()
    keys = at_rest()
    assert ids(tmp_path, keys) == [request(1).command_id]
    insert(tmp_path, request(2))
    assert ids(tmp_path, keys) == [request(1).command_id]


def test_sealing_that_was_interrupted_goes_on_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = journal(tmp_path, PLAIN)
    opened.receive([request(number) for number in range(1, 6)], [])
    opened.close()
    keys = at_rest()
    with monkeypatch.context() as crash:
        crash.setattr("edge.command_journal._AT_ONCE", 2)
        crash.setattr("edge.journal_cells.Cells._anew", crashing_after(3))
        with pytest.raises(KeyError):
            journal(tmp_path, keys)
    assert len(ids(tmp_path, keys)) == 5


def crashing_after(count: int) -> object:
    anew, done = Cells._anew, itertools.count()

    def crashing(self: Cells, *parameters: object) -> int:
        if next(done) == count:
            raise KeyError
        return anew(self, *parameters)  # type: ignore[arg-type]

    return crashing


def test_a_journal_that_was_not_encrypted_for_a_while_keeps_its_rows(tmp_path: Path) -> None:
    keys = KeptKeys()
    for number, encrypted in enumerate((True, False, True), start=1):
        opened = journal(tmp_path, AtRest(keys, encrypt=encrypted))
        opened.receive([request(number)], [])
        opened.close()
    assert len(ids(tmp_path, at_rest(keys))) == 3
    insert(tmp_path, request(4))
    assert len(ids(tmp_path, at_rest(keys))) == 3


def test_the_journal_s_note_goes_with_the_key(tmp_path: Path) -> None:
    keys = KeptKeys()
    opened = journal(tmp_path, at_rest(keys))
    first = keys.newest()
    assert list(uses(tmp_path)) == [first.id]
    second = keys.rotate()
    opened.reseal()
    assert list(uses(tmp_path)) == [second.id]
    opened.close()
    keys.kept = KeptKeys().kept
    with pytest.raises(MissingKeyError):
        journal(tmp_path, at_rest(keys))
