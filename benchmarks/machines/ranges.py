"""VUS-PR: the area under precision and recall with a buffer around the labelled range, over a range of buffers.

Paparrizos and others, "Volume under the surface", VLDB 2022. A score a little before or after a fault is worth something, and no
threshold is chosen. 1 is perfect; the share of anomalous windows is what chance gets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BUFFERS = (0, 8, 16, 24, 32)

Numbers = NDArray[np.float64]


def vus_pr(score: Numbers, first: int, last: int) -> float:
    """Of scores (windows,) with one labelled range, both ends inclusive."""
    return float(np.mean([_area(score, _soft(len(score), first, last, buffer), first, last) for buffer in BUFFERS]))


def _soft(windows: int, first: int, last: int, buffer: int) -> Numbers:
    """Labels that fall from 1 to 0 over half a buffer on either side."""
    at = np.arange(windows)
    outside = np.maximum(np.maximum(first - at, at - last), 0)
    label: Numbers = np.sqrt(np.maximum(1.0 - outside / (buffer / 2.0 + 1.0), 0.0))
    return label


def _area(score: Numbers, label: Numbers, first: int, last: int) -> float:
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(label[order])
    # Windows of the same score are turned on together.
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0.0, True))
    positives = 0.5 * (label.sum() + (last - first + 1))
    inside = (order >= first) & (order <= last)
    found = np.logical_or.accumulate(inside)
    recall = np.minimum(hits / positives, 1.0) * found
    precision = hits / (np.arange(len(score)) + 1.0)
    recall, precision = recall[ends], precision[ends]
    return float((np.diff(np.concatenate(([0.0], recall))) * precision).sum())
