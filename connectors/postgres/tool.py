"""How a command-line tool over the database ends: as any other (`base.tool`), and the database's errors are among those that pass."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from base import logs, tool
from connectors.postgres.database import unavailable


def run(name: str, work: Callable[[], int], *also: type[Exception]) -> int:
    """Status of `work`, or that of its error; `also` as in `base.tool`."""
    logs.configure(name)

    def with_database() -> int:
        try:
            return work()
        except psycopg.Error as error:
            raise unavailable(error) from error

    return tool.run(name, with_database, *also, config=tool.FAILED)
