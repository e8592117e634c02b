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
from typing import Any, NamedTuple

import numpy as np

from stages import packing
from stages.detection.protocol import LEVEL, RELATION, Features, Score, Subject, Vector
from stages.detection.rarity import Rarity
from stages.detection.relation import RelationTails
from stages.detection.tag_context import Look, TagContext

HALF_DECADES = 2.75
_ALONE = 1.25
_ONE_TAG = 1.7
"""Nine windows of ten of a usual tag have a rarest statistic below it: measured, 1.5 to 1.9 over very different series."""
_WARY, _EVERY, _PATIENCE = 3.0, 8, 48
"""From so many decades on only one window in eight is learned as usual, for a while: a fault that stays is not soon the norm."""
_SETTLE_S = 15.0
LAYOUT = 1
_DECADES, _STATISTIC, _SEEN, _LOW, _HIGH = range(5)
_SAID = 5
"""Rows of what is said of the tags of a window."""


def _told(look: Look | None, value: float) -> tuple[float, ...]:
    """Statistic, value, and the range in which it was expected."""
    return (LEVEL, value, *_range(None)) if look is None else (look.statistic, look.value, *_range(look))


def _range(look: Look | None) -> tuple[float, float]:
    return (math.nan, math.nan) if look is None else (look.low, look.high)


def as_score(decades: float) -> float:
    """Rarity in decades on the scale of scores: 0.5 at HALF_DECADES."""
    return -math.expm1(-math.log(2.0) / HALF_DECADES * decades)


class _Looked(NamedTuple):
    """What a window looks like: its tags, decades by tag as they count, and the rarest tag by itself; what is to be said of it."""

    features: Features
    looks: list[Look | None]
    decades: list[float]
    rarest: float
    said: Vector


