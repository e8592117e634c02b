"""What a gateway has on disk: its buffer, its command journal, its copy of the registry; made, packed, and gone on from.

The files are those of a gateway that was killed: nothing is closed, the journal's last transactions are in its WAL.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from edge.at_rest import PLAIN, AtRest
from edge.buffer import EVENT_LANE, Buffer
from edge.command_journal import CommandJournal, Entry
from edge.events import Events
from edge.registry_cache import RegistryCache, RegistryView
from edge.seen import LastSeen
from edge.segment import Cursor, RecordKind
from edge.segment import Entry as Record
from edge.segment_store import BufferSettings
from schemas import events as device_events
from schemas import frame, topics
from schemas.checksum import to_unsigned
from schemas.commands import CommandControl, CommandRequest, CommandState, Effect, ParameterOutcome
from schemas.definitions import TagDefinition, encode_tag, encode_version
from schemas.events import DeviceEvent, EventKind
from schemas.frame import Stream
from tests.golden.support import GATEWAY, SITE, make_frame, tag, us
from tests.state.command_scenarios import FAR_US, Scenario

START_US = us(0)
SEGMENTS = BufferSettings(segment_bytes=1 << 14, max_bytes=5 << 14)
TAGS = (1, 2)


# --- the buffer ---------------------------------------------------------------------------------------------------------------


class OpenBuffer:
    """A buffer with what the gateway's pipeline keeps beside it; a millisecond goes by with every entry."""

    def __init__(self, directory: Path, *, now_us: int, keys: AtRest = PLAIN) -> None:
        self.now_us = now_us
        self.seen = LastSeen()
        events = Events(gateway_id=GATEWAY, clock=self.clock)
        self.buffer = Buffer(
            directory, gateway_id=GATEWAY, gap_event=events.of_gap, settings=SEGMENTS, note=self.seen.note,
            on_recovered=self.seen.recover, clock=self.clock, keys=keys,
        )  # fmt: skip

    def clock(self) -> int:
        return self.now_us

    def frame(self, stream: Stream, *, lane: int = 0, historical: bool = False, samples: int = 24) -> None:
        """Append a frame as the pipeline does."""
        self.now_us += 1000
        second = (self.now_us - START_US) / 1e6
        rows = [(TAGS[n % 2], second - 0.001 * (samples - n), float(n)) for n in range(samples)]
        sequence = self.buffer.next_sequence(lane, stream)
        built = replace(make_frame(rows, sequence, stream=stream, lane=lane, closed_s=second), epoch=self.buffer.epoch)
        self.buffer.append(
            kind=RecordKind.HISTORICAL if historical else RecordKind.FRAME, lane=lane, stream=stream,
            body=frame.encode(built), samples=samples, checksum=to_unsigned(built.checksum),
            from_us=int(built.time_us.min()), to_us=int(built.time_us.max()),
        )  # fmt: skip
        if not historical:
            self.seen.add(built)

    def event(self, stream: Stream) -> None:
        """Append a birth."""
        self.now_us += 1000
        birth = DeviceEvent(
            event_id=UUID(int=(7 << 76) | (2 << 62) | self.now_us), kind=EventKind.BIRTH, gateway_id=GATEWAY,
            device_id=1, time_us=self.now_us, text="born",
        )  # fmt: skip
        body = (1).to_bytes(4, "little") + birth.encode()
        self.buffer.append(kind=RecordKind.EVENT, lane=EVENT_LANE, stream=stream, body=body)

    def pending(self) -> list[Record]:
        """Everything that Kafka is not known to have, live first."""
        found: list[Record] = []
        for stream in (Stream.LIVE, Stream.BACKFILL):
            cursor = Cursor(stream)
            while batch := self.buffer.read(cursor, 1 << 16):
                found += batch
        return found

    def confirm(self, records: Iterable[Record]) -> None:
        self.buffer.confirm((record.key, record.sequence, record.samples) for record in records)

    def told(self) -> dict[str, Any]:
        """What it says of itself."""
        counters = [
            [str(key.epoch), key.lane, key.stream.name, one.next_sequence, one.samples, one.checksum, one.floor,
             one.buffered_samples, one.dropped_samples, sorted(one.done)]
            for key, one in sorted(self.buffer.counters.items())
        ]  # fmt: skip
        return {
            "epoch": str(self.buffer.epoch),
            "oldest_us": self.buffer.oldest_us,
            "seen": [[tag_id, self.seen.of(tag_id).time_us] for tag_id in TAGS],
            "counters": counters,
            "pending": [_shown(record) for record in self.pending()],
        }


