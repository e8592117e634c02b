"""Where the accounting's numbers come from: the database, the gateways' health reports, and the frames that lie in Kafka.

Enters: connection settings. Leaves: plain values; what cannot be reached is appended to `not_measured` in words. Who
calls: `historian.accounting`. Reads only, commits no offsets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from psycopg.types.range import Range

from base.errors import MillraceError, SchemaError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.postgres import transport
from historian import partitions
from historian.positions import GROUP
from schemas import codec, frame, topics
from schemas.frame import Frame, SequenceKey, Stream
from schemas.origins import Sites

Ranges = Sequence[tuple[int, int]]
"""Sorted, disjoint ranges of sequences, end exclusive."""

_CONNECT_S = 3
_FRESH_S = 3.0
"""How long to wait for health reports that are newer than the ledger; gateways report every second."""
_TAIL = 400
"""Newest records of each partition of the events in which to look for health reports."""
_LOOK_BACK = 2_000
"""Records before a group's committed offset that its job may still hold: offsets are committed at checkpoints."""
_STAGES = ((topics.FRAMES, "millrace-telemetry"), (topics.VALIDATED, GROUP))


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One row of the ledger. `checksum` covers stored, rejected and suppressed samples, without the calculated ones among them."""

    sequences: Ranges
    stored: int
    rejected: int
    suppressed: int
    checksum: int
    calculated: int = 0

    @property
    def end(self) -> int:
        """First sequence behind all that are in."""
        return self.sequences[-1][1] if self.sequences else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Counters:
    """What a gateway says of one sequence."""

    next_sequence: int
    produced: int
    checksum: int
    delivered_sequence: int
    buffered: int
    dropped: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """A frame found in Kafka: what its gateway sent, whether it has been validated or not."""

    samples: int
    checksum: int


@dataclass(kw_only=True, slots=True)
class Books:
    """What the database knows."""

    ledger: dict[SequenceKey, LedgerEntry] = field(default_factory=dict)
    counters: dict[SequenceKey, Counters] = field(default_factory=dict)
    held: dict[SequenceKey, dict[int, int]] = field(default_factory=dict)
    gaps: dict[SequenceKey, list[tuple[int, int]]] = field(default_factory=dict)
    duplicate_frames: int = 0
    duplicates: dict[tuple[str, int], int] = field(default_factory=dict)
    """Samples of frames that came again, by gateway and lane."""
    sites: Sites = field(default_factory=Sites)
    """Of gateways: what came on a topic of another site is in no account."""
    corrections: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """Superseded and corrected samples, by gateway and lane."""
    identity_conflicts: int = 0
    undecodable: int = 0
    newest_sample: str | None = None
    newest_sample_age_s: float | None = None
    dirty_ranges: int = 0
    partitions_waiting: tuple[int, float] = (0, 0.0)
    """Partitions that have ended and have not the indexes that they keep, and seconds since the oldest ended."""
    commands: dict[str, int] = field(default_factory=dict)

    def missing(self, key: SequenceKey, end: int) -> Ranges:
        """Sequences below `end` that the ledger does not have."""
        entry = self.ledger.get(key)
        return holes(entry.sequences if entry else (), end)


def holes(ranges: Ranges, end: int) -> Ranges:
    """What of 0..end is in none of the ranges."""
    found, at = [], 0
    for low, high in ranges:
        if low >= end:
            break
        if low > at:
            found.append((at, low))
        at = high
    if at < end:
        found.append((at, end))
    return found


def read_books(dsn: str, not_measured: list[str]) -> Books:
    """One consistent snapshot of the database; empty when it is down."""
    books = Books()
    transport.check(dsn)
    try:
        with psycopg.connect(dsn, connect_timeout=_CONNECT_S) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            _read_ledger(connection, books)
            _read_reports(connection, books)
    except psycopg.Error as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        not_measured.append(f"stored, rejected, suppressed, held: the database does not answer ({reason})")
    return books


def _read_ledger(connection: psycopg.Connection[Any], books: Books) -> None:
    rows = connection.execute(
        """SELECT gateway_id, epoch, lane, stream, ARRAY(SELECT unnest(sequences)), stored, rejected, suppressed,
                  calculated, wrap64(stored_checksum::numeric + rejected_checksum + suppressed_checksum - calculated_checksum)
           FROM ledger"""
    ).fetchall()
    for gateway_id, epoch, lane, stream, sequences, stored, rejected, suppressed, calculated, checksum in rows:
        books.ledger[SequenceKey(gateway_id, epoch, lane, Stream(stream))] = LedgerEntry(
            sequences=[_bounds(one) for one in sequences],
            stored=stored,
            rejected=rejected,
            suppressed=suppressed,
            calculated=calculated,
            checksum=checksum,
        )
    row = connection.execute(
        "SELECT max(newest_time), extract(epoch FROM now() - max(newest_time)) FROM ledger"
    ).fetchone()
    if row is not None and row[0] is not None:
        books.newest_sample, books.newest_sample_age_s = (
            row[0].isoformat(timespec="milliseconds"),
            round(float(row[1]), 3),
        )


def _bounds(one: Range[int]) -> tuple[int, int]:
    assert one.lower is not None
    assert one.upper is not None
    return one.lower, one.upper


def _read_reports(connection: psycopg.Connection[Any], books: Books) -> None:
    books.sites = Sites(gateways=dict(connection.execute("SELECT gateway_id, site FROM gateways").fetchall()))
    for gateway_id, epoch, lane, stream, *numbers in connection.execute(
        """SELECT gateway_id, epoch, lane, stream, next_sequence, produced_samples, produced_checksum, delivered_sequence, buffered_samples,
                  dropped_samples FROM gateway_health"""
    ).fetchall():
        books.counters[SequenceKey(gateway_id, epoch, lane, Stream(stream))] = _counters(numbers)
    for gateway_id, lane, frames, samples, conflicts, held in connection.execute(
        "SELECT gateway_id, lane, duplicate_frames, duplicate_samples, identity_conflicts, held FROM lane_progress"
    ).fetchall():
        books.duplicate_frames += frames
        books.duplicates[gateway_id, lane] = samples
        books.identity_conflicts += conflicts
        for one in held:
            key = SequenceKey(gateway_id, UUID(one["epoch"]), lane, Stream[one["stream"]])
            books.held.setdefault(key, {})[one["sequence"]] = one["samples"]
    for gateway_id, gap in connection.execute(
        "SELECT gateway_id, gap FROM device_events WHERE kind = 'GAP' AND gap ->> 'first_sequence' IS NOT NULL"
    ).fetchall():
        key = SequenceKey(gateway_id, UUID(gap["epoch"]), gap["lane"], Stream[gap["stream"]])
        books.gaps.setdefault(key, []).append((gap["first_sequence"], gap["last_sequence"] + 1))
    row = connection.execute("SELECT undecodable, dirty_ranges FROM backlog").fetchone()
    assert row is not None
    books.undecodable, books.dirty_ranges = row
    books.partitions_waiting = partitions.waiting(connection, datetime.now(UTC))
    for gateway_id, lane, superseded, corrected in connection.execute(
        "SELECT gateway_id, lane, superseded, corrected FROM superseded_by_lane"
    ).fetchall():
        books.corrections[gateway_id, lane] = superseded, corrected
    books.commands = dict(
        connection.execute("SELECT state, count(*) FROM command GROUP BY state ORDER BY state").fetchall()
    )


def _counters(numbers: Sequence[int]) -> Counters:
    next_sequence, produced, checksum, delivered, buffered, dropped = numbers
    return Counters(
        next_sequence=next_sequence,
        produced=produced,
        checksum=checksum,
        delivered_sequence=delivered,
        buffered=buffered,
        dropped=dropped,
    )


def read_counters(settings: KafkaSettings, books: Books, not_measured: list[str]) -> dict[SequenceKey, Counters]:
    """Newest counters of every sequence: the database's, or newer ones from the tail of the events.

    Waits a moment for reports that are newer than the ledger that was read before.
    """
    counters = dict(books.counters)
    deadline = time.monotonic() + _FRESH_S
    try:
        while True:
            _read_tail(settings, counters, books.sites)
            behind = [
                key
                for key, entry in books.ledger.items()
                if key not in counters or counters[key].next_sequence < entry.end
            ]
            if not behind or time.monotonic() > deadline:
                return counters
            time.sleep(0.2)
    except (MillraceError, KafkaException) as error:
        not_measured.append(
            f"produced since the newest report in the database, in flight: Kafka does not answer ({error})"
        )
    return counters


def _read_tail(settings: KafkaSettings, counters: dict[SequenceKey, Counters], sites: Sites) -> None:
    for topic in _existing(settings, topics.EVENTS.pattern):
        for message in kafka.read_to_end(settings, topic, last=_TAIL, timeout_s=_CONNECT_S):
            value = message.value()
            if value is None:
                continue
            try:
                _, event = codec.decode(value, "DeviceEvent")
            except SchemaError:
                continue  # the telemetry and historian jobs report what cannot be read
            if sites.foreign(topics.site_of(topic), event["gateway_id"]):
                continue  # the historian refuses it
            for lane in event["lanes"] if event["kind"] == "GATEWAY_HEALTH" else ():
                key = SequenceKey(event["gateway_id"], lane["epoch"], lane["lane"], Stream[lane["stream"]])
                one = _counters([
                    lane[name]
                    for name in (
                        "next_sequence", "produced_samples", "produced_checksum", "delivered_sequence", "buffered_samples",
                        "dropped_samples",
                    )
                ])  # fmt: skip
                known = counters.get(key)
                if known is None or (one.next_sequence, one.delivered_sequence) >= (
                    known.next_sequence,
                    known.delivered_sequence,
                ):
                    counters[key] = one


def _existing(settings: KafkaSettings, pattern: str) -> list[str]:
    source = kafka.consumer(settings)
    try:
        return list(kafka.topics_matching(source, [pattern], timeout_s=_CONNECT_S))
    finally:
        source.close()


def find_frames(
    settings: KafkaSettings, wanted: Mapping[SequenceKey, Ranges], sites: Sites, not_measured: list[str]
) -> dict[SequenceKey, dict[int, Flight]]:
    """Look for frames in the topics before the two jobs: what a job has not read, or may hold since its last checkpoint."""
    found: dict[SequenceKey, dict[int, Flight]] = {}
    try:
        for topic, group in _STAGES:
            for name in _existing(settings, topic.pattern):
                unread = _unread(settings, name, group)
                site = topics.site_of(name) if topic.per_site else None
                for message in kafka.read_to_end(settings, name, last=unread, timeout_s=_CONNECT_S):
                    for one in frames_of(message.value(), site, sites):
                        if any(low <= one.sequence < high for low, high in wanted.get(one.key, ())):
                            flight = Flight(samples=int(np.count_nonzero(one.sent)), checksum=one.checksum)
                            found.setdefault(one.key, {})[one.sequence] = flight
    except (MillraceError, KafkaException) as error:
        not_measured.append(f"in flight: Kafka does not answer ({error})")
    return found


def _unread(settings: KafkaSettings, topic: str, group: str) -> int | None:
    """Offsets from the end to read; None for all, when the group has committed nothing."""
    source: Consumer = kafka.consumer(settings, group=group)
    try:
        ends = kafka.watermarks(source, topic, timeout_s=_CONNECT_S)
        committed = source.committed([TopicPartition(topic, partition) for partition in ends], timeout=_CONNECT_S)
        filled = [one for one in committed if ends[one.partition][0] < ends[one.partition][1]]
        if any(one.offset < 0 for one in filled):
            return None
        return max((ends[one.partition][1] - one.offset for one in filled), default=0) + _LOOK_BACK
    finally:
        source.close()


def frames_of(value: bytes | None, site: str | None, sites: Sites) -> Iterator[Frame]:
    """Frames of a message; what the telemetry job refuses whole is none. `site` of a topic of gateways."""
    if value is None:
        return
    try:
        frames = [frame.decode(each) for each in frame.unbundle(value)]
    except SchemaError:
        return
    for one in frames:
        if site is None or not sites.foreign(site, one.gateway_id):
            yield one
