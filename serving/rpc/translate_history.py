"""What was, and the line: domain objects to protobuf messages. Columns become little-endian bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.proto.millrace.v1 import history_pb2, line_pb2, state_pb2
from serving.caches.closed_windows import ClosedWindows
from serving.caches.gateways import Gateway
from serving.handlers.history import Samples, Series, Windows
from serving.handlers.periods import Period
from serving.handlers.production import OeeRow, State
from serving.handlers.records import Event, Reject
from serving.handlers.selection import since_epoch_us


def samples(found: Samples) -> history_pb2.ReadSamplesResponse:
    """A chunk of samples."""
    return history_pb2.ReadSamplesResponse(
        tag_id=found.tag.tag_id,
        path=found.tag.path if found.first else "",
        unit=found.tag.unit if found.first else "",
        time_us=_bytes(found.time_us, "<i8"),
        value=_bytes(found.value, "<f8"),
        quality=_bytes(found.quality, "<u2"),
        tag_complete=found.last,
        periods=[_period(one) for one in found.periods],
    )


def windows(found: Windows) -> history_pb2.ReadAggregatesResponse:
    """A chunk of windows."""
    return history_pb2.ReadAggregatesResponse(
        tag_id=found.tag.tag_id,
        path=found.tag.path if found.first else "",
        unit=found.tag.unit if found.first else "",
        window_s=found.window_s,
        **{name: _bytes(getattr(found, name), "<i8") for name in ("start_us", "count", "good")},
        **{name: _bytes(getattr(found, name), "<f8") for name in ("mean", "min", "max", "stddev")},
        repaired=_bytes(found.repaired, "u1"),
        tag_complete=found.last,
        periods=[_period(one) for one in found.periods],
    )


def _period(one: Period) -> history_pb2.TagPeriod:
    return history_pb2.TagPeriod(
        start_us=one.start_us,
        path=one.path,
        unit=one.unit,
        eu_low=one.eu_low,
        eu_high=one.eu_high,
        limit_low=one.limit_low,
        limit_high=one.limit_high,
    )


def series(found: Series) -> history_pb2.ChartSeries:
    """A curve."""
    curve = found.curve
    return history_pb2.ChartSeries(
        tag_id=found.tag.tag_id,
        path=found.tag.path,
        unit=found.tag.unit,
        source=curve.source,
        window_s=curve.window_s,
        time_us=_bytes(curve.time_us, "<i8"),
        value=_bytes(curve.value, "<f8"),
        min=_bytes(curve.min, "<f8"),
        max=_bytes(curve.max, "<f8"),
        quality=_bytes(curve.quality, "<u2"),
        repaired=_bytes(curve.repaired, "u1"),
    )


def event(found: Event) -> history_pb2.Event:
    """An event."""
    return history_pb2.Event(
        event_id=str(found.event_id),
        kind=found.kind,
        gateway_id=found.gateway_id,
        device_id=found.device_id,
        device_path=found.device_path,
        time_us=found.time_us,
        text=found.text,
        attributes=found.attributes,
    )


def reject(found: Reject) -> history_pb2.Reject:
    """A refused sample or record."""
    return history_pb2.Reject(
        rejected_us=found.rejected_us,
        reason=found.reason,
        detail=found.detail,
        tag_id=found.tag_id,
        path=found.path,
        time_us=found.time_us,
        value=found.value,
        gateway_id=found.gateway_id,
    )


def oee(found: OeeRow) -> history_pb2.OeeFigures:
    """OEE of a group."""
    return history_pb2.OeeFigures(
        path=found.path or "",
        shift_day=found.shift_day.isoformat() if found.shift_day else "",
        shift=found.shift or "",
        start_us=since_epoch_us(found.start) if found.start else None,
        job_order=found.job_order or "",
        material=found.material or "",
        pbt_s=found.pbt_s,
        apt_s=found.apt_s,
        pq=found.pq,
        gq=found.gq,
        ideal_s=found.ideal_s,
        availability=found.availability,
        effectiveness=found.effectiveness,
        quality=found.quality,
        oee=found.oee,
        unknown_s=found.unknown_s,
        unplanned_gq=found.unplanned_gq,
    )


def state(found: State) -> history_pb2.StateInterval:
    """A state of a machine."""
    return history_pb2.StateInterval(
        device_id=found.device_id,
        device_path=found.device_path,
        packml_state=found.packml_state,
        start_us=found.start_us,
        end_us=found.end_us,
    )


def gateway(found: Gateway) -> line_pb2.Gateway:
    """A gateway."""
    connections = [
        line_pb2.Connection(name=one.name, connected=one.connected, detail=one.detail) for one in found.connections
    ]
    return line_pb2.Gateway(
        gateway_id=found.gateway_id,
        site=found.site,
        state=f"GATEWAY_STATE_{found.state}",
        reported_us=found.reported_us,
        connections=connections,
        dead_device_ids=found.dead_device_ids,
        buffered_bytes=found.buffered_bytes,
        buffered_samples=found.buffered_samples,
        attributes=found.attributes,
    )


def closed_windows(found: ClosedWindows, sent_us: int) -> state_pb2.WatchAggregatesResponse:
    """Windows that closed."""
    statistics = {
        name: [None if np.isnan(one) else one for one in getattr(found, name).tolist()]
        for name in ("mean", "min", "max", "first", "last", "stddev")
    }
    counts = {name: getattr(found, name).tolist() for name in ("tag_id", "start_us", "count", "good")}
    columns = counts | statistics
    aggregates = [
        state_pb2.Aggregate(window_s=found.window_s, **dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]
    return state_pb2.WatchAggregatesResponse(aggregates=aggregates, sent_us=sent_us)


def _bytes(column: NDArray[Any], dtype: str) -> bytes:
    return column.astype(dtype, copy=False).tobytes()
