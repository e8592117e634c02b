"""`seasonal`: slow signals in their rhythm of day and week. A score is how rare the present is in the device's own history.

For windows that have a sample or a few: a sensor read every five minutes, an hourly meter, a server's metrics. Each tag is looked
at in its context (`stages.detection.tag_context`), and where there are several, all in relation to one another
(`stages.detection.relation`). The device is as rare as its rarest part, confirmed by its neighbours: the score is of the mean of
three windows, or of this one alone where it is a decade rarer. Scores are rarities, so a threshold is a rate of false alarms and
means the same for every device: 0.5 is once in 560 windows.

Needs `grace` windows before it says anything, a day before it knows the day, two weeks before it knows the week. Not for machines
with modes and dozens of samples a second: that is what `default` is for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages import packing
from stages.detection.protocol import Features, Score, Subject
from stages.detection.relation import RelationTails
from stages.detection.tag_context import Look, TagContext

HALF_DECADES = 2.75
_ALONE = 1.25
_SETTLE_S = 15.0
LAYOUT = 1


def as_score(decades: float) -> float:
    """Rarity in decades on the scale of scores: 0.5 at HALF_DECADES."""
    return -math.expm1(-math.log(2.0) / HALF_DECADES * decades)


class SeasonalDetector:
    """See the module."""

    version = 1

    def __init__(self, subject: Subject, *, grace: int = 60, memory: float = 4_000.0, relation: bool = True) -> None:
        if grace < 10 or memory < 2 * grace:
            msg = f"grace {grace} and memory {memory:g} do not fit: at least 10 windows, and twice as many in memory"
            raise ValueError(msg)
        self._tags = [
            TagContext(window_s=subject.window_s, memory=memory, grace=grace) for _ in range(len(subject.tag_id))
        ]
        self._relation = RelationTails(len(self._tags), memory=memory, grace=grace) if relation else None
        self._grace = grace
        self._seen = 0
        self._recent = (0.0, 0.0)
        self._looked: tuple[Features, list[Look | None], list[float], float] | None = None

    def _look(self, features: Features) -> tuple[Features, list[Look | None], list[float], float]:
        """Looks at the tags, decades by tag and of the device; a window that is scored and then learned is looked at once."""
        if self._looked is None or self._looked[0] is not features:
            columns = (features.mean.tolist(), features.variance.tolist(), features.count.tolist())
            looks = [
                tag.look(mean, variance, good, features.start_us)
                for tag, mean, variance, good in zip(self._tags, *columns, strict=True)
            ]
            decades = [0.0 if look is None else look.decades for look in looks]
            if self._relation is not None:
                related = self._relation.decades([0.0 if look is None else look.deviation for look in looks])
                decades = [max(pair) for pair in zip(decades, related, strict=True)]
            self._looked = features, looks, decades, max(decades, default=0.0)
        return self._looked

    def _unsettled(self, features: Features) -> bool:
        return features.settled_s < _SETTLE_S

    def score(self, features: Features) -> Score:
        """See Detector."""
        _, looks, decades, rarest = self._look(features)
        grace = self._seen < self._grace or self._unsettled(features)
        confirmed = max((rarest + sum(self._recent)) / 3.0, rarest - _ALONE)
        return Score(
            value=0.0 if grace else as_score(max(confirmed, 0.0)),
            grace=grace,
            part=np.array([as_score(each) for each in decades]),
            seen=features.mean,
            expected_low=np.array([np.nan if look is None else look.low for look in looks]),
            expected_high=np.array([np.nan if look is None else look.high for look in looks]),
        )

    def learn(self, features: Features) -> None:
        """See Detector."""
        _, looks, _, rarest = self._look(features)
        self._looked = None
        if self._unsettled(features):
            return
        if self._relation is not None:
            self._relation.learn([0.0 if look is None else look.deviation for look in looks])
        for tag, look in zip(self._tags, looks, strict=True):
            if look is not None:
                tag.learn(look)
        self._recent = self._recent[1], rarest
        self._seen += 1

    def snapshot(self) -> bytes:
        """See Detector."""
        fields: dict[str, Any] = {"version": self.version, "seen": self._seen, "recent": self._recent}
        rows = np.array([tag.row() for tag in self._tags])
        rhythms = np.vstack([tag.rhythms() for tag in self._tags])
        relation = [] if self._relation is None else self._relation.arrays()
        return packing.pack(LAYOUT, fields, rows, rhythms, *relation)

    def restore(self, data: bytes) -> None:
        """See Detector."""
        fields, arrays = packing.unpack(data, LAYOUT, "seasonal detector")
        if fields.get("version") != self.version or len(arrays) < 2 or len(arrays[0]) != len(self._tags):
            msg = f"snapshot of seasonal version {fields.get('version')} does not fit {len(self._tags)} tags"
            raise packing.StateError(msg)
        rows, rhythms, *relation = arrays
        if len(rhythms) != 3 * len(self._tags):
            msg = f"snapshot of seasonal has {len(rhythms)} rows of profiles for {len(self._tags)} tags"
            raise packing.StateError(msg)
        for number, tag in enumerate(self._tags):
            tag.restore(rows[number].tolist(), rhythms[3 * number : 3 * number + 3])
        if self._relation is not None:
            self._relation.set_arrays(relation)
        self._seen, (first, second) = fields["seen"], fields["recent"]
        self._recent = first, second


def seasonal(subject: Subject, **parameters: Any) -> SeasonalDetector:
    """`seasonal`: see the module."""
    return SeasonalDetector(subject, **parameters)
