"""Rows of fields out of a file of text, whatever program wrote it: encoding, comment lines, delimiter.

Enters a file; leaves `Rows`. UTF-8 and UTF-16 are told by their marks and their zeros; bytes that are no UTF-8 are read as
Windows-1252, which contains Latin-1, and `Rows.encoding` says so.
"""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from base.errors import InvalidRequestError

DELIMITERS = (",", ";", "\t", "|")
COMMENT = "#"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS_OF = 1_000
"""So many bytes tell UTF-16 without a mark: in it, every other byte of plain text is zero."""
_HEADER_LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows that are neither blank nor comments, the header first. `lines` counts from 1 in the file, and `comments` were left out."""

    lines: list[int]
    fields: list[list[str]]
    delimiter: str
    encoding: str
    comments: int


def read_rows(path: Path, *, encoding: str = "", comment: str = COMMENT, delimiter: str = "") -> Rows:
    """Rows of a file. Raises InvalidRequestError that names file, line and cause."""
    text, encoding = _text(path, encoding)
    chosen = delimiter or _delimiter(text, comment)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen)
    lines: list[int] = []
    fields: list[list[str]] = []
    comments = 0
    try:
        for row in reader:
            if comment and row and row[0].lstrip().startswith(comment):
                comments += 1
            elif any(field.strip() for field in row):
                lines.append(reader.line_num)
                fields.append(row)
    except csv.Error as error:
        msg = f"{path.name}, line {reader.line_num}: {error}"
        raise InvalidRequestError(msg) from error
    if not fields:
        msg = f"{path.name} is empty"
        raise InvalidRequestError(msg)
    _drop_trailing_delimiter(fields)
    for line, row in zip(lines, fields, strict=True):
        if len(row) != len(fields[0]):
            msg = f"{path.name}, line {line}: {len(row)} fields, but the header has {len(fields[0])}"
            raise InvalidRequestError(msg)
    return Rows(lines=lines, fields=fields, delimiter=chosen, encoding=encoding, comments=comments)


def _drop_trailing_delimiter(fields: list[list[str]]) -> None:
    """Some loggers end every line with a delimiter: an unnamed last column without any value."""
    if len(fields[0]) > 1 and all(not row[-1].strip() for row in fields):
        for row in fields:
            row.pop()


def _text(path: Path, encoding: str) -> tuple[str, str]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise InvalidRequestError(msg) from None
    except IsADirectoryError:
        msg = f"{path} is a folder; name CSV files"
        raise InvalidRequestError(msg) from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InvalidRequestError(msg) from error
    chosen = encoding or _encoding(content)
    try:
        return content.decode(chosen), chosen
    except LookupError:
        msg = f"no encoding is called {encoding!r}; examples: utf-8, utf-16, latin-1, cp1252"
        raise InvalidRequestError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not {chosen} text (byte {error.start}); name another with --encoding"
        raise InvalidRequestError(msg) from error


def _encoding(content: bytes) -> str:
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if marked:
        return marked
    first = content[:_ZEROS_OF]
    if b"\0" in first:
        return "utf-16-le" if first[1::2].count(0) > first[0::2].count(0) else "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(text: str, comment: str) -> str:
    """The one that parts the first rows into the most columns, the same number in each; else the one the first row has most of."""
    head: list[str] = []
    for line in text.splitlines():
        if line.strip() and not (comment and line.lstrip().startswith(comment)):
            head.append(line)
        if len(head) == _HEADER_LINES:
            break
    if not head:
        return ","

    def score(delimiter: str) -> tuple[bool, int]:
        counts = {len(row) for row in csv.reader(head, delimiter=delimiter)}
        return len(counts) == 1 and max(counts) > 1, head[0].count(delimiter)

    return max(DELIMITERS, key=score)
