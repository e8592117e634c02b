"""Records that name a person: of the database and of the audit log. Read as they are, so nothing is left out that has a column for a name.

Enters: the names by which records may know the person. Leaves: `(where, record)`, one after the other, since there may be many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Message
from psycopg import sql

from audit import search
from audit.search import Wanted
from audit.tiles import Readable
from base.errors import SchemaError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.postgres import database
from schemas import topics
from schemas.push import PushSubscription

Record = tuple[str, dict[str, Any]]

_COLUMNS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid = 'text'::regtype AND (a.attname = 'who' OR a.attname LIKE '%\\_by') AND has_table_privilege(c.oid, 'SELECT')
GROUP BY c.relname ORDER BY c.relname
"""
_BATCH = 500


def of_database(dsn: str, names: Sequence[str]) -> Iterator[Record]:
    """Rows whose column `who` or `..._by` has one of the names. Raises UnavailableError."""
    with database.connect(dsn, application="privacy") as connection:
        try:
            tables = connection.execute(_COLUMNS).fetchall()
            for table, columns in tables:
                yield from _rows(connection, table, columns, names)
        except psycopg.Error as error:
            raise database.unavailable(error) from error


def of_audit(folder: Path, names: Sequence[str]) -> Iterator[Record]:
    """Entries about somebody who did it, was the second person, or was forgotten."""
    for fields in search.oldest(Readable(folder), Wanted()):
        if {fields.get("subject"), fields.get("second"), fields.get("name")} & set(names):
            yield "audit log", fields


def of_browsers(settings: KafkaSettings, names: Sequence[str]) -> Iterator[PushSubscription]:
    """Browsers that take notifications for this person. Raises UnavailableError."""
    newest = kafka.read_newest(settings, topics.ALARM_SUBSCRIPTIONS.name, PushSubscription.decode, _nobodys)
    yield from (one for one in newest.values() if one.principal in names)


def _nobodys(topic: str, message: Message, error: SchemaError) -> None:
    """What cannot be read is nobody's."""


def _rows(connection: Any, table: str, columns: Sequence[str], names: Sequence[str]) -> Iterator[Record]:
    named = sql.SQL(" OR ").join(sql.SQL("{} = ANY(%(names)s)").format(sql.Identifier(column)) for column in columns)
    query = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE {}").format(sql.Identifier(table), named)
    with connection.cursor() as cursor:
        for (row,) in cursor.stream(query, {"names": list(names)}, size=_BATCH):
            yield table, row
