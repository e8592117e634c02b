"""Adaptive threshold: a bounded rate of episodes, whatever the data.

Every episode that opens raises the threshold by `step` of what is left below 1; it falls back to `base` at `per_day`
steps a day. A device whose normal behaviour keeps looking anomalous makes a few episodes and then goes quiet, and
becomes sensitive again as days pass without.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_US = 86_400_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdConfig:
    """Scores are in [0, 1]; 0.5 is six standard deviations."""

    base: float = 0.5
    step: float = 0.15
    per_day: float = 1.0
    highest: float = 0.95


@dataclass(slots=True)
class AdaptiveThreshold:
    """Threshold of one device. `raised` is how far above the base it was at `since_us`, event time."""

    config: ThresholdConfig
    raised: float = 0.0
    since_us: int = 0

    def at(self, time_us: int) -> float:
        """Threshold at an event time."""
        config = self.config
        days = max(time_us - self.since_us, 0) / DAY_US
        fallen = max(self.raised - days * config.per_day * config.step * (1.0 - config.base), 0.0)
        return min(config.base + fallen, config.highest)

    def opened(self, time_us: int) -> None:
        """An episode opened."""
        now = self.at(time_us)
        self.raised = now + self.config.step * (1.0 - now) - self.config.base
        self.since_us = max(time_us, self.since_us)