def _shown(record: Record) -> list[Any]:
    where = [record.kind.name, record.lane, record.stream.name, record.sequence, record.samples, record.checksum]
    times = [record.from_us, record.to_us, record.appended_us]
    if record.kind is RecordKind.EVENT:
        event = device_events.decode(record.body[4:])
        gap = event.gap
        lost = None if gap is None else [gap.lane, gap.first_sequence, gap.last_sequence, gap.samples, gap.cause]
        return [*where, *times, event.kind.value, lost]
    return [*where, *times, sha256(record.body).hexdigest()[:16]]


def make_buffer(folder: Path) -> None:
    """Two lives of a buffer: live data and an outage longer than its bounds, then a new start with a little more, killed."""
    work = folder.with_name("work")
    first = OpenBuffer(work, now_us=START_US)
    for number in range(40):
        first.frame(Stream.LIVE, lane=number % 2)
    first.event(Stream.LIVE)
    first.buffer.sync()
    live = first.pending()
    first.confirm(live[:30] + live[32:35])  # a hole in what is confirmed
    first.now_us += 2_000_000
    first.buffer.sync()
    for number in range(120):  # more than fits: the oldest goes, and a gap event tells of it
        first.frame(Stream.BACKFILL, lane=number % 2, historical=number % 10 == 9)
        if number % 40 == 0:
            first.event(Stream.BACKFILL)
        first.buffer.sync()
    first.buffer.close()
    second = OpenBuffer(work, now_us=first.now_us + 60_000_000)
    for _ in range(5):
        second.frame(Stream.LIVE)
    second.frame(Stream.BACKFILL, lane=1)
    second.buffer.sync()
    shutil.copytree(work, folder)
    second.buffer.close()


def resume_buffer(folder: Path) -> dict[str, Any]:
    """What a start finds, and how it goes on: more is appended, everything is confirmed, and it is opened once more."""
    now_us = START_US + 600_000_000
    opened = OpenBuffer(folder, now_us=now_us)
    found = {"found": opened.told()}
    opened.frame(Stream.LIVE)
    opened.frame(Stream.LIVE, lane=1)
    opened.frame(Stream.BACKFILL, lane=1)
    opened.buffer.sync()
    found["more"] = opened.told() | {"pending": len(opened.pending())}
    opened.confirm(opened.pending())
    opened.now_us += 2_000_000
    opened.buffer.sync()
    opened.buffer.close()
    again = OpenBuffer(folder, now_us=now_us + 10_000_000)
    found["confirmed"] = again.told()
    again.buffer.close()
    return found


# --- the command journal ------------------------------------------------------------------------------------------------------

_TOPIC = topics.REQUESTS.for_site(SITE)
_IN_HAND = range(1, 12)
_APPLIED = ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=4.0)


def _message(number: int, word: str = "request", *, at_us: int, attempt: int = 1, approval: bool = False,
             expires_us: int = FAR_US) -> CommandRequest | CommandControl:  # fmt: skip
    record = Scenario(number=number, before=(), after=(), approval=approval).record(
        word, at_us=at_us, expires_us=expires_us
    )
    assert isinstance(record, (CommandRequest, CommandControl))
    return replace(record, attempt=attempt) if isinstance(record, CommandRequest) else record


def make_journal(folder: Path) -> None:
    """Commands in every state a journal keeps."""
    work = folder.with_name("work")
    work.mkdir()
    clock = itertools.count(START_US, 1_000_000).__next__
    journal = CommandJournal(work / "commands.sqlite", clock=clock)
    at = START_US + 1_000_000
    journal.receive(
        [_message(n, at_us=at, approval=n in {2, 3, 9}) for n in _IN_HAND], [(_TOPIC, 0, 20), (_TOPIC, 2, 7)]
    )
    journal.receive([_message(2, "approve", at_us=at), _message(8, "cancel", at_us=at)], [(_TOPIC, 0, 22)])
    journal.receive([_message(20, "cancel", at_us=at)], [(_TOPIC, 1, 1)])  # of a request that has not come
    journal.receive([_message(21, at_us=START_US - 1)], [])  # older than the journal
    journal.receive([_message(9, at_us=at, approval=True, attempt=3)], [])
    for number in (4, 5, 6):
        assert journal.intend(_message(number, at_us=at).command_id)
    journal.finish(_message(4, at_us=at).command_id, CommandState.SUCCEEDED, "written", (_APPLIED,))
    journal.finish(_message(5, at_us=at).command_id, CommandState.FAILED, "refused", ())
    journal.end(_message(7, at_us=at).command_id, CommandState.EXPIRED, "too late")
    journal.told([(_message(n, at_us=at).command_id, CommandState.DELIVERED) for n in (1, 3)])
    journal.told([(_message(5, at_us=at).command_id, CommandState.FAILED)])
    shutil.copytree(work, folder, ignore=shutil.ignore_patterns("*-shm"))  # shared memory of a process that is gone
    journal.close()


