"""What people say of anomaly episodes, and what is remembered of one: its pattern.

A label is written by serving to `anomaly.labels`, once when it is given and once more when it is withdrawn; serving, the historian and the
telemetry job follow it. Records of one id may come in any order and again: `merged` gives the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from schemas import codec

MAX_REASON = 500
"""Longest reason that is kept, characters."""
MAX_NAME = 100
"""Longest name of a person that is kept."""
SHARE = 0.5
"""A tag belongs to the pattern from this share of the strongest tag's part on."""

_PLACES = frozenset({"level", "step", "shift", "drift"})
_MOVEMENTS = frozenset({"restless", "spread"})


class Verdict(StrEnum):
    """What a person says that an episode was."""

    NOT_A_FAULT = "NOT_A_FAULT"
    """Nothing was wrong: the same again is not worth telling."""
    FAULT = "FAULT"
    """Something was wrong: the same again is to be told early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PatternTag:
    """What was strange about a tag. `direction`: 1 above where it was expected, -1 below, 0 where the statistic has none."""

    tag_id: int
    statistic: str
    direction: int

    @property
    def kind(self) -> tuple[int, str, int]:
        """What is compared: tag, family of the statistic, direction.

        Where a value is (level, step, shift, drift) is one family, because a fault goes from one to the next as time passes; how much it
        moves (restless, spread) is another.
        """
        family = (
            "place" if self.statistic in _PLACES else "movement" if self.statistic in _MOVEMENTS else self.statistic
        )
        return self.tag_id, family, self.direction

    @property
    def is_step(self) -> bool:
        """Whether it is against the last windows: a tag that comes back steps the other way."""
        return self.statistic == "step"

    @property
    def turned(self) -> PatternTag:
        """The same in the other direction."""
        return dataclasses.replace(self, direction=-self.direction)


def pattern_tag(contributor: Mapping[str, Any]) -> PatternTag:
    """What is strange about a contributor of an Anomaly record."""
    statistic, direction = contributor.get("statistic", ""), 0
    low, high = contributor["expected_low"], contributor["expected_high"]
    if statistic in _PLACES and low is not None and high is not None:
        direction = 1 if float(contributor["value"]) >= 0.5 * (low + high) else -1
    return PatternTag(tag_id=contributor["tag_id"], statistic=statistic, direction=direction)


def pattern_of(contributors: Iterable[Mapping[str, Any]]) -> tuple[PatternTag, ...]:
    """The pattern of an episode: its contributors that have at least `SHARE` of the strongest one's part, strongest first."""
    found = sorted(contributors, key=lambda one: -one["score"])
    return tuple(pattern_tag(one) for one in found if one["score"] >= SHARE * found[0]["score"])


@dataclass(frozen=True, kw_only=True, slots=True)
class AnomalyLabel:
    """A label. Topic `anomaly.labels`, key label id. It counts for windows that end after `time_us` and not after `withdrawn_us`."""

    label_id: UUID
    episode_id: UUID
    device_id: int
    verdict: Verdict
    by: str
    time_us: int
    reason: str = ""
    detector: str
    peak_score: float
    pattern: tuple[PatternTag, ...]
    withdrawn_us: int | None = None
    withdrawn_by: str = ""
    withdrawn_reason: str = ""

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return str(self.label_id).encode()

    def stands_at(self, time_us: int) -> bool:
        """Whether it counts for a window that ends at this event time."""
        return self.time_us < time_us and (self.withdrawn_us is None or time_us <= self.withdrawn_us)

    def encode(self) -> bytes:
        """Kafka value."""
        return codec.encode("AnomalyLabel", dataclasses.asdict(self))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record. Texts longer than any that is accepted are cut."""
        changed = {
            "verdict": Verdict(record["verdict"]),
            "by": record["by"][:MAX_NAME],
            "reason": record["reason"][:MAX_REASON],
            "withdrawn_by": record["withdrawn_by"][:MAX_NAME],
            "withdrawn_reason": record["withdrawn_reason"][:MAX_REASON],
            "pattern": tuple(PatternTag(**one) for one in record["pattern"]),
        }
        return cls(**(record | changed))


def merged(known: AnomalyLabel | None, other: AnomalyLabel) -> AnomalyLabel:
    """What holds of two records of one id: a withdrawn label stays withdrawn, and else the earlier word counts."""
    return other if known is None else min(known, other, key=_rank)


def _rank(label: AnomalyLabel) -> tuple[bool, int, int, bytes]:
    return label.withdrawn_us is None, label.withdrawn_us or 0, label.time_us, label.encode()
