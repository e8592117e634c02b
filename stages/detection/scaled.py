"""Detectors made of models behind adaptive scaling: the registered `gaussian`, `halfspace`, `relation`, `drift` and `ensemble`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages import packing
from stages.detection.deviations import Examined
from stages.detection.drift import DriftModel
from stages.detection.examination import examine
from stages.detection.gaussian import GaussianModel
from stages.detection.model import Model
from stages.detection.protocol import Features, Score, Subject
from stages.detection.relation import RelationModel
from stages.detection.scaling import AdaptiveScaler

LAYOUT = 1


class ScaledDetector:
    """Several models on the same deviations, joined as independent evidence: 1 - (1 - w1 s1)(1 - w2 s2)…, w their weights."""

    version = 2

    def __init__(self, subject: Subject, models: dict[str, tuple[Model, float]], **scaling: Any) -> None:
        self._scaler = AdaptiveScaler(subject, **scaling)
        self._models = models
        self._examined: Examined | None = None

    @staticmethod
    def prepare(windows: Sequence[tuple[ScaledDetector, Features]]) -> None:
        """Examine the next window of each of several detectors in one go; scoring and learning them costs little then."""
        examined = examine([(detector._scaler, features) for detector, features in windows])  # noqa: SLF001
        for (detector, _), found in zip(windows, examined, strict=True):
            detector._examined = found  # noqa: SLF001

    def _examine(self, features: Features) -> Examined:
        """What is known of a window: it is scored, then learned, and may have been prepared."""
        if self._examined is None or self._examined.features is not features:
            self._examined = examine([(self._scaler, features)])[0]
        return self._examined

    def score(self, features: Features) -> Score:
        """See Detector."""
        deviations = self._examine(features).deviations
        unexplained, part, statistic = 1.0, deviations.part, deviations.statistic
        if not deviations.grace:
            for model, weight in self._models.values():
                score = weight * model.score(deviations)
                unexplained *= 1.0 - score
                if score and (found := model.parts(deviations)) is not None:
                    stronger = found.part > part
                    part = np.where(stronger, found.part, part)
                    statistic = np.where(stronger, found.statistic, statistic)
        return Score(
            value=min(max(1.0 - unexplained, 0.0), 1.0),
            grace=deviations.grace,
            part=part,
            statistic=statistic,
            seen=deviations.seen,
            expected_low=deviations.expected_low,
            expected_high=deviations.expected_high,
        )

    def learn(self, features: Features) -> None:
        """See Detector."""
        examined = self._examine(features)
        self._examined = None
        if not examined.deviations.grace:
            for model, _ in self._models.values():
                model.learn(examined.deviations)
        self._scaler.commit(examined)

    def snapshot(self) -> bytes:
        """See Detector."""
        fields, arrays = self._scaler.arrays()
        parts = {name: model.snapshot() for name, (model, _) in self._models.items()}
        fields["parts"] = {name: len(part) for name, part in parts.items()}
        fields["version"] = self.version
        return packing.pack(LAYOUT, fields, *arrays) + b"".join(parts.values())

    def restore(self, data: bytes) -> None:
        """See Detector."""
        fields, arrays = packing.unpack(data, LAYOUT, "detector")
        lengths: dict[str, int] = fields["parts"]
        if fields["version"] != self.version or list(lengths) != list(self._models):
            msg = f"snapshot of detector version {fields['version']} with models {list(lengths)} does not fit"
            raise packing.StateError(msg)
        self._scaler.set_arrays(fields, arrays)
        at = len(data) - sum(lengths.values())
        for name, length in lengths.items():
            self._models[name][0].restore(data[at : at + length])
            at += length
        self._examined = None


def relation(subject: Subject, **parameters: Any) -> ScaledDetector:
    """`relation`: the largest deviation, and deviations from what the other tags say. Parameters are AdaptiveScaler's."""
    tags = len(subject.tag_id)
    models: dict[str, tuple[Model, float]] = {
        "gaussian": (GaussianModel(), 1.0),
        "relation": (RelationModel(tags), 1.0),
    }
    return ScaledDetector(subject, models, **parameters)


def drift(subject: Subject, *, delta: float = 0.002, **parameters: Any) -> ScaledDetector:
    """`drift`: the largest deviation, and levels that have changed for good. Parameters beside ADWIN's are AdaptiveScaler's."""
    if not 0.0 < delta < 1.0:
        msg = f"delta {delta:g} is no probability"
        raise ValueError(msg)
    model = DriftModel(len(subject.tag_id), delta=delta)
    return ScaledDetector(subject, {"gaussian": (GaussianModel(), 1.0), "drift": (model, 1.0)}, **parameters)


def gaussian(subject: Subject, **parameters: Any) -> ScaledDetector:
    """`gaussian`: the largest deviation, calibrated. Parameters are those of AdaptiveScaler."""
    return ScaledDetector(subject, {"gaussian": (GaussianModel(), 1.0)}, **parameters)


def halfspace(
    subject: Subject, *, trees: int = 10, height: int = 6, window: int = 250, **parameters: Any
) -> ScaledDetector:
    """`halfspace`: half-space trees. Parameters beside those of the trees are AdaptiveScaler's."""
    model = _half_space_trees(subject, trees, height, window)
    return ScaledDetector(subject, {"halfspace": (model, 1.0)}, **parameters)


def ensemble(
    subject: Subject, *, trees: int = 0, height: int = 6, window: int = 250, novelty: float = 0.35, **parameters: Any
) -> ScaledDetector:
    """`ensemble`: the largest deviation and the relation of tags, and with `trees` > 0 half-space trees.

    `novelty` is the weight of the trees: alone they need about 11 deviations of their own scale. They are not in `default`,
    because they cost as much as all the rest and found the same faults, some of them a window earlier.
    """
    models: dict[str, tuple[Model, float]] = {"gaussian": (GaussianModel(), 1.0)}
    if len(subject.tag_id) > 1:
        models["relation"] = RelationModel(len(subject.tag_id)), 1.0
    if trees:
        models["halfspace"] = _half_space_trees(subject, trees, height, window), novelty
    return ScaledDetector(subject, models, **parameters)


def _half_space_trees(subject: Subject, trees: int, height: int, window: int) -> Model:
    """Imported when it is needed: river brings scipy and pandas, 2 s of a start."""
    from stages.detection.halfspace import HalfSpaceModel

    return HalfSpaceModel(seed=subject.seed, trees=trees, height=height, window=window)
