"""What docs/sql.md promises: the columns of its views, in their order, and the signatures of the functions that it names.

`python -m tests.integration.sql_contract DSN` prints what a database has, for `sql_contract.txt`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import psycopg

from stack.config import ROOT

FILE = Path(__file__).with_name("sql_contract.txt")
TEXT = (ROOT / "docs" / "sql.md").read_text()

_COLUMNS = """
    SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relname = ANY (%s) AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum"""
_FUNCTIONS = """
    SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') returns ' || pg_get_function_result(p.oid)
    FROM pg_proc p
    WHERE p.proname = ANY (%s) AND p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ORDER BY 1"""


def views() -> list[str]:
    """Views in the table of the document."""
    return re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+`) \|", TEXT, re.MULTILINE)))


def lines(connection: psycopg.Connection[Any]) -> list[str]:
    """The contract as a database has it."""
    functions = sorted(set(re.findall(r"\b([a-z]\w+)\(", TEXT)) | set(re.findall(r"`(\w+)`", TEXT)))
    found = [*connection.execute(_COLUMNS, [views()]), *connection.execute(_FUNCTIONS, [functions])]
    return [line for (line,) in found]


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1]) as given:
        sys.stdout.write("\n".join(lines(given)) + "\n")
