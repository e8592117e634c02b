"""Anomaly detection of one device: its mode, its detectors per window length, its episodes, and detectors that fail.

Fed by `stages.detection.lane` with closed windows and context values in order of event time. Windows wait `CONFIRM_US`
of event time before they are scored, because a change of mode is seen a little later than the values that follow from
it. Whatever a detector raises disables detection for this device until the job is restarted, is logged once and
counted; nothing else happens.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from stages import packing
from stages.detection.cadence import Merger
from stages.detection.episodes import Episode, EpisodeTracker
from stages.detection.news import News
from stages.detection.protocol import Detector, Features, ScoreListener, Subject

_log = logging.getLogger(__name__)
CONFIRM_US = 1_500_000
MAX_WAITING = 64


class DeviceWatch:
    """Detectors, mode and episodes of one device. `detectors` has a subject and a detector per window length in seconds.

    `has_context`: the device has a mode; `every`: so many windows are merged to one before they are scored.
    """

    def __init__(
        self,
        device_id: int,
        detectors: dict[int, tuple[Subject, Detector]],
        tracker: EpisodeTracker,
        *,
        has_context: bool,
        every: int = 1,
        on_score: ScoreListener | None = None,
    ) -> None:
        self.device_id = device_id
        self._on_score = on_score
        self.detectors = detectors
        self.tracker = tracker
        self.disabled = ""
        self.learned: set[int] = set()
        """Window lengths whose detector has learned since its last snapshot."""
        self._confirm_us = CONFIRM_US if has_context else 0
        self._mode = ""
        self._mode_since_us: int | None = None
        self._waiting: deque[tuple[int, Features]] = deque()
        self._news = {window_s: News(subject) for window_s, (subject, _) in detectors.items()}
        self._merging = {window_s: Merger(window_s) for window_s in detectors} if every > 1 else {}
        self._last_start_us: dict[int, int] = {}
        self.fed_us = 0
        """Processing time of the last window."""

    @property
    def merges(self) -> bool:
        """Whether windows wait to be merged with others."""
        return any(merger.parts for merger in self._merging.values())

    @property
    def due_us(self) -> int | None:
        """Event time at which the next waiting window can be scored."""
        return self._waiting[0][1].end_us + self._confirm_us if self._waiting else None

    def context(self, mode: str, time_us: int) -> None:
        """The machine is in `mode` since the event time `time_us`; the first word about it changes nothing."""
        if self._mode and mode != self._mode:
            self._mode_since_us = time_us
        self._mode = mode

    def put(self, window_s: int, features: Features, now_us: int) -> None:
        """A window closed. Windows of one length that come again, or in the wrong order, are left out."""
        if self.disabled or features.start_us <= self._last_start_us.get(window_s, -1):
            return
        self._last_start_us[window_s] = features.start_us
        self.fed_us = now_us
        merger = self._merging.get(window_s)
        if merger is None:
            self._waiting.append((window_s, features))
        else:
            self._waiting.extend((window_s, merged) for merged in merger.put(features))

    def next(self, clock_us: int | None) -> tuple[int, Features] | None:
        """The next window to be scored, and its length, if the device's clock allows one (None: all that waits)."""
        if clock_us is None and not self._waiting:
            for window_s, merger in self._merging.items():
                self._waiting.extend((window_s, merged) for merged in merger.rest())
        if not self._waiting:
            return None
        window_s, features = self._waiting[0]
        may = clock_us is None or features.end_us + self._confirm_us <= clock_us or len(self._waiting) > MAX_WAITING
        if not may:
            return None
        self._waiting.popleft()
        return window_s, self._in_mode(features)

    def score_and_learn(self, window_s: int, features: Features) -> list[bytes]:
        """Score and learn a window that `next` gave; the Anomaly records that follow."""
        found = self.detectors.get(window_s)
        if found is None or self.disabled:
            return []
        subject, detector = found
        try:
            score = detector.score(features)
            detector.learn(features)
            self.learned.add(window_s)
            news = self._news[window_s].of(score, features.end_us)
            if self._on_score is not None:
                threshold = self.tracker.needed(subject, features.end_us, score)
                self._on_score(self.device_id, window_s, features, score, news, threshold)
            return self.tracker.on_score(subject, features.start_us, features.end_us, score, news)
        except Exception as error:  # noqa: BLE001 - a detector must not cost more than itself
            return self.disable(error)

    def _in_mode(self, features: Features) -> Features:
        if not self._mode:
            return features
        settled_s = float("inf")
        if self._mode_since_us is not None:
            settled_s = (features.start_us - self._mode_since_us) / 1e6
        return replace(features, mode=self._mode, settled_s=settled_s)

    def disable(self, error: Exception) -> list[bytes]:
        """Go on without detection; closes an open episode."""
        self.disabled = f"{type(error).__name__}: {error}"
        self._waiting.clear()
        _log.error(
            "detector disabled", extra={"device_id": self.device_id, "detector": self.tracker.detector}, exc_info=error
        )
        return self.tracker.close()

    # --- state -----------------------------------------------------------------------------------------------------------

    def snapshot(self, window_s: int) -> bytes | None:
        """Bytes of one detector; None when it failed."""
        self.learned.discard(window_s)
        if self.disabled:
            return None
        try:
            return self.detectors[window_s][1].snapshot()
        except Exception as error:  # noqa: BLE001 - as above; an episode it had open is closed by time
            self.disable(error)
            return None

    def restore(self, window_s: int, data: bytes) -> None:
        """Put a detector's bytes back; one that does not fit starts anew."""
        found = self.detectors.get(window_s)
        if found is None:
            return
        try:
            found[1].restore(data)
        except packing.StateError as error:
            _log.warning("detector starts anew", extra={"device_id": self.device_id, "reason": str(error)})
        except Exception as error:  # noqa: BLE001
            self.disable(error)

    def fields(self) -> dict[str, Any]:
        """All but the detectors, JSON-able."""
        tracker = self.tracker
        return {
            "mode": self._mode,
            "mode_since_us": self._mode_since_us,
            "last_start_us": {str(size): start for size, start in self._last_start_us.items()},
            "fed_us": self.fed_us,
            "disabled": self.disabled,
            "raised": tracker.threshold.raised,
            "since_us": tracker.threshold.since_us,
            "recent": {str(size): recent for size, recent in tracker.recent.items()},
            "news": {str(size): news.fields() for size, news in self._news.items()},
            "told_us": {str(size): told_us for size, told_us in tracker.told_us.items()},
            "ended_us": tracker.ended_us,
            "excused_us": {str(size): excused_us for size, excused_us in tracker.excused_us.items()},
            "open": None if tracker.open is None else asdict(tracker.open),
            "waiting": [_to_fields(size, features) for size, features in self._waiting],
            "merging": [_to_fields(size, each) for size, merger in self._merging.items() for each in merger.parts],
        }

    def set_fields(self, fields: dict[str, Any]) -> None:
        """Inverse of `fields`. A detector that was disabled is tried again; windows of other tags than now are left out."""
        self._mode, self._mode_since_us, self.fed_us = fields["mode"], fields["mode_since_us"], fields["fed_us"]
        self._last_start_us = {int(size): start for size, start in fields["last_start_us"].items()}
        tracker = self.tracker
        tracker.threshold.raised, tracker.threshold.since_us = fields["raised"], fields["since_us"]
        tracker.recent = {int(size): recent for size, recent in fields["recent"].items()}
        tracker.told_us = {int(size): told_us for size, told_us in fields.get("told_us", {}).items()}
        tracker.ended_us = fields.get("ended_us")
        tracker.excused_us = {int(size): excused_us for size, excused_us in fields.get("excused_us", {}).items()}
        for size, each in fields.get("news", {}).items():
            if (news := self._news.get(int(size))) is not None:
                news.set_fields(each)
        tracker.open = None if fields["open"] is None else Episode(**fields["open"])
        self._waiting = deque(found for found in map(_from_fields, fields["waiting"]) if self._fits(*found))
        for window_s, features in map(_from_fields, fields.get("merging", ())):
            if (merger := self._merging.get(window_s)) is not None and self._fits(window_s, features):
                merger.parts.append(features)

    def _fits(self, window_s: int, features: Features) -> bool:
        """Whether a window is of as many tags as are watched: the registry may have changed since it was written."""
        found = self.detectors.get(window_s)
        return found is not None and len(found[0].tag_id) == len(features.count)


_VECTORS = ("mean", "variance", "low", "high", "trend")


def _to_fields(window_s: int, features: Features) -> dict[str, Any]:
    columns: dict[str, Any] = {name: getattr(features, name).tolist() for name in _VECTORS}
    return {
        "window_s": window_s,
        "start_us": features.start_us,
        "end_us": features.end_us,
        "count": features.count.tolist(),
        **columns,
    }


def _from_fields(fields: dict[str, Any]) -> tuple[int, Features]:
    mean, variance, low, high, trend = (np.array(fields[name], dtype=np.float64) for name in _VECTORS)
    features = Features(
        start_us=fields["start_us"],
        end_us=fields["end_us"],
        count=np.array(fields["count"], dtype=np.int64),
        mean=mean,
        variance=variance,
        low=low,
        high=high,
        trend=trend,
    )
    return fields["window_s"], features
