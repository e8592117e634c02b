"""The frame: many samples of the devices of one lane, as columns, and its identity.

Written by the gateway, validated by the telemetry job, stored by the historian. `(gateway_id, epoch, lane, stream,
sequence)` names a frame for ever; the same identity with another checksum is a conflict, never a duplicate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from base.errors import FrameError, UndecodableError
from schemas import checksum, codec
from schemas.verdicts import VERDICT_MASK, Verdict

MAX_SAMPLES = 65_536
"""Largest frame. A 16-byte sample makes this 1 MiB on the wire, the broker's default message limit; the gateway closes at 10,000."""


class Stream(IntEnum):
    """Which of a lane's sequences a frame belongs to. The number is what SQL stores."""

    LIVE = 0
    BACKFILL = 1
    REPLAY = 2


class ClockStatus(StrEnum):
    """Whether the gateway's clock was disciplined when the frame was closed."""

    SYNCHRONISED = "SYNCHRONISED"
    UNSYNCHRONISED = "UNSYNCHRONISED"
    UNKNOWN = "UNKNOWN"


class SequenceKey(NamedTuple):
    """What a contiguous run of sequences belongs to."""

    gateway_id: str
    epoch: UUID
    lane: int
    stream: Stream


def lane_key(gateway_id: str, lane: int) -> str:
    """Kafka key and Flink key of a lane: `<gateway_id>/<lane>`."""
    return f"{gateway_id}/{lane}"


def parse_lane_key(key: str) -> tuple[str, int]:
    """Inverse of `lane_key`; raises ValueError for anything else."""
    gateway_id, _, lane = key.rpartition("/")
    return gateway_id, int(lane)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """Columns have shape (samples,), except `tag_ids`, the dictionary. Times are microseconds UTC."""

    gateway_id: str
    epoch: UUID
    lane: int
    stream: Stream
    sequence: int
    base_time_us: int
    closed_time_us: int
    clock_status: ClockStatus
    registry_version: int
    tag_ids: NDArray[np.int32]
    tag_index: NDArray[np.uint16]
    time_offset_us: NDArray[np.int32]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]
    verdict: NDArray[np.uint8] | None = None
    samples: int
    checksum: int
    traceparent: str | None = None
    signature: bytes | None = None
    key_id: str | None = None

    @property
    def key(self) -> SequenceKey:
        """Identity without the sequence."""
        return SequenceKey(self.gateway_id, self.epoch, self.lane, self.stream)

    @property
    def lane_key(self) -> str:
        """Kafka key of the lane."""
        return lane_key(self.gateway_id, self.lane)

    @property
    def tag_id(self) -> NDArray[np.int32]:
        """Tag of each sample, shape (samples,)."""
        return self.tag_ids[self.tag_index]

    @property
    def time_us(self) -> NDArray[np.int64]:
        """Source time of each sample, microseconds UTC, shape (samples,)."""
        return self.time_offset_us.astype(np.int64) + self.base_time_us

    @property
    def sent(self) -> NDArray[np.bool_]:
        """Which samples its gateway sent, shape (samples,): all but those that the telemetry job calculated."""
        if self.verdict is None:
            return np.ones(self.samples, dtype=np.bool_)
        sent: NDArray[np.bool_] = (self.verdict & VERDICT_MASK) != Verdict.CALCULATED
        return sent

    def computed_checksum(self) -> int:
        """Checksum of the samples that were sent as they are now, two's complement."""
        chosen = slice(None) if self.verdict is None else self.sent
        columns = self.tag_id[chosen], self.time_us[chosen], self.value[chosen], self.quality[chosen]
        return checksum.to_signed(checksum.checksum(*columns))


