"""What people said of a device's episodes, and what follows for its threshold: the same again is told later, or earlier.

Enters: records of `anomaly.labels`, in any order and again. Leaves: the score that a window has to reach. Called by
`stages.detection.episodes`, for windows that could open an episode. Nothing is learned here: what counts follows from the labels and the
window's end alone, so it is the same after a restart and in a replay, and it is gone when the label is withdrawn.

Scores are compared in halvings of what is left to 1 (0.5 is one, 0.75 two); with `default` one is six standard deviations. A window is of a
label's pattern when every tag that reaches the threshold by itself, and the strongest in any case, is in the pattern, strange in the same
way and direction; a step back right behind such windows is of it too. For such a window:

- "not a fault" asks for `MARGIN` halvings more than the peak of the episode, `CEILING` at most: what is much stronger is told.
- "was a fault" asks for `LOWERED` of the detector's own threshold, without what earlier episodes added.
- With both, what is `MARGIN` below the weakest fault is told, whatever was none.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas import codec
from schemas.labels import AnomalyLabel, PatternTag, Verdict, merged, pattern_tag

MARGIN = 0.5
CEILING = 10.0
LOWERED = 0.8
KEPT = 64
"""So many labels of a device are kept, the newest."""


class Labels:
    """Labels by device; shared by all lanes of a subtask."""

    __slots__ = ("_devices",)

    def __init__(self) -> None:
        self._devices: dict[int, list[AnomalyLabel]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._devices.values()))

    def apply(self, message: bytes) -> None:
        """Fold one record in. Raises SchemaError or ValueError for one that is no label."""
        self.put(AnomalyLabel.from_record(codec.decode(message, "AnomalyLabel")[1]))

    def put(self, label: AnomalyLabel) -> None:
        """Fold one label in."""
        kept = self._devices.setdefault(label.device_id, [])
        known = next((one for one in kept if one.label_id == label.label_id), None)
        if known is not None:
            kept.remove(known)
        insort(kept, merged(known, label), key=_oldest_first)
        del kept[:-KEPT]

    def of(self, device_id: int) -> Sequence[AnomalyLabel]:
        """Labels of a device that are kept, oldest first, withdrawn ones among them."""
        return self._devices.get(device_id, ())

    def threshold(
        self,
        device_id: int,
        detector: str,
        end_us: int,
        threshold: float,
        base: float,
        contributors: Callable[[], Sequence[Mapping[str, Any]]],
        *,
        behind: bool = False,
    ) -> float:
        """Score that a window that ended at `end_us` has to reach.

        `threshold` is what the device would need without labels, `base` what its detector has in the configuration; `contributors` are the
        window's, as an Anomaly record has them: asked for only where some label counts. `behind`: a window just before was not told
        because of a label.
        """
        labels = [one for one in self.of(device_id) if one.detector == detector and one.stands_at(end_us)]
        if not labels:
            return threshold
        found = contributors()
        strange = [pattern_tag(one) for at, one in enumerate(found) if at == 0 or one["score"] >= threshold]
        alike = [one for one in labels if _covers(one, strange, behind=behind)]
        harmless = [halvings(one.peak_score) for one in alike if one.verdict is Verdict.NOT_A_FAULT]
        faults = [halvings(one.peak_score) for one in alike if one.verdict is Verdict.FAULT]
        return score_of(_needed(halvings(threshold), halvings(base), harmless, faults))


def _covers(label: AnomalyLabel, strange: Sequence[PatternTag], *, behind: bool) -> bool:
    known = {tag.kind for tag in label.pattern}
    return all(tag.kind in known or (behind and tag.is_step and tag.turned.kind in known) for tag in strange)


def lowest(base: float) -> float:
    """The least score that a label can ask for."""
    return score_of(LOWERED * halvings(base))


def _needed(threshold: float, base: float, harmless: Sequence[float], faults: Sequence[float]) -> float:
    """All in halvings."""
    needed = max(threshold, min(max(harmless) + MARGIN, CEILING)) if harmless else threshold
    if not faults:
        return needed
    lowered = min(LOWERED * base, threshold)
    return min(needed, max(lowered, min(faults) - MARGIN)) if harmless else lowered


def halvings(score: float) -> float:
    """How often what is left to 1 was halved."""
    return -math.log2(max(1.0 - score, 2.0**-40))


def score_of(height: float) -> float:
    """The score of so many halvings."""
    return -math.expm1(-math.log(2.0) * height)


def _oldest_first(label: AnomalyLabel) -> tuple[int, str]:
    return label.time_us, str(label.label_id)
