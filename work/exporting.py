"""A table of the model of work as CSV that `importing` takes: every column, machines by their paths, in the order of the keys.

Enters: a connection and a table's name. Leaves: lines of text. Who calls: `command`.
"""

from __future__ import annotations

import csv
from typing import TextIO

from psycopg.sql import SQL, Identifier

from work import csv_text
from work.tables import APPEND_ONLY, DEVICE_ID, Connection, describe, header

_AT_ONCE = 5_000


def export(connection: Connection, name: str, to: TextIO) -> int:
    """Write the table; returns how many rows it has. Raises InvalidRequestError for a name that is no table."""
    table = describe(connection, name)
    path = SQL("(SELECT d.path FROM device d WHERE d.device_id = t.device_id)")
    columns = (
        path
        if column.name == DEVICE_ID
        # Python has no infinite time.
        else SQL("CASE WHEN isfinite({0}) THEN {0} END").format(SQL("t.") + Identifier(column.name))
        if column.type == "timestamp with time zone"
        else SQL("t.") + Identifier(column.name)
        for column in table.columns
    )
    order = ("ordinal",) if name in APPEND_ONLY else table.key
    query = SQL("SELECT {} FROM {} t ORDER BY {}").format(
        SQL(", ").join(columns), Identifier(name), SQL(", ").join(map(Identifier, order))
    )
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow([header(column.name) for column in table.columns])
    count = 0
    with connection.transaction(), connection.cursor(name="work_export") as cursor:
        cursor.itersize = _AT_ONCE
        for row in cursor.execute(query):
            writer.writerow(map(csv_text.write, row))
            count += 1
    return count
