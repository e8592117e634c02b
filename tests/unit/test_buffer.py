"""The durable buffer: what survives crashes, torn writes, flipped bits, full disks and its own bounds."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from benchmarks import corruption
from edge import segment as files
from edge import segment_codec, segment_files, segment_header
from edge.at_rest import AtRest, AtRestSettings, prepare
from edge.buffer import EVENT_LANE, Buffer
from edge.recovery import BufferFailedError
from edge.segment import Cursor, Entry, RecordKind, StreamKey
from edge.segment_store import BufferSettings
from schemas import frame
from schemas.checksum import MODULUS
from schemas.events import DeviceEvent, EventKind, Gap, decode
from schemas.frame import ClockStatus, Stream
from tests.unit.kept import at_rest

pytestmark = pytest.mark.unit

SMALL = BufferSettings(segment_bytes=1 << 14, max_bytes=1 << 20)


def gap_event(gap: Gap) -> bytes:
    event = DeviceEvent(kind=EventKind.GAP, gateway_id="g", device_id=0, time_us=1, gap=gap)
    return bytes(4) + event.encode()


class Harness:
    """A buffer in a folder, and everything that was ever appended to it."""

    def __init__(self, directory: Path, **options: object) -> None:
        self.directory = directory
        self.options = {"settings": SMALL, "keys": at_rest(), **options}
        self.now_us = 1_000_000
        self.appended: dict[tuple[StreamKey, int], Entry] = {}
        self.buffer = self.open()

    def open(self) -> Buffer:
        return Buffer(
            self.directory,
            gateway_id="g",
            gap_event=gap_event,
            clock=lambda: self.now_us,
            **self.options,  # type: ignore[arg-type]
        )

    def reopen(self) -> Buffer:
        """What a kill -9 leaves: nothing more is written."""
        self.buffer._store.close()
        self.buffer = self.open()
        return self.buffer

    def stage(self, lane: int = 0, stream: Stream = Stream.LIVE, samples: int = 3, size: int = 100) -> None:
        sequence = self.buffer.next_sequence(lane, stream)
        body = f"{lane}/{stream.name}/{sequence}/".encode().ljust(size, b"x")
        self.now_us += 1000
        self.buffer.append(
            kind=RecordKind.FRAME, lane=lane, stream=stream, body=body, samples=samples,
            checksum=hash((lane, sequence)) % MODULUS, from_us=self.now_us, to_us=self.now_us + 10,
        )  # fmt: skip

    def append(self, count: int = 1, **options: object) -> list[Entry]:
        for _ in range(count):
            self.stage(**options)  # type: ignore[arg-type]
        return self.sync()

    def sync(self) -> list[Entry]:
        entries = self.buffer.sync()
        self.appended |= {(entry.key, entry.sequence): entry for entry in entries}
        return entries

    def pending(self, *streams: Stream) -> list[Entry]:
        """All open entries, read from the beginning."""
        found: list[Entry] = []
        for stream in streams or (Stream.LIVE, Stream.BACKFILL):
            cursor = Cursor(stream)
            while batch := self.buffer.read(cursor, 1000):
                found += batch
        return found

    def confirm(self, entries: list[Entry]) -> None:
        self.buffer.confirm((entry.key, entry.sequence, entry.samples) for entry in entries)

    def gaps(self) -> list[Gap]:
        events = [entry for entry in self.pending(Stream.BACKFILL) if entry.kind is RecordKind.EVENT]
        gaps = [decode(entry.body[4:]).gap for entry in events]
        return [gap for gap in gaps if gap is not None]

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.buffer._store.close()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with Harness(tmp_path / "buffer") as made:
        yield made


def frames(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.kind is RecordKind.FRAME]


def totals(buffer: Buffer) -> dict[StreamKey, tuple[int, int, int]]:
    return {
        key: (one.next_sequence, one.samples, one.checksum)
        for key, one in buffer.counters.items()
        if key.lane != EVENT_LANE
    }


def test_entries_are_appended_in_order_with_contiguous_sequences(harness: Harness) -> None:
    first = harness.append(3)
    second = harness.append(2) + harness.append(1, lane=1)
    assert [entry.sequence for entry in first + second] == [0, 1, 2, 3, 4, 0]
    assert harness.pending() == [*first, *second]
    assert {entry.epoch for entry in first} == {harness.buffer.epoch}


def test_nothing_counts_before_sync(harness: Harness) -> None:
    harness.stage()
    assert harness.pending() == []


def test_reopening_gives_everything_unconfirmed_under_the_same_identity(harness: Harness) -> None:
    live, backlog = harness.append(5), harness.append(5, stream=Stream.BACKFILL)
    harness.confirm(live[:2])
    epoch, before = harness.buffer.epoch, totals(harness.buffer)
    harness.now_us += 2_000_000
    harness.sync()
    harness.reopen()
    assert harness.buffer.epoch == epoch
    assert totals(harness.buffer) == before
    assert harness.pending() == live[2:] + backlog


def test_positions_lost_in_a_crash_only_make_duplicates(harness: Harness) -> None:
    live = harness.append(5)
    harness.confirm(live)  # confirmed, and not yet written
    harness.reopen()
    assert harness.pending() == live
    assert harness.buffer.counters[live[0].key].buffered_samples == 15


def test_totals_survive_the_removal_of_segments(harness: Harness) -> None:
    for _ in range(40):
        harness.confirm(harness.append(20))
    before = totals(harness.buffer)
    harness.sync()
    assert len(list(harness.directory.glob("segment-*.log"))) <= 2
    harness.reopen()
    assert totals(harness.buffer) == before
    assert harness.gaps() == []
    key = StreamKey(harness.buffer.epoch, 0, Stream.LIVE)
    assert before[key][:2] == (800, 2400)


def test_confirmations_out_of_order_confirm_each_entry_once(harness: Harness) -> None:
    live = harness.append(6)
    harness.confirm([live[4], live[1], live[4], live[0]])
    counter = harness.buffer.counters[live[0].key]
    assert (counter.floor, counter.buffered_samples) == (2, 9)
    assert harness.pending() == [live[2], live[3], live[5]]


def test_a_cursor_gives_each_entry_once_in_batches(harness: Harness) -> None:
    harness.append(200, stream=Stream.BACKFILL)
    cursor, seen = Cursor(Stream.BACKFILL), []
    while batch := harness.buffer.read(cursor, 1000):
        assert sum(len(entry.body) for entry in batch) <= 1000
        seen += batch
    more = harness.append(3, stream=Stream.BACKFILL)
    assert [entry.sequence for entry in seen] == list(range(200))
    assert harness.buffer.read(cursor, 1 << 20) == more
    assert harness.buffer.read(cursor, 1 << 20) == []


@pytest.mark.security("T-EDGE-FULL")
def test_size_bound_drops_the_oldest_with_exact_gaps(tmp_path: Path) -> None:
    with Harness(tmp_path, settings=BufferSettings(segment_bytes=1 << 14, max_bytes=5 << 14)) as harness:
        for _ in range(60):
            harness.append(10, lane=0)
            harness.append(5, lane=1, samples=7)
        assert harness.buffer.disk_bytes <= 5 << 14
        _assert_dropped_exactly(harness, "the buffer's size limit")
        harness.reopen()
        _assert_dropped_exactly(harness, "the buffer's size limit")


def _assert_dropped_exactly(harness: Harness, cause: str) -> None:
    kept = {(entry.key, entry.sequence) for entry in frames(harness.pending())}
    gaps = harness.gaps()
    assert gaps
    assert {gap.cause for gap in gaps} == {cause}
    lost: set[tuple[StreamKey, int]] = set()
    for gap in gaps:
        assert gap.epoch is not None
        assert gap.stream is not None
        assert gap.first_sequence is not None
        assert gap.last_sequence is not None
        key = StreamKey(gap.epoch, gap.lane, gap.stream)
        run = [harness.appended[key, n] for n in range(gap.first_sequence, gap.last_sequence + 1)]
        assert gap.samples == sum(entry.samples for entry in run)
        assert (gap.from_us, gap.to_us) == (run[0].from_us, run[-1].to_us)
        assert lost.isdisjoint((key, entry.sequence) for entry in run)
        lost |= {(key, entry.sequence) for entry in run}
    assert kept | lost == {identity for identity, entry in harness.appended.items() if entry.kind is RecordKind.FRAME}
    assert kept.isdisjoint(lost)
    for key, counter in harness.buffer.counters.items():
        if key.lane == EVENT_LANE:
            continue
        assert counter.dropped_samples == sum(gap.samples for gap in gaps if (gap.lane, gap.stream) == key[1:])
        assert counter.samples == counter.dropped_samples + counter.buffered_samples


def test_age_bound_drops_what_is_too_old(tmp_path: Path) -> None:
    with Harness(
        tmp_path, settings=BufferSettings(segment_bytes=1 << 14, max_bytes=1 << 20, max_age_s=80.0)
    ) as harness:
        harness.append(10)
        for _ in range(12):
            harness.now_us += 11_000_000
            harness.append(1)
        _assert_dropped_exactly(harness, "older than the buffer keeps")
        assert frames(harness.pending())[-1].sequence == 21


def test_what_the_uplink_holds_is_carried_over_instead_of_dropped(tmp_path: Path) -> None:
    held: set[tuple[StreamKey, int]] = set()
    options = {
        "outstanding": lambda key, n: (key, n) in held,
        "settings": BufferSettings(segment_bytes=1 << 14, max_bytes=4 << 14),
    }
    with Harness(tmp_path, **options) as harness:
        first = harness.append(3)
        held |= {(entry.key, entry.sequence) for entry in first}
        for _ in range(60):
            harness.append(10, stream=Stream.BACKFILL)
        held.clear()
        assert [entry.body for entry in harness.pending(Stream.LIVE)] == [entry.body for entry in first]
        harness.reopen()
        assert [entry.body for entry in harness.pending(Stream.LIVE)] == [entry.body for entry in first]
        _assert_dropped_exactly(harness, "the buffer's size limit")


class Disk:
    """An allocator with room for so many segments."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, path: Path, capacity: int) -> None:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.room -= 1
        segment_files.allocate(path, capacity)


