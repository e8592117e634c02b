"""Compresses chunks of TimescaleDB when their time has come, and again when rows came to them late.

Enters: `storage_policy` and the time. Leaves: compressed chunks. Who calls: the maintenance service. Samples are compressed as
they are copied, in batches as small as the copies are; compressing the chunk anew makes full ones of them, which
takes a tenth of the bytes. Rows that come late to a compressed chunk are stored beside its batches and read like
the others; here they are merged.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

import psycopg

from historian import storage_policy

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]


def compress_chunks(connection: Connection, now: datetime) -> list[str]:
    """Compress chunks that are due, oldest first; returns their names. The connection must be in autocommit."""
    done: list[str] = []
    for policy in storage_policy.read(connection):
        if policy.compress_after is None:
            continue
        rows = connection.execute(
            "SELECT chunk FROM history_chunks() WHERE resolution = %s AND unsettled AND to_time <= %s ORDER BY to_time",
            (policy.resolution, now - policy.compress_after),
        ).fetchall()
        for (chunk,) in rows:
            began_s = time.monotonic()
            connection.execute("SELECT compress_chunk(%s::regclass, if_not_compressed => true)", (chunk,))
            took_s = round(time.monotonic() - began_s, 1)
            log.info("chunk compressed", extra={"resolution": policy.resolution, "chunk": chunk, "seconds": took_s})
            done.append(chunk)
    return done
