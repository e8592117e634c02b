"""Frames of a workload, as its gateways would send them, and exactly what must come out at the other end.

Scenarios enter a Workload, a Dirt table and a seed; out come encoded frames in sending order and an `Expected` that
has counted them. The same arguments give the same bytes. Late frames come after their turn, duplicates twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import LIMIT, Dirt, Workload
from schemas import checksum, frame
from schemas.frame import ClockStatus, Frame, Stream
from stack.stand_in import StandIn

MINUTE_US = 60_000_000
_NOISE = 1 << 16


class Message(NamedTuple):
    """One record to produce, not before `due_us`: when its frame is closed, or later when it is late."""

    key: bytes
    value: bytes
    frame: Frame
    due_us: int
    late: bool = False
    again: bool = False

    @property
    def samples(self) -> int:
        """Samples of the frame."""
        return self.frame.samples


@dataclass(slots=True)
class Expected:
    """What must be stored and refused. Arrays have shape (tags + 1, minutes): by tag id and minute since `start_us`."""

    start_us: int
    count: NDArray[np.int64]
    sums: NDArray[np.uint64]
    distinct_samples: int = 0
    rejected_samples: int = 0
    duplicate_frames: int = 0
    duplicate_samples: int = 0
    late_frames: int = 0
    frames: int = 0
    messages: int = 0

    @classmethod
    def of(cls, tags: int, start_us: int, seconds: float) -> Expected:
        """Empty, for tag ids up to `tags`, with room for one minute on either side of the run."""
        first = start_us - start_us % MINUTE_US - MINUTE_US
        minutes = int(seconds // 60) + 4
        return cls(first, np.zeros((tags + 1, minutes), np.int64), np.zeros((tags + 1, minutes), np.uint64))

    @property
    def stored_samples(self) -> int:
        """Samples that must be rows, once each."""
        return self.distinct_samples - self.rejected_samples

    def minutes_of(self, time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Column of each sample, shape (n,)."""
        return (time_us - self.start_us) // MINUTE_US


@dataclass(slots=True)
class _Gateway:
    number: int
    gateway_id: str
    epoch: UUID
    tag_ids: NDArray[np.int32]
    base: NDArray[np.float64]
    jitter_us: NDArray[np.int64]
    skew_us: NDArray[np.int64]
    sequence: int = 0
    held: deque[tuple[int, Message]] = field(default_factory=deque)


def generate(
    workload: Workload,
    dirt: Dirt,
    *,
    tag_ids: Mapping[str, NDArray[np.int32]],
    seconds: float,
    start_us: int,
    seed: int,
    expected: Expected,
    registry_version: int | Callable[[], int] = 1,
    staggered: bool = False,
) -> Iterator[Message]:
    """Messages of all gateways, interleaved frame period by frame period, for `seconds` of event time from `start_us`.

    `tag_ids`: of each gateway, shape (lane_tags,), ascending, the tags of a device together. `staggered`: gateways close their frames one
    after the other over the frame period, as clocks that know nothing of each other do, instead of all at once. `registry_version`: a
    function is asked for every frame.
    """
    version = registry_version if callable(registry_version) else lambda: registry_version
    random = np.random.default_rng(seed)
    noise = random.normal(0.0, 2.0, _NOISE)
    names = [workload.gateway_id(number) for number in range(workload.gateways)]
    gateways = [_gateway(workload, dirt, number, tag_ids[name], random) for number, name in enumerate(names)]
    frame_us = workload.frame_ms * 1000
    for tick in range(int(seconds * 1000 / workload.frame_ms)):
        for gateway in gateways:
            while gateway.held and gateway.held[0][0] <= tick:
                yield gateway.held.popleft()[1]
            opened_us = start_us + tick * frame_us
            if staggered:
                opened_us += gateway.number * frame_us // workload.gateways
            for made in _frames(workload, dirt, gateway, tick, opened_us, random, noise, expected, version()):
                message = Message(made.lane_key.encode(), frame.encode(made), made, made.closed_time_us)
                expected.frames += 1
                expected.messages += 1
                if random.random() < dirt.late:
                    expected.late_frames += 1
                    due_us = made.closed_time_us + dirt.late_frames * frame_us
                    message = message._replace(due_us=due_us, late=True)
                    gateway.held.append((tick + dirt.late_frames, message))
                else:
                    yield message
                if random.random() < dirt.duplicate:
                    expected.messages += 1
                    expected.duplicate_frames += 1
                    expected.duplicate_samples += made.samples
                    yield message._replace(again=True, due_us=made.closed_time_us)
    for gateway in gateways:
        yield from (message for _, message in gateway.held)


def signed(messages: Iterable[Message], stand_in: StandIn) -> Iterator[Message]:
    """The same as gateways sign them: what one sends at the same moment is under one root."""
    for (gateway_id, _), group in groupby(messages, key=lambda one: (one.frame.gateway_id, one.due_us)):
        together = list(group)
        values = stand_in.frames(gateway_id, [one.value for one in together])
        yield from (one._replace(value=value) for one, value in zip(together, values, strict=True))