def test_full_disk_loses_nothing_while_kafka_takes_frames(tmp_path: Path) -> None:
    with Harness(tmp_path, allocate=Disk(2)) as harness:
        for _ in range(100):
            harness.confirm(harness.append(10))
        assert harness.gaps() == []
        assert harness.buffer.disk_full


def test_full_disk_gives_up_the_oldest_for_the_newest(tmp_path: Path) -> None:
    with Harness(tmp_path, allocate=Disk(4)) as harness:
        for _ in range(60):
            harness.append(10)
        _assert_dropped_exactly(harness, "disk full")
        assert frames(harness.pending())[-1].sequence == 599
        harness.reopen()
        _assert_dropped_exactly(harness, "disk full")


def test_no_room_for_the_first_two_segments_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BufferFailedError, match="no room"):
        Harness(tmp_path, allocate=Disk(1))


@pytest.mark.security("T-EDGE-FULL")
def test_a_real_full_disk(tmp_path: Path) -> None:
    with _tiny_disk(tmp_path, 8 << 14) as directory, Harness(directory / "buffer") as harness:
        for _ in range(100):
            harness.append(10)
        assert harness.buffer.disk_full
        _assert_dropped_exactly(harness, "disk full")
        harness.reopen()
        _assert_dropped_exactly(harness, "disk full")


