"""CSV files into the model of work: one file a table, all files in one transaction, all or nothing.

Enters: files named as their tables, with headers named as the columns, in any order. Leaves: an `Imported` for each table, or one
InvalidRequestError that lists what is wrong as `file:line:column: what`. A row whose key is there is changed; the same file again changes
nothing. An entry without an id has one that follows from its content. Who calls: `command`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Placeholder

from base.errors import InvalidRequestError
from work import csv_text
from work.tables import (
    APPEND_ONLY,
    DEVICE_ID,
    DEVICE_PATH,
    NAMES,
    SIGNATURE,
    Column,
    Connection,
    Table,
    describe,
    header,
)

_MOST_PROBLEMS = 50
_DEFAULT = SQL("DEFAULT")
_LARGEST = 64 << 20
"""Bytes of a file: everything is checked before anything is said."""


@dataclass(kw_only=True, slots=True)
class Imported:
    """What became of the rows of a table."""

    table: str
    added: int = 0
    changed: int = 0
    unchanged: int = 0

    def __str__(self) -> str:
        return f"{self.table}: {self.added} added, {self.changed} changed, {self.unchanged} unchanged"


@dataclass(frozen=True, slots=True)
class Row:
    """Line of the file, which begins with 1, and its values by column of the table."""

    line: int
    values: dict[str, Any]


class _Problems:
    """What is wrong in the files, in order."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, path: Path, line: int, column: str, text: str) -> None:
        place = f"{path}:{line}:{column}" if column else f"{path}:{line}"
        self._lines.append(f"{place}: {text}")

    def raise_any(self) -> None:
        if self._lines:
            more = len(self._lines) - _MOST_PROBLEMS
            shown = [*self._lines[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
            raise InvalidRequestError("\n".join([*shown, "nothing was entered"]))


class _Undo(Exception):
    """Ends a dry run."""


def import_files(
    connection: Connection,
    paths: Sequence[Path],
    *,
    who: str,
    why: str = "",
    missing_only: bool = False,
    dry_run: bool = False,
) -> list[Imported]:
    """Enter the rows of these files; raises InvalidRequestError. `missing_only` leaves rows alone whose key is there."""
    by_table = _by_table(paths)
    result: list[Imported] = []
    try:
        with connection.transaction():
            connection.execute("SELECT sign_work(%s, %s)", (who, why))
            devices = dict(connection.execute("SELECT path, device_id FROM device").fetchall())
            problems = _Problems()
            for name in (name for name in NAMES if name in by_table):
                table, path = describe(connection, name), by_table[name]
                rows = _read(path, table, devices, problems)
                result.append(_enter(connection, table, path, rows, problems, missing_only=missing_only))
            problems.raise_any()
            if dry_run:
                raise _Undo
    except _Undo:
        pass
    return result


def _by_table(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem not in NAMES:
            msg = f"{path}: a file is named as its table: {', '.join(f'{name}.csv' for name in NAMES)}"
            raise InvalidRequestError(msg)
        if path.stem in found:
            msg = f"{path}: {found[path.stem]} is the same table"
            raise InvalidRequestError(msg)
        found[path.stem] = path
    return found


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _LARGEST:
            msg = f"{path} has {size} bytes, more than {_LARGEST}: split it"
            raise InvalidRequestError(msg)
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as UTF-8: {error}"
        raise InvalidRequestError(msg) from error


def _read(path: Path, table: Table, devices: Mapping[str, int], problems: _Problems) -> list[Row]:
    """Rows of a file; what is wrong goes to `problems`."""
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    names = [name.strip() for name in next(reader, [])]
    columns = {header(column.name): column for column in table.written}
    if wrong := _wrong_header(names, table, columns):
        problems.add(path, 1, "", wrong)
        return []
    rows: list[Row] = []
    seen: dict[tuple[Any, ...], int] = {}
    begins = reader.line_num + 1
    for cells in reader:
        line, begins = begins, reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            problems.add(path, line, "", f"has {len(cells)} cells, the header has {len(names)}")
            continue
        values = _values(path, line, dict(zip(names, cells, strict=True)), columns, devices, problems)
        if values is None:
            continue
        _complete_key(table, values)
        key = tuple(str(values.get(name)) for name in table.key)
        if key in seen:
            problems.add(
                path,
                line,
                header(table.key[0]),
                f"has the key of line {seen[key]}: {', '.join(map(header, table.key))}",
            )
            continue
        seen[key] = line
        rows.append(Row(line, values))
    return rows


def _wrong_header(names: Sequence[str], table: Table, columns: Mapping[str, Column]) -> str:
    known = [*columns, *SIGNATURE]
    if unknown := [name for name in names if name not in known]:
        return f"{table.name} has no column {unknown[0][:100]!r}; it has {', '.join(known)}"
    if len(set(names)) != len(names):
        return "a column is twice in the header"
    needed = [name for name, column in columns.items() if not column.optional and name not in names]
    return f"column {needed[0]} is missing" if needed else ""


def _values(
    path: Path,
    line: int,
    cells: Mapping[str, str],
    columns: Mapping[str, Column],
    devices: Mapping[str, int],
    problems: _Problems,
) -> dict[str, Any] | None:
    """Values of a row by column; nothing when one of them is wrong. An empty cell is null, or what the database gives by default."""
    values: dict[str, Any] = {}
    good = True
    for name, column in columns.items():
        text = cells.get(name, "").strip()
        try:
            if name in cells:
                values[column.name] = _value(name, text, column, devices)
        except ValueError as error:
            problems.add(path, line, name, f"{text[:100]!r} {error}" if text else str(error))
            good = False
    return values if good else None


def _value(name: str, text: str, column: Column, devices: Mapping[str, int]) -> Any:
    if not text:
        if column.optional:
            return None if column.nullable else _DEFAULT
        msg = "is empty"
        raise ValueError(msg)
    if "\x00" in text:
        msg = "contains a NUL character"
        raise ValueError(msg)
    if name == DEVICE_PATH:
        if text not in devices:
            msg = "is no device; `./millrace devices` lists them"
            raise ValueError(msg)
        return devices[text]
    return csv_text.parse(text, column.type)


def _complete_key(table: Table, values: dict[str, Any]) -> None:
    """An entry without an id gets one that follows from what it says."""
    columns = {column.name: column for column in table.columns}
    if len(table.key) == 1 and columns[table.key[0]].type == "uuid" and values.get(table.key[0], _DEFAULT) is _DEFAULT:
        values.pop(table.key[0], None)
        given = {name: value for name, value in sorted(values.items()) if value is not None and value is not _DEFAULT}
        said = "\x1f".join(f"{name}={csv_text.write(value)}" for name, value in given.items())
        values[table.key[0]] = uuid5(NAMESPACE_URL, f"{table.name}\x1f{said}")


def _enter(
    connection: Connection, table: Table, path: Path, rows: Sequence[Row], problems: _Problems, *, missing_only: bool
) -> Imported:
    done = Imported(table=table.name)
    for row in rows:
        try:
            with connection.transaction():
                done_to = _write(connection, table, row.values, missing_only=missing_only)
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] not in ("22", "23", "P0"):
                raise
            column, text = _explain(connection, table, error, row.values)
            problems.add(path, row.line, column, text)
        except ValueError as error:
            problems.add(path, row.line, header(table.key[0]), str(error))
        else:
            setattr(done, done_to, getattr(done, done_to) + 1)
    return done


def _write(connection: Connection, table: Table, values: Mapping[str, Any], *, missing_only: bool) -> str:
    """`added`, `changed` or `unchanged`."""
    keep = missing_only or table.name in APPEND_ONLY
    row = connection.execute(_upsert(table, values, keep=keep), _given(values)).fetchone()
    if row is not None:
        return "added" if row[0] else "changed"
    if table.name in APPEND_ONLY and not missing_only and _differs(connection, table, values):
        msg = "an entry is never changed: enter a newer one, with another id or none"
        raise ValueError(msg)
    return "unchanged"


def _upsert(table: Table, values: Mapping[str, Any], *, keep: bool) -> Composed:
    changing = [Identifier(name) for name in values if name not in table.key]
    change = SQL("UPDATE SET ") + SQL(", ").join(SQL("{0} = excluded.{0}").format(name) for name in changing)
    return SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ON CONSTRAINT {} DO {} RETURNING xmax::text = '0'").format(
        Identifier(table.name),
        SQL(", ").join(map(Identifier, values)),
        SQL(", ").join(_DEFAULT if value is _DEFAULT else Placeholder(name) for name, value in values.items()),
        Identifier(table.constraint),
        SQL("NOTHING") if keep or not changing else change,
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _DEFAULT}


def _differs(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    given = _given(values)
    same = SQL(" AND ").join(
        SQL("{} IS NOT DISTINCT FROM {}").format(Identifier(name), Placeholder(name)) for name in given
    )
    query = SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(Identifier(table.name), same)
    row = connection.execute(query, given).fetchone()
    return row is not None and not row[0]


def _explain(connection: Connection, table: Table, error: psycopg.Error, values: Mapping[str, Any]) -> tuple[str, str]:
    """Column to blame, where it is one, and what is wrong with it."""
    diagnosis = error.diag
    found = connection.execute(
        """SELECT array_agg(a.attname::text ORDER BY a.attnum), pg_get_constraintdef(c.oid)
           FROM pg_constraint c LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
           WHERE c.conname = %s AND (c.conrelid = to_regclass(%s) OR c.contypid <> 0) GROUP BY c.oid""",
        (diagnosis.constraint_name or "", table.name),
    ).fetchone()
    rule = str(found[1]) if found else ""
    blamed = (
        [diagnosis.column_name] if diagnosis.column_name else [name for name in (found[0] if found else []) if name]
    )
    blamed = blamed or [
        column.name for column in table.columns if column.domain and column.domain == diagnosis.datatype_name
    ]
    column = blamed[-1] if blamed else ""
    text = "" if column in ("", DEVICE_ID) else csv_text.write(_given(values).get(column))[:100]
    match error:
        case psycopg.errors.ForeignKeyViolation():
            what = f"{text!r} is not entered"
        case psycopg.errors.ExclusionViolation():
            what = f"overlaps another row of {table.name}: {diagnosis.message_detail or rule}"
        case psycopg.errors.CheckViolation():
            what = f"{text!r} is refused by {rule}"
        case _:
            what = diagnosis.message_primary or str(error)
    return header(column) if column else "", what
