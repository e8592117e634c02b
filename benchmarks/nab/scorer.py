"""The scoring rule of the Numenta Anomaly Benchmark v1.1, on plain arrays.

Lavin & Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", 2015. A detection inside a labelled window earns more the earlier
it comes (only the best of a window counts); outside it costs, less so shortly after a window; a window without a detection costs its
weight. The first 15 % of a file (750 rows at most) are probation and do not count. `tests/unit/test_nab_scorer.py` holds this module to
the published per-row results of two detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROBATION_FRACTION = 0.15
PROBATION_ROWS_CAP = 5_000
FAR_BEHIND = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Weights of an application profile."""

    name: str
    true_positive: float
    false_positive: float
    false_negative: float


STANDARD = Profile(name="standard", true_positive=1.0, false_positive=0.11, false_negative=1.0)
LOW_FP = Profile(name="reward_low_FP_rate", true_positive=1.0, false_positive=0.22, false_negative=1.0)
LOW_FN = Profile(name="reward_low_FN_rate", true_positive=1.0, false_positive=0.11, false_negative=2.0)
PROFILES = (STANDARD, LOW_FP, LOW_FN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Labelled windows of a file as inclusive row ranges (first, last), in order, and the file's number of rows."""

    rows: int
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the start that do not count."""
        return int(PROBATION_FRACTION * min(self.rows, PROBATION_ROWS_CAP))

    def window_of_row(self) -> NDArray[np.int64]:
        """Shape (rows,): index of the window a row lies in, -1 outside."""
        index = np.full(self.rows, -1, dtype=np.int64)
        for number, (first, last) in enumerate(self.windows):
            index[first : last + 1] = number
        return index


@dataclass(frozen=True, kw_only=True, slots=True)
class FileScore:
    """Outcome of a file at one threshold."""

    score: float
    true_positives: int
    true_negatives: int
    false_positives: int
    false_negatives: int
    delays_rows: tuple[int, ...]
    """Per detected window: rows from its start to the first detection."""


def scaled_sigmoid(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """NAB's sigmoid: 1 far before 0, -1 from 3 on. `position` 0 is the window's right edge, -1 its left edge."""
    return np.where(position > FAR_BEHIND, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, FAR_BEHIND))) - 1.0)


def row_values(labels: Labels, profile: Profile) -> NDArray[np.float64]:
    """Shape (rows,): what a detection at each row is worth, probation included."""
    rows = np.arange(labels.rows)
    values = np.full(labels.rows, -profile.false_positive)
    best = float(scaled_sigmoid(np.array([-1.0]))[0])
    for number, (first, last) in enumerate(labels.windows):
        width = last - first + 1
        inside = rows[first : last + 1]
        values[inside] = scaled_sigmoid(-(last - inside + 1) / width) * profile.true_positive / best
        until = labels.windows[number + 1][0] if number + 1 < len(labels.windows) else labels.rows
        behind = rows[last + 1 : until]
        values[behind] = scaled_sigmoid((behind - last) / (width - 1)) * profile.false_positive
    return values


def row_scores(scores: NDArray[np.float64], labels: Labels, profile: Profile, threshold: float) -> NDArray[np.float64]:
    """Shape (rows,): what each row adds to the file's score. A window's outcome stands at its first row, as in NAB's published results."""
    detected = _detected(scores, labels, threshold)
    values = row_values(labels, profile)
    realised = np.where(detected & (labels.window_of_row() < 0), values, 0.0)
    for first, last in labels.windows:
        hits = first + np.flatnonzero(detected[first : last + 1])
        realised[first] = values[hits].max() if hits.size else -profile.false_negative
    return realised


def score_file(scores: NDArray[np.float64], labels: Labels, profile: Profile, threshold: float) -> FileScore:
    """Score of a file whose rows with `scores` >= `threshold` are detections. `scores` has shape (rows,)."""
    detected = _detected(scores, labels, threshold)
    counted = _counted(labels)
    inside = labels.window_of_row() >= 0
    first_hits = [first + np.flatnonzero(detected[first : last + 1])[:1] for first, last in labels.windows]
    return FileScore(
        score=float(row_scores(scores, labels, profile, threshold).sum()),
        true_positives=int((detected & inside).sum()),
        true_negatives=int((counted & ~detected & ~inside).sum()),
        false_positives=int((detected & ~inside).sum()),
        false_negatives=int((counted & ~detected & inside).sum()),
        delays_rows=tuple(
            int(hit[0]) - window[0] for hit, window in zip(first_hits, labels.windows, strict=True) if hit.size
        ),
    )


def _counted(labels: Labels) -> NDArray[np.bool_]:
    return np.arange(labels.rows) >= labels.probation


def _detected(scores: NDArray[np.float64], labels: Labels, threshold: float) -> NDArray[np.bool_]:
    return (scores >= threshold) & _counted(labels)


def best_threshold(files: Sequence[tuple[NDArray[np.float64], Labels]], profile: Profile) -> tuple[float, float]:
    """The threshold over all files that gives the highest summed score, and that score: NAB's rule, one threshold for the whole corpus.

    A sweep over the sorted distinct scores: each row is turned on once, so it costs one sort of the corpus.
    """
    score_column, value_column, window_column = [], [], []
    base = 0
    for scores, labels in files:
        counted = slice(labels.probation, None)
        window = labels.window_of_row()[counted]
        score_column.append(scores[counted])
        value_column.append(row_values(labels, profile)[counted])
        window_column.append(np.where(window < 0, -1, window + base))
        base += len(labels.windows)
    score, value, window = (np.concatenate(column) for column in (score_column, value_column, window_column))
    order = np.argsort(-score, kind="stable")
    best_in_window = np.full(base, -profile.false_negative)
    total = float(best_in_window.sum())
    best = (np.inf, total)
    for position, row in enumerate(order):
        number = window[row]
        if number < 0:
            total += value[row]
        elif value[row] > best_in_window[number]:
            total += value[row] - best_in_window[number]
            best_in_window[number] = value[row]
        last_of_its_score = position + 1 == len(order) or score[order[position + 1]] < score[row]
        if last_of_its_score and total > best[1]:
            best = (float(score[row]), float(total))
    return best


def normalise(score: float, windows: int, profile: Profile) -> float:
    """0 for a detector that never detects, 100 for one that detects every window at its left edge and nothing else."""
    null = -profile.false_negative * windows
    perfect = profile.true_positive * windows
    return 100.0 * (score - null) / (perfect - null)