@contextmanager
def _tiny_disk(tmp_path: Path, size: int) -> Iterator[Path]:
    target = tmp_path / "disk"
    target.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(target)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_one_process_at_a_time(harness: Harness) -> None:
    with pytest.raises(BufferFailedError, match="another process"):
        harness.open()


def test_another_gateways_buffer_is_refused(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path, gateway_id="a", gap_event=gap_event, settings=SMALL)
    buffer.close()
    with pytest.raises(BufferFailedError, match="belongs to gateway a"):
        Buffer(tmp_path, gateway_id="b", gap_event=gap_event, settings=SMALL)


def test_note_and_later_entries_come_back_at_the_next_start(tmp_path: Path) -> None:
    recovered: list[bytes | Entry] = []
    with Harness(tmp_path, note=lambda: b"seen", on_recovered=recovered.append) as harness:
        appended = harness.append(4)
        recovered.clear()
        harness.reopen()
        assert recovered == [b"seen", *appended]


def test_a_missing_segment_is_a_loss_with_an_exact_gap_and_a_new_epoch(harness: Harness) -> None:
    for _ in range(40):
        harness.append(10)
    epoch = harness.buffer.epoch
    everything = harness.pending()
    harness.buffer._store.close()
    middle = sorted(harness.directory.glob("segment-*.log"))[1]
    middle.unlink()
    harness.buffer = harness.open()
    assert harness.buffer.epoch != epoch
    rest = frames(harness.pending())
    lost = {entry.sequence for entry in everything} - {entry.sequence for entry in rest}
    exact = [gap for gap in harness.gaps() if gap.first_sequence is not None]
    assert [(gap.first_sequence, gap.last_sequence, gap.samples) for gap in exact] == [
        (min(lost), max(lost), 3 * len(lost))
    ]
    assert harness.append(1)[0].sequence == 0


def test_a_spare_that_is_not_zeroed_is_not_used(harness: Harness) -> None:
    harness.append(1)
    harness.buffer._store.close()
    (harness.directory / "spare.log").write_bytes(b"x" * (1 << 14))
    harness.buffer = harness.open()
    harness.append(200)
    harness.reopen()
    assert len(frames(harness.pending())) == 201
    assert harness.gaps() == []


