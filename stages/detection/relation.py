"""Tags in relation to one another: faults that no tag shows alone, such as a temperature that does not follow its heater.

A linear model of the joint distribution of deviations, the streaming kin of Hotelling's T² on principal components (Hotelling,
1947; MacGregor and Kourti, 1995): a fading correlation matrix R of the tags' deviations, held away from singular by a ridge, and
its inverse P. Two statistics of a window z: the whole distance zᵀPz, and for each tag its deviation from what the other tags make
of it, (Pz)ⱼ / √Pⱼⱼ, which names the tag; both also of the fading mean of z, so that a small change of a relation that stays is
seen. P is renewed every `_RENEW` windows, so a window costs two products of a matrix with a vector: about 15 µs for 5 tags.

`RelationTails` judges by rarity (for `seasonal`), `RelationModel` makes a score of it (the registered `relation`, and a part of
`default`). Blind while fewer than two tags deviate, and to relations that are not linear.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.rarity import FIELDS, Rarity

_CLIP = 6.0
_RENEW = 32
_RIDGE = 0.05
_MEAN_OF = 8.0
_STATISTICS = 4
"""Whole and worst tag, of the window and of the fading mean."""

Vector = NDArray[np.float64]


class RelationTails:
    """See the module. Speaks after `grace` windows or three times the number of tags, whichever is more."""

    def __init__(self, tags: int, *, memory: float, grace: int) -> None:
        self._tags = tags
        self._memory = memory
        self._grace = max(grace, 3 * tags)
        self._seen = 0
        self._moments = np.zeros((tags, tags))
        self._mean = np.zeros(tags)
        self._precision = np.eye(tags)
        self._tails = [Rarity(memory=memory, grace=grace) for _ in range(_STATISTICS)]

    @property
    def ready(self) -> bool:
        """Whether anything can be said."""
        return self._tags > 1 and self._seen >= self._grace

    def _statistics(self, z: Vector, mean: Vector) -> tuple[list[float], Vector]:
        """The four statistics, and how far each tag is from what the others make of it, shape (tags,)."""
        both = np.stack((z, mean))
        pulled = both @ self._precision
        alone = np.abs(pulled) / np.sqrt(np.diagonal(self._precision))
        whole = np.maximum((both * pulled).sum(axis=1), 0.0)
        worst = alone.max(axis=1)
        return [*np.log1p(whole).tolist(), *np.log1p(worst).tolist()], alone.max(axis=0)

    def decades(self, deviations: list[float]) -> list[float]:
        """Rarity of the relation in decades, given to the tags that stand out, 0 for the others."""
        if not self.ready:
            return [0.0] * self._tags
        z = np.clip(deviations, -_CLIP, _CLIP)
        numbers, alone = self._statistics(z, self._mean + (z - self._mean) / _MEAN_OF)
        rarest = max(tail.decades(number) for tail, number in zip(self._tails, numbers, strict=True))
        most = math.log10(self._seen + 1.0)
        rarest = rarest if rarest <= most else most + min(0.25 * (rarest - most), 1.0)
        share = alone / max(float(alone.max()), 1e-12)
        return [rarest * each if each >= 0.5 else 0.0 for each in share.tolist()]

    def learn(self, deviations: list[float]) -> None:
        """Take a window in."""
        if self._tags < 2:
            return
        z = np.clip(deviations, -_CLIP, _CLIP)
        mean = self._mean + (z - self._mean) / _MEAN_OF
        if self.ready:
            for tail, number in zip(self._tails, self._statistics(z, mean)[0], strict=True):
                tail.learn(number)
        self._mean = mean
        self._seen += 1
        self._moments += (np.outer(z, z) - self._moments) / min(self._seen, self._memory)
        if self._seen % _RENEW == 0 or self._seen == self._grace:
            self._renew()

    def _renew(self) -> None:
        """Precision of the correlations; the ridge is larger while little has been seen."""
        size = np.sqrt(np.diagonal(self._moments)) + 1e-6
        correlation = self._moments / np.outer(size, size)
        ridge = _RIDGE + self._tags / (self._tags + self._seen)
        correlation[np.diag_indices(self._tags)] = 1.0 + ridge
        self._precision = np.linalg.inv(correlation) / np.outer(size, size)

    # --- state -----------------------------------------------------------------------------------------------------------

    def arrays(self) -> list[Vector]:
        """State: moments, mean and precision by tag, and the tails."""
        tails = np.array([tail.row() for tail in self._tails])
        seen = np.array([float(self._seen)])
        return [seen, self._mean, self._moments.ravel(), self._precision.ravel(), tails.ravel()]

    def set_arrays(self, arrays: list[Vector]) -> None:
        """Inverse of `arrays`; raises packing.StateError when they are of other tags."""
        sizes = [len(array) for array in arrays]
        if sizes != [1, self._tags, self._tags**2, self._tags**2, _STATISTICS * FIELDS]:
            msg = f"snapshot of relations of {self._tags} tags has arrays of {sizes}"
            raise packing.StateError(msg)
        seen, self._mean, moments, precision, tails = arrays
        self._seen = int(seen[0])
        self._moments, self._precision = (each.reshape(self._tags, self._tags) for each in (moments, precision))
        for tail, row in zip(self._tails, tails.reshape(_STATISTICS, FIELDS).tolist(), strict=True):
            tail.set_row(tuple(row))
