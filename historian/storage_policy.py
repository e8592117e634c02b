"""The table `storage_policy`: how long each resolution of each tag class is kept, and when it is compressed and rolled up.

Enters: a connection. Leaves: `Policy` values. Who calls: retention, compression, `./millrace storage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]
EVERY = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """One row. `keep` None: for ever; `compress_after` None: never; `dropped_before` None: nothing has been dropped yet."""

    resolution: str
    tag_class: str
    keep: timedelta | None
    compress_after: timedelta | None
    refresh_after: timedelta | None
    dropped_before: datetime | None


def read(connection: Connection) -> tuple[Policy, ...]:
    """All rows, by resolution and class, with * first."""
    rows = connection.execute(
        """SELECT resolution, tag_class, keep, compress_after, refresh_after, nullif(dropped_before, '-infinity')
           FROM storage_policy
           ORDER BY array_position(ARRAY['samples', 'fine_windows', 'windows', 'hours', 'days', 'records'], resolution),
                    tag_class <> '*', tag_class"""
    ).fetchall()
    return tuple(
        Policy(
            resolution=resolution,
            tag_class=tag_class,
            keep=keep,
            compress_after=compress_after,
            refresh_after=refresh_after,
            dropped_before=dropped_before,
        )
        for resolution, tag_class, keep, compress_after, refresh_after, dropped_before in rows
    )


def dropped(connection: Connection, policy: Policy, before: datetime) -> None:
    """Remember that what is older is gone."""
    connection.execute(
        "UPDATE storage_policy SET dropped_before = greatest(dropped_before, %s) WHERE resolution = %s AND tag_class = %s",
        (before, policy.resolution, policy.tag_class),
    )
