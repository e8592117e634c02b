"""From scores to episodes: one fault is one anomaly with a start, an end, a peak and contributors, not a storm.

Pure state machine of one device, fed with scored windows in order of event time per window length. Opens when two of
the last three windows of one length reach the threshold, or one reaches half-way from it to 1 (a short, violent fault), and one of
them is news (`stages.detection.news`), or there was no episode for `_QUIET` windows before.
Stays open while scores reach `exit_ratio` of the threshold it opened at (hysteresis), and closes when none has for
`hold_off_s` and `hold_off_windows`, so a fault that flickers is one fault. Ids follow from device, detector and start: the
same episode computed again has the same id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from schemas import codec
from stages.detection.labels import Labels, lowest
from stages.detection.protocol import STATISTICS, Score, Subject
from stages.detection.threshold import AdaptiveThreshold

CONTRIBUTORS = 5
_QUIET = 60
_RECENT = 2
"""Windows that belong to those just before."""
LEAST_PART = 0.25
"""A tag contributes from about 2.5 standard deviations on."""
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:millrace:anomaly")


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeConfig:
    """When an episode ends, and when an open one is reported again. Scores are in [0, 1]."""

    exit_ratio: float = 0.7
    """A score keeps an episode open from this share of the threshold it opened at."""
    hold_off_s: float = 60.0
    hold_off_windows: int = 3
    """It ends when no score has kept it open for this long, and for this many windows."""
    update_s: float = 10.0
    """An open episode is reported at most once in this time."""
    update_rise: float = 0.05
    """An open episode is reported again when its peak has risen by this much."""


@dataclass(slots=True, kw_only=True)
class Episode:
    """One open episode."""

    episode_id: str
    start_us: int
    active_us: int
    """End of the last window that kept it open."""
    window_s: int
    threshold: float
    score: float
    peak: float
    reported_peak: float
    reported_us: int
    revision: int
    contributors: list[dict[str, Any]]


@dataclass(slots=True)
class EpisodeTracker:
    """Episodes of one device.

    `recent` has, per window length, the start of each of the last windows that reached the threshold, or None;
    `told_us` the start of the last one that was worth telling, `ended_us` when the last episode ended, `excused_us`
    the start of the last one that was not told because of a label. `labels` is what people said of
    earlier ones; it is no part of the state.
    """

    device_id: int
    detector: str
    detector_version: int
    config: EpisodeConfig
    threshold: AdaptiveThreshold
    open: Episode | None = None
    recent: dict[int, list[int | None]] = field(default_factory=dict)
    told_us: dict[int, int] = field(default_factory=dict)
    ended_us: int | None = None
    excused_us: dict[int, int] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)

    def on_score(self, subject: Subject, start_us: int, end_us: int, score: Score, news: float) -> list[bytes]:
        """Anomaly records that follow from one scored window of `subject`, whose score says `news`."""
        messages = self.on_time(start_us)
        threshold = self.needed(subject, end_us, score)
        if self.threshold.at(end_us) <= score.value < threshold and not score.grace:
            self.excused_us[subject.window_s] = start_us
        reached = score.value >= threshold and not score.grace
        recent = ([*self.recent.get(subject.window_s, []), start_us if reached else None])[-3:]
        self.recent[subject.window_s] = recent
        told = self._told(subject, start_us, news >= threshold or (reached and self._was_quiet(subject, start_us)))
        if self.open is not None:
            return messages + self._go_on(subject, end_us, score) + self.on_time(end_us)
        hits = [start for start in recent if start is not None]
        if reached and told and (len(hits) >= 2 or score.value >= 0.5 * (1.0 + threshold)):
            messages.append(self._begin(subject, hits[0], end_us, score, threshold))
        return messages

    def needed(self, subject: Subject, end_us: int, score: Score) -> float:
        """Score that a window has to reach: the device's threshold, and what people said of windows like this one."""
        threshold, base = self.threshold.at(end_us), self.threshold.config.base
        if score.value < lowest(base) or not self.labels.of(self.device_id):
            return threshold  # not reached, whatever anybody said
        excused_us = self.excused_us.get(subject.window_s)
        return self.labels.threshold(
            self.device_id,
            self.detector,
            end_us,
            threshold,
            base,
            lambda: contributors(subject, score),
            behind=excused_us is not None and end_us - excused_us <= (1 + _RECENT) * subject.window_s * 1_000_000,
        )

    def _was_quiet(self, subject: Subject, start_us: int) -> bool:
        """Whether the last episode ended so long ago that the same again is worth telling."""
        return self.ended_us is None or start_us - self.ended_us > _QUIET * subject.window_s * 1_000_000

    def _told(self, subject: Subject, start_us: int, worth: bool) -> bool:
        """Whether this window or one of the two before is worth telling."""
        if worth:
            self.told_us[subject.window_s] = start_us
        told_us = self.told_us.get(subject.window_s)
        return told_us is not None and start_us - told_us <= _RECENT * subject.window_s * 1_000_000

    def on_time(self, now_us: int) -> list[bytes]:
        """Closes an episode whose hold-off is over at the event time `now_us`."""
        episode = self.open
        if episode is None:
            return []
        hold_us = max(self.config.hold_off_s, self.config.hold_off_windows * episode.window_s) * 1_000_000
        return self.close() if now_us - episode.active_us > hold_us else []

    def close(self) -> list[bytes]:
        """Closes the open episode, if there is one."""
        episode = self.open
        if episode is None:
            return []
        self.open = None
        self.ended_us = episode.active_us
        self.recent.clear()
        episode.revision += 1
        return [self._record(episode, "CLOSE", end_us=episode.active_us)]

    def _begin(self, subject: Subject, start_us: int, end_us: int, score: Score, threshold: float) -> bytes:
        name = f"{self.device_id}/{self.detector}/{start_us}"
        self.open = Episode(
            episode_id=str(uuid5(_NAMESPACE, name)),
            start_us=start_us,
            active_us=end_us,
            window_s=subject.window_s,
            threshold=threshold,
            score=score.value,
            peak=score.value,
            reported_peak=score.value,
            reported_us=end_us,
            revision=1,
            contributors=contributors(subject, score),
        )
        self.threshold.opened(end_us)
        return self._record(self.open, "OPEN")

    def _go_on(self, subject: Subject, end_us: int, score: Score) -> list[bytes]:
        episode = self.open
        assert episode is not None
        if score.value < self.config.exit_ratio * episode.threshold or score.grace:
            return []
        episode.active_us = max(episode.active_us, end_us)
        episode.window_s = max(episode.window_s, subject.window_s)
        episode.score = score.value
        if score.value > episode.peak:
            episode.peak = score.value
            episode.contributors = contributors(subject, score)
        risen = episode.peak - episode.reported_peak >= self.config.update_rise
        if not risen or end_us - episode.reported_us < self.config.update_s * 1e6:
            return []
        episode.revision += 1
        episode.reported_peak, episode.reported_us = episode.peak, end_us
        return [self._record(episode, "UPDATE")]

    def _record(self, episode: Episode, phase: str, end_us: int | None = None) -> bytes:
        return codec.encode(
            "Anomaly",
            {
                "episode_id": UUID(episode.episode_id),
                "device_id": self.device_id,
                "phase": phase,
                "revision": episode.revision,
                "start_us": episode.start_us,
                "end_us": end_us,
                "score": episode.score,
                "peak_score": episode.peak,
                "threshold": episode.threshold,
                "contributors": episode.contributors,
                "detector": self.detector,
                "detector_version": self.detector_version,
            },
        )


def contributors(subject: Subject, score: Score) -> list[dict[str, Any]]:
    """Tags that explain a score, strongest first, as the Anomaly record has them."""
    order = sorted(range(len(subject.tag_id)), key=lambda at: (-float(score.part[at]), at))
    chosen = [at for at in order[:CONTRIBUTORS] if score.part[at] >= LEAST_PART] or order[:1]
    return [
        {
            "tag_id": int(subject.tag_id[at]),
            "score": float(score.part[at]),
            "statistic": STATISTICS[int(score.statistic[at])],
            "value": float(score.seen[at]),
            "expected_low": _known(float(score.expected_low[at])),
            "expected_high": _known(float(score.expected_high[at])),
        }
        for at in chosen
    ]


def _known(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124  # NaN
