"""The way of a reading through the gateway: collected, normalised, thinned, framed, appended, sent, confirmed.

Enters: readings and notices of connectors (this is their `Sink`). Leaves: frames and events to the uplink, after they are
durable. One coroutine (`run`) drives it; disk work happens in a thread of its own, one call at a time, so that neither a
slow disk nor a big frame delays commands. A reading's way to Kafka takes at most the frame age (200 ms), one fdatasync and
the producer's linger.

`run` ends by raising when the buffer fails: a gateway that cannot keep its promise stops, and its supervisor sees it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from base.ids import Clock
from connectors.readings import Notice, Readings, Seen
from edge import framing
from edge.at_rest import PLAIN, AtRest
from edge.buffer import EVENT_LANE, Buffer
from edge.events import Events
from edge.framing import Collected, Collector, Draft, FramingSettings
from edge.normalise import TagTable, normalise
from edge.recovery import Counter
from edge.seen import LastSeen
from edge.segment import Cursor, Entry, RecordKind, StreamKey
from edge.segment_store import BufferSettings
from schemas import frame
from schemas.checksum import to_signed, to_unsigned
from schemas.events import LaneHealth
from schemas.frame import ClockStatus, Stream
from stages.thinning.deadband import Batch
from stages.thinning.reporting import Reporting

log = logging.getLogger(__name__)

T = TypeVar("T")
_IDLE_S = 0.5
_FAR_US = 1 << 62


class UplinkLike(Protocol):
    """What the pipeline needs of `edge.uplink.Uplink`."""

    def is_live(self) -> bool:
        """Whether what is appended now is live."""

    def backlog_room(self) -> int:
        """Bytes of backlog that may be submitted now."""

    def submit(self, entries: list[Entry]) -> None:
        """Send entries."""

    def drain_reports(self) -> tuple[list[tuple[StreamKey, int, int]], list[Entry]]:
        """Confirmed entries, and hopeless ones."""


@dataclass(slots=True)
class Thinning:
    """Which algorithm thins tags that have a deadband, where the tag itself does not say."""

    swinging_door: bool = False
    max_silence_s: float = 60.0

    def make(self, table: TagTable) -> Reporting:
        """State for the tags of a table."""
        door = [self.swinging_door if tag.swinging_door is None else tag.swinging_door for tag in table.tags]
        silence_s = [self.max_silence_s if tag.max_silence_s is None else tag.max_silence_s for tag in table.tags]
        silence_us = (np.array(silence_s, dtype=np.float64) * 1e6).astype(np.int64)
        return Reporting(table.band, np.array(door, dtype=np.bool_), silence_us)


@dataclass(slots=True)
class _Work:
    """What one turn hands to the buffer's thread."""

    drafts: list[Draft] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    confirmed: list[tuple[StreamKey, int, int]] = field(default_factory=list)
    hopeless: list[Entry] = field(default_factory=list)
    on_appended: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.drafts or self.events or self.confirmed or self.hopeless or self.on_appended)


