"""`./millrace detect CSV … --out DIR`: the detectors over anyone's history, to try them before a machine is connected.

A file has a timestamp and one column per tag. For each, the output folder gets `<name>.scores.csv` (a row per row),
`<name>.episodes.json` and `<name>.svg`; a line per file goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from base import settings
from base.errors import MillraceError
from detect import picture, report
from detect.replay import replay
from detect.table import read_csv
from stages.config import DetectionConfig

DEFAULT_DETECTOR = "seasonal"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 when any file failed."""
    options = parser().parse_args(arguments)
    failures = 0
    try:
        detection = load_detection(options.config)
        out = Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
    except (MillraceError, OSError) as error:
        sys.stderr.write(f"detect: {error}\n")
        return 1
    stems: set[str] = set()
    for name in options.csv:
        try:
            stem = Path(name).stem
            while stem in stems:
                stem += "_"
            stems.add(stem)
            document, line = _one(Path(name), out / stem, detection, options)
            sys.stdout.write((json.dumps(document) if options.json else line) + "\n")
        except MillraceError as error:
            failures += 1
            sys.stderr.write(f"detect: {error}\n")
    return 1 if failures else 0


def load_detection(path: str) -> DetectionConfig:
    """`[telemetry.detection]` of a configuration file of the jobs; the built-in one without a file. Raises ConfigError."""
    if not path:
        return DetectionConfig()
    table = settings.read_toml(path).get("telemetry", {}).get("detection", {})
    return settings.parse(DetectionConfig, table, where=f"{path}: telemetry.detection")


def _one(path: Path, stem: Path, detection: DetectionConfig, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    history = read_csv(path, time_column=options.time_column, time_format=options.time_format, ignore=options.ignore)
    result = replay(history, detection, detector=options.detector, window_s=options.window)
    report.write_scores(stem.with_name(f"{stem.name}.scores.csv"), history, result)
    document = report.summary(history, result, options.detector)
    report.write_episodes(stem.with_name(f"{stem.name}.episodes.json"), document)
    if not options.no_picture:
        stem.with_name(f"{stem.name}.svg").write_text(picture.draw(history, result))
    irregular = f", {result.irregular:.0%} of intervals irregular" if result.irregular >= 0.005 else ""
    left_out = f"; left out: {', '.join(history.left_out)}" if history.left_out else ""
    return document, (
        f"{history.name}: {len(history.stamps)} rows, {len(history.tags)} tags, one every {result.period_s:g} s{irregular}"
        f"; windows of {result.window_s} s, detector {options.detector}: {len(result.episodes)} episodes, "
        f"{(result.episode > 0).mean():.1%} of rows, {result.line_us_per_row:.0f} µs a row{left_out}"
    )


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace detect",
        description="Run the anomaly detectors over CSV files with a timestamp and one column per tag.",
        epilog="Columns named anomaly, changepoint, label, fault or attack are taken for labels and left out. "
        "Missing values are allowed; times without a zone are UTC. docs/detection.md explains the output.",
    )
    made.add_argument("csv", nargs="+", metavar="CSV", help="file to read")
    made.add_argument("--out", required=True, metavar="DIR", help="folder for the results; made when it is not there")
    made.add_argument("--detector", default=DEFAULT_DETECTOR, help="name as in a device class (default: %(default)s)")
    made.add_argument("--config", default="", metavar="FILE", help="the jobs' TOML file; its detectors are used")
    made.add_argument("--time-column", default="", metavar="NAME", help="when it is not called timestamp, time, date…")
    made.add_argument("--time-format", default="", metavar="FORMAT", help="of strptime, when it is not recognised")
    made.add_argument("--ignore", action="append", default=[], metavar="NAME", help="column that is no tag (repeat)")
    made.add_argument("--window", type=_seconds, metavar="S", help="window length; default: the nominal period")
    made.add_argument("--json", action="store_true", help="a JSON object per file, the same as its .episodes.json")
    made.add_argument("--no-picture", action="store_true", help="write no SVG")
    return made


def _seconds(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 7 * 86_400:
        msg = f"{text} is not between 1 s and a week"
        raise argparse.ArgumentTypeError(msg)
    return value


if __name__ == "__main__":
    sys.exit(main())
