"""Times and bounds of alarms that are no rule's own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmConfig:
    """Milliseconds, unless a name says otherwise."""

    disorder_ms: int = 1_000
    """Delays end when what is known is this far past them: a sample may be a little behind."""
    resume_ms: int = 5_000
    """A gateway's clock that leaps by more than this was away: silence of its tags counts from there. Delays of a lane of which nothing is
    read for so long go on by its gateway's clock, for so long."""
    quiet_ms: int = 20_000
    """Delays of a lane of which nothing is read for this long go on by the slowest lane of its site of which something is."""
    late_ms: int = 30_000
    """An alarm that becomes known so long after it began says that it is late; what was over by then does not ring."""
    startup_grace_ms: int = 10_000
    """After a start or a break no gateway is silent for this long: what was said meanwhile is still to be read."""
    ask_ms: int = 3_000
    """When nothing of a site has been read for this long, it is asked whether anything could be."""
    pause_ms: int = 10_000
    """When nothing is called for this long, the process stood: a break."""
    rules_wait_ms: int = 60_000
    """Which rules hold goes by the clock of the gateways; where those are silent, by the clock on the wall so far behind."""
    follow_us: int = 500
    """A site's rules and definitions are followed no more often than this for each of its sources, microseconds; at once where that
    comes to less than a second."""
    unmatched_ms: int = 60_000
    """How long an action waits for an alarm that is not known yet, before it is refused; and what was published before a start, to come
    again."""
    lagging_ms: int = 900_000
    """What was published before a start is compared at last, though values are still read that are behind, when they have been for this
    long."""
    forget_ms: int = 7 * 86_400_000
    """How long an alarm that is over stays on the topic `alarms`."""
    most_ended: int = 10_000
    """Of more that are over at a site, the oldest are forgotten sooner."""
    most_conditions: int = 2_000
    """Of more conditions of servers at a device (or gateway), those that rest are forgotten, the longest first."""
    machine_wait_ms: int = 3_600_000
    """An alarm of a condition that is over and acknowledged here waits for its machine no longer than this behind the acknowledgement."""
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
