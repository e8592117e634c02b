"""A batch of raw records, decoded and sorted by type; and what became of it.

Enters: `Message`s. Leaves: a `Batch` for the store: frames by sequence key, other records by type, and `Poisoned` for
what no transaction could take. Pure: no database. Duplicates within the batch are taken out here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from base.errors import SchemaError, UnknownSchemaError
from historian.records import WRITERS, clean
from historian.samples import EARLIEST_US, LATEST_US, VERDICTS
from schemas import codec, frame, topics
from schemas.frame import Frame, SequenceKey
from schemas.verdicts import REJECT_FROM, VERDICT_MASK, RecordReject

log = logging.getLogger(__name__)

_MAX_SEQUENCE = 1 << 62
_COUNTS = ("frames", "duplicate_frames", "stored", "rejected", "suppressed", "windows", "windows_contested")
_RECORDS = frozenset(WRITERS) | {"AggregateBatch"}
_FORGETS = frozenset({topics.ALARMS.name})
"""Topics with tombstones: what a topic forgets stays in history."""


class Message(Protocol):
    """A Kafka record as read; any object with these will do."""

    @property
    def topic(self) -> str:
        """Topic."""

    @property
    def partition(self) -> int:
        """Partition."""

    @property
    def offset(self) -> int:
        """Offset."""

    @property
    def key(self) -> bytes:
        """Key; not looked at."""

    @property
    def value(self) -> bytes:
        """Single-object Avro."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundled:
    """A frame of a bundle, as if it had come alone."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes

    @classmethod
    def of(cls, message: Message, value: bytes) -> Bundled:
        """The frame `value` of the bundle `message`."""
        return cls(
            topic=message.topic, partition=message.partition, offset=message.offset, key=message.key, value=value
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Poisoned:
    """A record that cannot be stored, and why. `reason` is a RecordReject."""

    message: Message
    reason: RecordReject
    detail: str


@dataclass(kw_only=True, slots=True)
class WriteResult:
    """What became of a batch. Samples are those of new frames; `records` counts by type."""

    frames: int = 0
    duplicate_frames: int = 0
    stored: int = 0
    rejected: int = 0
    suppressed: int = 0
    windows: int = 0
    windows_contested: int = 0
    records: dict[str, int] = field(default_factory=dict)
    poisoned: list[Poisoned] = field(default_factory=list)
    seconds: float = 0.0

    def counts(self) -> dict[str, int]:
        """Numbers by name, and the duration in milliseconds, for metrics."""
        return {name: getattr(self, name) for name in _COUNTS} | {"write_ms": round(self.seconds * 1000)}

    def add(self, other: WriteResult) -> None:
        """Count another part of the same batch in."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, count in other.records.items():
            self.records[name] = self.records.get(name, 0) + count
        self.poisoned += other.poisoned


