"""Cases through detectors, as a lane has it: a window of every device at a time, examined together, then episodes.

Frames, verdicts and windows are left out: they say nothing about a detector, and cost ten times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

import numpy as np
from numpy.typing import NDArray

from benchmarks.machines.corpus import Made
from schemas import codec
from schemas.labels import AnomalyLabel, Verdict, pattern_of
from stages.config import DetectorSpec
from stages.detection.kinds import make
from stages.detection.labels import Labels
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


Person = Callable[[Made, Told], Verdict | None]
"""What somebody says of an episode that has just ended; None for nothing."""


def watch(batch: Sequence[Made], spec: DetectorSpec, person: Person | None = None) -> list[Outcome]:
    """Run the cases of a batch side by side, with somebody who labels their episodes."""
    labels = Labels()
    outcomes = [Outcome(made=made, score=np.zeros(made.windows), episodes=[]) for made in batch]
    at = 0

    def note(device_id: int, window_s: int, features: Features, score: Score, news: float, threshold: float) -> None:  # noqa: ARG001
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
        watches.append(
            watch_of(number, spec, {subject.window_s: (subject, make(spec, subject))}, on_score=note, labels=labels)
        )
    for at in range(max(made.windows for made in batch)):
        due = []
        for each, made in zip(watches, batch, strict=True):
            if at < made.windows and (features := made.features(at)) is not None:
                due.append((each, made.run.window_s, features))
        examine_together(due)
        for each, window_s, features in due:
            outcome = outcomes[each.device_id]
            if _take(outcome.episodes, at, each.score_and_learn(window_s, features)) and person is not None:
                told = outcome.episodes[-1]
                if (verdict := person(outcome.made, told)) is not None:
                    labels.put(label_of(told.record, verdict, features.end_us))
    for each, outcome in zip(watches, outcomes, strict=True):
        outcome.disabled = each.disabled
    return outcomes


def label_of(record: dict[str, Any], verdict: Verdict, time_us: int) -> AnomalyLabel:
    """What somebody says at `time_us` of the episode of an Anomaly record."""
    return AnomalyLabel(
        label_id=uuid5(record["episode_id"], verdict),
        episode_id=record["episode_id"],
        device_id=record["device_id"],
        verdict=verdict,
        by="bench",
        time_us=time_us,
        detector=record["detector"],
        peak_score=record["peak_score"],
        pattern=pattern_of(record["contributors"]),
    )


def _take(episodes: list[Told], at: int, messages: Sequence[bytes]) -> bool:
    """Note what was told; whether an episode has ended."""
    ended = False
    for message in messages:
        record = codec.decode(message, "Anomaly")[1]
        if record["phase"] == "OPEN":
            episodes.append(Told(opened=at))
        episodes[-1].record = record
        if record["phase"] == "CLOSE":
            episodes[-1].ended, ended = at, True
    return ended
