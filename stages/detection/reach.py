"""How far a tag gets again and again: what came once may be a fault, what comes every hour is usual for this tag.

Standard deviations say little of tags that burst, jump between a few values, or stop and start: they get far out by nature. So deviations
are measured by a reach, which is `FAR` for a tag that stays near its level. An excursion beyond it that is over brings the reach nearer to
its peak, hardly the first time and more each time that it comes again; both fade, so the reach comes down when nothing comes. While a
fault lasts nothing is learned of it. Rows of `stages.detection.tag_scale`, all tags at once.
"""

from __future__ import annotations

import numpy as np

from stages.detection.tag_scale import AGAIN, FAR, REACH, Mask, Vector

_MEMORY = 300.0
"""Windows."""
_ONCE = 0.5
"""An excursion that came n times in the memory brings the reach all of the way but 1 in n + this much (of logarithms)."""


def usual(scales: Vector) -> Vector:
    """How much further than others tags get: deviations are divided by it."""
    factor: Vector = scales[REACH] / FAR
    return factor


def excursion(scales: Vector, peak: Vector, deviation: Vector) -> tuple[Vector, Vector]:
    """Peaks of the excursions that go on with these deviations, and of those that are over now; 0 where there is none."""
    beyond = deviation > scales[REACH]
    peak = np.where(beyond, np.maximum(peak, deviation), peak)
    return np.where(beyond, peak, 0.0), np.where(beyond, 0.0, peak)


def learn(scales: Vector, over: Vector, where: Mask) -> None:
    """Take in a window; `over` are the peaks of excursions that it ended."""
    reach, again = scales[REACH], scales[AGAIN]
    ended = over > reach
    np.copyto(again, again * (1.0 - 1.0 / _MEMORY) + ended, where=where)
    nearer = 1.0 - 1.0 / np.maximum(again + _ONCE, 1.0)
    risen = reach * (np.maximum(over, reach) / reach) ** nearer
    fallen = np.maximum(reach * (1.0 - 1.0 / _MEMORY), FAR)
    np.copyto(reach, np.where(ended, risen, fallen), where=where)