class SeasonalDetector:
    """Detector of one device by the rarity of each tag in its context, and of all tags in relation to one another.

    `grace` and `memory` are in windows. Raises ValueError when `memory` is less than twice `grace`, or `grace` below 10.
    """

    version = 1

    def __init__(self, subject: Subject, *, grace: int = 60, memory: float = 4_000.0, relation: bool = True) -> None:
        if grace < 10 or memory < 2 * grace:
            msg = f"grace {grace} and memory {memory:g} do not fit: at least 10 windows, and twice as many in memory"
            raise ValueError(msg)
        self._tags = [
            TagContext(window_s=subject.window_s, memory=memory, grace=grace) for _ in range(len(subject.tag_id))
        ]
        self._rarest = Rarity(memory=memory, grace=grace)
        self._relation = RelationTails(len(self._tags), memory=memory, grace=grace) if relation else None
        self._grace = grace
        self._seen = self._wary = 0
        self._recent = (0.0, 0.0)
        self._said = np.zeros((2, _SAID, len(self._tags)))
        """What the last two windows said of each tag."""
        self._looked: _Looked | None = None

    def _look(self, features: Features) -> _Looked:
        """A window that is scored and then learned is looked at once."""
        if self._looked is None or self._looked.features is not features:
            columns = (features.mean.tolist(), features.variance.tolist(), features.count.tolist())
            looks = [
                tag.look(mean, variance, good, features.start_us)
                for tag, mean, variance, good in zip(self._tags, *columns, strict=True)
            ]
            alone = [0.0 if look is None else look.decades for look in looks]
            rarest = max(alone, default=0.0)
            by_number = self._by_number()
            decades = [max(each - by_number, 0.0) for each in alone]
            related = [0.0] * len(decades)
            if self._relation is not None:
                related = self._relation.decades([0.0 if look is None else look.deviation for look in looks])
            said = np.array(
                [
                    (related_by, RELATION, value, *_range(look)) if related_by > by else (by, *_told(look, value))
                    for by, related_by, look, value in zip(decades, related, looks, columns[0], strict=True)
                ]
            ).T
            self._looked = _Looked(features, looks, said[_DECADES].tolist(), rarest, said)
        return self._looked

    def _by_number(self) -> float:
        """How much rarer the rarest of many usual tags is than one usual tag; measured, because tags depend on one another."""
        return max(self._rarest.limit - _ONE_TAG, 0.0) if len(self._tags) > 1 else 0.0

    def _confirmed(self, rarest: float) -> float:
        return max((rarest + sum(self._recent)) / 3.0, rarest - _ALONE, 0.0)

    def _unsettled(self, features: Features) -> bool:
        return features.settled_s < _SETTLE_S

    def score(self, features: Features) -> Score:
        """See Detector."""
        looked = self._look(features)
        grace = self._seen < self._grace or self._unsettled(features)
        # A score is of three windows: each tag is explained by the one in which it was rarest.
        windows = np.stack((looked.said, *self._said))
        rarest = windows[windows[:, _DECADES].argmax(axis=0), :, np.arange(len(looked.looks))]
        return Score(
            value=0.0 if grace else as_score(self._confirmed(max(looked.decades, default=0.0))),
            grace=grace,
            part=-np.expm1(-math.log(2.0) / HALF_DECADES * rarest[:, _DECADES]),
            statistic=rarest[:, _STATISTIC].astype(np.intp),
            seen=rarest[:, _SEEN],
            expected_low=rarest[:, _LOW],
            expected_high=rarest[:, _HIGH],
        )

    def learn(self, features: Features) -> None:
        """See Detector."""
        _, looks, decades, rarest, said = self._look(features)
        self._looked = None
        if self._unsettled(features):
            return
        most = max(decades, default=0.0)
        self._wary = self._wary + 1 if self._confirmed(most) >= _WARY else 0
        tails = self._wary % _EVERY == 0 or self._wary > _PATIENCE
        if self._relation is not None:
            self._relation.learn([0.0 if look is None else look.deviation for look in looks], tails=tails)
        for tag, look in zip(self._tags, looks, strict=True):
            if look is not None:
                tag.learn(look, tails=tails)
        if tails and self._seen >= self._grace:
            self._rarest.learn(rarest)
        self._recent = self._recent[1], most
        self._said = np.stack((self._said[1], said))
        self._seen += 1

    def snapshot(self) -> bytes:
        """See Detector."""
        fields: dict[str, Any] = {
            "version": self.version,
            "seen": self._seen,
            "recent": self._recent,
            "wary": self._wary,
        }
        rows = np.array([tag.row() for tag in self._tags])
        rhythms = np.vstack([tag.rhythms() for tag in self._tags])
        relation = [] if self._relation is None else self._relation.arrays()
        said = self._said.reshape(2 * _SAID, -1)
        return packing.pack(LAYOUT, fields, rows, rhythms, np.array(self._rarest.row()), *relation, said)

    def restore(self, data: bytes) -> None:
        """See Detector."""
        fields, arrays = packing.unpack(data, LAYOUT, "seasonal detector")
        if fields.get("version") != self.version or len(arrays) < 3 or len(arrays[0]) != len(self._tags):
            msg = f"snapshot of seasonal version {fields.get('version')} does not fit {len(self._tags)} tags"
            raise packing.StateError(msg)
        rows, rhythms, rarest, *rest = arrays
        # Snapshots of before end with the relation.
        related = 0 if self._relation is None else RelationTails.ARRAYS
        relation, said = rest[:related], rest[related:]
        self._said = np.zeros((2, _SAID, len(self._tags)))
        if said:
            self._said = said[0].reshape(self._said.shape)
        if len(rhythms) != 3 * len(self._tags):
            msg = f"snapshot of seasonal has {len(rhythms)} rows of profiles for {len(self._tags)} tags"
            raise packing.StateError(msg)
        for number, tag in enumerate(self._tags):
            tag.restore(rows[number].tolist(), rhythms[3 * number : 3 * number + 3])
        if self._relation is not None:
            self._relation.set_arrays(relation)
        self._rarest.set_row(tuple(rarest.tolist()))
        self._seen, self._wary, (first, second) = fields["seen"], fields["wary"], fields["recent"]
        self._recent = first, second


def seasonal(subject: Subject, **parameters: Any) -> SeasonalDetector:
    """`seasonal`: rarity in the rhythm of day and week. Parameters are those of SeasonalDetector."""
    return SeasonalDetector(subject, **parameters)
