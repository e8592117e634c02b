"""Building blocks of stage tests: tags, frames, outputs made readable, and a plain oracle of windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from schemas import codec, frame, quality, topics
from schemas.definitions import DataType, Historise, TagDefinition, encode_tag, encode_version
from schemas.frame import ClockStatus, Frame, Stream
from schemas.verdicts import LATE_FLAG, VERDICT_MASK, Verdict
from stages.config import DetectionConfig, TelemetryConfig
from stages.telemetry.logic import Origin, Output, TelemetryLogic

BASE_US = 1_767_225_600_000_000
"""2026-01-01 00:00 UTC: times in tests are seconds from here."""
SITE, GATEWAY = "north", "gw-north"
QUIET = TelemetryConfig(detection=DetectionConfig(enabled=False))


def us(seconds: float) -> int:
    """Microseconds UTC of a test's second."""
    return BASE_US + round(seconds * 1e6)


def seconds(time_us: int) -> float:
    """Inverse of `us`."""
    return (time_us - BASE_US) / 1e6


class Sample(NamedTuple):
    tag_id: int
    time_s: float
    value: float
    quality: int = quality.GOOD


def tag(tag_id: int, device_id: int = 1, **changes: Any) -> TagDefinition:
    """A definition without limits, windows of 1 s."""
    known: dict[str, Any] = {
        "tag_id": tag_id,
        "device_id": device_id,
        "registry_version": 1,
        "path": f"acme/{SITE}/area/line/cell/device{device_id}/tag{tag_id}",
        "name": f"tag{tag_id}",
        "site": SITE,
        "device_class": "press",
        "tag_class": "process",
        "description": "",
        "data_type": DataType.DOUBLE,
        "unit": "1",
        "eu_low": None,
        "eu_high": None,
        "limit_low": None,
        "limit_high": None,
        "max_rate": None,
        "stuck_after_s": None,
        "period_ms": 100,
        "deadband": 0.0,
        "windows_s": (1,),
        "detector": "default",
        "historise": Historise.ALL,
        "gateway_id": GATEWAY,
        "lane": 0,
        "address": f"spb:north/sim/device{device_id}/tag{tag_id}",
        "writable": False,
        "retired": False,
    }
    known |= changes
    known["data_type"] = DataType(known["data_type"])
    known["windows_s"] = tuple(known["windows_s"])
    return TagDefinition(**known)


def make_frame(
    samples: Sequence[Sequence[float]],
    sequence: int = 0,
    *,
    stream: str | Stream = Stream.LIVE,
    epoch: int = 1,
    closed_s: float | None = None,
    gateway_id: str = GATEWAY,
    lane: int = 0,
    registry_version: int = 1,
    clock: str = "SYNCHRONISED",
) -> Frame:
    """Frame of (tag, second, value, quality) in this order; closed 0.1 s after its newest sample."""
    rows = [Sample(int(row[0]), float(row[1]), float(row[2]), int(row[3]) if len(row) > 3 else 0) for row in samples]
    return frame.build(
        gateway_id=gateway_id,
        epoch=UUID(int=(7 << 76) | (2 << 62) | epoch),
        lane=lane,
        stream=Stream[stream] if isinstance(stream, str) else stream,
        sequence=sequence,
        closed_time_us=us(max(row.time_s for row in rows) + 0.1 if closed_s is None else closed_s),
        clock_status=ClockStatus(clock),
        registry_version=registry_version,
        tag_id=np.array([row.tag_id for row in rows], dtype=np.int32),
        time_us=np.array([us(row.time_s) for row in rows], dtype=np.int64),
        value=np.array([row.value for row in rows]),
        quality=np.array([row.quality for row in rows], dtype=np.uint16),
    )


def publish(logic: TelemetryLogic, tags: Iterable[TagDefinition], version: int = 1) -> None:
    """Registry messages of one complete version."""
    tags = list(tags)
    for each in tags:
        logic.apply_registry(encode_tag(each)[1])
    logic.apply_registry(encode_version(version, tags=len(tags), time_us=us(0))[1])


def logic_of(tags: Iterable[TagDefinition], config: TelemetryConfig = QUIET) -> TelemetryLogic:
    """Logic that knows these tags."""
    logic = TelemetryLogic(config)
    publish(logic, tags)
    return logic