def _gateway(
    workload: Workload, dirt: Dirt, number: int, tag_ids: NDArray[np.int32], random: np.random.Generator
) -> _Gateway:
    tags = workload.lane_tags
    skewed = random.random(workload.devices) < dirt.clock_skew
    return _Gateway(
        number=number,
        gateway_id=workload.gateway_id(number),
        epoch=UUID(int=(0x7 << 76) | (0x2 << 62) | number),
        tag_ids=tag_ids,
        base=random.uniform(-80.0, 80.0, tags),
        jitter_us=random.integers(0, workload.period_ms * 1000 // 2, tags),
        skew_us=np.repeat(np.where(skewed, int(dirt.skew_s * 1e6), 0), workload.tags),
    )


def _frames(
    workload: Workload,
    dirt: Dirt,
    gateway: _Gateway,
    tick: int,
    opened_us: int,
    random: np.random.Generator,
    noise: NDArray[np.float64],
    expected: Expected,
    registry_version: int,
) -> Iterator[Frame]:
    frame_us = workload.frame_ms * 1000
    index, time_us = _instants(workload, gateway, tick, opened_us)
    offset = int(random.integers(0, _NOISE - len(index) % _NOISE)) if len(index) < _NOISE else 0
    value = gateway.base[index] + noise[offset : offset + len(index)]
    refused = np.zeros(len(index), dtype=bool)
    refused[_hits(random, dirt.out_of_range, len(index))] = True
    value[refused] = LIMIT * 2
    missing = _hits(random, dirt.missing, len(index))
    if missing.size:
        keep = np.ones(len(index), dtype=bool)
        keep[missing] = False
        index, time_us, value, refused = index[keep], time_us[keep], value[keep], refused[keep]
    for part in range(0, len(index), workload.frame_samples):
        cut = slice(part, part + workload.frame_samples)
        yield _build(
            gateway,
            index[cut],
            time_us[cut],
            value[cut],
            refused[cut],
            opened_us + frame_us,
            expected,
            registry_version,
        )


def _instants(
    workload: Workload, gateway: _Gateway, tick: int, opened_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tag position and source time of each sample due in this frame period, time-major."""
    rounds, period_us = workload.rounds_per_frame, workload.period_ms * 1000
    if rounds:
        starts = opened_us + np.arange(rounds, dtype=np.int64) * period_us
        index = np.tile(np.arange(workload.lane_tags), rounds)
        times = (starts[:, None] + (gateway.jitter_us + gateway.skew_us)[None, :]).ravel()
        return index, times
    # Tags are sampled less often than frames close: each frame carries those whose turn it is.
    phases = workload.period_ms // workload.frame_ms
    index = np.arange(tick % phases, workload.lane_tags, phases)
    return index, opened_us + gateway.jitter_us[index] % (workload.frame_ms * 1000) + gateway.skew_us[index]


def _hits(random: np.random.Generator, probability: float, n: int) -> NDArray[np.int64]:
    """Positions hit with this probability each: a binomial number of distinct positions, cheaper than n draws."""
    number = int(random.binomial(n, probability)) if probability else 0
    return random.choice(n, number, replace=False) if number else np.empty(0, dtype=np.int64)


def _build(
    gateway: _Gateway,
    index: NDArray[np.int64],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    refused: NDArray[np.bool_],
    closed_us: int,
    expected: Expected,
    registry_version: int,
) -> Frame:
    quality = np.zeros(len(index), dtype=np.uint16)
    tag_id = gateway.tag_ids[index]
    hashes = checksum.sample_hashes(tag_id, time_us, value, quality)
    expected.distinct_samples += len(index)
    expected.rejected_samples += int(refused.sum())
    cell = tag_id.astype(np.int64) * expected.count.shape[1] + expected.minutes_of(time_us)
    stored = slice(None) if not refused.any() else ~refused
    np.add.at(expected.count.reshape(-1), cell[stored], 1)
    np.add.at(expected.sums.reshape(-1), cell[stored], hashes[stored])
    gateway.sequence += 1
    base_us = int(time_us[len(time_us) // 2])
    dictionary = np.flatnonzero(np.bincount(index))
    return Frame(
        gateway_id=gateway.gateway_id,
        epoch=gateway.epoch,
        lane=0,
        stream=Stream.LIVE,
        sequence=gateway.sequence - 1,
        base_time_us=base_us,
        closed_time_us=closed_us,
        clock_status=ClockStatus.SYNCHRONISED,
        registry_version=registry_version,
        tag_ids=gateway.tag_ids[dictionary],
        tag_index=np.searchsorted(dictionary, index).astype(np.uint16),
        time_offset_us=(time_us - base_us).astype(np.int32),
        value=value,
        quality=quality,
        samples=len(index),
        checksum=checksum.to_signed(int(hashes.sum(dtype=np.uint64))),
    )