# --- damage --------------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-EDGE-BUFFER", "T-PLANT-FLOOD", "SR 3.1", "SR 7.5")
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
@pytest.mark.parametrize("seeds", [range(0, 50), range(300, 350)], ids=["one log", "another"])
def test_damage_never_gives_a_wrong_frame_and_each_loss_is_told_of_exactly(seeds: range, *, encrypted: bool) -> None:
    result = corruption.run(seeds, encrypted=encrypted)
    assert result["failures"] == []
    assert result["trials"] == len(seeds)
    assert result["lost"] > 0


def damaged(harness: Harness, at: int, number: int = 0) -> Path:
    """Flip a bit of the segment of that number in the row."""
    path = sorted(harness.directory.glob("segment-*.log"))[number]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.security("SR 3.4")
def test_damage_while_it_runs_costs_one_entry_and_is_told_of_once(harness: Harness) -> None:
    everything = [entry for _ in range(6) for entry in harness.append(10)]
    damaged(harness, at=2_000)
    kept = frames(harness.pending())
    (lost,) = [entry for entry in everything if entry not in kept]
    harness.sync()
    for _ in range(2):
        (gap,) = harness.gaps()
        assert (gap.first_sequence, gap.last_sequence, gap.samples) == (lost.sequence, lost.sequence, lost.samples)
        assert gap.from_us <= lost.from_us <= lost.to_us <= gap.to_us
        harness.reopen()


def test_damage_in_a_segment_that_is_given_up_is_told_of_with_the_rest(tmp_path: Path) -> None:
    with Harness(tmp_path, settings=BufferSettings(segment_bytes=1 << 14, max_bytes=5 << 14)) as harness:
        harness.append(20)
        damaged(harness, at=2_000)
        for _ in range(40):
            harness.append(10)
        gone = {entry.sequence for entry in harness.appended.values()} - {
            one.sequence for one in frames(harness.pending())
        }
        told = [n for gap in harness.gaps() for n in range(gap.first_sequence or 0, (gap.last_sequence or 0) + 1)]
        assert sorted(told) == sorted(gone)
        assert sum(gap.samples for gap in harness.gaps()) == 3 * len(gone)


def test_records_of_another_segment_do_not_hold(harness: Harness) -> None:
    harness.append(20)
    harness.reopen()
    (path,) = harness.directory.glob("segment-*.log")
    keys = harness.options["keys"]
    assert isinstance(keys, AtRest)
    begin = len(header_of(path))
    for number, epoch in ((1, harness.buffer.epoch), (0, UUID(int=5)), (0, harness.buffer.epoch)):
        other = harness.directory / "other.bin"
        other.write_bytes(bytes(1 << 14))
        files.Segment.create(other, number, epoch, keys.newest()).close()
        other.write_bytes(other.read_bytes()[:begin] + path.read_bytes()[begin:])
        segment = files.Segment.open(other, key_of=keys.key)
        assert segment is not None
        assert list(segment.records()) == []
        segment.close()


def header_of(path: Path) -> bytes:
    found = segment_header.parse(path.read_bytes())
    assert found is not None
    return found.data


@pytest.mark.security("V1.4.3")
def test_a_thousand_segments_need_no_thousand_open_files(tmp_path: Path) -> None:
    with Harness(tmp_path, settings=BufferSettings(segment_bytes=1 << 14, max_bytes=1 << 24)) as harness:
        before = len(os.listdir("/proc/self/fd"))
        harness.append(100, size=10_000)
        assert len(list(tmp_path.glob("segment-*.log"))) > 90
        assert len(os.listdir("/proc/self/fd")) == before
        harness.reopen()
        assert len(os.listdir("/proc/self/fd")) == before
        assert len(frames(harness.pending())) == 100


_CHILD = """
import sys
from pathlib import Path
from edge.at_rest import AtRestSettings, prepare
from edge.buffer import Buffer
from edge.segment import Cursor
from edge.segment_store import BufferSettings
from edge.segment import RecordKind
from schemas.frame import Stream
buffer = Buffer(Path(sys.argv[1]), gateway_id="g", gap_event=lambda gap: b"gap.",
                settings=BufferSettings(segment_bytes=1 << 15, max_bytes=1 << 28),
                keys=prepare(AtRestSettings(), Path(sys.argv[1]).parent))
number = int(sys.argv[2])
while True:
    for _ in range(3):
        buffer.append(kind=RecordKind.FRAME, lane=0, stream=Stream.LIVE, body=b"%d" % number * 200, samples=number % 7)
        number += 1
    appended = buffer.sync()
    sys.stdout.write("".join(f"{e.epoch} {e.sequence} {e.body[:len(str(number - 1))].decode()}\\n" for e in appended))
    sys.stdout.flush()
    buffer.confirm((e.key, e.sequence, e.samples) for e in appended if e.sequence % 50 < 45)
"""


