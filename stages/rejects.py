"""Records of `telemetry.rejected`: what was refused and why.

They carry the data, so that people can read it and it can be corrected and sent again.
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

_NOTHING: dict[str, Any] = dict.fromkeys(("gateway_id", "epoch", "lane", "stream", "sequence"))
_NO_SAMPLES: dict[str, Any] = dict.fromkeys(("position", "tag_id", "time_us", "value", "quality"))


def _source(origin: Origin, now_us: int) -> dict[str, Any]:
    return {
        "rejected_time_us": now_us,
        "source_topic": origin.topic,
        "source_partition": origin.partition,
        "source_offset": origin.offset,
    }


def _identity(judged: Frame) -> dict[str, Any]:
    return {**frame.identity_of(judged), "stream": judged.stream.name}


def whole(
    message: bytes, origin: Origin, now_us: int, reason: RecordReject, detail: str, judged: Frame | None = None
) -> Output:
    """A record refused as a whole, with its original bytes; `judged` when its identity could be read."""
    value = codec.encode(
        "Rejected",
        {
            "reason": reason.value,
            "detail": detail,
            **_source(origin, now_us),
            **(_NOTHING if judged is None else _identity(judged)),
            "samples": 0 if judged is None else judged.samples,
            **_NO_SAMPLES,
            "original": message,
        },
    )
    key = f"{origin.topic}/{origin.partition}" if judged is None else judged.lane_key
    return Output(topics.REJECTED.name, key.encode(), value)


def undecodable(message: bytes, origin: Origin, now_us: int, error: SchemaError) -> Output:
    """A record that is no frame of ours."""
    reason = RecordReject.UNKNOWN_SCHEMA if isinstance(error, UnknownSchemaError) else RecordReject.UNDECODABLE
    return whole(message, origin, now_us, reason, str(error))


def samples(
    judged: Frame,
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
        tag_id, first = judged.tag_ids[judged.tag_index[at]], int(at[0])
        detail = _describe(
            reason, judged, registry.tags.get(int(tag_id[0])), int(tag_id[0]), first, int(time_us[first])
        )
        value = codec.encode(
            "Rejected",
            {
                "reason": reason.name,
                "detail": f"{len(at)} of {judged.samples} samples; first: {detail}",
                **_source(origin, now_us),
                **_identity(judged),
                "samples": len(at),
                "position": at.astype(np.int32),
                "tag_id": tag_id,
                "time_us": time_us[at],
                "value": judged.value[at],
                "quality": judged.quality[at],
                "original": None,
            },
        )
        outputs.append(Output(topics.REJECTED.name, judged.lane_key.encode(), value))
    return outputs


def _describe(reason: Verdict, judged: Frame, tag: TagDefinition | None, tag_id: int, at: int, time_us: int) -> str:
    """One sample's trouble for people, with the numbers."""
    value = float(judged.value[at])
    if tag is None:
        return f"tag {tag_id} is not in the registry"
    ahead_s = (time_us - judged.closed_time_us) / 1e6
    words = {
        Verdict.NOT_FINITE: f"{value}",
        Verdict.NOT_REPRESENTABLE: f"{value!r} is no {tag.data_type.value}",
        Verdict.OUT_OF_RANGE: f"{value!r} {tag.unit} is outside {tag.limit_low} to {tag.limit_high}",
        Verdict.RATE_OF_CHANGE: f"{value!r} {tag.unit} is reached faster than {tag.max_rate} {tag.unit}/s",
        Verdict.STUCK: f"{value!r} {tag.unit} has not changed for more than {tag.stuck_after_s} s",
        Verdict.FUTURE: f"source time is {ahead_s:.3f} s after the frame's close time",
        Verdict.TOO_OLD: f"source time is {-ahead_s / 86_400:.1f} days before the frame's close time",
        Verdict.UNKNOWN_TAG: "the tag is retired",
        Verdict.GATEWAY_NOT_AUTHORISED: f"the tag belongs to gateway {tag.gateway_id} at site {tag.site}",
    }
    return f"{tag.path} (tag {tag_id}): {words[reason]}"
