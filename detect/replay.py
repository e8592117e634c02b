"""A history through the stages of the telemetry job: frames, verdicts, windows, detectors and episodes as configured.

Enters a `History`; leaves a score, a threshold and an episode per row. The code is the line's own (`TelemetryLogic`), frame by
frame in order of time; only Kafka and Flink are missing. A window is one nominal period of the history, at least a second,
because a row is what is to be scored. More than `feature_map.MAX_TAGS` tags are watched as several devices; a row has the highest of
their scores.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from base.errors import ConfigError
from detect.forecasts import ForecastRow, Limits, check_limits, collect, config_for
from detect.table import History
from schemas import codec, frame, topics
from schemas.definitions import DataType, Historise, TagDefinition, encode_tag, encode_version
from schemas.frame import ClockStatus, Stream
from stages.config import DetectionConfig, TelemetryConfig, WindowConfig
from stages.detection.episodes import LEAST_PART
from stages.detection.feature_map import MAX_TAGS
from stages.detection.kinds import catalogue
from stages.detection.protocol import Features, Score
from stages.forecast.life import DETECTOR as FORECAST
from stages.telemetry.logic import Origin, Output, TelemetryLogic

SITE, GATEWAY = "history", "gw-history"
FRAME_SPAN_US = 1_800_000_000
"""A frame's times lie within an hour or so: offsets are 32 bits of microseconds."""
FRAME_ROWS = 200
_EPOCH_ID = UUID(int=(7 << 76) | (2 << 62))
_ORIGIN = topics.FRAMES.for_site(SITE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contributor:
    """A tag's part in an episode, in [0, 1], and what was seen and expected in its unit."""

    tag: str
    part: float
    value: float
    expected_low: float | None
    expected_high: float | None
    statistic: str
    """What is strange about it, one of stages.detection.protocol.STATISTICS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeRow:
    """An episode. `end_us` is None when the history ended first."""

    number: int
    episode_id: str
    start_us: int
    end_us: int | None
    peak: float
    threshold: float
    detector: str
    contributors: tuple[Contributor, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """What came out. Arrays have a row per row of the history.

    `score` and `news` are 0 where nothing could be scored, `threshold` NaN; `episode` 0 outside episodes, else its number.
    """

    window_s: int
    period_s: float
    irregular: float
    """Share of intervals that differ from the nominal period by more than a tenth."""
    learning_until_us: int
    """Start of the first window that was scored; the end of the history when none was."""
    windows_scored: int
    windows_learning: int
    """Windows that a detector only learned from. One window of two devices counts twice."""
    score: NDArray[np.float64]
    """How strange."""
    news: NDArray[np.float64]
    """The score where it says more than was said already (stages.detection.news), else 0: what opens an episode."""
    threshold: NDArray[np.float64]
    episode: NDArray[np.int64]
    contributors: list[str]
    episodes: tuple[EpisodeRow, ...]
    refused: dict[str, int]
    """Samples that validation refused, by verdict."""
    disabled: int
    line_us_per_row: float
    forecasts: tuple[ForecastRow, ...] = ()
    limits: Limits = field(default_factory=dict)
    scored: list[tuple[int, Features]] = field(default_factory=list)
    """Every scored window with its device, when asked for."""


def nominal_period_s(time_us: NDArray[np.int64]) -> tuple[float, float]:
    """Median interval between distinct times, and the share of intervals further than a tenth from it."""
    steps = np.diff(np.unique(time_us)) / 1e6
    if not len(steps):
        return 1.0, 0.0
    period_s = float(np.median(steps))
    return period_s, float((np.abs(steps - period_s) > 0.1 * period_s).mean())


class _Tap:
    """Collects what detection says of each window."""

    def __init__(self, names: list[tuple[str, ...]], *, keep: bool) -> None:
        self.names = names
        self.keep = keep
        self.scored: list[tuple[int, Features]] = []
        self.windows_scored = self.windows_learning = 0
        self.by_start: dict[int, tuple[float, float, float, str]] = {}
        self.first_us: int | None = None

    def __call__(
        self,
        device_id: int,
        window_s: int,  # noqa: ARG002
        features: Features,
        score: Score,
        news: float,
        threshold: float,
    ) -> None:
        if self.keep:
            self.scored.append((device_id, features))
        if score.grace:
            self.windows_learning += 1
            return
        self.windows_scored += 1
        if self.first_us is None:
            self.first_us = features.start_us
        known = self.by_start.get(features.start_us)
        if known is None or (news, score.value) > (known[1], known[0]):
            self.by_start[features.start_us] = score.value, news, threshold, self._contributors(device_id, score)

    def _contributors(self, device_id: int, score: Score) -> str:
        names = self.names[device_id - 1]
        order = np.argsort(-score.part, kind="stable")
        return " ".join(
            f"{names[at]}:{score.part[at]:.2f}" for at in order[:5].tolist() if score.part[at] >= LEAST_PART
        )


def replay(
    history: History,
    detection: DetectionConfig,
    *,
    detector: str,
    window_s: int | None = None,
    limits: Limits | None = None,
    keep: bool = False,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Replay:
    """Send a history through the stages: a score, a threshold and an episode per row. Raises ConfigError for an unknown detector.

    Where `limits` are given, forecasts too. `on_rows` is told how many rows are done, now and then.
    """
    if detector not in (known := catalogue(detection.detectors)):
        msg = f"no detector is called {detector!r}; known: {', '.join(sorted(known))}"
        raise ConfigError(msg)
    period_s, irregular = nominal_period_s(history.time_us)
    size_s = window_s or max(round(period_s), 1)
    groups = [history.tags[start : start + MAX_TAGS] for start in range(0, len(history.tags), MAX_TAGS)]
    tap = _Tap(groups, keep=keep)
    check_limits(limits or {}, history.tags, history.name)
    config = TelemetryConfig(
        detection=detection,
        windows=WindowConfig(close_delay_s=0.0),
        forecast=config_for(float(np.ptp(history.time_us)) / 1e6, size_s, asked=bool(limits)),
    )
    logic = TelemetryLogic(config, on_score=tap)
    for tag in definitions(history.tags, window_s=size_s, period_s=period_s, detector=detector, limits=limits):
        logic.apply_registry(encode_tag(tag)[1])
    logic.apply_registry(encode_version(1, tags=len(history.tags), time_us=0)[1])
    outputs: list[Output] = []
    began = time.perf_counter()
    for number, (made, now_us, rows) in enumerate(frames(history)):
        outputs += _kept(logic.on_frame(made, Origin(_ORIGIN, 0, number), now_us))
        on_rows(rows)
    outputs += _kept(logic.flush_all(int(history.time_us.max())))
    took_us = (time.perf_counter() - began) * 1e6
    logic.on_timer(None, int(history.time_us.max()))  # counts the detectors that failed
    anomalies = [each.value for each in outputs if each.topic == topics.ANOMALIES.name]
    episodes = collect_episodes(anomalies, history.tags)
    return Replay(
        window_s=size_s,
        period_s=period_s,
        irregular=irregular,
        learning_until_us=tap.first_us if tap.first_us is not None else int(history.time_us.max()),
        **_by_row(history, tap, size_s, episodes),
        episodes=episodes,
        forecasts=collect(anomalies, history.tags),
        limits=limits or {},
        windows_scored=tap.windows_scored,
        windows_learning=tap.windows_learning,
        refused=_refused(outputs),
        disabled=logic.counters["detectors_disabled"],
        line_us_per_row=took_us / len(history.time_us),
        scored=tap.scored,
    )


def definitions(
    tags: Sequence[str], *, window_s: int, period_s: float, detector: str, limits: Limits | None = None
) -> list[TagDefinition]:
    """Registry entries of the columns: no limits, and no normal ranges but those asked about, because a CSV file has none."""
    return [
        TagDefinition(
            tag_id=number + 1,
            device_id=number // MAX_TAGS + 1,
            registry_version=1,
            path=f"history/{SITE}/area/line/cell/device{number // MAX_TAGS + 1}/{name}",
            name=name,
            site=SITE,
            device_class="history",
            tag_class="history",
            description="",
            data_type=DataType.DOUBLE,
            unit="1",
            eu_low=(limits or {}).get(name, (None, None))[0],
            eu_high=(limits or {}).get(name, (None, None))[1],
            limit_low=None,
            limit_high=None,
            max_rate=None,
            stuck_after_s=None,
            period_ms=min(max(round(period_s * 1000), 1), 2**31 - 1),
            deadband=0.0,
            windows_s=(window_s,),
            detector=detector,
            historise=Historise.ALL,
            gateway_id=GATEWAY,
            lane=0,
            address=f"csv:{name}",
            writable=False,
            retired=False,
        )
        for number, name in enumerate(tags)
    ]


def _refused(outputs: Iterable[Output]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in outputs:
        if each.topic == topics.REJECTED.name:
            _, record = codec.decode(each.value, "Rejected")
            found[str(record["reason"])] += int(record["samples"])
    return dict(found)


def frames(history: History) -> Iterator[tuple[bytes, int, int]]:
    """Encoded frames in order of time, each with the time it was closed at and how many rows are done with it."""
    order = np.argsort(history.time_us, kind="stable")
    time_us, values = history.time_us[order], history.values[order]
    start = sequence = 0
    while start < len(order):
        stop = min(start + FRAME_ROWS, int(np.searchsorted(time_us, time_us[start] + FRAME_SPAN_US, side="right")))
        row, tag = np.nonzero(~np.isnan(values[start:stop]))
        if len(row):
            closed_us = int(time_us[stop - 1])
            made = frame.build(
                gateway_id=GATEWAY,
                epoch=_EPOCH_ID,
                lane=0,
                stream=Stream.LIVE,
                sequence=sequence,
                closed_time_us=closed_us,
                clock_status=ClockStatus.SYNCHRONISED,
                registry_version=1,
                tag_id=(tag + 1).astype(np.int32),
                time_us=time_us[start + row],
                value=values[start + row, tag],
                quality=np.zeros(len(row), dtype=np.uint16),
            )
            yield frame.encode(made), closed_us, stop
            sequence += 1
        start = stop


def _kept(outputs: Iterable[Output]) -> list[Output]:
    return [each for each in outputs if each.topic in {topics.ANOMALIES.name, topics.REJECTED.name}]


def collect_episodes(messages: Iterable[bytes], tags: Sequence[str]) -> tuple[EpisodeRow, ...]:
    """Episodes of detectors in order of their start, from Anomaly records: the last record of each tells all."""
    last: dict[str, dict[str, Any]] = {}
    for message in messages:
        _, record = codec.decode(message, "Anomaly")
        if record["detector"] == FORECAST:
            continue
        last[str(record["episode_id"])] = record
    ordered = sorted(last.items(), key=lambda item: (item[1]["start_us"], item[1]["device_id"]))
    return tuple(
        EpisodeRow(
            number=number,
            episode_id=episode_id,
            start_us=record["start_us"],
            end_us=record["end_us"],
            peak=record["peak_score"],
            threshold=record["threshold"],
            detector=f"{record['detector']} {record['detector_version']}",
            contributors=tuple(
                Contributor(
                    tag=tags[each["tag_id"] - 1],
                    part=each["score"],
                    value=each["value"],
                    expected_low=each["expected_low"],
                    expected_high=each["expected_high"],
                    statistic=each["statistic"],
                )
                for each in record["contributors"]
            ),
        )
        for number, (episode_id, record) in enumerate(ordered, 1)
    )


def _by_row(history: History, tap: _Tap, size_s: int, episodes: Sequence[EpisodeRow]) -> dict[str, Any]:
    """Scores of windows, spread over the rows that lie in them."""
    rows = len(history.time_us)
    score, news, threshold = np.zeros(rows), np.zeros(rows), np.full(rows, np.nan)
    contributors = [""] * rows
    size_us = size_s * 1_000_000
    for row, start_us in enumerate((history.time_us // size_us * size_us).tolist()):
        found = tap.by_start.get(start_us)
        if found is not None:
            score[row], news[row], threshold[row], contributors[row] = found
    episode = np.zeros(rows, dtype=np.int64)
    for each in episodes:
        end_us = np.inf if each.end_us is None else each.end_us
        inside = (history.time_us >= each.start_us) & (history.time_us < end_us)
        episode[inside & (episode == 0)] = each.number
    return {"score": score, "news": news, "threshold": threshold, "episode": episode, "contributors": contributors}
