"""The Merkle log against the verifier, which shares nothing with it: shapes, proofs, kills at every step, keys, holes in the topic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import entries, merkle, notes, tiles
from audit.copies import Copies
from audit.errors import AnotherTopicError, AuditError
from audit.merkle import Tree
from audit.tiles import Readable, Writable
from audit.writer import LogWriter, Record
from base import files
from base import merkle as merkle_hashes
from base.errors import ConfigError
from millrace_verify import log as verifier
from millrace_verify.merkle import check_consistency, check_inclusion, leaf_hash
from millrace_verify.note import Key, NoteError
from schemas.audit import AuditEvent, Outcome
from stack.config import ROOT

ORIGIN = "plant.example/audit"


def record(offset: int, subject: str = "") -> Record:
    """The same in every process, unless it is another subject's."""
    event_id = UUID(int=offset + (1 << 20 if subject else 0))
    who = subject or f"s{offset}"
    event = AuditEvent(event_id=event_id, time_us=1, service="test", action="try", outcome=Outcome.ALLOW, subject=who)
    return Record(offset, event.encode())


RECORDS = [record(offset) for offset in range(700)]


class Log:
    """A log that is written, killed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys, self.kept = folder / "log", folder / "keys", folder / "copies"

    def open(self, marks: tuple[int, int] = (0, 10_000)) -> LogWriter:
        writer = LogWriter(self.folder, ORIGIN, self.keys, Copies(self.kept, every_s=1e-9))
        self.start(writer, marks)
        return writer

    def start(self, writer: LogWriter, marks: tuple[int, int]) -> None:
        self.first = writer.start("audit.log", {0: marks})[0]

    def again(self, writer: LogWriter, marks: tuple[int, int]) -> LogWriter:
        writer.close()
        return self.open(marks)

    def trusted(self) -> list[Key]:
        return [Key.parse(one.known_as) for one in notes.read_keys(self.keys, ORIGIN)]

    def check(self) -> verifier.Verified:
        return verifier.check(self.folder, self.trusted(), [self.kept])

    def said(self) -> list[dict[str, Any]]:
        return [entries.fields_of(entry) for _, entry in Readable(self.folder).oldest_first()]

    def subjects(self) -> list[str]:
        """Of the records of the topic."""
        return [fields["subject"] for fields in self.said() if entries.OWN not in fields]

    def own(self) -> list[str]:
        return [fields["action"] for fields in self.said() if entries.OWN in fields]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed loses nothing that it wrote; to wait for the disk is for machines that lose their power."""
    monkeypatch.setattr(os, "fsync", lambda _file: None)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@given(st.lists(st.integers(0, 300), max_size=8))
