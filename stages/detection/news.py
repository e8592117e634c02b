"""What a score adds to the alarm that is already given: somebody is told once that a tag is strange, and again when it is clearly worse.

A score is news when it is clearly above all that was said of its tag not long ago. Scores are compared in halvings of what is left to 1
(0.5 is one, 0.75 two): clearly is `MARGIN` halvings, and what was said fades with a half-life of `HALF_LIFE` windows of event time. It is
kept for each tag, so a fault of one tag hides none of another. An episode opens by news, or after a quiet time
(`stages.detection.episodes`), so the tail of a fault, or what is left of it in a trailing mean, is no second one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages.detection.protocol import Score, Subject, Vector

HALF_LIFE = 400.0
MARGIN = 0.3
_LONG = 4.0
"""Beyond so many halvings they count by their logarithm: the worst fault is not remembered for hours."""
_SAME = 0.7
"""Tags with this share of the largest part are what a score is about."""


class News:
    """What was said of each tag of a subject, in halvings, as it was at the event time `since_us`."""

    def __init__(self, subject: Subject) -> None:
        self._tag_ids = [int(tag_id) for tag_id in subject.tag_id]
        self.said: Vector = np.zeros(len(self._tag_ids))
        self.since_us = 0
        self._half_life_us = HALF_LIFE * subject.window_s * 1e6

    def of(self, score: Score, end_us: int) -> float:
        """The score of a window that ended at `end_us` where it is news, else 0; takes it in as said. Windows come in order."""
        if score.grace or score.value <= 0.0:
            return 0.0
        height = halvings(score.value)
        if height <= MARGIN:
            return 0.0
        said = self.said * 0.5 ** (max(end_us - self.since_us, 0) / self._half_life_us)
        lead = int(score.part.argmax())
        if height <= said[lead] + MARGIN:
            return 0.0
        about = score.part >= _SAME * score.part[lead]
        self.said, self.since_us = np.where(about, np.maximum(said, height), said), max(end_us, self.since_us)
        return score.value

    def fields(self) -> dict[str, Any]:
        """State, JSON-able: by tag id, only tags of which something was said."""
        return {
            "since_us": self.since_us,
            "said": {str(self._tag_ids[at]): float(self.said[at]) for at in np.flatnonzero(self.said).tolist()},
        }

    def set_fields(self, fields: dict[str, Any]) -> None:
        """Inverse of `fields`; tags that there are no longer are left out."""
        self.since_us = fields["since_us"]
        for at, tag_id in enumerate(self._tag_ids):
            self.said[at] = fields["said"].get(str(tag_id), 0.0)


def halvings(value: float) -> float:
    """How often what is left to 1 was halved."""
    height = -math.log2(max(1.0 - value, 1e-12))
    return height if height <= _LONG else _LONG * (1.0 + math.log(height / _LONG))
