"""Configuration of the telemetry stages.

Frozen; built by `base.settings` from the job's TOML file, or by hand in tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationConfig:
    """Bounds that are not a tag's own."""

    future_skew_s: float = 5.0
    """Source time may be later than the frame's close time by this much."""
    too_old_days: float = 30.0
    """Older than this before the frame's close time is refused: the retention of raw samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig:
    """When windows close, how long they can be restated."""

    lateness_s: float = 10.0
    """A window takes late samples, and is emitted again, until its device's clock is this far past its end."""
    lateness_by_window_s: dict[str, float] = field(default_factory=dict)
    """Overrides per window length: {"60": 30.0}."""
    close_delay_s: float = 0.2
    """A window is first emitted when the device's clock is this far past its end: one frame, so that tags which
    are published a little after the others do not make every window restate."""
    idle_s: float = 10.0
    """The clock of a silent device runs on with processing time, this far behind."""
    forget_idle_s: float = 600.0
    """After this much silence its closed windows leave the state; what still comes for them is flagged late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldConfig:
    """How much a lane may hold back while it waits for a registry version.

    Beyond any of these the oldest frame is processed with what is known.
    """

    max_frames: int = 512
    max_bytes: int = 16 * 1024 * 1024
    max_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchUpConfig:
    """How a lane that is behind (`TelemetryConfig.behind_s`) processes several frames at a time.

    Its frames wait for a `share` of how far it is behind, until one of the bounds is reached. Small frames cost a
    fraction then; what comes out is the same.
    """

    share: float = 0.1
    max_wait_s: float = 8.0
    """0: every frame is processed as it comes."""
    max_samples: int = 10_000
    max_frames: int = 64
    max_span_s: float = 8.0
    """Frames closed further apart do not go together: less than a window's lateness, beyond which one makes another's samples late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSpec:
    """One detector of the configuration: `kind` as registered in stages.detection, with its parameters.

    Device classes name it, so this is where a class's choice, cadence and alarm rule are set.
    """

    name: str
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    every: int = 1
    """Cadence: so many windows of the class's smallest length are merged to one before they are scored."""
    threshold: float = 0.5
    """Score from which an episode can open; episodes raise it for a while (stages.detection.threshold)."""
    hold_off_s: float = 60.0
    hold_off_windows: int = 3
    """An episode ends when no score has kept it open for this long, and for this many windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionConfig:
    """Anomaly detection.

    A device's detector is named by its tags' definitions; an unknown name falls back to `default`.
    """

    enabled: bool = True
    detectors: tuple[DetectorSpec, ...] = ()
    """Beside the built-in ones, or instead of a built-in one of the same name."""
    snapshot_interval_s: float = 60.0
    """How much learning a failure may cost. 0 snapshots every change (tests)."""
    snapshot_budget_ms: float = 4.0
    """Time one timer call may spend on snapshots."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastConfig:
    """Forecasts of when a tag reaches an end of its normal range (stages.forecast)."""

    enabled: bool = False
    step_s: float = 3600.0
    """Window means are averaged to levels of at least this length."""
    horizon_s: float = 30 * 86400.0
    """No limit is forecast that lies further ahead than this, or than `spans` times as long as the trend lasts."""
    spans: float = 1.5
    rhythm_s: float = 86400.0
    """What repeats is no trend: the day. 0 for none."""
    least_rhythms: float = 2.0
    """Nothing is forecast before so many of them were seen."""
    silent_s: float = 3 * 86400.0
    """The forecast of a tag that has said nothing for so long ends: longer than a weekend."""

    def __post_init__(self) -> None:
        for name in ("step_s", "horizon_s", "spans", "silent_s"):
            if not getattr(self, name) > 0.0:
                msg = f"{name} is {getattr(self, name)}, not above 0"
                raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryConfig:
    """All stages of the telemetry job."""

    validation: ValidationConfig = ValidationConfig()
    windows: WindowConfig = WindowConfig()
    hold: HoldConfig = HoldConfig()
    catch_up: CatchUpConfig = CatchUpConfig()
    detection: DetectionConfig = DetectionConfig()
    forecast: ForecastConfig = ForecastConfig()
    remembered_checksums: int = 512
    """Per (gateway, epoch, lane, stream): how far back an identity conflict is told from a duplicate."""
    latest_interval_ms: int = 100
    """On average at most one LatestBatch per lane in this time.

    Below a frame's usual 200 ms, so that values go out with the frame that brought them; a tick sends what is left.
    """
    latest_behind_interval_ms: int = 1000
    """The same for a lane that is behind: its newest frame was closed more than `behind_s` ago.

    What it publishes is history by then, and a backlog of small frames would be outweighed by the last values of all its tags.
    """
    behind_s: float = 5.0
    progress_interval_s: float = 1.0
    """At most one LaneProgress per lane in this time, when duplicates, conflicts or held frames changed."""
    progress_quiet_interval_s: float = 10.0
    """The same, when only more frames were processed."""
