"""Models on a device's deviations: what makes one number of many, calibrated by the device's own history.

A model sees `Deviations` (standard deviations per tag and kind) and says how unusual they are, in [0, 1]. On that scale
0.5 means six standard deviations: `strength` maps deviations there.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from river import anomaly, proba

from stages import packing
from stages.detection.scaling import Deviations
from stages.detection.strength import strength


class Model(Protocol):
    """A model of one device; `LAYOUT` of its state is its own."""

    def score(self, deviations: Deviations) -> float:
        """How unusual, in [0, 1]; 0 while it has not learned enough."""

    def parts(self, deviations: Deviations) -> list[float]:
        """What each tag has to do with the score, in [0, 1], beyond its own deviation; empty when that says it all."""

    def learn(self, deviations: Deviations) -> None:
        """Take a window in."""

    def snapshot(self) -> bytes:
        """What was learned."""

    def restore(self, data: bytes) -> None:
        """Inverse of `snapshot`."""


class GaussianModel:
    """The largest deviation of any tag, weighed by how unusual that size is for this device (river's GaussianScorer).

    The first factor finds faults of one tag in any number of tags; the second lowers the score of a device whose data
    is restless by nature. Fails for faults that show only in the relation of tags. Costs about 5 µs.
    """

    LAYOUT = 1

    def __init__(self, *, memory: int = 5_000, grace: int = 30) -> None:
        self._memory, self._grace = memory, grace

    @cached_property
    def _scorer(self) -> anomaly.GaussianScorer:
        """Made when it is needed: a plant has a hundred thousand, and none learns before its grace period is over."""
        return anomaly.GaussianScorer(window_size=None, grace_period=self._grace)

    def score(self, deviations: Deviations) -> float:
        """See Model."""
        return self.score_peak(deviations.peak)

    def score_peak(self, peak: float) -> float:
        """The same, given the largest deviation."""
        size = math.log1p(peak)
        if size <= self._scorer.gaussian.mu:
            return 0.0
        return strength(math.expm1(size)) * float(self._scorer.score_one(None, size))

    def parts(self, deviations: Deviations) -> list[float]:
        """See Model."""
        return []

    def learn(self, deviations: Deviations) -> None:
        """See Model."""
        self.learn_peak(deviations.peak)

    def learn_peak(self, peak: float) -> None:
        """The same, given the largest deviation."""
        size = math.log1p(peak)
        gaussian = self._scorer.gaussian
        if gaussian.n_samples >= self._scorer.grace_period:
            size = min(size, gaussian.mu + 4.0 * max(gaussian.sigma, 0.05))
        self._scorer.learn_one(None, size)
        if gaussian.n_samples >= 2 * self._memory:
            self._scorer.gaussian = _gaussian(self._memory, gaussian.mu, gaussian.sigma)

    def snapshot(self) -> bytes:
        """See Model."""
        learned = "_scorer" in self.__dict__
        return packing.pack(self.LAYOUT, None, _moments(self._scorer.gaussian) if learned else np.zeros(3))

    def restore(self, data: bytes) -> None:
        """See Model."""
        _, (moments,) = packing.unpack(data, self.LAYOUT, "gaussian model")
        self._scorer.gaussian = _gaussian(*moments.tolist())


class HalfSpaceModel:
    """Half-space trees (Tan, Ting and Liu, 2011; by river) on a summary of all deviations, calibrated by their own scores.

    The summary has the same seven features for any number of tags (the largest deviation of each kind, the three most
    deviating tags, the mean square), because trees that split at random hardly ever look at the one tag that has a
    fault among many. Finds patterns of deviations that have not been seen even when none is large; blind until `window`
    windows have been seen. Costs about 100 µs. The structure of the trees follows from the seed, so a snapshot holds
    their masses only: about 10 KB.
    """

    LAYOUT = 1
    FEATURES = ("level", "step", "spread", "first", "second", "third", "square")

    def __init__(self, *, seed: int, trees: int = 10, height: int = 6, window: int = 250) -> None:
        self._trees = anomaly.HalfSpaceTrees(n_trees=trees, height=height, window_size=window, seed=seed)
        self._usual = proba.Gaussian()
        self._grace = window // 2
        self._scored: tuple[Deviations, dict[str, float], float] | None = None

    def _features(self, deviations: Deviations) -> dict[str, float]:
        largest = deviations.largest.tolist()
        most = (sorted(largest, reverse=True) + [0.0, 0.0, 0.0])[:3]
        kinds = [float(np.abs(kind).max()) for kind in (deviations.level, deviations.step, deviations.spread)]
        square = math.sqrt(math.fsum(each * each for each in largest) / len(largest))
        sizes = (-math.expm1(-size / 4.0) for size in (*kinds, *most, square))
        return dict(zip(self.FEATURES, sizes, strict=True))

    def _score(self, deviations: Deviations) -> tuple[Deviations, dict[str, float], float]:
        """Features and raw score; the trees are walked once for a window that is scored and then learned."""
        if self._scored is None or self._scored[0] is not deviations:
            features = self._features(deviations)
            self._scored = deviations, features, float(self._trees.score_one(features))
        return self._scored

    def score(self, deviations: Deviations) -> float:
        """See Model."""
        _, _, raw = self._score(deviations)
        if self._usual.n_samples < self._grace:
            return 0.0
        deviation = max(raw - self._usual.mu, 0.0) / max(self._usual.sigma, 0.01)
        return float(
            -math.expm1(-math.log(2.0) * (deviation / 5.0) ** 2)
        )  # raw scores end at 1, so never many standard deviations

    def parts(self, deviations: Deviations) -> list[float]:
        """See Model."""
        return []

    def learn(self, deviations: Deviations) -> None:
        """See Model."""
        _, features, raw = self._score(deviations)
        self._scored = None
        if raw > 0.0:  # 0 before the first window of the trees is full
            self._usual.update(raw)
        self._trees.learn_one(features)

    def snapshot(self) -> bytes:
        """See Model."""
        masses = [(node.l_mass, node.r_mass) for tree in self._trees.trees for node in tree.iter_dfs()]
        fields = {"counter": self._trees.counter, "first": self._trees._first_window}
        return packing.pack(self.LAYOUT, fields, _moments(self._usual), np.array(masses, dtype=np.int32).reshape(-1, 2))

    def restore(self, data: bytes) -> None:
        """See Model."""
        fields, (moments, masses) = packing.unpack(data, self.LAYOUT, "half-space model")
        self._usual = _gaussian(*moments.tolist())
        if not masses.size:
            return
        fresh = anomaly.HalfSpaceTrees(
            n_trees=self._trees.n_trees,
            height=self._trees.height,
            window_size=self._trees.window_size,
            seed=self._trees.seed,
        )
        fresh.learn_one(dict.fromkeys(self.FEATURES, 0.5))  # grows the trees
        nodes = [node for tree in fresh.trees for node in tree.iter_dfs()]
        if len(nodes) != len(masses):
            msg = f"snapshot of half-space trees has {len(masses)} nodes, these have {len(nodes)}"
            raise packing.StateError(msg)
        for node, (l_mass, r_mass) in zip(nodes, masses.tolist(), strict=True):
            node.l_mass, node.r_mass = l_mass, r_mass
        fresh.counter, fresh._first_window = fields["counter"], fields["first"]
        self._trees = fresh


def _moments(gaussian: proba.Gaussian) -> NDArray[np.float64]:
    return np.array([gaussian.n_samples, gaussian.mu, gaussian.sigma if gaussian.n_samples > 1 else 0.0])


def _gaussian(count: float, mu: float, sigma: float) -> proba.Gaussian:
    """Distribution with these moments, by updates: the library's own way to make one is private."""
    gaussian = proba.Gaussian()
    if count:
        off = sigma * math.sqrt(max(count - 1.0, 0.0) / count)
        gaussian.update(mu - off, count / 2.0)
        gaussian.update(mu + off, count / 2.0)
    return gaussian
