"""Times of the correlation of commands."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandConfig:
    """Times of the correlation, milliseconds."""

    resend_after_ms: int = 15_000
    """An undelivered request is sent again after this, then after twice as long, and so on until it expires."""
    max_attempts: int = 6
    """Highest attempt that is sent."""
    expiry_grace_ms: int = 5_000
    """How long after its expiry an undelivered command is given up: acks may be on their way."""
    outcome_timeout_ms: int = 30_000
    """How long after EXECUTING, or after the expiry of a DELIVERED command, an outcome is waited for before it is UNKNOWN."""
    orphan_after_ms: int = 10_000
    """How long an ack waits for its request."""
    retention_ms: int = 7 * 24 * 3_600_000
    """How long an ended command is remembered; a later ack is an orphan."""
    startup_grace_ms: int = 10_000
    """After a start nothing is concluded from silence for this long: what was said meanwhile is still to be read."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            if getattr(self, spec.name) < 1:
                msg = f"{spec.name} is {getattr(self, spec.name)}, not above 0"
                raise ValueError(msg)
