"""Damage to a gateway's buffer: seeded truncations and flipped bits over all its segments, each judged against what was appended.

Leaves: how many trials there were, what was lost and told of, and every trial that broke a promise: the buffer did not open, gave an entry
that was never appended so, lost one without a gap event that covers it, or told of a loss that did not happen. No stack is started.

A gap event covers by sequence, with exact samples. Behind the last STATE record of the log nothing proves what was there: then it covers by
the times between which the entries were appended, as tight as the records on either side.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base import key_ring
from base.errors import cause_of
from edge import at_rest, segment_header
from edge.at_rest import PLAIN, AtRest
from edge.buffer import EVENT_LANE, Buffer
from edge.segment import Cursor, Entry, RecordKind, StreamKey
from edge.segment_store import BufferSettings
from schemas.checksum import MODULUS
from schemas.events import DeviceEvent, EventKind, Gap, decode
from schemas.frame import Stream

_GATEWAY = "g"
_SETTINGS = BufferSettings(segment_bytes=1 << 14, max_bytes=1 << 24)
_ENTRIES = 2_000
_START_US = 1_790_000_000_000_000
KINDS = ("truncated", "flipped", "flipped header", "zeroed tail")

Identity = tuple[StreamKey, int]


@dataclass(slots=True)
class Log:
    """A buffer's folder, everything appended to it, what was confirmed for good, and the clock afterwards."""

    folder: Path
    keys: AtRest = PLAIN
    appended: dict[Identity, Entry] = field(default_factory=dict)
    done: set[Identity] = field(default_factory=set)
    now_us: int = _START_US