@dataclass
class Driver:
    """Feeds a logic, counts offsets, keeps the outputs and the state parts as the adapter would.

    With `crashing`, the logic is thrown away and restored from its state after every step.
    """

    tags: Sequence[TagDefinition]
    config: TelemetryConfig = QUIET
    crashing: bool = False
    site: str = SITE
    now_s: float = 0.0
    outputs: list[Output] = field(default_factory=list)
    state: dict[str, dict[str, bytes]] = field(default_factory=dict)
    registry: list[tuple[list[TagDefinition], int]] = field(default_factory=list)
    offset: int = 0

    def __post_init__(self) -> None:
        self.registry.append((list(self.tags), 1))
        self.logic = self._fresh()

    def _fresh(self) -> TelemetryLogic:
        logic = TelemetryLogic(self.config)
        for tags, version in self.registry:
            publish(logic, tags, version)
        return logic

    def frame(self, given: Frame, *, now_s: float | None = None) -> list[Output]:
        return self.message(frame.encode(given), now_s=seconds(given.closed_time_us) if now_s is None else now_s)

    def message(self, message: bytes, *, now_s: float | None = None) -> list[Output]:
        self.now_s = self.now_s if now_s is None else max(self.now_s, now_s)
        origin = Origin(topics.FRAMES.for_site(self.site), 0, self.offset)
        self.offset += 1
        return self._keep(self.logic.on_frame(message, origin, us(self.now_s)))

    def timer(self, now_s: float) -> list[Output]:
        self.now_s = max(self.now_s, now_s)
        now_us = us(self.now_s)
        quiet = not any(self.logic.due(lane, now_us) for lane in self.logic.lane_keys())
        outputs = self._keep(self.logic.on_timer(None, now_us))
        assert not (quiet and outputs), "nothing was due, and something came"
        return outputs

    def publish(self, tags: Sequence[TagDefinition], version: int) -> None:
        self.registry.append((list(tags), version))
        publish(self.logic, tags, version)

    def flush(self) -> list[Output]:
        return self._keep(self.logic.flush_all(us(self.now_s)))

    def crash(self, state: dict[str, dict[str, bytes]] | None = None) -> None:
        """Throw the logic away and restore it from the state kept so far, or from an earlier one."""
        if state is not None:
            self.state = {lane: dict(parts) for lane, parts in state.items()}
        self.logic = self._fresh()
        self.restore()

    def restore(self) -> None:
        """Put the lanes of this logic back to the state kept, as the adapter does after a failure."""
        for lane, parts in self.state.items():
            self.logic.restore(lane, dict(parts))

    def checkpoint(self) -> dict[str, dict[str, bytes]]:
        """Copy of the state kept so far."""
        return {lane: dict(parts) for lane, parts in self.state.items()}

    def _keep(self, outputs: list[Output]) -> list[Output]:
        self.outputs += outputs
        for lane in self.logic.lane_keys():
            parts = self.state.setdefault(lane, {})
            for name, data in self.logic.drain_changes(lane).items():
                if data is None:
                    parts.pop(name, None)
                else:
                    parts[name] = data
        if self.crashing:
            self.crash()
        return outputs


# --- outputs made readable ------------------------------------------------------------------------------------------------


def singly(outputs: Iterable[Output]) -> list[Output]:
    """The same with every validated frame in an output of its own."""
    return [output._replace(value=value) for output in outputs for value in frame.unbundle(output.value)]


def records(outputs: Iterable[Output], topic: topics.Topic) -> list[dict[str, Any]]:
    """Decoded records of one topic, in order; of validated frames one each."""
    return [codec.decode(output.value)[1] for output in singly(outputs) if output.topic == topic.name]


def validated_frames(outputs: Iterable[Output]) -> list[Frame]:
    return [frame.decode(output.value) for output in singly(outputs) if output.topic == topics.VALIDATED.name]


def verdict_name(code: int) -> str:
    return Verdict(code & VERDICT_MASK).name + ("+LATE" if code & LATE_FLAG else "")


def verdicts(outputs: Iterable[Output]) -> list[str]:
    """Names of the verdicts of all validated frames, in order."""
    return [
        verdict_name(code)
        for each in validated_frames(outputs)
        for code in ([] if each.verdict is None else each.verdict.tolist())
    ]


