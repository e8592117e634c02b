"""Connections to PostgreSQL, and which of its errors mean "later" and which mean "never".

Enters: a libpq connection string. Leaves: psycopg connections with the settings every module here relies on (UTC, read
committed). Who calls: everything in this package.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors

from base.errors import UnavailableError
from connectors.postgres import arrays, transport

CONNECT_TIMEOUT_S = 5

# Classes of SQLSTATE (its first two characters) that blame the data of a statement: data exceptions and violated constraints. Everything
# else (connection, resources, shutdown, deadlock, missing rights or tables) may be different the next time.
_DATA_CLASSES = frozenset({"22", "23"})


class StoreUnavailable(UnavailableError):
    """The database cannot take the batch now. Nothing of it is stored; keep it and try again."""


def connect(dsn: str, *, application: str, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """Connection in UTC; raises StoreUnavailable, and ConfigError for what `transport` refuses."""
    transport.check(dsn)
    try:
        connection = psycopg.connect(
            dsn,
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"millrace-{application}",
            # A silent network is noticed in about 15 s, so a writer behind a dead link gives up instead of hanging.
            keepalives_idle=5,
            keepalives_interval=5,
            keepalives_count=2,
            tcp_user_timeout=15_000,
        )
        arrays.register(connection)
        with connection.transaction():
            connection.execute("SET timezone = 'UTC'")
    except psycopg.Error as error:
        raise unavailable(error) from error
    return connection


def unavailable(error: psycopg.Error) -> StoreUnavailable:
    """The error to raise for one that may pass."""
    if isinstance(error, errors.UndefinedFile) and "timescaledb" in str(error):
        return StoreUnavailable(
            f"the server does not have the library of the database's TimescaleDB ({str(error).strip()}): install the package of that"
            " version beside the new one, then update the extension (docs/operations.md, TimescaleDB)"
        )
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    return StoreUnavailable(f"PostgreSQL is not available: {str(error).strip() or type(error).__name__}{state}")


def blames_data(error: Exception) -> bool:
    """Whether the statement's data is at fault: the same data will fail again."""
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:  # raised by psycopg itself: a value it cannot send, or a lost connection
            return isinstance(error, psycopg.DataError)
        return error.sqlstate[:2] in _DATA_CLASSES
    return isinstance(error, (ValueError, TypeError, OverflowError))


def missing_partition(error: Exception) -> bool:
    """Whether a row found no partition: retention dropped it since the writer last looked."""
    return isinstance(error, errors.CheckViolation) and "no partition of relation" in str(error)
