"""Times and bounds of alarms that are no rule's own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmConfig:
    """Milliseconds, unless a name says otherwise."""

    disorder_ms: int = 1_000
    """Delays end when the gateway's clock is this far past them: another lane's samples may be a little behind."""
    resume_ms: int = 5_000
    """A gateway's clock that leaps by more than this was away: silence of its tags counts from there."""
    late_ms: int = 30_000
    """An alarm that becomes known so long after it began says that it is late; what was over by then does not ring."""
    startup_grace_ms: int = 10_000
    """After a start no gateway is silent for this long: what was said meanwhile is still to be read."""
    unmatched_ms: int = 60_000
    """How long an action waits for an alarm that is not known yet, before it is refused."""
    chattering_ms: int = 60_000
    """Within this an alarm that is raised `chattering_count` times chatters."""
    chattering_count: int = 3
    fleeting_ms: int = 10_000
    """An activation that is over sooner, before anybody has acknowledged it, is fleeting."""
    flood_ms: int = 600_000
    """Floods are counted within this."""
    flood_above: int = 10
    """More than so many new alarms in a scope are a flood (EEMUA 191)."""
    flood_below: int = 5
    """Fewer than so many, and it is over."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            if getattr(self, spec.name) < 1:
                msg = f"{spec.name} is {getattr(self, spec.name)}, not above 0"
                raise ValueError(msg)
        if self.flood_below > self.flood_above:
            msg = f"flood_below is {self.flood_below}, above flood_above, {self.flood_above}"
            raise ValueError(msg)
