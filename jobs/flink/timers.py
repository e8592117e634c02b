"""Timers of a keyed operator: a processing-time tick per key, and the end of a bounded input."""

from __future__ import annotations

from typing import Any

END_OF_INPUT_MS = (1 << 63) - 1
"""Flink's last watermark. Processing-time timers do not fire at the end of a bounded input; an event-time timer of this time does."""


def tick_after(now_ms: int, period_ms: int, phase_ms: int = 0) -> int:
    """Next point of the grid `phase_ms + n * period_ms` after now.

    On a grid a timer that is registered twice, by a restored snapshot and by the first record after it, is one timer.
    """
    return (now_ms - phase_ms) // period_ms * period_ms + period_ms + phase_ms


def register_tick(timers: Any, period_ms: int, phase_ms: int = 0) -> None:
    """Register the current key's next tick."""
    timers.register_processing_time_timer(tick_after(timers.current_processing_time(), period_ms, phase_ms))


def register_end_of_input(timers: Any) -> None:
    """Have the current key's `on_timer` called with END_OF_INPUT_MS when the input ends."""
    timers.register_event_time_timer(END_OF_INPUT_MS)
