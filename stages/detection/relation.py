"""Tags in relation to one another: faults that no tag shows alone, such as a temperature that does not follow its heater.

A linear model of the joint distribution of deviations, the streaming kin of Hotelling's T² on principal components (Hotelling,
1947; MacGregor and Kourti, 1995): a fading correlation matrix R of the tags' deviations, held away from singular by a ridge, and
its inverse P. Two statistics of a window z: the whole distance zᵀPz, and for each tag its deviation from what the other tags make
of it, (Pz)ⱼ / √Pⱼⱼ, which names the tag; both also of the fading mean of z, so that a small change of a relation that stays is
seen. P is renewed every `_RENEW` windows, so a window costs two products of a matrix with a vector: about 15 µs for 5 tags.

`RelationTails` scores by rarity (for `seasonal`), `RelationModel` makes a score of it (the registered `relation`, and a part of
`default`). Blind while fewer than two tags deviate, and to relations that are not linear.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.deviations import Deviations
from stages.detection.gaussian import GaussianModel
from stages.detection.model import Parts
from stages.detection.protocol import RELATION
from stages.detection.rarity import FIELDS, Rarity
from stages.detection.strength import strengths

_CLIP = 6.0
_LEAST = 1.0
"""Usual deviations are taken to be this large at least: what is below a tag's resolution is not amplified."""
_UNKNOWN = 0.05
"""Mean square from which a tag that deviates by exactly nothing is one whose level cannot be compared now."""
_RENEW = 32
_RIDGE = 0.05
_MEAN_OF = 8.0
_STATISTICS = 4
"""Whole and worst tag, of the window and of the fading mean."""

Vector = NDArray[np.float64]


class Relation:
    """Correlations of deviations and their inverse. `seen` windows were learned."""

    def __init__(self, tags: int, *, memory: float) -> None:
        self.seen = 0
        self._tags, self._memory = tags, memory
        self._moments = np.zeros((tags, tags))
        self._precision = np.eye(tags)
        self._roots = np.ones(tags)
        """Square roots of the precision's diagonal."""

    @property
    def sizes(self) -> Vector:
        """Mean square of each tag, shape (tags,)."""
        return np.diagonal(self._moments)

    def alone(self, z: Vector) -> Vector:
        """Each tag of a window against what the others make of it, shape (tags,)."""
        apart: Vector = np.abs(z @ self._precision) / self._roots
        return apart

    def against(self, z: Vector) -> tuple[Vector, Vector]:
        """Of windows, shape (n, tags): the whole distance (n,), and each tag against what the others make of it (n, tags)."""
        pulled = z @ self._precision
        return np.maximum((z * pulled).sum(axis=1), 0.0), np.abs(pulled) / self._roots

    def learn(self, z: Vector, *, renew: bool) -> None:
        """Take a window in, shape (tags,)."""
        self.seen += 1
        self._moments += (z[:, None] * z - self._moments) / min(self.seen, self._memory)
        if self.seen % _RENEW == 0 or renew:
            self._renew()

    def _renew(self) -> None:
        """Precision of the correlations; the ridge is larger while little has been seen."""
        size = np.maximum(np.sqrt(np.diagonal(self._moments)), _LEAST)
        correlation = self._moments / np.outer(size, size)
        correlation[np.diag_indices(self._tags)] = 1.0 + _RIDGE + self._tags / (self._tags + self.seen)
        precision = np.linalg.inv(correlation) / np.outer(size, size)
        self._precision = 0.5 * (precision + precision.T)
        self._roots = np.sqrt(np.diagonal(self._precision))

    def arrays(self) -> list[Vector]:
        """State: the number seen, and one triangle each of moments and precision."""
        upper = np.triu_indices(self._tags)
        return [np.array([float(self.seen)]), self._moments[upper], self._precision[upper]]

    def set_arrays(self, arrays: list[Vector]) -> None:
        """Inverse of `arrays`; raises packing.StateError when they are of other tags."""
        sizes = [array.size for array in arrays]
        triangle = self._tags * (self._tags + 1) // 2
        if sizes != [1, triangle, triangle]:
            msg = f"snapshot of relations of {self._tags} tags has arrays of {sizes}"
            raise packing.StateError(msg)
        self.seen = int(arrays[0][0])
        rows, columns = np.triu_indices(self._tags)
        for whole, part in zip((self._moments, self._precision), arrays[1:], strict=True):
            whole[rows, columns] = whole[columns, rows] = part
        self._roots = np.sqrt(np.diagonal(self._precision))


