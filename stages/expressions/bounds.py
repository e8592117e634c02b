"""What any expression must be before something reads it, alarms' and policies' alike: a text, and no long one."""

from __future__ import annotations

from base.errors import ConfigError

MAX_LENGTH = 1_000
"""Letters: what reading and checking cost grows with them."""


def check_length(text: str) -> None:
    """Raise ConfigError for a text that is empty or too long."""
    if not text.strip():
        msg = "it is empty"
        raise ConfigError(msg)
    if len(text) > MAX_LENGTH:
        msg = f"it has {len(text)} characters, more than {MAX_LENGTH}"
        raise ConfigError(msg)
