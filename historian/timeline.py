"""Which life of the database the historian reads Kafka for: a restored or promoted database is noticed before anything is written to it.

PostgreSQL begins a new timeline when it is restored to a point in time and when a standby is promoted. Then the job's offsets in Kafka
are those of another life: the frames between would be missing, and nobody would see it. So the store writes nothing until `recover` has
set the job to the positions of this database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg

from connectors.postgres.database import StoreUnavailable


def known(connection: psycopg.Connection[Any]) -> bool:
    """Whether the database lives the life that it was recovered for."""
    row = connection.execute("SELECT timeline = database_timeline() FROM recovery_state").fetchone()
    return row is not None and bool(row[0])


def require_known(connection: psycopg.Connection[Any]) -> None:
    """Raise StoreUnavailable when it does not."""
    if not known(connection):
        msg = (
            "the database was restored, promoted or copied, and the historian's place in Kafka belongs to another life of it: nothing is"
            " written until `./millrace recover` (without the stack: `python -m historian.recover`) has set it back"
        )
        raise StoreUnavailable(msg)


def mark_known(connection: psycopg.Connection[Any], report: Mapping[str, Any]) -> None:
    """From now on the job's place in Kafka belongs to this life."""
    connection.execute(
        "UPDATE recovery_state SET timeline = database_timeline(), recovered_at = clock_timestamp(), report = %s",
        (json.dumps(report),),
    )
