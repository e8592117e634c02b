"""`./millrace export` on a real history: every kind and form has SQL's rows; a killed export goes on and has the same rows."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from historian.export.kinds import KINDS
from historian.store import HistorianStore
from stack.config import ROOT
from tests.integration import documented_history
from tests.integration.fix_history import history, plain_history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, register, validated
from tests.integration.polling import eventually

__all__ = ["history", "plain_history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
DAY_US = 86_400 * SECOND_US
FIRST_US = T0_US // DAY_US * DAY_US
DAYS, PER_DAY = 4, 1_000


def command(folder: Path, dsn: str, *arguments: str) -> list[str]:
    """The program as people start it."""
    config = folder / "platform.toml"
    config.write_text(f'sites = ["north"]\n[kafka]\nbootstrap_servers = "unused"\n[postgres]\ndsn = "{dsn}"\n')
    return [sys.executable, "-m", "historian.export", *arguments, "--config", str(config)]


def run(folder: Path, dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """To its end."""
    done = subprocess.run(command(folder, dsn, *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def day(number: int) -> str:
    return datetime.fromtimestamp((FIRST_US + number * DAY_US) / 1e6, UTC).date().isoformat()


RANGE = ("--from", day(0), "--to", day(DAYS))


def days_of_power(dsn: str) -> None:
    """A thousand samples in the last hour of each day, with values that no short text has."""
    power = register(dsn)["power"]
    random = np.random.default_rng(7)
    filled = HistorianStore(dsn)
    for number in range(DAYS):
        times = FIRST_US + (number + 1) * DAY_US - np.sort(random.integers(1, 3_600 * SECOND_US, PER_DAY))[::-1]
        values = random.normal(50, 1, PER_DAY)
        filled.write([validated(make_frame([power] * PER_DAY, times.tolist(), values.tolist(), sequence=number))])
    filled.close()


def read(folder: Path, form: str) -> pd.DataFrame:
    if form == "parquet":
        return pd.read_parquet(folder)
    readers = {"csv": partial(pd.read_csv, float_precision="round_trip"), "arrow": pd.read_feather}
    files = sorted(folder.glob(f"day=*/*.{form}"))
    return pd.concat([readers[form](file).assign(day=file.parent.name[4:]) for file in files], ignore_index=True)


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv"])
def test_samples_are_those_of_sql_a_folder_for_each_day(plain_history: str, tmp_path: Path, form: str) -> None:
    days_of_power(plain_history)
    done = run(tmp_path, plain_history, "samples", "press-01", *RANGE, "--format", form, "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.count(" rows, ")) == (0, DAYS)
    assert done.stdout.startswith("4,000 rows of acme/north/forming/line-1/cell-1/press-01 in 4 days")
    found = read(tmp_path / "out", form)
    with psycopg.connect(plain_history) as connection:
        rows = connection.execute(
            "SELECT time, path, value, unit, quality, verdict FROM telemetry ORDER BY time"
        ).fetchall()
    times = pd.to_datetime(found["time"], format="ISO8601")
    assert [at.to_pydatetime() for at in times] == [row[0] for row in rows]
    for place, name in enumerate(("path", "value", "unit", "quality", "verdict"), start=1):
        assert found[name].tolist() == [row[place] for row in rows]
    assert found["day"].astype(str).value_counts().to_dict() == {day(number): PER_DAY for number in range(DAYS)}


def test_a_killed_export_goes_on_and_has_the_same_rows(plain_history: str, tmp_path: Path) -> None:
    days_of_power(plain_history)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = ("samples", "acme", *RANGE, "--out")
    assert run(tmp_path, plain_history, *arguments, str(whole)).returncode == 0
    # The third day waits for a lock, which the test holds: there it is killed.
    with psycopg.connect(plain_history) as holding:
        name = "SELECT partition_name FROM partitions WHERE table_name = 'samples' AND from_time <= %(day)s AND to_time > %(day)s"
        found = holding.execute(name, {"day": f"{day(2)}T23:30Z"}).fetchone()
        assert found is not None
        holding.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier(found[0])))
        with subprocess.Popen(command(tmp_path, plain_history, *arguments, str(cut)), cwd=ROOT) as killed:
            eventually(lambda: day(1) in _text(cut / "_manifest.json"), what="two days are done")
            killed.send_signal(signal.SIGKILL)
    assert sorted(path.name for path in cut.glob("day=*")) == [day(0), day(1)] or not (cut / f"day={day(3)}").exists()
    torn = cut / f"day={day(2)}"
    torn.mkdir(exist_ok=True)
    (torn / ".samples.parquet.part").write_bytes(b"PAR1 and no more")
    kept = (cut / f"day={day(0)}" / "samples.parquet").stat().st_mtime_ns
    done = run(tmp_path, plain_history, *arguments, str(cut))
    assert (done.returncode, done.stderr.count("written before")) == (0, 2)
    assert (cut / f"day={day(0)}" / "samples.parquet").stat().st_mtime_ns == kept
    assert not list(cut.glob("day=*/.*"))
    pd.testing.assert_frame_equal(pd.read_parquet(cut), pd.read_parquet(whole))
    assert run(tmp_path, plain_history, *arguments, str(cut)).stderr.count("written before") == DAYS
    refused = run(tmp_path, plain_history, "windows", "acme", *RANGE, "--out", str(cut))
    assert (refused.returncode, "holds another export" in refused.stderr) == (1, True)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


VIEWS = {
    "samples": ("telemetry", "path"),
    "windows": ("aggregate", "path"),
    "anomalies": ("anomaly", "device_path"),
    "events": ("device_events", "text"),
    "rejects": ("rejected", "detail"),
}


@pytest.fixture
def filled(history: str, store: HistorianStore) -> str:
    """Every kind of record, on each storage variant."""
    documented_history.fill(history, store)
    return history


def test_every_kind_has_all_rows_of_its_view(filled: str, sql: Sql, tmp_path: Path) -> None:
    for kind, (view, column) in VIEWS.items():
        done = run(tmp_path, filled, kind, "acme", "--from", "2d", "--out", str(tmp_path / kind))
        assert done.returncode == 0, done.stderr
        found = pd.read_parquet(tmp_path / kind)
        expected = sql.execute(SQL("SELECT {} FROM {}").format(Identifier(column), Identifier(view))).fetchall()
        assert expected
        assert sorted(found[column if column in found else "place"].tolist()) == sorted(value for (value,) in expected)
        assert [name for name in found.columns if name != "day"] == list(KINDS[kind].columns)
    south = run(tmp_path, filled, "samples", "south", "--from", "2d", "--out", str(tmp_path / "south"))
    assert (south.returncode, south.stdout.startswith("0 rows of acme/south")) == (0, True)


def test_what_cannot_be_exported_is_said(filled: str, tmp_path: Path) -> None:
    for arguments, cause in (
        (("samples", "nowhere", "--from", "2d"), "nothing in the plant is called 'nowhere'"),
        (("samples", "line-1", "--from", "2d"), "'line-1' may be "),
        (("samples", "acme", "--from", "yesterday"), "'yesterday' is neither a time"),
        (("samples", "acme", "--from", "2999-01-01"), "nothing lies between"),
        (("samples", "acme", "--from", "2d", "--time-zone", "Mars"), "'Mars' is no time zone"),
    ):
        done = run(tmp_path, filled, *arguments, "--out", str(tmp_path / "none"))
        assert (done.returncode, cause in done.stderr) == (2, True), done.stderr