def build(
    *,
    gateway_id: str,
    epoch: UUID,
    lane: int,
    stream: Stream,
    sequence: int,
    closed_time_us: int,
    clock_status: ClockStatus,
    registry_version: int,
    tag_id: NDArray[np.int32],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint16],
    traceparent: str | None = None,
) -> Frame:
    """Frame of samples given as plain columns of shape (n,), 1 <= n <= MAX_SAMPLES.

    Raises FrameError when the times span more than 2^31 µs on either side of their median, which time_offset_us cannot
    hold: the caller splits.

    >>> frame = build(
    ...     gateway_id="gw-1", epoch=UUID("01890a5d-ac96-774b-bcce-b302099a8057"), lane=0, stream=Stream.LIVE, sequence=7,
    ...     closed_time_us=1_767_225_600_200_000, clock_status=ClockStatus.SYNCHRONISED, registry_version=1,
    ...     tag_id=np.array([11, 12, 11]), time_us=1_767_225_600_000_000 + np.array([0, 0, 100_000]),
    ...     value=np.array([20.5, 1.0, 20.7]), quality=np.zeros(3, np.uint16),
    ... )
    >>> frame.lane_key, frame.samples, frame.tag_id.tolist()
    ('gw-1/0', 3, [11, 12, 11])
    >>> again = decode(encode(frame))
    >>> again.value.tolist(), again.time_us.tolist() == frame.time_us.tolist()
    ([20.5, 1.0, 20.7], True)
    >>> again.computed_checksum() == again.checksum
    True
    """
    samples = len(tag_id)
    if not 0 < samples <= MAX_SAMPLES or not samples == len(time_us) == len(value) == len(quality):
        msg = f"columns of {samples}, {len(time_us)}, {len(value)} and {len(quality)} samples do not make a frame"
        raise FrameError(msg)
    base_time_us = int(np.partition(time_us, samples // 2)[samples // 2])
    offset = time_us - base_time_us
    if offset.min() < -(1 << 31) or offset.max() >= 1 << 31:
        msg = f"samples span {(int(time_us.max()) - int(time_us.min())) / 1e6:.0f} s, more than one frame holds"
        raise FrameError(msg)
    tag_ids, tag_index = np.unique(tag_id, return_inverse=True)
    return Frame(
        gateway_id=gateway_id,
        epoch=epoch,
        lane=lane,
        stream=stream,
        sequence=sequence,
        base_time_us=base_time_us,
        closed_time_us=closed_time_us,
        clock_status=clock_status,
        registry_version=registry_version,
        tag_ids=tag_ids.astype(np.int32),
        tag_index=tag_index.astype(np.uint16),
        time_offset_us=offset.astype(np.int32),
        value=np.asarray(value, dtype=np.float64),
        quality=np.asarray(quality, dtype=np.uint16),
        samples=samples,
        checksum=checksum.to_signed(checksum.checksum(tag_id, time_us, value, quality)),
        traceparent=traceparent,
    )


def encode(frame: Frame, *, verdict: NDArray[np.uint8] | None = None) -> bytes:
    """Kafka value of a frame; with `verdict`, shape (samples,), of the frame with its verdicts."""
    record = {name: getattr(frame, name) for name in _FIELDS}
    record["stream"] = frame.stream.name
    record["clock_status"] = frame.clock_status.value
    if verdict is not None:
        record["verdict"] = verdict
    return codec.encode("TelemetryFrame", record)


_FIELDS = tuple(field.name for field in dataclasses.fields(Frame))


def with_verdicts(message: bytes, frame: Frame, verdict: NDArray[np.uint8]) -> bytes:
    """Kafka value of a frame with its verdicts, given the value it came as: `encode` at a fifth of its cost.

    The verdicts, shape (samples,), are put where the message has none; everything else stays as it came. An empty message is of a
    frame that is not as it came: it is encoded.
    """
    options = map(_option, (frame.traceparent, frame.signature, frame.key_id))
    tail = b"".join((codec.long_bytes(frame.samples), codec.long_bytes(frame.checksum), *options))
    # The tail of a foreign writer may be longer than it has to be.
    if not (frame.verdict is None and message.endswith(tail) and message.startswith(_newest_header())):
        return encode(frame, verdict=verdict)
    at = len(message) - len(tail) - len(_ABSENT)
    column = verdict.tobytes()
    return b"".join((memoryview(message)[:at], _PRESENT, codec.long_bytes(len(column)), column, tail))


_ABSENT, _PRESENT = b"\x00", b"\x02"
"""Branches of an optional field, as Avro writes them."""


def _option(value: bytes | str | None) -> bytes:
    if value is None:
        return _ABSENT
    data = value.encode() if isinstance(value, str) else value
    return b"".join((_PRESENT, codec.long_bytes(len(data)), data))


@cache
def _newest_header() -> bytes:
    return codec.newest("TelemetryFrame").header


def bundle(gateway_id: str, lane: int, messages: Sequence[bytes]) -> bytes:
    """One record of several validated frames of a lane, given their values; a single one stays what it is."""
    if len(messages) == 1:
        return messages[0]
    return codec.encode("FrameBundle", {"gateway_id": gateway_id, "lane": lane, "frames": list(messages)})


def unbundle(message: bytes) -> list[bytes]:
    """Values of the frames in a record of `telemetry.validated`; whatever is no bundle is given back as it is.

    Raises UndecodableError for a torn bundle.
    """
    if message[: codec.HEADER_BYTES] not in _bundle_headers():
        return [message]
    frames: list[bytes] = codec.decode(message, "FrameBundle")[1]["frames"]
    return frames


@cache
def _bundle_headers() -> frozenset[bytes]:
    return frozenset(schema.header for schema in codec.all_schemas()["FrameBundle"])


def decode(message: bytes) -> Frame:
    """Frame of a Kafka value. Raises UndecodableError or UnknownSchemaError; columns are checked to fit together, the checksum is not."""
    _, record = codec.decode(message, "TelemetryFrame")
    record["stream"] = Stream[record["stream"]]
    record["clock_status"] = ClockStatus(record["clock_status"])
    frame = Frame(**record)
    _check_shape(frame)
    return frame


def _check_shape(frame: Frame) -> None:
    n = frame.samples
    columns = (frame.tag_index, frame.time_offset_us, frame.value, frame.quality, frame.verdict)
    lengths = [n if column is None else len(column) for column in columns]
    if lengths.count(n) != len(lengths):
        msg = f"frame of {n} samples has columns of {lengths}"
        raise UndecodableError(msg)
    if n < 1 or int(frame.tag_index.max()) >= len(frame.tag_ids):
        msg = f"frame of {n} samples points outside its dictionary of {len(frame.tag_ids)} tags"
        raise UndecodableError(msg)


def peek_lane_key(message: bytes) -> str | None:
    """Lane key of a frame message without decoding the rest (about 2 µs); None for anything else.

    Relies on gateway_id, epoch and lane being the first fields of every version of TelemetryFrame.
    """
    if not message.startswith(_frame_headers()):
        return None
    try:
        length, at = codec.read_long(message, codec.HEADER_BYTES)
        skipped, behind = codec.read_long(message, at + length)
        lane, _ = codec.read_long(message, behind + skipped)
        return lane_key(message[at : at + length].decode(), lane) if length >= 0 and skipped >= 0 else None
    except (IndexError, ValueError):  # torn: the real decoder will say what is wrong
        return None


@cache
def _frame_headers() -> tuple[bytes, ...]:
    return tuple(schema.header for schema in codec.all_schemas()["TelemetryFrame"])


def identity_of(frame: Frame | dict[str, Any]) -> dict[str, Any]:
    """Identity fields by name, as the other records carry them."""
    get = frame.__getitem__ if isinstance(frame, dict) else lambda name: getattr(frame, name)
    return {name: get(name) for name in ("gateway_id", "epoch", "lane", "stream", "sequence")}