class Pipeline:
    """From connectors to the uplink, in the order of the readings of each lane."""

    def __init__(
        self,
        directory: Path,
        *,
        gateway_id: str,
        clock: Clock,
        framing_settings: FramingSettings,
        buffer_settings: BufferSettings,
        thinning: Thinning,
        is_outstanding: Callable[[StreamKey, int], bool],
        events: Events,
        keys: AtRest = PLAIN,
    ) -> None:
        """Open the buffer in `directory`; raises BufferFailedError."""
        self.seen = LastSeen()
        self.clock_status = ClockStatus.UNKNOWN
        self.deadbanded = 0
        self.on_samples: Callable[[NDArray[np.int32], Batch], None] = lambda _tag_id, _batch: None
        """Called with what machines said, before it is thinned: tag ids and columns of the same length."""
        self.turns = 0
        """How often `run` went round: at least twice a second while all is well."""
        self._gateway_id, self._clock, self._settings, self._thinning = gateway_id, clock, framing_settings, thinning
        self._events = events
        self._table = TagTable(0, ())
        self._thin = thinning.make(self._table)
        self._collector = Collector(framing_settings)
        self._next = _Work()
        self._wake = asyncio.Event()
        self._cursors = {stream: Cursor(stream) for stream in (Stream.LIVE, Stream.BACKFILL)}
        self._recovered_live = True
        self._stopping = False
        self._thread = ThreadPoolExecutor(1, "buffer")
        self._buffer = Buffer(
            directory,
            gateway_id=gateway_id,
            gap_event=events.of_gap,
            settings=buffer_settings,
            outstanding=is_outstanding,
            note=self.seen.note,
            on_recovered=self.seen.recover,
            clock=clock,
            keys=keys,
        )

    # --- for connectors (Sink) -----------------------------------------------------------------------------------------

    def readings(self, readings: Readings, on_appended: Callable[[], None] | None = None) -> None:
        """Take readings over."""
        if self._collector.add(readings, on_appended, self._now_s()):
            self._wake.set()

    def notice(self, notice: Notice) -> None:
        """Take a notice over."""
        self._next.events.append(self._events.of_notice(notice))
        self._wake.set()

    @property
    def dead_devices(self) -> frozenset[int]:
        """Devices whose connectors said that their values are stale."""
        return frozenset(self._events.dead)

    def last_seen(self, tag_id: int) -> Seen:
        """The last sample of the tag that was appended."""
        return self.seen.of(tag_id)

    async def settled(self) -> None:
        """Wait until all readings handed over so far are appended."""
        appended = asyncio.Event()
        self.readings(Readings(), appended.set)
        await appended.wait()

    # --- for the gateway -------------------------------------------------------------------------------------------------

    def use(self, table: TagTable) -> None:
        """Go on with another table of tags; what was collected so far is framed with the old one."""
        self._close_frames(final=True)
        self._table, self._thin = table, self._thinning.make(table)

    def wake(self) -> None:
        """There are reports to take from the uplink."""
        self._wake.set()

    async def run(self, uplink: UplinkLike) -> None:
        """Drive the pipeline until `stop`; raises BufferFailedError. Not to be cancelled: a turn is done as a whole."""
        while not self._stopping:
            await self._wait()
            self._wake.clear()
            await self._turn(uplink, final=False)
            self.turns += 1

    def stop(self) -> None:
        """Let `run` end after its current turn."""
        self._stopping = True
        self._wake.set()

    async def finish(self, uplink: UplinkLike) -> None:
        """Append what was collected and submit it, after `run` has ended."""
        await self._turn(uplink, final=True)

    async def confirm_sent(self, uplink: UplinkLike) -> None:
        """Take the uplink's last reports in."""
        await self._turn(uplink, final=False, backlog=False)

    async def close(self) -> None:
        """Close the buffer."""
        await self._in_thread(self._buffer.close)
        self._thread.shutdown()

    async def health(self) -> tuple[LaneHealth, ...]:
        """Counters of every lane, epoch and stream."""
        return await self._in_thread(
            lambda: tuple(_health(key, one) for key, one in sorted(self._buffer.counters.items()) if key.lane >= 0)
        )

    async def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return await self._in_thread(lambda: {**self._buffer.status(), "deadbanded": self.deadbanded})

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _wait(self) -> None:
        due = self._collector.due_s
        timeout = _IDLE_S if due is None else max(0.0, min(_IDLE_S, due - self._now_s()))
        if timeout and not self._wake.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _turn(self, uplink: UplinkLike, *, final: bool, backlog: bool = True) -> None:
        due = self._collector.due_s
        if final or (due is not None and self._now_s() >= due):
            self._close_frames(final=final)
        work, self._next = self._next, _Work()
        work.confirmed, work.hopeless = uplink.drain_reports()
        live = uplink.is_live()
        # Also without work: the buffer writes positions and keeps its bounds.
        appended = await self._in_thread(lambda: self._append(work, live=live))
        uplink.submit([entry for entry in appended if entry.stream is Stream.LIVE])
        for done in work.on_appended:
            done()
        if backlog:
            await self._send_backlog(uplink)

    async def _send_backlog(self, uplink: UplinkLike) -> None:
        if self._recovered_live:
            # Live entries of an earlier run go first.
            entries = await self._in_thread(lambda: self._buffer.read(self._cursors[Stream.LIVE], 1 << 20))
            self._recovered_live = bool(entries)
            uplink.submit(entries)
            if entries:
                self._wake.set()
            return
        room = uplink.backlog_room()
        if room:
            entries = await self._in_thread(lambda: self._buffer.read(self._cursors[Stream.BACKFILL], room))
            uplink.submit(entries)

    def _close_frames(self, *, final: bool) -> None:
        """Collected readings -> drafts and events."""
        collected: Collected = self._collector.drain()
        work = self._next
        work.on_appended += collected.on_appended
        for readings in (collected.live, collected.historical):
            if not len(readings):
                continue
            result = normalise(readings, self._table)
            self._events.refuse(result.refusals)
            work.events += [self._events.of_text(text, self._table.by_id[text.tag_id]) for text in result.texts]
            batch = result.batch
            if not readings.historical:
                self.on_samples(self._table.tag_id[batch.slot], batch)
                batch = self._thin.apply(batch)
                self.deadbanded += len(result.batch.slot) - len(batch.slot)
            self._draft(work, batch, historical=readings.historical)
        held = self._thin.flush(_FAR_US if final else self._clock())
        if held is not None:
            self.deadbanded -= len(held.slot)
            self._draft(work, held, historical=False)
        work.events += self._events.drain_refused(self._table.by_id)

    def _draft(self, work: _Work, batch: Batch, *, historical: bool) -> None:
        limit = self._settings.max_samples
        work.drafts += framing.drafts(batch, self._table, historical=historical, max_samples=limit)

    def _append(self, work: _Work, *, live: bool) -> list[Entry]:
        """In the buffer's thread."""
        buffer, stream = self._buffer, Stream.LIVE if live else Stream.BACKFILL
        buffer.confirm(work.confirmed)
        for entry in work.hopeless:
            buffer.give_up(entry, "refused by Kafka")
        for draft in work.drafts:
            self._append_frame(draft, Stream.BACKFILL if draft.historical else stream)
        for body in work.events:
            buffer.append(kind=RecordKind.EVENT, lane=EVENT_LANE, stream=stream, body=body)
        return buffer.sync()

    def _append_frame(self, draft: Draft, stream: Stream) -> None:
        built = framing.build(
            draft,
            gateway_id=self._gateway_id,
            epoch=self._buffer.epoch,
            stream=stream,
            sequence=self._buffer.next_sequence(draft.lane, stream),
            closed_time_us=self._clock(),
            clock_status=self.clock_status,
        )
        times = draft.batch.time_us
        self._buffer.append(
            kind=RecordKind.HISTORICAL if draft.historical else RecordKind.FRAME,
            lane=draft.lane,
            stream=stream,
            body=frame.encode(built),
            samples=built.samples,
            checksum=to_unsigned(built.checksum),
            from_us=int(np.min(times)),
            to_us=int(np.max(times)),
        )
        if not draft.historical:
            self.seen.add(built)


def _health(key: StreamKey, one: Counter) -> LaneHealth:
    return LaneHealth(
        lane=key.lane,
        epoch=key.epoch,
        stream=key.stream,
        next_sequence=one.next_sequence,
        produced_samples=one.samples,
        produced_checksum=to_signed(one.checksum),
        delivered_sequence=one.floor,
        buffered_samples=one.buffered_samples,
        dropped_samples=one.dropped_samples,
    )
