"""Records of `telemetry.rejected`: what was refused and why. The one place that makes them.

They carry the data, so that people can read it and it can be corrected and sent again. Called by the telemetry logic and
by the operators of all jobs. A record on which a job of ours fails becomes one too (PROCESSING_FAILED): it must not
restart the job for ever, and can be sent again once the defect is mended.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from base.errors import SchemaError, UnknownSchemaError
from schemas import codec, frame, topics
from schemas.definitions import Registry, TagDefinition
from schemas.frame import Frame
from schemas.verdicts import REJECT_FROM, VERDICT_MASK, RecordReject, Verdict
from stages.outputs import Origin, Output

_MAX_ORIGINAL_BYTES = topics.MAX_RECORD_BYTES - (16 << 10)
"""The rest of the record needs room too."""
_MAX_DETAIL = 4096
_NO_IDENTITY: dict[str, Any] = dict.fromkeys(("gateway_id", "epoch", "lane", "stream", "sequence"))
_NO_SAMPLES: dict[str, Any] = dict.fromkeys(("position", "tag_id", "time_us", "value", "quality"))


def _encode(
    reason: str,
    detail: str,
    origin: Origin,
    now_us: int,
    source: Frame | None,
    *,
    samples: int,
    columns: dict[str, Any] = _NO_SAMPLES,
    original: bytes | None = None,
) -> bytes:
    """Value of a Rejected record. `source`: the frame it came from, when that could be read."""
    identity = _NO_IDENTITY if source is None else {**frame.identity_of(source), "stream": source.stream.name}
    return codec.encode(
        "Rejected",
        {
            "reason": reason,
            "detail": detail[:_MAX_DETAIL],
            "rejected_time_us": now_us,
            "source_topic": origin.topic,
            "source_partition": origin.partition,
            "source_offset": origin.offset,
            **identity,
            "samples": samples,
            **columns,
            "original": original,
        },
    )


def whole(
    message: bytes | None, origin: Origin, now_us: int, reason: RecordReject, detail: str, source: Frame | None = None
) -> Output:
    """A record refused as a whole, with its original bytes; `source` when it is a frame that could be read.

    An original too large for any topic is left out, and the detail says so.
    """
    if message is not None and len(message) > _MAX_ORIGINAL_BYTES:
        detail, message = f"{detail} (original of {len(message)} bytes left out: too large)", None
    samples = 0 if source is None else source.samples
    value = _encode(reason.value, detail, origin, now_us, source, samples=samples, original=message)
    key = f"{origin.topic}/{origin.partition}" if source is None else source.lane_key
    return Output(topics.REJECTED.name, key.encode(), value)


def processing_failed(
    message: bytes | None, origin: Origin, now_us: int, error: Exception, source: Frame | None = None
) -> Output:
    """A record that a job of ours failed on."""
    return whole(message, origin, now_us, RecordReject.PROCESSING_FAILED, f"{type(error).__name__}: {error}", source)


def oversized(output: Output, now_us: int) -> Output:
    """In the place of an output that no topic takes: the sink would fail on it for ever."""
    detail = f"a record of {len(output.value)} bytes for {output.topic} is larger than Kafka takes"
    refused = whole(None, Origin(output.topic, -1, -1), now_us, RecordReject.PROCESSING_FAILED, detail)
    return refused._replace(key=output.key)


def undecodable(message: bytes, origin: Origin, now_us: int, error: SchemaError) -> Output:
    """A record that is no frame of ours."""
    reason = RecordReject.UNKNOWN_SCHEMA if isinstance(error, UnknownSchemaError) else RecordReject.UNDECODABLE
    return whole(message, origin, now_us, reason, str(error))


def samples(
    source: Frame,
    verdict: NDArray[np.uint8],
    time_us: NDArray[np.int64],
    registry: Registry,
    origin: Origin,
    now_us: int,
) -> list[Output]:
    """One record per reject reason among the verdicts of a frame, shape (n,); `time_us` its source times, shape (n,)."""
    codes = verdict & VERDICT_MASK
    refused = codes[codes >= REJECT_FROM]
    outputs: list[Output] = []
    if not len(refused):
        return outputs
    for code in np.unique(refused).tolist():
        reason = Verdict(code)
        at = np.flatnonzero(codes == code)
        tag_id, first = source.tag_ids[source.tag_index[at]], int(at[0])
        detail = _describe(
            reason, source, registry.tags.get(int(tag_id[0])), int(tag_id[0]), first, int(time_us[first])
        )
        columns = {
            "position": at.astype(np.int32),
            "tag_id": tag_id,
            "time_us": time_us[at],
            "value": source.value[at],
            "quality": source.quality[at],
        }
        detail = f"{len(at)} of {source.samples} samples; first: {detail}"
        value = _encode(reason.name, detail, origin, now_us, source, samples=len(at), columns=columns)
        outputs.append(Output(topics.REJECTED.name, source.lane_key.encode(), value))
    return outputs


def _describe(reason: Verdict, source: Frame, tag: TagDefinition | None, tag_id: int, at: int, time_us: int) -> str:
    """One sample's trouble for people, with the numbers."""
    value = float(source.value[at])
    if tag is None:
        return f"tag {tag_id} is not in the registry"
    ahead_s = (time_us - source.closed_time_us) / 1e6
    words = {
        Verdict.NOT_FINITE: f"{value}",
        Verdict.NOT_REPRESENTABLE: f"{value!r} is no {tag.data_type.value}",
        Verdict.OUT_OF_RANGE: f"{value!r} {tag.unit} is outside {tag.limit_low} to {tag.limit_high}",
        Verdict.RATE_OF_CHANGE: f"{value!r} {tag.unit} is reached faster than {tag.max_rate} {tag.unit}/s",
        Verdict.STUCK: f"{value!r} {tag.unit} has not changed for more than {tag.stuck_after_s} s",
        Verdict.FUTURE: f"source time is {ahead_s:.3f} s after the frame's close time",
        Verdict.TOO_OLD: f"source time is {-ahead_s / 86_400:.1f} days before the frame's close time",
        Verdict.UNKNOWN_TAG: "the tag is retired",
        Verdict.GATEWAY_NOT_AUTHORISED: "the tag is calculated: no gateway sends it"
        if tag.calculated
        else f"the tag belongs to gateway {tag.gateway_id} at site {tag.site}",
    }
    return f"{tag.path} (tag {tag_id}): {words[reason]}"