@dataclass(kw_only=True, slots=True)
class Batch:
    """Decoded records. `doubled` counts frames that were in the batch twice; `positions` is the first offset behind it, per partition."""

    frames: dict[SequenceKey, dict[int, tuple[Frame, Message]]] = field(default_factory=dict)
    records: dict[str, list[tuple[dict[str, Any], Message]]] = field(default_factory=dict)
    doubled: int = 0
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    poisoned: list[Poisoned] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.frames.values())) + sum(map(len, self.records.values()))

    def messages(self) -> Iterator[Message]:
        """Messages the transaction would write."""
        for group in self.frames.values():
            yield from (message for _, message in group.values())
        for found in self.records.values():
            yield from (message for _, message in found)

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches of half the records each, to be written in this order: only behind the second everything is in."""
        parts = (Batch(doubled=self.doubled), Batch(positions=self.positions))
        middle, place = len(self) // 2, 0
        for key, group in self.frames.items():
            for sequence, item in group.items():
                parts[place >= middle].frames.setdefault(key, {})[sequence] = item
                place += 1
        for name, found in self.records.items():
            for record in found:
                parts[place >= middle].records.setdefault(name, []).append(record)
                place += 1
        return parts

    def time_ranges(self) -> Iterator[tuple[str, int, int]]:
        """Table and range of time (microseconds, inclusive) of every frame and batch of windows: where partitions must be."""
        for group in self.frames.values():
            for item, _ in group.values():
                if (bounds := _accepted_range(item)) is not None:
                    yield ("samples", *bounds)
        for record, _ in self.records.get("AggregateBatch", ()):
            if len(record["start_us"]):
                # Unique starts: a batch may hold a window of last week beside those of now.
                yield from (("aggregates", start, start) for start in np.unique(record["start_us"]).tolist())


def decode_batch(messages: Sequence[Message]) -> Batch:
    """Decode, sort and check a batch; never raises for bad data."""
    batch = Batch()
    for message in messages:
        place = (message.topic, message.partition)
        batch.positions[place] = max(batch.positions.get(place, 0), message.offset + 1)
    written = [message for message in messages if message.value or message.topic not in _FORGETS]
    for message in _singly(batch, written):
        try:
            schema = codec.schema_of(message.value)
            if schema.name == "TelemetryFrame":
                _add_frame(batch, frame.decode(message.value), message)
            elif schema.name in _RECORDS:
                _, record = codec.decode(message.value)
                record = {name: clean(value) for name, value in record.items()}
                if schema.name == "AggregateBatch":
                    _check_windows(record)
                batch.records.setdefault(schema.name, []).append((record, message))
            else:
                _poison(batch, message, RecordReject.UNDECODABLE, f"the historian stores no {schema.name}")
        except UnknownSchemaError as error:
            _poison(batch, message, RecordReject.UNKNOWN_SCHEMA, str(error))
        except (SchemaError, ValueError) as error:
            _poison(batch, message, RecordReject.UNDECODABLE, str(error))
        except Exception as error:  # a defect of ours: it must not cost the other messages
            log.exception("record cannot be decoded", extra={"topic": message.topic, "offset": message.offset})
            _poison(batch, message, RecordReject.PROCESSING_FAILED, f"{type(error).__name__}: {error}")
    return batch


def _singly(batch: Batch, messages: Sequence[Message]) -> Iterator[Message]:
    """Frames of bundles each for itself: one that cannot be stored must not cost the others."""
    for message in messages:
        try:
            values = frame.unbundle(message.value)
        except SchemaError as error:
            _poison(batch, message, RecordReject.UNDECODABLE, str(error))
            continue
        yield from (message if value is message.value else Bundled.of(message, value) for value in values)


def _poison(batch: Batch, message: Message, reason: RecordReject, detail: str) -> None:
    batch.poisoned.append(Poisoned(message=message, reason=reason, detail=detail))


def _add_frame(batch: Batch, item: Frame, message: Message) -> None:
    if item.verdict is None:
        msg = "the frame has no verdicts: it was not validated"
        raise ValueError(msg)
    if not 0 <= item.sequence < _MAX_SEQUENCE or "\x00" in item.gateway_id:
        msg = f"no identity: gateway {item.gateway_id!r}, sequence {item.sequence}"
        raise ValueError(msg)
    if int(np.max(item.verdict & VERDICT_MASK)) >= VERDICTS:
        msg = f"unknown verdict {int(np.max(item.verdict & VERDICT_MASK))}"
        raise ValueError(msg)
    bounds = _accepted_range(item)
    if bounds is not None and not EARLIEST_US <= bounds[0] <= bounds[1] < LATEST_US:
        msg = f"accepted samples lie between {bounds[0]} and {bounds[1]} us, not within the years 2000 to 2099"
        raise ValueError(msg)
    group = batch.frames.setdefault(item.key, {})
    other = group.setdefault(item.sequence, (item, message))[0]
    if other is item:
        return
    if other.checksum != item.checksum:
        detail = (
            f"sequence {item.sequence} of {item.lane_key} twice, with checksums {other.checksum} and {item.checksum}"
        )
        _poison(batch, message, RecordReject.IDENTITY_CONFLICT, detail)
    else:
        batch.doubled += 1


def _accepted_range(item: Frame) -> tuple[int, int] | None:
    """Earliest and latest time of the accepted samples; None when there is none."""
    assert item.verdict is not None
    accepted = (item.verdict & VERDICT_MASK) < REJECT_FROM
    offsets = item.time_offset_us if accepted.all() else item.time_offset_us[accepted]
    return (item.base_time_us + int(offsets.min()), item.base_time_us + int(offsets.max())) if len(offsets) else None


def _check_windows(record: dict[str, Any]) -> None:
    starts, rows = record["start_us"], len(record["tag_id"])
    columns = [name for name, value in record.items() if isinstance(value, np.ndarray) and len(value) != rows]
    if columns:
        msg = f"column {columns[0]} has another length than tag_id"
        raise ValueError(msg)
    if record["window_s"] < 1 or (rows and not EARLIEST_US <= int(starts.min()) <= int(starts.max()) < LATEST_US):
        msg = f"windows of {record['window_s']} s lie outside the years 2000 to 2099"
        raise ValueError(msg)
