"""When a lane that is behind puts frames together: which ones wait for others, for how long, and how many go at once.

Most of what a small frame costs does not depend on how many samples it has (ADR 0015). Pure rules over the waiting
frames of a lane; `stages.telemetry.logic` asks.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas.frame import Frame
from stages.config import TelemetryConfig
from stages.intake.held import HeldFrame, HeldFrames


class CatchUpRules:
    """The rules of one configuration, see `CatchUpConfig`."""

    def __init__(self, config: TelemetryConfig) -> None:
        self._limits = config.catch_up
        self._behind_us = config.behind_s * 1e6
        self._too_old_us = config.validation.too_old_days * 86_400e6

    def wants_company(self, frame: Frame, now_us: int) -> bool:
        """Whether a frame is behind, and small enough that it is worth processing with others.

        What is older than samples may be is no backlog: its gateway has no clock.
        """
        limits, behind_us = self._limits, now_us - frame.closed_time_us
        return (
            self._behind_us < behind_us < self._too_old_us
            and 2 * frame.samples <= limits.max_samples
            and limits.max_wait_s > 0
        )

    def complete(self, held: HeldFrames, now_us: int) -> bool:
        """Whether the waiting frames, of which the oldest wants company, have waited for others long enough."""
        limits, oldest = self._limits, held.queue[0]
        behind_us = now_us - oldest.frame.closed_time_us
        wait_us = min(behind_us * limits.share, limits.max_wait_s * 1e6)
        full = held.samples >= limits.max_samples or len(held) >= limits.max_frames
        return full or now_us - oldest.held_us >= wait_us

    def together(self, held: HeldFrames, known: Callable[[HeldFrame], bool]) -> int:
        """How many of the waiting frames, the oldest first, go at once: those whose registry version is known, within the limits."""
        limits, samples, frames = self._limits, 0, 0
        from_us = held.queue[0].frame.closed_time_us
        for each in held.queue:
            if frames >= limits.max_frames or not known(each):
                break
            samples += each.frame.samples
            apart_us = abs(each.frame.closed_time_us - from_us)
            if frames and (samples > limits.max_samples or apart_us > limits.max_span_s * 1e6):
                break
            frames += 1
        return frames
