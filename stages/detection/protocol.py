"""What a detector is: two verbs, score and learn, on the features of one closed window of one device.

Called by `stages.detection.device`, which scores first and learns then, in order of event time, and does what comes
after a score: threshold, hysteresis, episodes. A detector may raise: its device goes on without one, and nothing else
happens. Every kind registered in `stages.detection.kinds` passes the conformance suite in
`tests/unit/test_detection_conformance.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

STATISTICS = ("level", "step", "shift", "drift", "restless", "calm", "spread", "relation", "pattern")
"""What can be strange about a tag: its value now; against the last ones; for some windows; for long; more or less movement than usual;
other spread inside a window; against the other tags; a pattern never seen."""
LEVEL, STEP, SHIFT, DRIFT, RESTLESS, CALM, SPREAD, RELATION, PATTERN = range(len(STATISTICS))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """What a detector watches: k tags of a device that have the same smallest window.

    `normal_low` and `normal_high` (k,) are each tag's normal (EU) range in its unit, NaN when the registry has none.
    `seed` makes random structure reproducible.
    """

    device_id: int
    window_s: int
    tag_id: NDArray[np.int32]
    normal_low: Vector
    normal_high: Vector
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """One closed window; arrays of shape (k,) in the subject's order, in the tags' units, of good samples.

    `count` is 0 for tags without a good sample; their other values are NaN. `trend` is last minus first. `mode` names
    the state the machine was in (PackML state, set points), empty when it is not known, and `settled_s` says for how
    long it had been by the window's start (infinite when it is not known).
    """

    start_us: int
    end_us: int
    count: NDArray[np.int64]
    mean: Vector
    variance: Vector
    low: Vector
    high: Vector
    trend: Vector
    mode: str = ""
    settled_s: float = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Score:
    """`value` in [0, 1]; per tag (k,): its part in [0, 1], what is strange about it, what was seen, and the range in which it was expected.

    `statistic` is an index of STATISTICS. Where the level is what is strange, what was seen lies outside that range. `grace`: the detector
    has not learned enough to be believed; `value` is 0 then.
    """

    value: float
    grace: bool
    part: Vector
    statistic: NDArray[np.intp]
    seen: Vector
    expected_low: Vector
    expected_high: Vector


class Detector(Protocol):
    """One device's detector. `version` goes up when snapshots or scores change their meaning."""

    version: int

    def score(self, features: Features) -> Score:
        """How anomalous a window is. Changes nothing that another score would see."""

    def learn(self, features: Features) -> None:
        """Take a window in. Windows come once each, in order of time."""

    def snapshot(self) -> bytes:
        """All that was learned, bounded in size."""

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot of the same version and subject; raises packing.StateError when it cannot."""


class DetectorFactory(Protocol):
    """Makes detectors of one kind; raises TypeError or ValueError for parameters it does not have."""

    def __call__(self, subject: Subject, **parameters: Any) -> Detector:
        """New detector of a subject."""


class ScoreListener(Protocol):
    """Told of every scored window, with the threshold of its moment: for programs that show scores, not for the line."""

    def __call__(
        self, device_id: int, window_s: int, features: Features, score: Score, news: float, threshold: float
    ) -> None:
        """A window was scored; `news` is its score where that says more than was said already, else 0 (`stages.detection.news`)."""
