"""The tables of the plant's model of work, in the order in which they refer to one another, and their columns as the database has them.

Enters: a connection. Leaves: `Table`s. Who calls: `importing`, `exporting`, `command`. Nothing here repeats the schema: what a column is
called, of which type it is and what may be left out is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from base.errors import InvalidRequestError, UnavailableError

Connection = psycopg.Connection[Any]

NAMES = (
    "shift_patterns", "shift_pattern_shifts", "work_calendars", "work_calendar_exceptions", "material_definitions", "ideal_cycle_times",
    "job_orders", "job_responses", "material_lots", "material_actuals", "downtime_reasons", "downtime_entries", "packml_reasons",
    "scrap_reasons", "scrap_entries", "recipes", "recipe_phases", "batches", "batch_phases",
)  # fmt: skip
"""A table comes after those that it refers to."""

APPEND_ONLY = frozenset({"downtime_entries"})
"""A row is never changed: a newer one says something else."""

SIGNATURE = ("entered_at", "entered_by", "why")
DEVICE_ID, DEVICE_PATH = "device_id", "device_path"
"""In files a machine is named by its path: ids differ from one installation to another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """`type` as PostgreSQL writes it, `domain` when it is one; `optional` when a row may come without it."""

    name: str
    type: str
    domain: str
    nullable: bool
    optional: bool
    comment: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """`constraint` is the one that makes `key` unique."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    constraint: str

    @property
    def written(self) -> tuple[Column, ...]:
        """What a file says; who, when and why come from the import."""
        return tuple(column for column in self.columns if column.name not in SIGNATURE)


def describe(connection: Connection, name: str) -> Table:
    """One of `NAMES`; raises InvalidRequestError for another, UnavailableError for a database without it."""
    if name not in NAMES:
        msg = f"{name[:100]!r} is no table of the model of work; they are {', '.join(NAMES)}"
        raise InvalidRequestError(msg)
    columns = connection.execute(
        """SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL),
                  CASE WHEN t.typtype = 'd' THEN t.typname ELSE '' END,
                  NOT a.attnotnull,
                  NOT a.attnotnull OR a.atthasdef, coalesce(col_description(a.attrelid, a.attnum), '')
           FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
           WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = ''
           ORDER BY a.attnum""",
        (name,),
    ).fetchall()
    if not columns:
        msg = f"the database has no table {name}: run `./millrace migrate`"
        raise UnavailableError(msg)
    key = connection.execute(
        """SELECT c.conname, array_agg(a.attname::text ORDER BY k.place)
           FROM pg_constraint c
           CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, place)
           JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
           WHERE c.conrelid = to_regclass(%s) AND (c.contype = 'p' OR c.conname = %s)
           GROUP BY c.conname, c.contype ORDER BY c.contype = 'p' DESC LIMIT 1""",
        (name, f"{name}_key"),
    ).fetchone()
    assert key is not None
    described = (
        Column(name=name, type=kind, domain=domain, nullable=nullable, optional=optional, comment=comment)
        for name, kind, domain, nullable, optional, comment in columns
    )
    return Table(name=name, columns=tuple(described), key=tuple(key[1]), constraint=str(key[0]))


def header(column: str) -> str:
    """What a column is called in a file."""
    return DEVICE_PATH if column == DEVICE_ID else column
