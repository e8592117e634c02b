"""`./millrace export KIND SCOPE --from TIME --out FOLDER`: history as files, a day each.

Enters: arguments, `platform.toml`. Leaves: files, progress on standard error, one line of result on standard output. Exit status:
0 complete, 1 to 3 not complete (the same command goes on where it ended).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from base import ids
from base.settings import PlatformSettings, load, local_config
from connectors.postgres import tool
from connectors.postgres.database import connect
from historian.export.forms import Form
from historian.export.kinds import KINDS
from historian.export.run import FORMS, Progress, Report, Request, export

_ABOUT = """\
Write history to files that pandas, polars, DuckDB and Spark read as one table: a folder for each day, day=2026-11-28. Times are
UTC. A folder is never written over. An export that was interrupted goes on when the same command is given again; one that is
complete is left as it is. Samples have the path that their device had at that time; windows, anomalies, events and rejects have
the present one."""
_EXAMPLES = """\
examples:
  export samples press-01 --from 1d --out press           the last day of a machine, as Parquet
  export windows north --window-s 60 --from 2026-11-01 --to 2026-12-01 --time-zone Europe/Berlin --out november
  export anomalies acme --from 30d --format csv --out anomalies"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace export",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("kind", choices=tuple(KINDS), metavar="KIND", help=f"what: {', '.join(KINDS)}")
    made.add_argument(
        "scope", metavar="SCOPE", help="path of a part of the plant, or its end: acme, north, line-1, press-01"
    )
    made.add_argument(
        "--from", dest="since", required=True, metavar="TIME", help="start: ISO 8601, or 2d for two days ago"
    )
    made.add_argument(
        "--to",
        dest="until",
        default="",
        metavar="TIME",
        help="end, exclusive (default: now, as it is at the first run)",
    )
    made.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty folder")
    made.add_argument("--format", dest="form", choices=FORMS, type=Form, default=Form.PARQUET, help="default: parquet")
    made.add_argument(
        "--time-zone", default="UTC", metavar="ZONE", help="zone of days and of times without one (default: UTC)"
    )
    made.add_argument("--window-s", type=int, default=0, metavar="S", help="windows of this length only")
    made.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="platform.toml (default: the local stack's)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    return tool.run("export", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    request = Request(
        kind=args.kind,
        scope=args.scope,
        since=args.since,
        until=args.until,
        form=args.form,
        time_zone=args.time_zone,
        window_s=args.window_s,
    )
    platform = load(PlatformSettings, args.config or local_config("platform.toml"))
    now = datetime.fromtimestamp(ids.now_us() / 1e6, UTC)
    with connect(platform.postgres.dsn, application="export", autocommit=True) as connection:
        done = export(connection, request, args.out, now, teller(sys.stderr.write))
    sys.stdout.write(f"{done.rows:,} rows of {done.scope} in {len(done.days)} days, {_size(done.bytes)}: {args.out}\n")
    return 0


def teller(write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> Report:
    """Says a line for each day, with what is left of the time at the pace so far."""
    began_s, known = clock(), 0

    def tell(progress: Progress) -> None:
        nonlocal known
        known += progress.known
        left = progress.days - progress.done
        mine = progress.done - known
        rest = ""
        if left and mine:
            rest = f", about {(clock() - began_s) / mine * left:,.0f} s left"
        written = "written before" if progress.known else _size(progress.bytes)
        write(f"{progress.day}: {progress.rows:,} rows, {written} (day {progress.done} of {progress.days}{rest})\n")

    return tell


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


if __name__ == "__main__":
    sys.exit(main())
