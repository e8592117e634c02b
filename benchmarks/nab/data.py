"""A folder in the layout of the Numenta Anomaly Benchmark: `data/<group>/<file>.csv` and `labels/combined_windows.json`."""

from __future__ import annotations

import csv
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from base.errors import ConfigError
from benchmarks.nab.scorer import Labels

_SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DEFAULT_FOLDERS = tuple(
    Path(each)
    for each in os.environ.get("MILLRACE_NAB_DATA", f"{_SHARED / 'nab'}:{_SHARED / 'nab-aws'}").split(os.pathsep)
)
DESIGN, HELD_OUT = "design", "held_out"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Series:
    """One file of `folder`. `time_us` (rows,) microseconds UTC, `value` (rows,), `stamps` the timestamps as written."""

    folder: Path
    name: str
    stamps: tuple[str, ...]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    labels: Labels

    @property
    def half(self) -> str:
        """Which half it is of, by its name: what is chosen about a detector is chosen on the design half only."""
        return HELD_OUT if zlib.crc32(self.name.encode()) % 2 else DESIGN


def read_folder(folder: Path) -> Iterator[Series]:
    """Every labelled series of the folder, by name. Raises ConfigError, naming the file and line, for what cannot be read."""
    label_file = folder / "labels" / "combined_windows.json"
    if not label_file.exists():
        msg = (
            f"{label_file} does not exist; a folder to score has data/<group>/<file>.csv and labels/combined_windows.json: "
            "name one with --data DIR or MILLRACE_NAB_DATA"
        )
        raise ConfigError(msg)
    try:
        windows = json.loads(label_file.read_text())
    except json.JSONDecodeError as error:
        msg = f"{label_file} is not valid JSON: {error}"
        raise ConfigError(msg) from error
    for name in sorted(windows):
        path = folder / "data" / name
        rows = read_rows(path)
        time_us = _times(path, rows)
        yield Series(
            folder=folder,
            name=name,
            stamps=tuple(row["timestamp"] for row in rows),
            time_us=time_us,
            value=_column(path, rows),
            labels=Labels(rows=len(rows), windows=tuple(_row_range(time_us, *window) for window in windows[name])),
        )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header."""
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise ConfigError(msg) from None


def _times(path: Path, rows: list[dict[str, str]]) -> NDArray[np.int64]:
    return np.array(_parsed(path, rows, "timestamp", to_us, "no column timestamp in ISO 8601"), dtype=np.int64)


def _column(path: Path, rows: list[dict[str, str]]) -> NDArray[np.float64]:
    return np.array(_parsed(path, rows, "value", float, "no number in column value"), dtype=np.float64)


def _parsed(
    path: Path, rows: list[dict[str, str]], column: str, parse: Callable[[str], float], complaint: str
) -> list[float]:
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(parse(row[column]))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}, line {number + 2}: {complaint}"
            raise ConfigError(msg) from error
    return found


def to_us(timestamp: str) -> int:
    """Microseconds UTC of NAB's timestamps, which carry no zone."""
    return int(datetime.fromisoformat(timestamp).replace(tzinfo=UTC).timestamp() * 1_000_000)


def _row_range(time_us: NDArray[np.int64], start: str, end: str) -> tuple[int, int]:
    first = int(np.searchsorted(time_us, to_us(start), side="left"))
    return first, int(np.searchsorted(time_us, to_us(end), side="right")) - 1
