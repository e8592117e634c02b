"""`millrace-client history`: samples or windows of tags, as a table, CSV or JSON.

CSV has a header, times in ISO 8601 (UTC, microseconds), and the columns that `to_pandas` has, without the tag's id.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table

from millrace_client.cli import render
from millrace_client.cli.find import find_paths
from millrace_client.client import Client
from millrace_client.results import AggregateSeries, Quality, SampleSeries, Time, utc

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WINDOWS = ("start", "path", "unit", "window_s", "count", "good", "mean", "min", "max", "stddev", "repaired")
_SAMPLES = ("time", "path", "unit", "value", "quality")


def time(text: str) -> Time:
    """A time as people type it: how long ago (90s, 15m, 1h, 2d, 1w), or ISO 8601, in UTC where it names no zone.

    >>> time("15m")
    datetime.timedelta(seconds=900)
    >>> time("2026-01-02T03:04").isoformat()
    '2026-01-02T03:04:00+00:00'
    """
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text):
        return timedelta(**{_UNITS[match[2]]: float(match[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is not a time: write 90s, 15m, 1h, 2d, or 2026-01-31T08:00:00Z"
        raise argparse.ArgumentTypeError(msg) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    verb.add_argument(
        "paths", nargs="+", metavar="PATH", help="path of a tag, device, cell, ...; or the name of a device"
    )
    verb.add_argument(
        "--since",
        type=time,
        default=timedelta(hours=1),
        metavar="TIME",
        help="90s, 15m, 1h (default), 2d ago, or ISO 8601",
    )
    verb.add_argument("--until", type=time, default=None, metavar="TIME", help="as --since (default: now)")
    verb.add_argument(
        "--window-s", type=int, default=None, metavar="N", help="windows of this length instead of samples; 0: as fits"
    )
    verb.add_argument(
        "--limit", type=int, default=0, metavar="N", help="at most so many samples of each tag, the newest"
    )
    verb.add_argument("--good", action="store_true", help="only samples with good quality")
    verb.add_argument("--csv", action="store_true", help="CSV with a header")


def run(client: Client, args: argparse.Namespace) -> bool:
    """Print what was asked for; returns whether there was anything."""
    paths = find_paths(client, args.paths)
    if args.window_s is None:
        samples = client.history(paths, args.since, args.until, limit=args.limit, good_only=args.good)
        return _print(_SAMPLES, [row for series in samples for row in _samples(series)], args)
    windows = client.aggregates(paths, args.since, args.until, window_s=args.window_s)
    return _print(_WINDOWS, [row for series in windows for row in _windows(series)], args)


def _samples(series: SampleSeries) -> Iterator[tuple[Any, ...]]:
    columns = (series.time_us.tolist(), series.value.tolist(), series.quality.tolist())
    for time_us, value, quality in zip(*columns, strict=True):
        yield time_us, series.path, series.unit, value, quality


def _windows(series: AggregateSeries) -> Iterator[tuple[Any, ...]]:
    names = ("start_us", "count", "good", "mean", "min", "max", "stddev", "repaired")
    for start_us, *numbers, repaired in zip(*(getattr(series, name).tolist() for name in names), strict=True):
        yield start_us, series.path, series.unit, series.window_s, *numbers, bool(repaired)


def _print(names: tuple[str, ...], rows: list[tuple[Any, ...]], args: argparse.Namespace) -> bool:
    if args.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for time_us, *rest in rows:
            writer.writerow([utc(time_us).isoformat(timespec="microseconds"), *map(_cell, rest)])
    elif args.json:
        for time_us, *rest in rows:
            print(render.json_line({f"{names[0]}_us": time_us} | dict(zip(names[1:], rest, strict=True))))
    else:
        table = Table(*names, box=None, header_style="bold")
        for time_us, *rest in rows:
            table.add_row(
                render.time_text(time_us), *(_shown(name, one) for name, one in zip(names[1:], rest, strict=True))
            )
        if rows:
            render.console().print(table)
    return bool(rows)


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _shown(name: str, value: Any) -> str:
    if name == "quality":
        return (Quality.BAD if value & 0x8000 else Quality.UNCERTAIN if value & 0x4000 else Quality.GOOD).lower()
    if name == "repaired":
        return "repaired" if value else ""
    return render.number(value) if isinstance(value, float) else str(value)
