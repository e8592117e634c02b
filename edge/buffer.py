"""The durable buffer: what the gateway has seen and Kafka has not yet confirmed, in segment files on disk.

Enters: frames and events with the identity they keep for ever. Leaves: the same entries, to the uplink, until each is
done (confirmed by Kafka, or dropped with a gap event). Who calls: `edge.pipeline`, from one thread; nothing here locks.

What is promised
- An entry counts as appended, and is in the produced totals, once `sync` has returned: written and fdatasynced.
- kill -9 loses nothing appended. After a restart everything not known to be done is read again under the same
  identity, so duplicates are harmless. Recovery never yields a wrong frame (CRC).
- Totals per (epoch, lane, stream) are exact across restarts: every record carries the running totals, and every segment
  starts with a STATE record of all of them, so old segments can go.
- A record that does not hold costs itself alone, at a start and while the gateway runs. What is missing is named in gap events, by
  sequence and samples where a later record proves them, else by the times between which it was appended; then the file is mended.
  When a start finds something missing it begins a new epoch, so that no sequence can ever name two frames.
- Bounded by bytes and by age: the oldest segment goes first, and what was not done in it becomes exact gap events.
  What the uplink holds in memory, and gap events themselves, are carried over instead of dropped.
- A full disk: the segment in use and the next one are allocated beforehand and finished segments are used again, so while
  Kafka takes frames nothing is lost. With Kafka down as well, the oldest segment is given up for the newest data.

LIVE and BACKFILL. A frame's stream is part of its identity, so it is decided when the frame is appended: LIVE while no
LIVE frame has waited for Kafka longer than a few seconds (`Uplink.is_live`), BACKFILL otherwise. The frames of a short
hiccup stay LIVE and in order; those of an outage are BACKFILL from its first seconds on. After it the few LIVE frames go
first, the next ones appended are LIVE again, and the backlog follows behind, oldest first, paced so that it never queues
in front of live data. Events follow the same rule with a sequence of their own (EVENT_LANE).

Over 350 lines: appending, confirming and giving up keep one invariant, in what order things are durable.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from base.errors import cause_of
from base.ids import Clock, now_us, uuid7
from base.key_ring import Key
from edge import segment as files
from edge import segment_files
from edge.at_rest import PLAIN, AtRest
from edge.gaps import gaps_of
from edge.losses import OWN_GAP, StreamCounters, contents_given_up, unreadable
from edge.plain_note import PlainNote
from edge.recovery import REFUSED, BufferFailedError, Counter, load, pack_state
from edge.segment import Cursor, Entry, RecordKind, Segment, StreamKey
from edge.segment_store import Allocate, BufferSettings, SegmentStore
from schemas.checksum import MODULUS
from schemas.events import Gap
from schemas.frame import Stream

log = logging.getLogger(__name__)

EVENT_LANE = -1
_STATE_PERIOD_US = 1_000_000


class Buffer:
    """Entries in segment files of one directory. One process at a time: a second one is refused."""

    def __init__(
        self,
        directory: Path,
        *,
        gateway_id: str,
        gap_event: Callable[[Gap], bytes],
        settings: BufferSettings | None = None,
        outstanding: Callable[[StreamKey, int], bool] = lambda _key, _sequence: False,
        note: Callable[[], bytes] = bytes,
        on_recovered: Callable[[bytes | Entry], None] = lambda _: None,
        clock: Clock = now_us,
        allocate: Allocate = segment_files.allocate,
        keys: AtRest = PLAIN,
    ) -> None:
        """Open or make the buffer in `directory` and recover what is there; raises BufferFailedError.

        `gap_event` gives the EVENT body that tells of a gap; `outstanding` says whether the uplink holds an entry in
        memory. `note` is any state of the caller worth keeping with the log: it is stored with every segment and given
        to `on_recovered` at the next start, followed by the entries appended after it. `keys` encrypt each new segment.
        """
        self._settings = settings or BufferSettings()
        self._gateway_id, self._clock = gateway_id, clock
        self._gap_event, self._outstanding, self._note = gap_event, outstanding, note
        self._keys = keys
        self._plain_note = PlainNote(directory, gateway_id, keys)
        self._store = SegmentStore(directory, self._settings.segment_bytes, allocate)
        self._staged: deque[Entry] = deque()
        self._doomed: list[Segment] = []
        self._drops: list[tuple[StreamKey, Gap]] = []
        self._holes: set[tuple[int, int]] = set()
        self._dirty = False
        self._state_written_us = 0
        self.counters = StreamCounters()
        # The same as far as it is on disk: what a STATE record may say.
        self._written: dict[StreamKey, Counter] = {}
        self._done_us = 0
        self.refused_segments = 0
        """Plain segments that an encrypted buffer did not take, this time or before; they lie there under another name."""
        try:
            self.epoch = self._open(directory, on_recovered)
        except BaseException:
            self._store.close()
            raise

    # --- appending ---------------------------------------------------------------------------------------------------

    def next_sequence(self, lane: int, stream: Stream) -> int:
        """Sequence that the next entry of that lane and stream gets, in the current epoch."""
        return self.counters[StreamKey(self.epoch, lane, stream)].next_sequence

    def append(
        self,
        *,
        kind: RecordKind,
        lane: int,
        stream: Stream,
        body: bytes,
        samples: int = 0,
        checksum: int = 0,
        from_us: int = 0,
        to_us: int = 0,
    ) -> None:
        """Stage an entry under `next_sequence`; durable after `sync`. `checksum` is unsigned."""
        counter = self.counters[StreamKey(self.epoch, lane, stream)]
        counter.samples += samples
        counter.buffered_samples += samples
        counter.checksum = (counter.checksum + checksum) % MODULUS
        self._staged.append(
            Entry(
                kind=kind, epoch=self.epoch, lane=lane, stream=stream, sequence=counter.next_sequence, samples=samples,
                checksum=checksum, total_samples=counter.samples, total_checksum=counter.checksum,
                from_us=from_us, to_us=to_us, appended_us=self._clock(), body=body,
            )
        )  # fmt: skip
        counter.next_sequence += 1

    def sync(self) -> list[Entry]:
        """Make all that is staged durable, keep the bounds, remove finished segments; returns the entries now appended.

        Raises BufferFailedError when the disk fails in a way that giving up old segments cannot mend.
        """
        now = self._clock()
        self._bound_age(now)
        self._follow_key()
        appended = self._write_staged()
        gone = self._removable()
        if self._dirty and (gone or now - self._state_written_us >= _STATE_PERIOD_US):
            self._write_state()
        if gone:
            # Only now that the positions which confirm them are durable.
            self._store.remove(gone)
            self._doomed = [segment for segment in self._doomed if segment not in gone]
        return appended

    def confirm(self, confirmed: Iterable[tuple[StreamKey, int, int]]) -> None:
        """Take note that (stream key, sequence, samples) were confirmed by Kafka; on disk within about a second."""
        for key, sequence, samples in confirmed:
            self._dirty |= self.counters[key].finish(sequence, samples)
        if all(one.floor >= one.next_sequence for one in self.counters.values()):
            self._done_us = self._clock()

    def give_up(self, entry: Entry, cause: str) -> None:
        """Drop one entry, with a gap event: Kafka will never take it."""
        if not self.counters[entry.key].is_done(entry.sequence):
            self._lose(entry.key, [entry], cause)

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, cursor: Cursor, max_bytes: int) -> list[Entry]:
        """Next entries of the cursor's stream that are neither done nor outstanding, at least one if there is one."""
        found: list[Entry] = []
        size = 0
        for segment in list(self._segments):
            if segment.number < cursor.number:
                continue
            if segment.number > cursor.number:
                cursor.number, cursor.offset = segment.number, segment.begin
            cursor.offset = max(cursor.offset, segment.begin)
            if not self.counters.pending_in(segment, cursor.stream):
                cursor.offset = segment.used
                continue
            for at, behind, entry in segment.records(cursor.offset, segment.used):
                if at > cursor.offset:
                    self._damaged(segment, cursor.offset)
                    cursor.offset = at
                if self._wanted(entry, cursor.stream):
                    if size and size + len(entry.body) > max_bytes:
                        return found
                    found.append(entry)
                    size += len(entry.body)
                cursor.offset = behind
            if cursor.offset < segment.used:
                self._damaged(segment, cursor.offset)
                cursor.offset = segment.used
        return found

    @property
    def disk_full(self) -> bool:
        """Whether the disk refused to allocate the next segment."""
        return self._store.disk_full

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk, the spare segment included."""
        return self._store.disk_bytes

    @property
    def oldest_us(self) -> int:
        """About when the oldest open entry was appended (never later); 0 when all is done."""
        held = (segment for segment in self._segments if not self.counters.done_with(segment))
        return next((max(segment.first_appended_us, self._done_us) for segment in held), 0)

    @property
    def plain_segments(self) -> int:
        """Segments that are not encrypted."""
        return sum(not segment.sealed for segment in self._segments)

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return {
            "epoch": str(self.epoch),
            "buffer_bytes": self.disk_bytes,
            "disk_full": self.disk_full,
            "oldest_us": self.oldest_us,
            "plain_segments": self.plain_segments,
            "refused_segments": self.refused_segments,
        }

    def close(self) -> None:
        """Make what is staged durable, write the last positions and close."""
        self._dirty, self._state_written_us = True, 0
        self.sync()
        self._store.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    def _write_staged(self) -> list[Entry]:
        """Write in as few chunks as the segments allow; making room may stage gap events, which are written as well."""
        appended: list[Entry] = []
        chunk, batch = bytearray(), list[Entry]()
        while self._staged:
            entry = self._staged.popleft()
            record = self._active.pack(entry, len(chunk))
            if not self._active.fits(len(chunk) + len(record)):
                self._flush(bytes(chunk), batch)
                chunk, batch = bytearray(), []
                self._roll()
                record = self._active.pack(entry)
                if not self._active.fits(len(record)):
                    msg = f"an entry of {len(record)} bytes does not fit a segment of {self._active.capacity}"
                    raise BufferFailedError(msg)
            chunk += record
            batch.append(entry)
            appended.append(entry)
        self._flush(bytes(chunk), batch)
        self._apply_drops()
        return appended

    def _flush(self, data: bytes, batch: list[Entry]) -> None:
        if not data:
            return
        try:
            self._active.write(data, batch)
            self._active.sync()
        except OSError as error:
            msg = f"{self._active.path.name} cannot be written: {error}"
            raise BufferFailedError(msg) from error
        for entry in batch:
            one = self._written.setdefault(entry.key, Counter())
            if entry.kind is not RecordKind.STATE and entry.sequence >= one.next_sequence:
                one.next_sequence = entry.sequence + 1
                one.samples, one.checksum = entry.total_samples, entry.total_checksum

    def _write_state(self, *, note: bool = False) -> None:
        for key, one in self._written.items():
            now = self.counters[key]
            one.floor, one.dropped_samples, one.done = now.floor, now.dropped_samples, now.done
        body = pack_state(self._gateway_id, self._written, self._note() if note else None)
        entry = Entry(
            kind=RecordKind.STATE, epoch=self.epoch, lane=0, stream=Stream.LIVE, sequence=0,
            appended_us=self._clock(), body=body,
        )  # fmt: skip
        record = self._active.pack(entry)
        if self._active.fits(len(record)):
            self._flush(record, [])
        else:
            self._roll()  # starts with a STATE record
        self._dirty, self._state_written_us = False, entry.appended_us

    def _roll(self) -> None:
        """Start the next segment, with a STATE record."""
        self._store.start_next(self.epoch, self._sealing_key(), self._sacrifice)
        self._write_state(note=True)
        self._bound_bytes()

    def _follow_key(self) -> None:
        """Go on in a segment of the newest key. What is plain, or of an older key, is read until it is done and not written to any more.

        On a full disk that waits until there is room: no sample is given up for it.
        """
        key = self._keys.newest()
        if self._active.key_id == (key.id if key is not None else "") or not self._store.ensure_spare():
            return
        if key is None or self._sealing_key() is not None:
            self._roll()

    def _sealing_key(self) -> Key | None:
        """What the next segment is encrypted with; None: it is plain, also where there is no room to note which ones were before it."""
        key = self._keys.newest()
        plain = (segment.number for segment in self._segments if not segment.sealed)
        return key if key is not None and self._plain_note.keep(key, plain) else None

    def _sacrifice(self, oldest: Segment) -> None:
        """The disk is full and the file of this segment is needed for the next one."""
        if oldest in self._doomed:
            self._doomed.remove(oldest)
        elif not self.counters.done_with(oldest):
            self._give_up(oldest, "disk full")

    # --- giving up ---------------------------------------------------------------------------------------------------

    def _bound_age(self, now: int) -> None:
        limit_us = int(self._settings.max_age_s * 1e6)
        active = self._active
        if active.first_appended_us < now - limit_us // 8 and not self.counters.done_with(active):
            self._roll()  # so that it can age as a whole
        for segment in self._segments[:-1]:
            if segment.last_appended_us >= now - limit_us:
                break
            if segment not in self._doomed and not self.counters.done_with(segment):
                self._give_up(segment, "older than the buffer keeps")
                self._doomed.append(segment)

    def _bound_bytes(self) -> None:
        room = self._settings.max_bytes - self._settings.segment_bytes
        kept = [segment for segment in self._segments if segment not in self._doomed]
        while len(kept) > 1 and sum(segment.capacity for segment in kept) > room:
            oldest = kept.pop(0)
            if not self.counters.done_with(oldest):
                self._give_up(oldest, "the buffer's size limit")
                self._doomed.append(oldest)

    def _give_up(self, segment: Segment, cause: str) -> None:
        """Finish everything in a segment: gap events for what is lost, a new copy of what the uplink still holds."""
        offset = segment.begin
        for at, behind, _ in segment.records(end=segment.used):
            if at > offset:
                self._damaged(segment, offset)
            offset = behind
        if offset < segment.used:
            self._damaged(segment, offset)
        for key, carried, lost in contents_given_up(segment, self.counters, self._outstanding):
            self._staged += carried
            self._lose(key, lost, cause)

    def _damaged(self, segment: Segment, at: int) -> None:
        """Records behind that offset do not hold any more; each place is told of once."""
        if (segment.number, at) in self._holes:
            return
        log.error("a segment is damaged", extra={"segment": segment.number, "at": at})
        self._holes.add((segment.number, at))
        pending = {(key, gap.first_sequence) for key, gap in self._drops}
        for key, gap in unreadable(segment, self._segments, self.counters, self._outstanding, self._clock()):
            if (key, gap.first_sequence) not in pending:
                self._tell(gap)
                self._drops.append((key, gap))

    def _lose(self, key: StreamKey, lost: list[Entry], cause: str) -> None:
        for gap in gaps_of(key, lost, cause):
            self._tell(gap)
            self._drops.append((key, gap))

    def _apply_drops(self) -> None:
        """Finish what was given up, now that the gap events that tell of it are durable."""
        for key, gap in self._drops:
            log.error("dropped from the buffer", extra={"gap": gap})
            assert gap.first_sequence is not None
            assert gap.last_sequence is not None
            counter, samples = self.counters[key], max(gap.samples, 0)
            counter.skip(gap.first_sequence, gap.last_sequence)
            counter.buffered_samples -= samples
            counter.dropped_samples += samples
            self._dirty, self._state_written_us = True, 0
        self._drops = []

    def _tell(self, gap: Gap) -> None:
        body = self._gap_event(gap)
        self.append(kind=RecordKind.EVENT, lane=EVENT_LANE, stream=Stream.BACKFILL, body=body, checksum=OWN_GAP)

    # --- segments ----------------------------------------------------------------------------------------------------

    @property
    def _segments(self) -> list[Segment]:
        return self._store.segments

    @property
    def _active(self) -> Segment:
        return self._segments[-1]

    def _wanted(self, entry: Entry, stream: Stream) -> bool:
        if entry.stream is not stream or entry.kind in files.OWN:
            return False
        done = self.counters[entry.key].is_done(entry.sequence)
        return not done and not self._outstanding(entry.key, entry.sequence)

    def _removable(self) -> list[Segment]:
        """Segments, oldest first, of which nothing is needed any more."""
        gone: list[Segment] = []
        for segment in self._segments[:-1]:
            if segment not in self._doomed and not self.counters.done_with(segment):
                break
            gone.append(segment)
        return gone

    # --- opening -----------------------------------------------------------------------------------------------------

    def _switched_off(self, found: Iterable[Segment]) -> None:
        try:
            self._plain_note.switched_off(encrypted_before=any(segment.sealed for segment in found))
        except OSError as error:
            text = "what is written while encryption is off may be refused when it is on again"
            log.warning(text, extra={"cause": cause_of(error)})

    def _open(self, directory: Path, on_recovered: Callable[[bytes | Entry], None]) -> UUID:
        """Recover what is there; returns the epoch to go on with."""
        found = load(
            directory,
            gateway_id=self._gateway_id,
            now_us=self._clock(),
            on_recovered=on_recovered,
            key_of=self._keys.key,
            admits=lambda encrypted: self._plain_note.read(encrypted_before=encrypted),
        )
        self.refused_segments = len(list(directory.glob(f"*{REFUSED}")))
        if not self._keys.sealing:
            self._switched_off(found.segments)
        self.counters = StreamCounters(found.counters)
        self._written = {key: replace(one, done=set()) for key, one in found.counters.items()}
        self._store.segments += found.segments
        if found.segments:
            self._active.unseal()
        sound = bool(found.segments) and not found.gaps
        self.epoch = found.segments[-1].epoch if sound else uuid7(self._clock())
        if not sound:
            self._roll()
        for gap in found.gaps:
            log.error("buffer recovered with loss", extra={"gap": gap, "new_epoch": str(self.epoch)})
            self._tell(gap)
        # Written before the crash, perhaps not yet synced: what is read as appended must be durable.
        self._active.sync()
        self._dirty = True
        self.sync()
        for segment in found.damaged:
            if segment in self._segments:
                segment.mend()
        return self.epoch
