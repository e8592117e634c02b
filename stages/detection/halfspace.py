"""`HalfSpaceModel`: half-space trees by river on a summary of all deviations.

The only module that imports river, and with it scipy and pandas (2 s of a start): `stages.detection.scaled` imports it
when a detector with trees is made.
"""

from __future__ import annotations

import math

import numpy as np
from river import anomaly

from stages import packing
from stages.detection.deviations import Deviations
from stages.detection.model import Parts
from stages.detection.protocol import PATTERN
from stages.detection.running_gaussian import RunningGaussian

_USUAL = 3.0
"""Standard deviations below which no tag is strange by itself."""


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
        self._usual = RunningGaussian()
        self._grace = window // 2
        self._scored: tuple[Deviations, dict[str, float], float] | None = None

    def _features(self, deviations: Deviations) -> dict[str, float]:
        largest = deviations.largest.tolist()
        most = ([*sorted(largest, reverse=True), 0.0, 0.0, 0.0])[:3]
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
        if self._usual.count < self._grace:
            return 0.0
        deviation = max(raw - self._usual.mean, 0.0) / max(self._usual.sigma, 0.01)
        # Raw scores end at 1, so they never are many standard deviations.
        return float(-math.expm1(-math.log(2.0) * (deviation / 5.0) ** 2))

    def parts(self, deviations: Deviations) -> Parts | None:
        """See Model: the trees see no tags, so where no tag is strange by itself the pattern of all is."""
        return (
            Parts(deviations.part + 1e-9, np.full(len(deviations.part), PATTERN)) if deviations.peak < _USUAL else None
        )

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
        fields = {"counter": self._trees.counter, "first": self._trees._first_window}  # noqa: SLF001
        return packing.pack(self.LAYOUT, fields, self._usual.moments(), np.array(masses, dtype=np.int32).reshape(-1, 2))

    def restore(self, data: bytes) -> None:
        """See Model."""
        fields, (moments, masses) = packing.unpack(data, self.LAYOUT, "half-space model")
        self._usual = RunningGaussian.of(*moments.tolist())
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
        fresh.counter, fresh._first_window = fields["counter"], fields["first"]  # noqa: SLF001
        self._trees = fresh