class RelationTails:
    """The two statistics of a window as rarities, in decades.

    `memory` and `grace` are in windows. Speaks after `grace` of them, or three times the number of tags, whichever is more.
    `ARRAYS` is how many arrays its state has.
    """

    ARRAYS = 5

    def __init__(self, tags: int, *, memory: float, grace: int) -> None:
        self._tags = tags
        self._grace = max(grace, 3 * tags)
        self._relation = Relation(tags, memory=memory)
        self._mean = np.zeros(tags)
        self._tails = [Rarity(memory=memory, grace=grace) for _ in range(_STATISTICS)]

    @property
    def ready(self) -> bool:
        """Whether anything can be said."""
        return self._tags > 1 and self._relation.seen >= self._grace

    def _next(self, deviations: list[float]) -> tuple[Vector, Vector]:
        """The window, and the fading mean with it."""
        z = np.clip(deviations, -_CLIP, _CLIP)
        return z, self._mean + (z - self._mean) / _MEAN_OF

    def _statistics(self, z: Vector, mean: Vector) -> tuple[list[float], Vector]:
        """The four statistics, and how far each tag is from what the others make of it, shape (tags,)."""
        whole, alone = self._relation.against(np.stack((z, mean)))
        return [*np.log1p(whole).tolist(), *np.log1p(alone.max(axis=1)).tolist()], alone.max(axis=0)

    def decades(self, deviations: list[float]) -> list[float]:
        """Rarity of the relation in decades, given to the tags that stand out, 0 for the others."""
        if not self.ready:
            return [0.0] * self._tags
        numbers, alone = self._statistics(*self._next(deviations))
        rarest = max(tail.decades(number) for tail, number in zip(self._tails, numbers, strict=True))
        most = math.log10(self._relation.seen + 1.0)
        rarest = rarest if rarest <= most else most + min(0.25 * (rarest - most), 1.0)
        share = alone / max(float(alone.max()), 1e-12)
        return [rarest * each if each >= 0.5 else 0.0 for each in share.tolist()]

    def learn(self, deviations: list[float], *, tails: bool = True) -> None:
        """Take a window in; without `tails` what is rare stays as rare as it was."""
        if self._tags < 2:
            return
        z, mean = self._next(deviations)
        if tails and self.ready:
            for tail, number in zip(self._tails, self._statistics(z, mean)[0], strict=True):
                tail.learn(number)
        self._mean = mean
        self._relation.learn(z, renew=self._relation.seen + 1 == self._grace)

    def arrays(self) -> list[Vector]:
        """State: the relation, the fading mean, and the tails."""
        tails = np.array([tail.row() for tail in self._tails])
        return [*self._relation.arrays(), self._mean, tails.ravel()]

    def set_arrays(self, arrays: list[Vector]) -> None:
        """Inverse of `arrays`; raises packing.StateError when they are of other tags."""
        sizes = [array.size for array in arrays[-2:]]
        if sizes != [self._tags, _STATISTICS * FIELDS]:
            msg = f"snapshot of relations of {self._tags} tags has arrays of {sizes}"
            raise packing.StateError(msg)
        *relation, self._mean, tails = arrays
        self._relation.set_arrays(relation)
        for tail, row in zip(self._tails, tails.reshape(_STATISTICS, FIELDS).tolist(), strict=True):
            tail.set_row(tuple(row))


class RelationModel:
    """A model on deviations of level: how far the tag is that fits least with the others, calibrated like `GaussianModel`.

    Says nothing before `grace` windows in which some tag's level could be compared.
    """

    LAYOUT = 1

    def __init__(self, tags: int, *, memory: float = 5_000.0, grace: int = 60) -> None:
        self._tags = tags
        self._grace = max(grace, 3 * tags)
        self._relation = Relation(tags, memory=memory)
        self._sizes = GaussianModel()
        self._measured: tuple[Deviations, Vector | None, Vector | None] | None = None

    def _known(self, deviations: Deviations) -> Vector | None:
        """Deviations of level, shape (tags,); None while some tag's cannot be compared: it would seem not to follow the others."""
        level = deviations.level
        missing = level == 0.0
        if self._tags < 2 or missing.all() or (missing & (self._relation.sizes > _UNKNOWN)).any():
            return None
        return np.minimum(np.maximum(level, -_CLIP), _CLIP)

    def _measure(self, deviations: Deviations) -> tuple[Vector | None, Vector | None]:
        """Known deviations, and how far each tag is from what the others make of it.

        None for what is not known; a window that is scored and then learned is measured once.
        """
        if self._measured is None or self._measured[0] is not deviations:
            z = self._known(deviations)
            known = z is not None and self._relation.seen >= self._grace
            self._measured = deviations, z, self._relation.alone(z) if z is not None and known else None
        return self._measured[1], self._measured[2]

    def score(self, deviations: Deviations) -> float:
        """See Model."""
        _, alone = self._measure(deviations)
        return 0.0 if alone is None else self._sizes.score_peak(float(alone.max()))

    def parts(self, deviations: Deviations) -> Parts | None:
        """See Model: the tags that stand out."""
        _, alone = self._measure(deviations)
        if alone is None:
            return None
        return Parts(np.where(alone >= 0.5 * alone.max(), strengths(alone), 0.0), np.full(self._tags, RELATION))

    def learn(self, deviations: Deviations) -> None:
        """See Model."""
        z, alone = self._measure(deviations)
        self._measured = None
        if z is None:
            return
        if alone is not None:
            self._sizes.learn_peak(float(alone.max()))
        self._relation.learn(z, renew=self._relation.seen + 1 == self._grace)

    def snapshot(self) -> bytes:
        """See Model."""
        sizes = self._sizes.snapshot()
        return packing.pack(self.LAYOUT, {"sizes": len(sizes)}, *self._relation.arrays()) + sizes

    def restore(self, data: bytes) -> None:
        """See Model."""
        fields, arrays = packing.unpack(data, self.LAYOUT, "relation model")
        self._relation.set_arrays(arrays)
        self._sizes.restore(data[len(data) - fields["sizes"] :])
