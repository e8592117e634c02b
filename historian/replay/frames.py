"""Frames of a replay: what is sent for a refusal, and under which identity. Pure.

Enters: a `Refusal` and a `Correction`. Leaves: `Resent`s: one per tag of the refusal, or one for a whole record.

A REPLAY frame carries the samples of one tag that one frame was refused for one reason. Its epoch is a UUIDv5 over the
refused frame's gateway, lane, epoch, stream and block of sequences, the reason, the tag and the correction; its sequence
is the refused frame's within that block. So the same samples with the same correction have the same identity whenever
and however often they are sent; a fault that lasts makes one contiguous run of sequences in each block; and no interval
set has more than BLOCK / 2 ranges. A record that was refused as a whole keeps its own identity: nothing of it was counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np

from base.errors import UndecodableError
from historian.replay.correction import Correction
from historian.replay.selection import Refusal, Samples
from schemas import frame
from schemas.frame import ClockStatus, SequenceKey, Stream
from schemas.topics import FRAMES, VALIDATED

BLOCK = 1024
"""Sequences of the refused stream that share an epoch: 200 s of a lane that closes five frames a second."""
WHOLE = 0
"""Stands for the tag of a record that was refused as a whole."""
_NAMESPACE = UUID("6f0a3c52-8d0b-5b0e-9c58-1b7f5c1f6a11")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resent:
    """One record to send: of `samples` samples of tag `tag_id`, as (`key`, `sequence`)."""

    refusal: str
    reason: str
    tag_id: int
    correction: str
    key: SequenceKey
    sequence: int
    samples: int
    topic: str
    kafka_key: bytes
    message: bytes


def replay_key(original: SequenceKey, sequence: int, reason: str, tag_id: int, correction: str) -> SequenceKey:
    """Sequence key of what replays the samples of a tag that frame `sequence` was refused for a reason."""
    gateway_id, epoch, lane, stream = original
    name = f"{gateway_id}\n{lane}\n{epoch}\n{stream.name}\n{sequence // BLOCK}\n{reason}\n{tag_id}\n{correction}"
    return SequenceKey(gateway_id, uuid5(_NAMESPACE, name), lane, Stream.REPLAY)


def resend(
    refusal: Refusal, correction: Correction, *, tag_ids: frozenset[int] | None, registry_version: int
) -> Iterator[Resent]:
    """What to send for a refusal; `tag_ids` limits it to these.

    Raises SchemaError for a record that still is no frame, FrameError for samples too far apart in time for one.
    """
    if refusal.samples is None:
        yield _whole(refusal)
        return
    for tag_id in np.unique(refusal.samples.tag_id).tolist():
        if tag_ids is None or tag_id in tag_ids:
            yield _of_tag(refusal, refusal.samples, tag_id, correction, registry_version)


def _of_tag(refusal: Refusal, samples: Samples, tag_id: int, correction: Correction, registry_version: int) -> Resent:
    mine = samples.tag_id == tag_id
    time_us, value = correction.apply(samples.time_us[mine], samples.value[mine])
    key = replay_key(samples.key, samples.sequence, refusal.reason, tag_id, correction.name)
    built = frame.build(
        gateway_id=key.gateway_id,
        epoch=key.epoch,
        lane=key.lane,
        stream=key.stream,
        sequence=samples.sequence % BLOCK,
        # Judged as of the refusal: a sample from the future does not become one of the past by waiting.
        closed_time_us=refusal.rejected_us,
        clock_status=ClockStatus.UNKNOWN,
        # The job holds the frame back until it knows the corrected definitions.
        registry_version=registry_version,
        tag_id=samples.tag_id[mine],
        time_us=time_us,
        value=value,
        quality=samples.quality[mine],
    )
    return Resent(
        refusal=refusal.identity,
        reason=refusal.reason,
        tag_id=tag_id,
        correction=correction.name,
        key=key,
        sequence=built.sequence,
        samples=built.samples,
        topic=refusal.topic,
        kafka_key=built.lane_key.encode(),
        message=frame.encode(built),
    )


def _whole(refusal: Refusal) -> Resent:
    site = refusal.topic.startswith(FRAMES.name + ".")
    if refusal.original is None or not (site or refusal.topic == VALIDATED.name):
        msg = f"the record is not of a topic of frames but of {refusal.topic}, or was not kept"
        raise UndecodableError(msg)
    found = frame.decode(refusal.original)
    if found.computed_checksum() != found.checksum:
        msg = "the checksum of the samples is not the one the frame says"
        raise UndecodableError(msg)
    return Resent(
        refusal=refusal.identity,
        reason=refusal.reason,
        tag_id=WHOLE,
        correction=Correction().name,
        key=found.key,
        sequence=found.sequence,
        samples=int(np.count_nonzero(found.sent)),
        topic=refusal.topic,
        kafka_key=found.lane_key.encode(),
        message=refusal.original,
    )
