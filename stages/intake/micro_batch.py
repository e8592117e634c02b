"""Micro-batches: frames of one lane that follow one another, taken as one by a lane that is behind.

Most of what a small frame costs does not depend on how many samples it has. Enters: decoded frames of one
`SequenceKey`, from one topic, with one state of the gateway's clock. Leaves: their samples as one set of columns, and
where each frame lies in them. A single frame is the usual case, and is not copied. `stages.telemetry.logic` calls
`groups`; `stages.telemetry.lane` calls `concatenate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.frame import Frame
from stages.outputs import Origin
from stages.windows.algebra import RANK_BITS


class Arrived(NamedTuple):
    """A frame, decoded, where it came from, and as it came."""

    frame: Frame
    origin: Origin
    message: bytes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MicroBatch:
    """Columns of all samples of some frames.

    They have shape (n,), but `tag_ids`, the dictionary, and `bounds` (frames + 1,): where each frame begins.

    `closed_us` is the close time of each sample's frame, one number for a single frame.
    """

    arrived: tuple[Arrived, ...]
    tag_ids: NDArray[np.int32]
    tag_index: NDArray[Any]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]
    closed_us: int | NDArray[np.int64]
    bounds: tuple[int, ...]

    @property
    def first(self) -> Frame:
        """The first frame: key, topic and clock status are the same in all."""
        return self.arrived[0].frame

    def ranks(self, position: NDArray[np.intp]) -> NDArray[np.int64]:
        """Place of samples in the order of processing, given where they stand: sequence, then position in the frame."""
        bases = [
            (each.frame.sequence << RANK_BITS) - start for each, start in zip(self.arrived, self.bounds, strict=False)
        ]
        return position + (bases[0] if len(bases) == 1 else np.repeat(np.array(bases), np.diff(self.bounds))[position])

    def split(self, column: NDArray[np.uint8]) -> Iterator[tuple[Arrived, NDArray[np.uint8], NDArray[np.int64]]]:
        """Each frame with its part of a column (n,) and its source times."""
        for each, (start, stop) in zip(self.arrived, pairwise(self.bounds), strict=True):
            yield each, column[start:stop], self.time_us[start:stop]


def concatenate(arrived: Sequence[Arrived]) -> MicroBatch:
    """One micro-batch of the frames of one group, as `groups` made it. The columns of a single frame are its own."""
    frames = [each.frame for each in arrived]
    first = frames[0]
    if len(frames) == 1:
        return MicroBatch(
            arrived=tuple(arrived),
            tag_ids=first.tag_ids,
            tag_index=first.tag_index,
            time_us=first.time_us,
            value=first.value,
            quality=first.quality,
            closed_us=first.closed_time_us,
            bounds=(0, first.samples),
        )
    counts = [frame.samples for frame in frames]
    bounds = (0, *np.cumsum(counts).tolist())
    tag_ids, tag_index = _one_dictionary(frames)
    return MicroBatch(
        arrived=tuple(arrived),
        tag_ids=tag_ids,
        tag_index=tag_index,
        time_us=np.concatenate([frame.time_us for frame in frames]),
        value=np.concatenate([frame.value for frame in frames]),
        quality=np.concatenate([frame.quality for frame in frames]),
        closed_us=np.repeat(np.array([frame.closed_time_us for frame in frames]), counts),
        bounds=bounds,
    )


def groups(arrived: Iterable[Arrived]) -> list[list[Arrived]]:
    """Frames in their order, each list of which can be one micro-batch: same key, topic and clock status."""
    found: list[list[Arrived]] = []
    before: object = None
    for each in arrived:
        alike = (each.frame.key, each.origin.topic, each.frame.clock_status)
        if alike == before:
            found[-1].append(each)
        else:
            found.append([each])
        before = alike
    return found


def _one_dictionary(frames: Sequence[Frame]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Dictionary of all frames, and each sample's entry in it."""
    words = frames[0].tag_ids.tobytes()
    if all(frame.tag_ids.tobytes() == words for frame in frames[1:]):
        return frames[0].tag_ids, np.concatenate([frame.tag_index for frame in frames])
    tag_ids, entries = np.unique(np.concatenate([frame.tag_ids for frame in frames]), return_inverse=True)
    starts = np.cumsum([0, *(len(frame.tag_ids) for frame in frames[:-1])])
    index = [frame.tag_index.astype(np.intp) + start for frame, start in zip(frames, starts.tolist(), strict=True)]
    return tag_ids, entries[np.concatenate(index)]