@pytest.mark.security("SR 7.4", "SR 7.5")
def test_kill_9_loses_nothing_appended(tmp_path: Path) -> None:
    rng = random.Random(7)
    reported: dict[tuple[str, int], int] = {}
    for generation in range(6):
        command = [sys.executable, "-c", _CHILD, str(tmp_path / "buffer"), str(1_000_000 * (generation + 1))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(rng.randint(1, 400))]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):
                epoch, sequence, number = line.split()
                assert reported.setdefault((epoch, int(sequence)), int(number)) == int(number)
    keys = prepare(AtRestSettings(), tmp_path)
    buffer = Buffer(tmp_path / "buffer", gateway_id="g", gap_event=gap_event, settings=SMALL, keys=keys)
    cursor, found = Cursor(Stream.LIVE), dict[tuple[str, int], Entry]()
    while batch := buffer.read(cursor, 1 << 20):
        found |= {(str(entry.epoch), entry.sequence): entry for entry in batch}
    next_sequence = {str(key.epoch): one.next_sequence for key, one in buffer.counters.items() if key.lane == 0}
    for identity, written_number in reported.items():
        assert next_sequence[identity[0]] > identity[1]
        if identity[1] % 50 >= 45:
            assert found[identity].body.startswith(str(written_number).encode())
    buffer.close()


# --- any history -----------------------------------------------------------------------------------------------------


class Histories(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is lost, nothing is invented, totals are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.confirmed: set[tuple[StreamKey, int]] = set()
        self.known: set[tuple[StreamKey, int]] = set()

    @initialize()
    def begin(self) -> None:
        self.harness = Harness(
            Path(self.folder.name), settings=BufferSettings(segment_bytes=1 << 14, max_bytes=1 << 22)
        )

    @rule(
        count=st.integers(1, 30),
        lane=st.integers(0, 1),
        stream=st.sampled_from(list(Stream)[:2]),
        size=st.integers(30, 900),
    )
    def append(self, count: int, lane: int, stream: Stream, size: int) -> None:
        self.harness.append(count, lane=lane, stream=stream, size=size)

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        pending = self.harness.pending()
        if pending:
            share = data.draw(st.floats(0, 1))
            chosen = pending[: int(len(pending) * share) + 1]
            self.harness.confirm(chosen)
            self.confirmed |= {(entry.key, entry.sequence) for entry in chosen}

    @rule(passed_us=st.integers(0, 3_000_000))
    def sync(self, passed_us: int) -> None:
        self.harness.now_us += passed_us
        self.harness.sync()

    @rule()
    def crash(self) -> None:
        epoch = self.harness.buffer.epoch
        self.harness.reopen()
        assert self.harness.buffer.epoch == epoch

    @invariant()
    def nothing_lost_nothing_invented(self) -> None:
        pending = self.harness.pending()
        identities = {(entry.key, entry.sequence) for entry in pending}
        appended = self.harness.appended
        assert all(
            appended[identity] == entry
            for identity, entry in zip([(e.key, e.sequence) for e in pending], pending, strict=True)
        )
        assert set(appended) - self.confirmed <= identities
        for key, (sequence, samples, checksum) in totals(self.harness.buffer).items():
            mine = [entry for (k, _), entry in appended.items() if k == key]
            assert (len(mine), sum(e.samples for e in mine)) == (sequence, samples)
            assert sum(e.checksum for e in mine) % MODULUS == checksum
            open_samples = sum(e.samples for e in pending if e.key == key)
            assert self.harness.buffer.counters[key].buffered_samples == open_samples

    def teardown(self) -> None:
        self.harness.buffer._store.close()
        self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_the_default_bound_holds_72_hours_at_a_thousand_samples_a_second() -> None:
    samples = 200  # of a frame of 200 ms
    built = frame.build(
        gateway_id="gw-north-1", epoch=UUID(int=1), lane=0, stream=Stream.BACKFILL, sequence=1, closed_time_us=2_000_000,
        clock_status=ClockStatus.UNKNOWN, registry_version=1, tag_id=np.arange(samples, dtype=np.int32),
        time_us=np.arange(samples, dtype=np.int64) * 1000, value=np.linspace(0, 1, samples),
        quality=np.zeros(samples, dtype=np.uint16),
    )  # fmt: skip
    size = len(frame.encode(built)) + segment_codec.SealedCodec.least
    assert 72 * 3600 * 1000 / samples * size < BufferSettings().max_bytes
