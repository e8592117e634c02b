"""Which tags of a lane are features of which device's detector, and their features from closed windows.

A device is watched by the detector that its tags' definitions name; its features are the numeric tags that nobody
writes, each in its smallest window. Features of a device with the same smallest window are one subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import DataType, TagDefinition
from stages.config import DetectorSpec
from stages.detection.modes import says_mode
from stages.detection.protocol import Features, Subject
from stages.intake.lane_table import LaneTable
from stages.windows import algebra
from stages.windows.block import Closed

MAX_TAGS = 64
"""Per device and window length: what bounds a detector's state."""


class FeatureMap:
    """Subjects of a table. `by_device` has those of each device, `spec_of` the detector of each."""

    def __init__(self, table: LaneTable, catalogue: Mapping[str, DetectorSpec]) -> None:
        self._smallest_window_s = table.smallest_window_s
        # Of each slot: its subject, -1 for none, and its place among the subject's tags.
        self._subject = np.full(len(table.tags), -1, dtype=np.intp)
        self._place = np.zeros(len(table.tags), dtype=np.intp)
        self.subjects: list[Subject] = []
        self.by_device: dict[int, list[Subject]] = {}
        self.spec_of: dict[int, DetectorSpec] = {}
        if not catalogue:
            return
        default = catalogue["default"]
        slots: dict[tuple[int, int], list[int]] = {}
        for slot, tag in enumerate(table.tags):
            if tag.detector:
                self.spec_of[tag.device_id] = catalogue.get(tag.detector) or default
                if not table.foreign[slot] and _is_feature(tag):
                    slots.setdefault((tag.device_id, min(tag.windows_s)), []).append(slot)
        for (device_id, window_s), chosen in slots.items():
            tags = [table.tags[slot] for slot in chosen[:MAX_TAGS]]
            spec = catalogue.get(tags[0].detector) or default
            for place, slot in enumerate(chosen[:MAX_TAGS]):
                self._subject[slot], self._place[slot] = len(self.subjects), place
            subject = _subject(device_id, window_s * spec.every, tags)
            self.subjects.append(subject)
            self.by_device.setdefault(device_id, []).append(subject)

    def gather(self, closed: Closed) -> Iterator[tuple[Subject, Features]]:
        """Features of the subjects that have tags among windows emitted for the first time."""
        columns = np.flatnonzero(closed.fresh)
        slots = closed.slots[columns]
        chosen = (self._subject[slots] >= 0) & (self._smallest_window_s[slots] == closed.size_s)
        if not chosen.any():
            return
        columns, slots = columns[chosen], slots[chosen]
        good, vectors = _features(closed.rows.take(columns, axis=1))
        of, place = self._subject[slots], self._place[slots]
        bounds = [0, *(np.flatnonzero(np.diff(of)) + 1).tolist(), len(of)]  # slots are in the order of devices
        for low, high in pairwise(bounds):
            subject = self.subjects[int(of[low])]
            if high - low == len(subject.tag_id):
                full, count = vectors[:, low:high], good[low:high]
            else:
                full = np.full((5, len(subject.tag_id)), np.nan)
                count = np.zeros(len(subject.tag_id), dtype=np.int64)
                full[:, place[low:high]], count[place[low:high]] = vectors[:, low:high], good[low:high]
            mean, variance, lowest, highest, trend = full
            features = Features(
                start_us=closed.start_us,
                end_us=closed.start_us + closed.size_s * 1_000_000,
                count=count,
                mean=mean,
                variance=variance,
                low=lowest,
                high=highest,
                trend=trend,
            )
            yield subject, features


def _features(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Good samples (k,), and mean, variance, minimum, maximum and trend (5, k) of windows (14, k)."""
    real = rows.view(np.float64)
    good = rows[algebra.GOOD]
    variance = real[algebra.M2] / np.maximum(good - 1, 1)
    trend = real[algebra.LAST] - real[algebra.FIRST]
    vectors = np.stack((real[algebra.MEAN], variance, real[algebra.MIN], real[algebra.MAX], trend))
    vectors[:, good == 0] = np.nan
    return good, vectors


def _is_feature(tag: TagDefinition) -> bool:
    return tag.data_type is DataType.DOUBLE and bool(tag.windows_s) and not says_mode(tag)


def _subject(device_id: int, window_s: int, tags: list[TagDefinition]) -> Subject:
    ranges = [
        (np.nan, np.nan)
        if tag.eu_low is None or tag.eu_high is None or tag.eu_high <= tag.eu_low
        else (tag.eu_low, tag.eu_high)
        for tag in tags
    ]
    low, high = np.array(ranges, dtype=np.float64).T
    ids = np.array([tag.tag_id for tag in tags], dtype=np.int32)
    return Subject(device_id=device_id, window_s=window_s, tag_id=ids, normal_low=low, normal_high=high, seed=device_id)
