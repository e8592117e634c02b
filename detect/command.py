"""`./millrace detect CSV … --out DIR`: the detectors over anyone's history, to try them before a machine is connected.

A file has a timestamp and one column per tag. For each, the output folder gets `<name>.scores.csv` (a row per row),
`<name>.episodes.json`, `<name>.svg` and `<name>.html`; what was scored goes to standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from base import settings
from base.errors import InvalidRequestError, MillraceError
from detect import picture, report
from detect.forecasts import Limits, parse_limits
from detect.replay import Replay, replay
from detect.table import History, Reading, read_csv
from detect.text import COMMENT
from stages.config import DetectionConfig
from stages.detection.kinds import catalogue

DEFAULT_DETECTOR = "seasonal"
FAILED, NOTHING_SCORED = 1, 3


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 when any file failed, 3 when in any file nothing was scored."""
    options = parser().parse_args(arguments)
    try:
        detection = load_detection(options.config)
        detectors = _detectors(options, detection)
        limits = parse_limits(options.limit)
        out = Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
    except (MillraceError, OSError) as error:
        sys.stderr.write(f"detect: {error}\n")
        return FAILED
    status = 0
    for path, stem in _stems(options.csv, out):
        try:
            history = read_csv(path, _reading(options))
            results = {
                name: _run(history, stem, detection, name, options, limits, several=len(detectors) > 1)
                for name in detectors
            }
        except MillraceError as error:
            status = FAILED
            sys.stderr.write(f"detect: {error}\n")
            continue
        if len(results) > 1 and not options.json:
            _compare(history, results)
        if not status and any(not each.windows_scored for each in results.values()):
            status = NOTHING_SCORED
    return status


def load_detection(path: str) -> DetectionConfig:
    """`[telemetry.detection]` of a configuration file of the jobs; the built-in one without a file. Raises ConfigError."""
    if not path:
        return DetectionConfig()
    table = settings.read_toml(path).get("telemetry", {}).get("detection", {})
    return settings.parse(DetectionConfig, table, where=f"{path}: telemetry.detection")


def _detectors(options: argparse.Namespace, detection: DetectionConfig) -> list[str]:
    names = [name for name in options.compare.split(",") if name] or [options.detector]
    known = catalogue(detection.detectors)
    for name in names:
        if name not in known:
            msg = f"no detector is called {name!r}; known: {', '.join(sorted(known))}"
            raise InvalidRequestError(msg)
    return list(dict.fromkeys(names))


def _stems(paths: list[str], out: Path) -> Iterator[tuple[Path, Path]]:
    """Each file with the beginning of its results' names; files of one name in two folders do not overwrite each other."""
    taken: set[str] = set()
    for name in paths:
        stem = Path(name).stem
        while stem in taken:
            stem += "_"
        taken.add(stem)
        yield Path(name), out / stem


def _reading(options: argparse.Namespace) -> Reading:
    return Reading(
        time_columns=options.time_column,
        time_format=options.time_format,
        period_s=options.period,
        ignore=options.ignore,
        keep=options.keep,
        encoding=options.encoding,
        comment=options.comment,
        delimiter=options.delimiter,
        decimal=options.decimal,
        header=not options.no_header,
    )


def _run(
    history: History,
    stem: Path,
    detection: DetectionConfig,
    detector: str,
    options: argparse.Namespace,
    limits: Limits,
    *,
    several: bool,
) -> Replay:
    """One detector over one history: its files, and what it says on standard output."""
    begin = f"{stem.name}.{detector}" if several else stem.name
    with _progress(f"{history.name}, {detector}", len(history.stamps)) as advance:
        result = replay(history, detection, detector=detector, window_s=options.window, limits=limits, on_rows=advance)
    report.write_scores(stem.with_name(f"{begin}.scores.csv"), history, result)
    document: dict[str, Any] = report.summary(history, result, detector)
    report.write_episodes(stem.with_name(f"{begin}.episodes.json"), document)
    if not options.no_picture:
        from detect import chart  # bokeh takes a second: whoever asks for help, or wants numbers, does not wait for it

        stem.with_name(f"{begin}.svg").write_text(picture.draw(history, result))
        stem.with_name(f"{begin}.html").write_text(chart.draw(history, result))
    sys.stdout.write((json.dumps(document) if options.json else report.table(history, result, detector)) + "\n")
    return result


