"""How a command-line tool over the database ends: its error in a line, its exit status by docs/command-line.md."""

from __future__ import annotations

import sys
from collections.abc import Callable

import psycopg

from base import logs
from base.errors import InvalidRequestError, MillraceError, NotFoundError, UnavailableError
from connectors.postgres.database import unavailable


def run(name: str, work: Callable[[], int]) -> int:
    """Status of `work`, or that of its error: 2 for what was asked, 3 for what does not answer, 1 for the rest."""
    logs.configure(name)
    try:
        return work()
    except psycopg.Error as error:
        cause, status = str(unavailable(error)), 3
    except MillraceError as error:
        wrong = isinstance(error, (InvalidRequestError, NotFoundError))
        cause, status = str(error), 2 if wrong else 3 if isinstance(error, UnavailableError) else 1
    except OSError as error:
        cause, status = str(error), 1
    sys.stderr.write(f"{name}: {cause}\n")
    return status