def resume_journal(folder: Path) -> dict[str, Any]:
    """What a start finds, and how it goes on."""
    at = START_US + 100_000_000
    clock = itertools.count(at, 1_000_000).__next__
    journal = CommandJournal(folder / "commands.sqlite", clock=clock)
    found: dict[str, Any] = {"created_us": journal.created_us, "positions": _positions(journal)}
    found["ready"] = [_entry(entry) for entry in journal.recover()]
    found["untold"] = [_entry(entry) for entry in journal.untold()]
    again = [_message(n, at_us=at, approval=n == 3, attempt=2) for n in (1, 3, 4, 6, 20, 30)]
    controls = [_message(3, "approve", at_us=at), _message(9, "cancel", at_us=at), _message(4, "cancel", at_us=at)]
    received = journal.receive([*again, *controls], [(_TOPIC, 0, 40)])
    found["received"] = [[*_entry(one.entry), one.ready] for one in received]
    found["intended"] = [[n, journal.intend(_message(n, at_us=at).command_id)] for n in (*_IN_HAND, 20, 21, 30)]
    journal.told([(entry.request.command_id, entry.state) for entry in journal.untold()])
    found["left_untold"] = len(journal.untold())
    found["positions_then"] = _positions(journal)
    found["pruned"] = journal.prune(FAR_US + 1)
    found["kept"] = [n for n in (*_IN_HAND, 20, 21, 30) if journal.find(_message(n, at_us=at).command_id)]
    journal.close()
    return found


def _positions(journal: CommandJournal) -> list[list[Any]]:
    return [[*place, offset] for place, offset in sorted(journal.positions().items())]


def _entry(entry: Entry) -> list[Any]:
    request = entry.request
    return [request.device_id, entry.state.value, entry.attempt, entry.detail, dict(entry.readback), request.name,
            request.requires_approval, request.expires_us]  # fmt: skip


# --- the copy of the registry -------------------------------------------------------------------------------------------------


_SHOWN = ("tag_id", "path", "unit", "data_type", "limit_low", "windows_s", "writable", "address")


class _FromTopic(NamedTuple):
    """A record of `registry.tags` as the consumer gives it."""

    pair: tuple[bytes, bytes]

    def key(self) -> bytes:
        return self.pair[0]

    def value(self) -> bytes:
        return self.pair[1]


def _registry(folder: Path) -> RegistryCache:
    return RegistryCache(folder / "registry.cache", gateway_id=GATEWAY, site=SITE, on_view=lambda _: None)


def _version(version: int, *tags: TagDefinition) -> list[_FromTopic]:
    pairs = [*map(encode_tag, tags), encode_version(version, tags=len(tags), time_us=START_US)]
    return [_FromTopic(pair) for pair in pairs]


def make_registry(folder: Path) -> None:
    """A copy of a version with tags of this gateway, of another one, and of another site."""
    folder.mkdir()
    cache = _registry(folder)
    mine = [tag(n, limit_low=0.0, windows_s=(1, 60), unit="Cel", writable=n == 2) for n in TAGS]
    others = [tag(3, 2, gateway_id="gw-other"), tag(4, retired=True), tag(5, site="south")]
    cache.on_messages(_version(7, *mine, *others))
    cache.caught_up()


def resume_registry(folder: Path) -> dict[str, Any]:
    """What a start without Kafka knows, and what the next version makes of it."""
    cache = _registry(folder)
    cache.load()
    found = {"found": _view(cache.view)}
    cache.on_messages(_version(8, tag(1, registry_version=8, retired=True), tag(6, registry_version=8)))
    cache.caught_up()
    again = _registry(folder)
    again.load()
    return found | {"next": _view(cache.view), "again": _view(again.view)}


def _view(view: RegistryView) -> list[Any]:
    tags = [[str(getattr(tag, name)) for name in _SHOWN] for _, tag in sorted(view.tags.items())]
    return [view.version, tags, sorted(view.foreign)]


MAKE = {"buffer": make_buffer, "journal": make_journal, "registry": make_registry}
RESUME = {"buffer": resume_buffer, "journal": resume_journal, "registry": resume_registry}