class Window(NamedTuple):
    """One row of an aggregate; times in seconds of the test."""

    count: int  # type: ignore[assignment]  # hides tuple's method, which nobody calls here
    good: int
    mean: float
    m2: float
    min: float
    min_s: float
    max: float
    max_s: float
    first: float
    first_s: float
    last: float
    last_s: float


WindowKey = tuple[int, int, float]
"""Tag, window length, start second."""


def rows_of(batch: dict[str, Any]) -> list[tuple[WindowKey, Window]]:
    """Rows of a decoded AggregateBatch."""
    found = []
    for at in range(len(batch["tag_id"])):
        key = (int(batch["tag_id"][at]), batch["window_s"], seconds(int(batch["start_us"][at])))
        values = [float(batch[name][at]) for name in ("mean", "m2", "min", "max", "first", "last")]
        times = [seconds(int(batch[f"{name}_time_us"][at])) for name in ("min", "max", "first", "last")]
        mean, m2, low, high, first, last = values
        row = (mean, m2, low, times[0], high, times[1], first, times[2], last, times[3])
        found.append((key, Window(int(batch["count"][at]), int(batch["good"][at]), *row)))
    return found


def emissions(outputs: Iterable[Output]) -> list[tuple[WindowKey, Window]]:
    """All rows in order of emission."""
    return [row for batch in records(outputs, topics.AGGREGATES) for row in rows_of(batch)]


def final_windows(outputs: Iterable[Output]) -> dict[WindowKey, Window]:
    """As SQL would have it: the row that folded more samples wins."""
    final: dict[WindowKey, Window] = {}
    for key, row in emissions(outputs):
        if key not in final or row.count > final[key].count:
            final[key] = row
    return final


def oracle(frames: Iterable[Frame], windows_s: Mapping[int, Sequence[int]]) -> dict[WindowKey, Window]:
    """Windows of LIVE frames, computed sample by sample from all distinct frames; all samples are taken as accepted."""
    samples: dict[WindowKey, list[tuple[int, int, int, float, bool]]] = {}
    for each in {(f.key, f.sequence): f for f in frames}.values():
        if each.stream is not Stream.LIVE:
            continue
        good = quality.is_good(each.quality).tolist()
        columns = zip(each.tag_id.tolist(), each.time_us.tolist(), each.value.tolist(), good, strict=True)
        for position, (tag_id, time_us, value, is_good) in enumerate(columns):
            for size in windows_s[tag_id]:
                start_us = time_us // (size * 1_000_000) * size * 1_000_000
                key = (tag_id, size, seconds(start_us))
                samples.setdefault(key, []).append((time_us, each.sequence, position, value, is_good))
    return {key: _window(rows, key[2]) for key, rows in samples.items()}


def _window(rows: list[tuple[int, int, int, float, bool]], start_s: float) -> Window:
    good = sorted(row for row in rows if row[4])
    if not good:
        nothing = (math.nan, start_s)
        return Window(len(rows), 0, math.nan, 0.0, *nothing, *nothing, *nothing, *nothing)
    values = [row[3] for row in good]
    mean = math.fsum(values) / len(values)
    low, high = min(values), max(values)
    return Window(
        count=len(rows),
        good=len(good),
        mean=mean,
        m2=math.fsum((value - mean) ** 2 for value in values),
        min=low,
        min_s=seconds(next(row[0] for row in good if row[3] == low)),
        max=high,
        max_s=seconds(next(row[0] for row in good if row[3] == high)),
        first=good[0][3],
        first_s=seconds(good[0][0]),
        last=good[-1][3],
        last_s=seconds(good[-1][0]),
    )


def assert_windows_equal(found: dict[WindowKey, Window], expected: dict[WindowKey, Window]) -> None:
    """Equal, with mean and m2 within 1e-9 of the scale of the values."""
    assert sorted(found) == sorted(expected)
    for key, want in expected.items():
        have = found[key]
        scale = max(abs(want.min), abs(want.max), 1e-300) if want.good else 1.0
        for name in Window._fields:
            left, right = getattr(have, name), getattr(want, name)
            tolerance = {"mean": 1e-9 * scale, "m2": 1e-9 * scale * scale * want.good}.get(name, 0.0)
            same = (math.isnan(left) and math.isnan(right)) or abs(left - right) <= tolerance
            assert same, f"{name} of {key}: {left!r}, expected {right!r}"