def test_a_tree_does_not_depend_on_how_it_grew(steps: list[int]) -> None:
    leaves = [merkle_hashes.leaf_hash(bytes([n % 256, n // 256])) for n in range(sum(steps))]
    tree, at = Tree(), 0
    for step in steps:
        tree.append(leaves[at : at + step])
        at += step
    once = Tree()
    once.append(leaves)
    assert (tree.size, tree.root(), tree.partial()) == (once.size, once.root(), once.partial())


@pytest.mark.security("SR 2.12")
@pytest.mark.parametrize("batch", [1, 90, 255, 256, 257, 699])
def test_the_verifier_holds_what_the_writer_wrote(log: Log, batch: int) -> None:
    writer = log.open()
    for at in range(0, len(RECORDS), batch):
        writer.take(RECORDS[at : at + batch])
        if at % 30 == 0:
            assert log.check().checkpoint.size == writer.size
    writer.close()
    assert log.subjects() == [f"s{n}" for n in range(700)]


def test_partial_tiles_stay_until_the_full_one_is_there(log: Log) -> None:
    writer = log.open()
    writer.take(RECORDS[:100])
    writer.take(RECORDS[100:200])
    assert sorted(path.name for path in (log.folder / "tile/0/000.p").iterdir()) == ["1", "101", "201"]
    writer.take(RECORDS[200:300])
    assert not list(log.folder.glob("tile/*/000.p/201"))
    assert (log.folder / "tile/entries/000").exists()
    writer.close()


@pytest.mark.security("V11.4.3")
@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 700])
def test_proofs_are_those_of_rfc_6962(log: Log, size: int) -> None:
    writer = log.open()
    writer.take(RECORDS[: size - 1])
    writer.close()
    known = Readable(log.folder)
    assert known.size == size
    root = known.checkpoint.root
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        check_inclusion(leaf_hash(known.entry(index)), index, size, merkle.inclusion(known.lookup, index, size), root)
    for old in {1, size // 3, size // 2, 256, size - 1, size} & set(range(1, size + 1)):
        before = Tree()
        before.append(merkle_hashes.leaf_hash(known.entry(index)) for index in range(old))
        check_consistency(old, size, before.root(), root, merkle.consistency(known.lookup, old, size))


class KilledError(BaseException):
    """Stands for a kill: nothing after it happens."""


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    real, done = files.replace_durably, 0

    def write(target: Path, data: bytes) -> None:
        nonlocal done
        done += 1
        if done == step:
            raise KilledError
        real(target, data)

    monkeypatch.setattr(tiles, "replace_durably", write)


@pytest.mark.parametrize("before", [0, 254, 255, 600])
def test_a_kill_between_any_two_files_leaves_a_log_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    for step in range(1, 13):
        log = Log(tmp_path / str(step))
        writer = log.open()
        writer.take(RECORDS[:before])
        killed_at(monkeypatch, step)
        published = True
        try:
            writer.take(RECORDS[before : before + 300])
        except KilledError:
            published = False
        monkeypatch.undo()
        writer._log.close()
        log.check()  # what was published is whole, whatever lies beside it
        again = log.open()
        taken = min(before + 300, 700) if published else before
        assert again.taken == taken - 1
        # Other batches than before the kill, from where the log says.
        for at in range(log.first, 700, 90):
            again.take(RECORDS[at : at + 90])
        again.close()
        assert log.subjects() == [f"s{n}" for n in range(700)]
        assert log.own() == ["audit:key"]
        assert log.check().copies > 1


_PROGRAM = """
import sys
from pathlib import Path
from tests.unit.test_audit_log import Log, RECORDS
log = Log(Path(sys.argv[1]))
writer = log.open()
for at in range(log.first, len(RECORDS), 9):
    writer.take(RECORDS[at : at + 9])
    print(writer.taken, flush=True)
writer.close()
"""


def test_exact_through_kill_9(log: Log) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(log.folder.parent)]
    kills = 0
    while True:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writing:
            assert writing.stdout is not None
            # In the middle of what follows its 35th batch.
            lines = [line for _, line in zip(range(35), writing.stdout, strict=False)]
            writing.send_signal(signal.SIGKILL)
        if not lines:
            break
        kills += 1
        log.check()
        if len(lines) < 35:
            break
    assert kills >= 2
    log.open().close()
    assert log.subjects()[-1] == "s699"
    assert log.subjects() == [f"s{n}" for n in range(700)]


@pytest.mark.security("SR 2.9")
def test_a_disk_that_takes_nothing_leaves_the_log_as_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open()
    writer.take(RECORDS[:10])

    def full(target: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tiles, "replace_durably", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                writer.take(RECORDS[10:20])
    assert writer.take(RECORDS[10:20]) == 10
    writer.close()
    assert log.subjects() == [f"s{n}" for n in range(20)]


def test_a_second_writer_is_refused(log: Log) -> None:
    writer = log.open()
    with pytest.raises(AuditError, match="another writer"):
        log.open()
    writer.close()
    log.open().close()


def changed_tile(folder: Path) -> None:
    path = folder / "tile/0/000.p/51"
    path.write_bytes(path.read_bytes()[::-1])


def changed_entry(folder: Path) -> None:
    path = folder / "tile/entries/000.p/51"
    path.write_bytes(path.read_bytes().replace(b'"s7"', b'"s8"'))


@pytest.mark.security("SR 3.9")
@pytest.mark.parametrize("change", [changed_tile, changed_entry])
def test_a_log_that_was_changed_is_not_gone_on_with(log: Log, change: Callable[[Path], None]) -> None:
    writer = log.open()
    writer.take(RECORDS[:50])
    writer.close()
    change(log.folder)
    with pytest.raises(AuditError, match="the log was changed"):
        log.open()


def test_another_name_and_another_key_are_refused(log: Log, tmp_path: Path) -> None:
    log.open().close()
    with pytest.raises(AuditError, match="is the log plant"):
        LogWriter(log.folder, "plant.example/other", log.keys, Copies(None, every_s=1))
    with pytest.raises(AuditError, match="none of the keys"):
        LogWriter(log.folder, ORIGIN, tmp_path / "new keys", Copies(None, every_s=1))


def test_a_file_that_is_no_key_is_told(log: Log) -> None:
    log.keys.mkdir()
    (log.keys / "x.pem").write_text("no key")
    with pytest.raises(ConfigError, match="cannot be read"):
        log.open()


@pytest.mark.security("V11.2.2")
@pytest.mark.drill("audit-key")
def test_keys_are_rotated_without_a_moment_that_nobody_can_check(log: Log) -> None:
    writer = log.open()
    writer.take(RECORDS[:10])
    (old,) = log.trusted()
    added = notes.new_key(log.keys, ORIGIN)
    assert oct(next(iter(log.keys.glob(f"{added.key_id.hex()}*"))).stat().st_mode)[-3:] == "600"
    writer.look_after()
    new = Key.parse(added.known_as)
    for trusted in (old, new):
        assert verifier.check(log.folder, [trusted]).checkpoint.size == writer.size
    (log.keys / f"{old.key_id.hex()}.pem").unlink()
    writer.look_after()
    writer.take(RECORDS[10:20])
    writer.close()
    with pytest.raises(NoteError, match="no key that you trust"):
        verifier.check(log.folder, [old])
    assert verifier.check(log.folder, [new, old], [log.kept]).copies > 0
    changes = [(said["before"], said["after"]) for said in log.said() if said["action"] == "audit:key"]
    assert changes == [
        ("", f"{ORIGIN}+{old.key_id.hex()}+" + changes[0][1].split("+", 2)[2]),
        ("", added.known_as),
        (f"{ORIGIN}+{old.key_id.hex()}", ""),
    ]


def test_keys_that_changed_while_the_writer_was_down_are_in_the_log_too(log: Log) -> None:
    log.open().close()
    notes.new_key(log.keys, ORIGIN)
    log.open().close()
    assert log.own() == ["audit:key", "audit:key"]
    log.open().close()
    assert len(log.own()) == 2


@pytest.mark.security("T-KAFKA-LOSS")
@pytest.mark.parametrize(
    ("marks", "said"),
    [((0, 20), []), ((19, 20), []), ((20, 40), []), ((30, 40), ["audit:gap"]), ((0, 5), ["audit:truncated"])],
)
def test_what_the_topic_lost_is_in_the_log(log: Log, marks: tuple[int, int], said: Sequence[str]) -> None:
    writer = log.open((0, 20))
    writer.take(RECORDS[:20])
    writer.close()
    again = log.open(marks)
    assert log.first == (marks[0] if marks[0] != 0 or said else 19)
    again.take([one for one in RECORDS if log.first <= one.offset < marks[1]])
    again.close()
    assert log.own()[1:] == said
    log.check()


@pytest.mark.parametrize("end", [30, 20, 12, 1])
def test_a_topic_that_was_made_anew_is_taken_from_its_beginning(log: Log, end: int) -> None:
    writer = log.open((0, 20))
    writer.take(RECORDS[:20])
    again = log.again(writer, (0, end))
    other = [record(offset, "other") for offset in range(end)]
    if end >= 20:
        with pytest.raises(AnotherTopicError, match="record 19"):
            again.take(other[log.first :])
        log.start(again, (0, end))
    assert (log.first, again.take(other)) == (0, end)
    again.close()
    assert log.own() == ["audit:key", "audit:topic"]
    assert log.subjects() == [f"s{number}" for number in range(20)] + ["other"] * end
    log.check()


@pytest.mark.security("T-KAFKA-LOSS")
@pytest.mark.parametrize("low", [0, 3, 11])
@pytest.mark.parametrize("end", [12, 15, 20, 30])
def test_records_that_the_broker_lost_stay_and_none_is_taken_twice(log: Log, low: int, end: int) -> None:
    """It lost those from 12 on, and has been given others up to `end`; one at a time, and with a kill after each."""
    writer = log.open((0, 20))
    writer.take(RECORDS[:20])
    after = RECORDS[:12] + [record(offset, "other") for offset in range(12, end)]
    again = log.again(writer, (low, end))
    if end >= 20:
        with pytest.raises(AnotherTopicError):
            again.take(after[log.first :])
        log.start(again, (low, end))
    assert log.first == low
    for one in after[low:]:
        again.take([one])
    again = log.again(again, (low, end))
    later = [record(offset, "later") for offset in range(end, end + 3)]
    again.take((after + later)[log.first :])
    again.close()
    assert log.own() == ["audit:key", "audit:truncated"]
    assert log.subjects() == [f"s{number}" for number in range(20)] + ["other"] * (end - 12) + ["later"] * 3
    (said,) = [fields for fields in log.said() if fields["action"] == "audit:truncated"]
    assert (said["before"], said["after"]) == ("19", "12")
    log.check()


def test_a_broker_may_lose_records_twice_at_one_offset(log: Log) -> None:
    writer = log.open((0, 20))
    writer.take(RECORDS[:20])
    for name in ("second", "third"):
        writer = log.again(writer, (0, 12))
        writer.take(RECORDS[:12] + [record(offset, name) for offset in range(12, 20)])
    writer = log.again(writer, (0, 15))
    writer.take(RECORDS[:12] + [record(offset, "third") for offset in range(12, 15)])
    writer.close()
    assert log.own() == ["audit:key", "audit:truncated", "audit:truncated", "audit:truncated"]
    assert log.subjects()[20:] == ["second"] * 8 + ["third"] * 8


def test_offsets_that_are_missing_and_bytes_that_are_no_event_have_their_entry(log: Log) -> None:
    writer = log.open()
    writer.take([RECORDS[0], Record(5, b"junk"), Record(6, None), RECORDS[7]])
    writer.close()
    said = log.said()
    assert [fields["offset"] for fields in said] == [-1, 0, 4, 5, 6, 7]
    assert (said[2]["before"], said[2]["after"]) == ("0", "5")
    assert (said[3]["undecodable"], said[3]["bytes"], said[4]["bytes"]) == ("anVuaw==", 4, 0)


def test_a_topic_has_one_partition(log: Log) -> None:
    writer = log.open()
    with pytest.raises(AuditError, match="2 partitions"):
        writer.start("audit.log", {0: (0, 1), 1: (0, 1)})
    writer.close()


@pytest.mark.security("V16.4.3")
def test_copies_are_tried_again_and_continue_behind_a_torn_line(tmp_path: Path) -> None:
    now = 0.0
    place = tmp_path / "away" / "copies"
    (tmp_path / "away").write_text("a file where the folder should be")
    kept = Copies(place, every_s=10, clock=lambda: now)
    assert not kept.offer("one")
    assert kept.failed
    (tmp_path / "away").unlink()
    assert not kept.offer("one")  # too soon
    now = 11.0
    assert kept.offer("two")
    (file,) = place.iterdir()
    file.write_text(file.read_text() + '"tor')
    assert kept.offer("three", now=True)
    assert file.read_text().splitlines() == ['"two"', '"tor', '"three"']


def test_numbers_of_tiles_are_written_as_the_specification_says() -> None:
    assert merkle.numbered(1_234_067) == verifier.numbered(1_234_067) == "x001/x234/067"
    for number in (0, 7, 255, 999, 1_000, 999_999, 1_000_000):
        assert merkle.numbered(number, 5) == verifier.numbered(number, 5)


def test_an_entry_has_a_bound(tmp_path: Path) -> None:
    log = Writable(tmp_path, ORIGIN)
    with pytest.raises(AuditError, match="65535"):
        log.append([bytes(65_536)], [])
    log.close()
