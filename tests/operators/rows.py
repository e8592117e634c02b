"""Input rows of the operators, and frames and registry messages to put into them."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import numpy as np
from pyflink.common import Row

from schemas import definitions, frame, topics
from schemas.definitions import DataType, Historise, TagDefinition

EPOCH = UUID("01900000-0000-7000-8000-0000000000aa")
START_US = 1_800_000_000_000_000
_offsets: Counter[str] = Counter()


def row(topic: str, key: bytes | None, value: bytes | None, *, offset: int | None = None, partition: int = 0) -> Row:
    """A Kafka record; offsets count up by topic unless given."""
    if offset is None:
        offset = _offsets[topic]
        _offsets[topic] += 1
    return Row(topic, partition, offset, key, value)


def frame_message(
    sequence: int,
    *,
    gateway_id: str = "gw-1",
    lane: int = 0,
    samples: int = 10,
    tags: int = 2,
    registry_version: int = 1,
) -> bytes:
    """A live frame of `samples` samples a millisecond apart over tags 1..`tags`; a second of time per sequence."""
    base_us = START_US + sequence * 1_000_000
    index = np.arange(samples)
    return frame.encode(
        frame.build(
            gateway_id=gateway_id,
            epoch=EPOCH,
            lane=lane,
            stream=frame.Stream.LIVE,
            sequence=sequence,
            closed_time_us=base_us + 1_000_000,
            clock_status=frame.ClockStatus.SYNCHRONISED,
            registry_version=registry_version,
            tag_id=(index % tags + 1).astype(np.int32),
            time_us=base_us + index * 1_000,
            value=20.0 + np.sin(index + sequence),
            quality=np.zeros(samples, np.uint16),
        )
    )


def frame_row(sequence: int, *, gateway_id: str = "gw-1", lane: int = 0, **fields: int) -> Row:
    """That frame on its topic."""
    message = frame_message(sequence, gateway_id=gateway_id, lane=lane, **fields)
    return row("telemetry.frames.north", frame.lane_key(gateway_id, lane).encode(), message)


def tag(tag_id: int, *, gateway_id: str = "gw-1", lane: int = 0, windows_s: tuple[int, ...] = (1,)) -> TagDefinition:
    """A temperature of device 1 that nothing is wrong with."""
    return TagDefinition(
        tag_id=tag_id,
        device_id=1,
        registry_version=1,
        path=f"acme/north/hall/line/cell/press/temperature{tag_id}",
        name=f"temperature{tag_id}",
        site="north",
        device_class="press",
        tag_class="fast",
        description="",
        data_type=DataType.DOUBLE,
        unit="Cel",
        eu_low=None,
        eu_high=None,
        limit_low=None,
        limit_high=None,
        max_rate=None,
        stuck_after_s=None,
        period_ms=10,
        deadband=0.0,
        windows_s=windows_s,
        detector="",
        historise=Historise.ALL,
        gateway_id=gateway_id,
        lane=lane,
        address=f"opcua:ns=2;s={tag_id}",
        writable=False,
        retired=False,
    )


def registry_rows(*tags: TagDefinition, version: int = 1) -> list[Row]:
    """`registry.tags` with these definitions, complete at `version`."""
    messages = [
        *map(definitions.encode_tag, tags),
        definitions.encode_version(version, tags=len(tags), time_us=START_US),
    ]
    return [row(topics.TAGS.name, key, value) for key, value in messages]