@contextmanager
def _progress(title: str, rows: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while it is a terminal, and silence elsewhere; the yielded function takes the rows that are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=rows)
        yield lambda done: bar.update(task, completed=done)


def _compare(history: History, results: dict[str, Replay]) -> None:
    """The detectors side by side."""
    table = Table(title=f"{history.name}: detectors side by side", title_justify="left")
    labelled = history.labelled is not None
    heads = ["detector", "windows scored", "learning", "episodes", "rows in them", "highest score", "µs a row"]
    for number, head in enumerate([*heads, *(["labels found", "outside labels"] if labelled else [])]):
        table.add_column(head, justify="right" if number else "left")
    for name, each in results.items():
        cells = [
            name,
            f"{each.windows_scored:,}",
            f"{each.windows_learning:,}",
            str(len(each.episodes)),
            f"{(each.episode > 0).mean():.1%}",
            f"{each.score.max():.2f}",
            f"{each.line_us_per_row:.0f}",
        ]
        against = report.labels(history, each)
        if against:
            cells += [f"{against['found']} of {against['ranges']}", str(against["episodes_outside"])]
        table.add_row(*cells)
    Console(width=140, markup=False).print(table)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace detect",
        description="Run the anomaly detectors over CSV files with a timestamp and one column per tag.",
        epilog="Columns named anomaly, changepoint, label, fault or attack are taken for labels and left out. "
        "Missing values are allowed; times without a zone are UTC. docs/detection.md explains the output. "
        "Exit status: 0; 1 when a file could not be read; 3 when a history was too short to score anything.",
    )
    made.add_argument("csv", nargs="+", metavar="CSV", help="file to read")
    made.add_argument("--out", required=True, metavar="DIR", help="folder for the results; made when it is not there")
    made.add_argument("--detector", default=DEFAULT_DETECTOR, help="name as in a device class (default: %(default)s)")
    made.add_argument(
        "--compare", default="", metavar="A,B,…", help="several detectors side by side; files are named NAME.DETECTOR.…"
    )
    made.add_argument("--config", default="", metavar="FILE", help="the jobs' TOML file; its detectors are used")
    made.add_argument("--window", type=_seconds, metavar="S", help="window length; default: the nominal period")
    made.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="TAG=LOW:HIGH",
        help="normal range of a tag, either end may be left out: say when a trend will reach it (repeat)",
    )
    made.add_argument("--json", action="store_true", help="a JSON object per file, the same as its .episodes.json")
    made.add_argument("--no-picture", action="store_true", help="write no SVG and no HTML")
    file = made.add_argument_group("how the file is read (found out when not given, and printed)")
    file.add_argument(
        "--time-column",
        action="append",
        default=[],
        metavar="NAME",
        help="column of the time; twice for date and clock apart",
    )
    file.add_argument(
        "--time-format", default="", metavar="FORMAT", help="of strptime, or s, ms, us, ns (numbers), excel (days)"
    )
    file.add_argument(
        "--period", type=_period, default=0.0, metavar="S", help="the file has no time: a row every so many seconds"
    )
    file.add_argument("--ignore", action="append", default=[], metavar="NAME", help="column that is no tag (repeat)")
    file.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME",
        help="column that is a tag though its name says label or number (repeat)",
    )
    file.add_argument(
        "--no-header", action="store_true", help="the first line is a row; columns are column1, column2, …"
    )
    file.add_argument(
        "--comment", default=COMMENT, metavar="TEXT", help="lines that begin with it are skipped (default: %(default)s)"
    )
    file.add_argument("--encoding", default="", metavar="NAME", help="such as utf-16 or latin-1")
    file.add_argument(
        "--delimiter", default="", type=_delimiter, metavar="C", help="between columns; tab for a tabulator"
    )
    file.add_argument(
        "--decimal", default="", choices=[".", ","], help="decimal mark; the other one then parts thousands"
    )
    return made


def _delimiter(text: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) > 1:
        msg = f"{text!r} is more than one character"
        raise argparse.ArgumentTypeError(msg)
    return text


def _period(text: str) -> float:
    value = float(text)
    if not 1e-6 <= value <= 7 * 86_400:
        msg = f"{text} is not between a microsecond and a week"
        raise argparse.ArgumentTypeError(msg)
    return value


def _seconds(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 7 * 86_400:
        msg = f"{text} is not between 1 s and a week"
        raise argparse.ArgumentTypeError(msg)
    return value


if __name__ == "__main__":
    sys.exit(main())
