"""`./millrace report SCOPE --shift | --day | --week`: one page, as HTML and PDF.

Enters: arguments, `platform.toml`. Leaves: two files, their names on standard output. Exit status: 0 done, 3 when
the database does not answer, or no browser makes the PDF.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from base import files, ids
from base.moments import moment
from base.settings import PlatformSettings, load, local_config
from connectors.postgres import tool
from connectors.postgres.database import connect
from historian.scopes import scope_of
from reports import figures, page, pdf, periods
from reports.model import Report, Span
from reports.texts import CATALOGUES

_ABOUT = """\
One page on a shift, a day or a week of a site, a line or a machine: OEE with its factors, where the planned time went, why machines stood
still, production against plan, scrap, energy, orders, anomalies, and how good the data is. Written as one HTML file that needs
nothing else, and printed to PDF by Chromium."""
_EXAMPLES = """\
examples:
  report north --shift                                  the last shift that is over
  report north --day --at 2026-11-27 --language de      that day, in German
  report line-1 --week --at 7d --out reports            the week before this one"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace report",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("scope", metavar="SCOPE", help="path of a part of the plant, or its end: north, line-1, press-01")
    spans = made.add_mutually_exclusive_group(required=True)
    for span, text in ((Span.SHIFT, "a shift of its calendar"), (Span.DAY, "a day"), (Span.WEEK, "a week from Monday")):
        spans.add_argument(f"--{span}", dest="span", action="store_const", const=span, help=text)
    made.add_argument(
        "--at",
        metavar="TIME",
        help="the one that holds this time: ISO 8601, or 1d ago (default: the last that is over)",
    )
    made.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    made.add_argument("--language", choices=tuple(CATALOGUES), default="en", help="default: en")
    made.add_argument("--time-zone", default="", metavar="ZONE", help="default: the zone of the calendar, else UTC")
    made.add_argument("--no-pdf", action="store_true", help="write the HTML only")
    made.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="platform.toml (default: the local stack's)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    return tool.run("report", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    platform = load(PlatformSettings, args.config or local_config("platform.toml"))
    now = datetime.fromtimestamp(ids.now_us() / 1e6, UTC)
    with connect(platform.postgres.dsn, application="report", autocommit=True) as connection:
        scope = scope_of(connection, args.scope)
        zone = periods.zone(connection, scope, now, args.time_zone)
        at = moment(args.at, now, zone) if args.at else None
        period = periods.period(connection, scope, args.span, at, now, zone)
        report = figures.report(connection, scope, period, now)
    args.out.mkdir(parents=True, exist_ok=True)
    written = args.out / f"{name_of(report)}.html"
    files.replace(written, page.html(report, args.language))
    sys.stdout.write(f"{written}\n")
    if not args.no_pdf:
        pdf.write(written, written.with_suffix(".pdf"))
        sys.stdout.write(f"{written.with_suffix('.pdf')}\n")
    return 0


def name_of(report: Report) -> str:
    """Name of the files: the place, the day, the shift. The same period has the same name, and its newest report."""
    one = report.period
    words = [report.scope.replace("/", "-"), str(one.span), one.day.isoformat(), one.shift.replace("/", "-")]
    return "-".join(word for word in words if word)


if __name__ == "__main__":
    sys.exit(main())
