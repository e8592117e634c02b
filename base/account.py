"""Who runs this process, as its machine knows it."""

from __future__ import annotations

import getpass

_LONGEST = 1000


def os_user() -> str:
    """Name of the user that runs this process; its number where the system has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        return f"user {error}"[:_LONGEST]
