"""The tool of the model of work: `./millrace work import|export|columns`, or `python -m work.command` where there is no front door.

Enters: CSV files, or a table's name. The last line of output says what was done. Who calls: `stack`, people.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from base.account import os_user
from base.settings import PlatformSettings, load, local_config
from connectors.postgres import tool
from connectors.postgres.database import connect
from registry.changes import Change
from work.exporting import export
from work.importing import import_files
from work.tables import NAMES, SIGNATURE, Connection, describe, header


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace work", description="Calendars, orders, lots, stops and batches of the plant, as CSV files."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    commands = made.add_subparsers(dest="command", required=True)
    importing = commands.add_parser(
        "import",
        parents=[common],
        help="enter the rows of CSV files, all or nothing; a row whose key is there is changed",
    )
    importing.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="TABLE.csv, with the columns as header; or a folder of such files",
    )
    importing.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    importing.add_argument("--missing", action="store_true", help="leave rows alone whose key is there")
    importing.add_argument("--who", default="", help="who enters it (the user of the operating system)")
    importing.add_argument("--why", default="", help="why; kept with every row")
    exporting = commands.add_parser("export", parents=[common], help="print a table as CSV")
    exporting.add_argument("table", choices=NAMES, metavar="TABLE", help=", ".join(NAMES))
    columns = commands.add_parser("columns", parents=[common], help="say what the columns of a table are")
    columns.add_argument("table", choices=NAMES, metavar="TABLE", help="as with export")
    return made


def _import(connection: Connection, args: argparse.Namespace) -> str:
    change = Change(who=args.who or os_user(), why=args.why)
    paths = [file for path in args.paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    done = import_files(
        connection, paths, who=change.who, why=change.why, missing_only=args.missing, dry_run=args.dry_run
    )
    sys.stdout.writelines(f"{table}\n" for table in done)
    total = {name: sum(getattr(table, name) for table in done) for name in ("added", "changed", "unchanged")}
    said = ", ".join(f"{count} {name}" for name, count in total.items())
    return f"{said}; nothing was entered: a dry run" if args.dry_run else said


def _export(connection: Connection, args: argparse.Namespace) -> str:
    export(connection, args.table, sys.stdout)
    return ""


def _columns(connection: Connection, args: argparse.Namespace) -> str:
    table = describe(connection, args.table)
    key = set(table.key)
    for column in table.columns:
        marks = "key" if column.name in key else "" if column.optional else "needed"
        marks = "written by import" if column.name in SIGNATURE else marks
        sys.stdout.write(f"{header(column.name):<16}{marks:<19}{column.comment}\n")
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(arguments)
    return tool.run("work", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    action = {"import": _import, "export": _export, "columns": _columns}[args.command]
    platform = load(PlatformSettings, args.config)
    with connect(platform.postgres.dsn, application="work", autocommit=True) as connection:
        result = action(connection, args)
    if result:
        sys.stdout.write(result + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
