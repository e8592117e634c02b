"""A folder in the layout of the Numenta Anomaly Benchmark: `data/<group>/<file>.csv` and `labels/combined_windows.json`."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.nab.scorer import Labels
from schemas.errors import ConfigError

DEFAULT_FOLDER = Path(os.environ.get("MILLRACE_NAB_DATA", Path(__file__).parents[2].parent / "shared" / "data" / "nab"))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Series:
    """One file. `time_us` (rows,) microseconds UTC, `value` (rows,)."""

    name: str
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    labels: Labels


def read_folder(folder: Path) -> Iterator[Series]:
    """Every labelled series of the folder, by name. Raises ConfigError when the folder has no labels."""
    label_file = folder / "labels" / "combined_windows.json"
    if not label_file.exists():
        msg = f"{label_file} does not exist; a folder to score has data/ and labels/combined_windows.json"
        raise ConfigError(msg)
    windows = json.loads(label_file.read_text())
    for name in sorted(windows):
        rows = read_rows(folder / "data" / name)
        time_us = np.array([to_us(row["timestamp"]) for row in rows], dtype=np.int64)
        yield Series(
            name=name,
            time_us=time_us,
            value=np.array([float(row["value"]) for row in rows]),
            labels=Labels(rows=len(rows), windows=tuple(_row_range(time_us, *window) for window in windows[name])),
        )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def to_us(timestamp: str) -> int:
    """Microseconds UTC of NAB's timestamps, which carry no zone."""
    return int(datetime.fromisoformat(timestamp).replace(tzinfo=UTC).timestamp() * 1_000_000)


def _row_range(time_us: NDArray[np.int64], start: str, end: str) -> tuple[int, int]:
    first = int(np.searchsorted(time_us, to_us(start), side="left"))
    return first, int(np.searchsorted(time_us, to_us(end), side="right")) - 1
