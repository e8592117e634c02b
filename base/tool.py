"""How a command-line tool ends: its error in a line on standard error, its exit status by docs/command-line.md."""

from __future__ import annotations

import sys
from collections.abc import Callable

from base.errors import ConfigError, InvalidRequestError, MillraceError, NotFoundError, UnavailableError

DONE, FAILED, WRONG, UNANSWERED, UNWELL = range(5)
INTERRUPTED = 130
"""Exit statuses; UNWELL is of tools that say how something does, INTERRUPTED what a shell gives a program that SIGINT ended."""


def run(name: str, work: Callable[[], int], *also: type[Exception], config: int = WRONG) -> int:
    """Status of `work`, or that of its error, which is said after the tool's name.

    `also`: errors outside the tree that mean it failed. `config`: the status of a ConfigError; FAILED for tools that say what is wrong in a
    file, since that is what they find.
    """
    known: tuple[type[Exception], ...] = (MillraceError, OSError, *also)
    try:
        return work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except known as error:
        sys.stderr.write(f"{name}: {error}\n")
        return config if isinstance(error, ConfigError) else _status_of(error)


def _status_of(error: Exception) -> int:
    if isinstance(error, (InvalidRequestError, NotFoundError)):
        return WRONG
    return UNANSWERED if isinstance(error, UnavailableError) else FAILED