def write(folder: Path, *, seed: int, keys: AtRest = PLAIN) -> Log:
    """Make a buffer of some 20 segments: lanes, live and backlog, sizes and confirmations drawn by the seed."""
    log, rng = Log(folder, keys), random.Random(seed)
    buffer = _open(log, folder)
    for _ in range(_ENTRIES // 5):
        for _ in range(rng.randint(1, 9)):
            lane, stream = rng.choice((0, 0, 0, 1, 2)), rng.choice((Stream.LIVE, Stream.BACKFILL))
            log.now_us += rng.randint(1_000, 200_000)
            buffer.append(
                kind=RecordKind.FRAME, lane=lane, stream=stream, body=rng.randbytes(rng.randint(1, 300)),
                samples=rng.randint(1, 50), checksum=rng.randrange(MODULUS), from_us=log.now_us - 100, to_us=log.now_us,
            )  # fmt: skip
        fresh = {(entry.key, entry.sequence): entry for entry in buffer.sync()}
        log.appended |= fresh
        if rng.random() < 0.3:
            # Mostly in order, as Kafka confirms; now and then not.
            open_ones = [identity for identity in log.appended if identity not in log.done]
            chosen = (
                open_ones[: rng.randint(0, 20)] if rng.random() < 0.9 else rng.sample(open_ones, min(5, len(open_ones)))
            )
            mine = [(*identity, log.appended[identity].samples) for identity in chosen]
            buffer.confirm(mine)
            log.done |= {(key, sequence) for key, sequence, _ in mine}
    buffer.close()
    return log


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one segment of a folder; returns what was done."""
    path = rng.choice(sorted(folder.glob("segment-*.log")))
    data, kind = bytearray(path.read_bytes()), rng.choice(KINDS)
    at = rng.randrange(len(data) if kind != "flipped header" else _header_bytes(bytes(data)))
    if kind == "truncated":
        del data[at:]
    elif kind == "zeroed tail":
        data[at:] = bytes(len(data) - at)
    else:
        data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{path.name} {kind} at byte {at}"


def _header_bytes(data: bytes) -> int:
    found = segment_header.parse(data)
    assert found is not None
    return len(found.data)


def judge(log: Log, folder: Path) -> tuple[list[str], Counter[str]]:
    """Open a damaged copy of `log`, twice; what is wrong with what it gives, and counts."""
    try:
        buffer = _open(log, folder)
        found = _entries(buffer)
        buffer.close()
        again = _open(log, folder)
        second = _entries(again)
        again.close()
    except Exception as error:  # noqa: BLE001 - any of them is what this looks for
        return [f"the buffer cannot be opened or read: {cause_of(error)}"], Counter()
    gaps = [gap for entry in found.values() if entry.kind is RecordKind.EVENT and (gap := _gap(entry)) is not None]
    frames = {identity: entry for identity, entry in found.items() if entry.kind is RecordKind.FRAME}
    wrong = [
        f"{identity} is not what was appended" for identity, one in frames.items() if log.appended.get(identity) != one
    ]
    lost = {identity: log.appended[identity] for identity in log.appended.keys() - frames.keys() - log.done}
    counts = Counter(lost=len(lost), gaps=len(gaps), lost_by_sequence=0)
    for gap in gaps:
        if gap.first_sequence is None:
            continue
        assert gap.epoch is not None
        assert gap.stream is not None
        assert gap.last_sequence is not None
        key = StreamKey(gap.epoch, gap.lane, gap.stream)
        run = [(key, sequence) for sequence in range(gap.first_sequence, gap.last_sequence + 1)]
        if odd := [identity for identity in run if identity not in lost]:
            wrong.append(f"told of a loss of {odd[0]}, which was not lost")
            continue
        samples = sum(lost.pop(identity).samples for identity in run)
        counts["lost_by_sequence"] += len(run)
        # Totals tell of what is between two records; of one that was confirmed and is damaged too nobody knows the samples.
        beside = {(key, gap.first_sequence - 1), (key, gap.last_sequence + 1)} & log.done
        if gap.samples != samples and not (beside and gap.samples < 0):
            wrong.append(f"told of {gap.samples} samples lost where there were {samples}")
    spans = [(gap.from_us, gap.to_us) for gap in gaps if gap.first_sequence is None]
    for identity, entry in lost.items():
        if not any(start <= entry.appended_us <= end for start, end in spans):
            wrong.append(f"lost {identity} without a word")
    if second != found:
        wrong.append("a second start gives something else")
    return wrong, counts


def run(seeds: Iterable[int], *, encrypted: bool = True) -> dict[str, Any]:
    """A trial for each seed; the seed names the damage, every hundred trials share a log. Encrypted, as a gateway's are."""
    counts: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        logs: dict[int, Log] = {}
        keys = PLAIN
        if encrypted:
            key_ring.add(Path(scratch) / at_rest.FILE)
            keys = AtRest(key_ring.open_keys(f"file:{Path(scratch) / at_rest.FILE}"), encrypt=True)
        for seed in seeds:
            of = seed // 100
            if of not in logs:
                logs = {of: write(Path(scratch) / f"log-{of}", seed=of, keys=keys)}
            copy = Path(scratch) / "copy"
            shutil.copytree(logs[of].folder, copy)
            what = damage(copy, random.Random(seed))
            wrong, counted = judge(logs[of], copy)
            shutil.rmtree(copy)
            counts += Counter(trials=1) + counted
            if wrong:
                failures.append({"seed": seed, "damage": what, "wrong": wrong[:5]})
    return {"trials": counts["trials"], "failed": len(failures), "failures": failures[:50], **counts}


def _open(log: Log, folder: Path) -> Buffer:
    def gap_event(gap: Gap) -> bytes:
        event = DeviceEvent(kind=EventKind.GAP, gateway_id=_GATEWAY, device_id=0, time_us=log.now_us, gap=gap)
        return bytes(4) + event.encode()

    return Buffer(
        folder, gateway_id=_GATEWAY, gap_event=gap_event, settings=_SETTINGS, clock=lambda: log.now_us, keys=log.keys
    )


def _entries(buffer: Buffer) -> dict[Identity, Entry]:
    """What is open, in memory once for each identity."""
    found: dict[Identity, Entry] = {}
    for stream in (Stream.LIVE, Stream.BACKFILL):
        cursor = Cursor(stream)
        while batch := buffer.read(cursor, 1 << 16):
            found |= {(entry.key, entry.sequence): entry for entry in batch}
    return found


def _gap(entry: Entry) -> Gap | None:
    assert entry.lane == EVENT_LANE
    return decode(entry.body[4:]).gap
