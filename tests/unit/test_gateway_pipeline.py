"""The pipeline with an uplink in memory: what is live, what is backlog, in which order, and what is told when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from base.ids import now_us
from connectors.readings import Notice, Readings, Value
from edge.events import Events, unpack
from edge.framing import FramingSettings
from edge.normalise import TagTable
from edge.pipeline import Pipeline, Thinning
from edge.segment import Entry, RecordKind, StreamKey
from edge.segment_store import BufferSettings
from schemas import events, frame
from schemas.events import DeviceEvent, EventKind
from schemas.frame import Stream
from tests.integration.gateway_support import tag, until

pytestmark = pytest.mark.unit

TAGS = [tag(1, "a:1"), tag(2, "a:2", lane=1), tag(3, "a:3", deadband=1.0)]


@dataclass
class MemoryUplink:
    """Takes entries; confirms them when told to."""

    live: bool = True
    room: int = 1 << 20
    hold: bool = False
    sent: list[Entry] = field(default_factory=list)
    confirmed: int = 0
    hopeless: list[Entry] = field(default_factory=list)

    def is_live(self) -> bool:
        return self.live

    def backlog_room(self) -> int:
        return self.room if self.live else 0

    def is_outstanding(self, key: StreamKey, sequence: int) -> bool:
        return any((entry.key, entry.sequence) == (key, sequence) for entry in self.sent[self.confirmed :])

    def submit(self, entries: list[Entry]) -> None:
        self.sent += entries

    def drain_reports(self) -> tuple[list[tuple[StreamKey, int, int]], list[Entry]]:
        hopeless, self.hopeless = self.hopeless, []
        if not self.live or self.hold:
            return [], hopeless
        fresh, self.confirmed = self.sent[self.confirmed :], len(self.sent)
        return [(entry.key, entry.sequence, entry.samples) for entry in fresh if entry not in hopeless], hopeless

    def values(self, stream: Stream | None = None) -> list[float]:
        return [
            value
            for entry in self.sent
            if entry.kind is not RecordKind.EVENT and stream in {None, entry.stream}
            for value in frame.decode(entry.body).value.tolist()
        ]

    def events(self) -> list[DeviceEvent]:
        return [events.decode(unpack(entry.body)[1]) for entry in self.sent if entry.kind is RecordKind.EVENT]


def open_pipeline(folder: Path, uplink: MemoryUplink) -> Pipeline:
    return Pipeline(
        folder,
        gateway_id="gw1",
        clock=now_us,
        framing_settings=FramingSettings(max_age_ms=10),
        buffer_settings=BufferSettings(segment_bytes=1 << 16, max_bytes=1 << 20),
        thinning=Thinning(),
        is_outstanding=uplink.is_outstanding,
        events=Events("gw1", now_us),
    )


@contextlib.asynccontextmanager
async def running(folder: Path, uplink: MemoryUplink) -> AsyncIterator[Pipeline]:
    pipeline = open_pipeline(folder, uplink)
    pipeline.use(TagTable(1, TAGS))
    task = asyncio.create_task(pipeline.run(uplink))
    try:
        yield pipeline
    finally:
        pipeline.stop()
        await task
        await pipeline.finish(uplink)
        await pipeline.confirm_sent(uplink)
        await pipeline.close()


def readings(*values: Value, tag_id: int = 1, historical: bool = False) -> Readings:
    made, first_us = Readings(historical=historical), now_us()
    for number, value in enumerate(values):  # a fast machine reads the clock twice in a microsecond
        made.add(tag_id, first_us + number, value, 0)
    return made


async def test_samples_are_confirmed_to_their_source_after_append(tmp_path: Path) -> None:
    uplink, done = MemoryUplink(), asyncio.Event()
    async with running(tmp_path, uplink) as pipeline:
        pipeline.readings(readings(1.0, 2.0), done.set)
        pipeline.readings(readings(5.0, tag_id=2))
        await asyncio.wait_for(done.wait(), 5)
        assert sum(lane.produced_samples for lane in await pipeline.health()) == 3
        await until(lambda: len(uplink.values()) == 3)
    assert {(entry.lane, entry.stream) for entry in uplink.sent} == {(0, Stream.LIVE), (1, Stream.LIVE)}


async def test_after_an_outage_live_goes_first_and_the_backlog_behind(tmp_path: Path) -> None:
    uplink = MemoryUplink()
    async with running(tmp_path, uplink) as pipeline:
        pipeline.readings(readings(1.0))
        await until(lambda: uplink.values() == [1.0])
        uplink.live = False
        for value in (2.0, 3.0):
            appended = asyncio.Event()
            pipeline.readings(readings(value), appended.set)
            await asyncio.wait_for(appended.wait(), 5)
        assert uplink.values() == [1.0]
        uplink.live, uplink.room = True, 0
        pipeline.readings(readings(4.0))
        await until(lambda: uplink.values() == [1.0, 4.0])
        uplink.room = 1 << 20
        await until(lambda: uplink.values() == [1.0, 4.0, 2.0, 3.0])
    assert uplink.values(Stream.LIVE) == [1.0, 4.0]
    assert [entry.sequence for entry in uplink.sent] == [0, 1, 0, 1]


async def test_a_restart_sends_what_was_not_confirmed_live_first(tmp_path: Path) -> None:
    away = MemoryUplink(live=False)
    async with running(tmp_path, away) as pipeline:
        pipeline.readings(readings(2.0, historical=True))
        pipeline.readings(readings(3.0))
        await until(lambda: pipeline.seen.of(1).time_us)
    back = MemoryUplink()
    async with running(tmp_path, back) as pipeline:
        pipeline.readings(readings(9.0))
        await until(lambda: len(back.values()) == 3)
        assert pipeline.last_seen(1).time_us > 0
    assert sorted(back.values()) == [2.0, 3.0, 9.0]
    assert back.values(Stream.LIVE) == [9.0]


async def test_a_new_registry_version_starts_with_its_own_frames(tmp_path: Path) -> None:
    uplink = MemoryUplink()
    async with running(tmp_path, uplink) as pipeline:
        pipeline.readings(readings(1.0))
        pipeline.use(TagTable(2, [*TAGS, tag(4, "a:4")]))
        pipeline.readings(readings(2.0, tag_id=4))
        await until(lambda: len(uplink.values()) == 2)
    versions = {tuple(f.value.tolist()): f.registry_version for f in (frame.decode(e.body) for e in uplink.sent)}
    assert versions == {(1.0,): 1, (2.0,): 2}


async def test_thinned_samples_are_counted_apart(tmp_path: Path) -> None:
    uplink = MemoryUplink()
    async with running(tmp_path, uplink) as pipeline:
        pipeline.readings(readings(1.0, 1.5, 3.0, tag_id=3))
        await until(lambda: len(uplink.values()) == 2)
        assert (await pipeline.status())["deadbanded"] == 1
        assert sum(lane.produced_samples for lane in await pipeline.health()) == 2


async def test_texts_refusals_and_notices_become_events(tmp_path: Path) -> None:
    uplink = MemoryUplink()
    async with running(tmp_path, uplink) as pipeline:
        pipeline.readings(readings("on", 2**53 + 1, 1.0))
        pipeline.notice(Notice(kind=EventKind.BIRTH, device_id=1, time_us=5, text="here"))
        await until(lambda: len(uplink.events()) == 3)
    assert {event.kind for event in uplink.events()} == {EventKind.STRING, EventKind.REFUSED, EventKind.BIRTH}
    assert uplink.values() == [1.0]


async def test_what_kafka_will_never_take_is_a_gap(tmp_path: Path) -> None:
    uplink = MemoryUplink(hold=True)
    async with running(tmp_path, uplink) as pipeline:
        pipeline.readings(readings(1.0, 2.0))
        await until(lambda: len(uplink.values()) == 2)
        uplink.hopeless.append(uplink.sent[0])
        await until(uplink.events)
        (lane,) = await pipeline.health()
    gap = uplink.events()[0].gap
    assert gap is not None
    assert (gap.first_sequence, gap.last_sequence, gap.samples, gap.cause) == (0, 0, 2, "refused by Kafka")
    assert (lane.produced_samples, lane.dropped_samples, lane.buffered_samples) == (2, 2, 0)
