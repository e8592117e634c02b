"""Cases through detectors, as a lane has it: a window of every device at a time, examined together, then episodes.

Frames, verdicts and windows are left out: they say nothing about a detector, and cost ten times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machines.corpus import Made
from schemas import codec
from stages.config import DetectorSpec
from stages.detection.kinds import make
from stages.detection.lane import examine_together, watch_of
from stages.detection.protocol import Features, Score, Subject


@dataclass(kw_only=True, slots=True)
class Told:
    """An episode: the windows in which it opened and ended (None: not yet), and its last record."""

    opened: int
    ended: int | None = None
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True, eq=False)
class Outcome:
    """What a detector made of a case; `score` (windows,), 0 while it learns."""

    made: Made
    score: NDArray[np.float64]
    episodes: list[Told]
    disabled: str = ""


def watch(batch: Sequence[Made], spec: DetectorSpec) -> list[Outcome]:
    """Run the cases of a batch side by side."""
    outcomes = [Outcome(made=made, score=np.zeros(made.windows), episodes=[]) for made in batch]
    at = 0

    def note(device_id: int, window_s: int, features: Features, score: Score, threshold: float) -> None:  # noqa: ARG001
        outcomes[device_id].score[at] = score.value

    watches = []
    for number, made in enumerate(batch):
        tags = made.mean.shape[1]
        unknown = np.full(tags, np.nan)
        subject = Subject(
            device_id=number,
            window_s=made.run.window_s,
            tag_id=np.arange(tags, dtype=np.int32),
            normal_low=unknown,
            normal_high=unknown,
            seed=number,
        )
        watches.append(watch_of(number, spec, {subject.window_s: (subject, make(spec, subject))}, on_score=note))
    for at in range(max(made.windows for made in batch)):
        due = []
        for each, made in zip(watches, batch, strict=True):
            if at < made.windows and (features := made.features(at)) is not None:
                due.append((each, made.run.window_s, features))
        examine_together(due)
        for each, window_s, features in due:
            _take(outcomes[each.device_id].episodes, at, each.score_and_learn(window_s, features))
    for each, outcome in zip(watches, outcomes, strict=True):
        outcome.disabled = each.disabled
    return outcomes


def _take(episodes: list[Told], at: int, messages: Sequence[bytes]) -> None:
    for message in messages:
        record = codec.decode(message, "Anomaly")[1]
        if record["phase"] == "OPEN":
            episodes.append(Told(opened=at))
        episodes[-1].record = record
        if record["phase"] == "CLOSE":
            episodes[-1].ended = at
