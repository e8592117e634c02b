"""Records that a job gives up on, as `Rejected` with their original bytes.

A defect of ours on one record must not restart the job on that record for ever: it becomes a PROCESSING_FAILED
record on `telemetry.rejected`, which is logged, counted and can be sent again once the defect is mended.
"""

from __future__ import annotations

from schemas import codec
from schemas.verdicts import RecordReject

MAX_REQUEST_BYTES = 4 << 20
"""Largest request the broker takes (`message.max.bytes`)."""
MAX_RECORD_BYTES = MAX_REQUEST_BYTES - (4 << 10)
"""Largest value that fits in one with key and headers; a larger one would fail the job at the sink again and again."""
_ROOM_FOR_FIELDS = 16 << 10


def rejected(
    *,
    reason: RecordReject | str,
    detail: str,
    topic: str,
    partition: int,
    offset: int,
    original: bytes | None,
    now_us: int,
) -> bytes:
    """Value for `telemetry.rejected` of one whole record. An original that is too large for any topic is left out, and that is said."""
    if original is not None and len(original) > MAX_RECORD_BYTES - _ROOM_FOR_FIELDS:
        detail, original = f"{detail} (original of {len(original)} bytes left out: too large)", None
    record = {
        "reason": str(reason),
        "detail": detail[:4096],
        "rejected_time_us": now_us,
        "source_topic": topic,
        "source_partition": partition,
        "source_offset": offset,
        "samples": 0,
        "original": original,
    }
    return codec.encode("Rejected", record)


def processing_failed(
    error: Exception, *, topic: str, partition: int, offset: int, original: bytes | None, now_us: int
) -> bytes:
    """Value for `telemetry.rejected` of a record the job failed on."""
    detail = f"{type(error).__name__}: {error}"
    reason = RecordReject.PROCESSING_FAILED
    return rejected(
        reason=reason, detail=detail, topic=topic, partition=partition, offset=offset, original=original, now_us=now_us
    )


def oversized(topic: str, size: int, now_us: int) -> bytes:
    """Value for `telemetry.rejected` in place of an output that no topic takes."""
    detail = f"a record of {size} bytes for {topic} is larger than Kafka takes"
    return rejected(
        reason=RecordReject.PROCESSING_FAILED,
        detail=detail,
        topic=topic,
        partition=-1,
        offset=-1,
        original=None,
        now_us=now_us,
    )
