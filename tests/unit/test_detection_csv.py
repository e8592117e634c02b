"""`./millrace detect`: what it reads, what it says of files it cannot read, and what it writes."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from base.errors import InvalidRequestError
from detect import command as detect
from detect.replay import nominal_period_s
from detect.table import read_csv
from detect.times import TimeFormatError, parse_times
from tests.unit.series_with_faults import related

DAY_US = 86_400_000_000
SECOND_US = 1_000_000


# --- timestamps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "second"),
    [
        (["2026-01-01 00:00:00", "2026-01-01 00:00:01"], 1.0),
        (["2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z"], 1.5),
        (["2026-01-01T02:00:00+02:00", "2026-01-01T00:00:02+00:00"], 2.0),
        (["2026-01-01", "2026-01-02"], 86_400.0),
        (["1767225600", "1767225601"], 1.0),
        (["1767225600.0", "1767225600.25"], 0.25),
        (["1767225600000", "1767225600500"], 0.5),
        (["1767225600000000", "1767225600000007"], 7e-6),
        (["1767225600000000000", "1767225603000000000"], 3.0),
        (["31/12/2025 23:59:00", "01/01/2026 00:01:00"], 120.0),
        (["12/31/2025 23:59", "1/1/2026 0:01"], 120.0),
        (["12/31/25 11:59 PM", "1/1/26 12:01 AM"], 120.0),
        (["31.12.2025 23:59", "01.01.2026 00:00"], 60.0),
        (["2025/12/31", "2026/01/01"], 86_400.0),
        (["20251231235900", "20260101000000"], 60.0),
        (["01/02/2026", "02/02/2026", "03/02/2026", "13/02/2026"], 86_400.0),
    ],
)
def test_timestamps_of_many_writers(texts: list[str], second: float) -> None:
    times = parse_times(texts)
    assert (times[1] - times[0]) / 1e6 == pytest.approx(second)
    if "1767225600" in texts[0]:
        assert times[0] == 1_767_225_600_000_000


def test_small_numbers_are_seconds_from_the_start() -> None:
    assert parse_times(["0", "180", "360"]).tolist() == [0, 180 * SECOND_US, 360 * SECOND_US]


def test_day_or_month_first_is_asked_when_order_does_not_tell() -> None:
    with pytest.raises(TimeFormatError, match="day/month or month/day"):
        parse_times(["01/02/2026 10:00", "01/02/2026 10:05"])
    times = parse_times(["01/02/2026 10:00", "01/02/2026 10:05"], "%d/%m/%Y %H:%M")
    assert times[0] // DAY_US == 20_485


@pytest.mark.parametrize(
    ("texts", "row"),
    [
        (["2026-01-01", "yesterday"], 1),
        (["100", "200", ""], 2),
        (["soon"], 0),
        (["31/12/2025", "32/12/2025"], 1),
    ],
)
def test_the_row_that_cannot_be_read_is_named(texts: list[str], row: int) -> None:
    with pytest.raises(TimeFormatError) as caught:
        parse_times(texts)
    assert caught.value.row == row


# --- tables ---------------------------------------------------------------------------------------------------------------


def written(folder: Path, text: str) -> Path:
    path = folder / "plant.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_gaps_labels_and_a_decimal_comma(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeffdatetime;Pressure;Flow rate;anomaly\n"
        "2026-01-01 00:00:00;1,5;;0\n\n2026-01-01 00:00:01;NaN;2;0\n2026-01-01 00:00:02;-1e3;null;1\n",
    )
    history = read_csv(path)
    assert history.tags == ("Pressure", "Flow rate")
    assert history.left_out == ("anomaly",)
    assert np.array_equal(history.values, [[1.5, np.nan], [np.nan, 2.0], [-1000.0, np.nan]], equal_nan=True)
    assert history.stamps[1] == "2026-01-01 00:00:01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plant.csv is empty"),
        ("time,a\n", "has 0 rows below its header"),
        ("time,a\n1,2\n", "has 1 rows below its header"),
        ("1,2\n3,4\n5,6\n", "line 1: a header with the columns' names is missing"),
        ("time,a,a\n1,2,3\n2,3,4\n", "line 1: two columns are called 'a'"),
        ("time,a\n1,2\n2,3,4\n", "line 3: 3 fields, but the header has 2"),
        ("time,a\n1,2\n\n2,x\n", "line 4, column 'a': 'x' is not a number; leave a column out with --ignore 'a'"),
        ("time,a\n2026-01-01,2\nlater,3\n", "line 3, column 'time': 'later' is no timestamp"),
        ("time,a\n2026-01-01,2\n,3\n", "line 3, column 'time': '' is no timestamp"),
        ("time,label\n1,2\n2,3\n", "has no tag: its columns are time, label"),
        ("time,a\n-5,2\n2,3\n", "line 2, column 'time': '-5' is before 1970"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_csv(written(tmp_path, text))
    assert message in str(caught.value)


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, "batch,when,a\nred,0,1\nblue,60,2\n")
    history = read_csv(path, time_column="when", ignore=["batch"])
    assert (history.tags, history.left_out) == (("a",), ("batch",))
    for arguments, message in (({"time_column": "then"}, "no column 'then'"), ({"ignore": ["b"]}, "no column 'b'")):
        with pytest.raises(InvalidRequestError, match=message):
            read_csv(path, **arguments)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"time,a\n1,\xe9\n2,3\n")
    for path, message in (("none.csv", "does not exist"), (".", "is a folder"), ("latin.csv", "is not UTF-8")):
        with pytest.raises(InvalidRequestError, match=message):
            read_csv(tmp_path / path)


def test_the_nominal_period_of_irregular_times() -> None:
    seconds = np.array([0, 300, 600, 600, 1_200, 1_500, 9_000, 9_300])
    period_s, irregular = nominal_period_s(seconds * SECOND_US)
    assert period_s == 300.0
    assert irregular == pytest.approx(2 / 6)
    assert nominal_period_s(np.array([5])) == (1.0, 0.0)


# --- the command ----------------------------------------------------------------------------------------------------------


def history_file(folder: Path, *, period_s: float = 60.0, rows: int = 1_600, disorder: bool = False) -> Path:
    """A day and more of six related tags, with gaps; tag2 breaks away at row 1,200."""
    values = related(5, rows, broken_at=1_200 if rows > 1_200 else None)
    order = np.arange(rows)
    if disorder:
        order[10:20] = order[10:20][::-1]
    with (folder / "mixer.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", *(f"tag{number}" for number in range(6)), "anomaly"])
        for row in order.tolist():
            cells = ["" if (row + tag) % 97 == 0 else f"{value:.4f}" for tag, value in enumerate(values[row])]
            writer.writerow([f"{1_767_225_600 + row * period_s:.3f}", *cells, int(row >= 1_200)])
    return folder / "mixer.csv"


def test_the_command_writes_a_row_per_row_episodes_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history_file(tmp_path, disorder=True)
    assert detect.main([str(path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1600 rows, 6 tags, one every 60 s" in said
    assert "windows of 60 s, detector seasonal" in said
    assert "left out: anomaly" in said
    with (tmp_path / "out" / "mixer.scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    with path.open() as file:
        assert [row["timestamp"] for row in rows] == [row["timestamp"] for row in csv.DictReader(file)]
    scores = np.array([float(row["score"]) for row in rows])
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    flagged = [number for number, row in enumerate(rows) if row["anomaly"] == "1"]
    assert any(1_200 <= row <= 1_260 for row in flagged)
    document = json.loads((tmp_path / "out" / "mixer.episodes.json").read_text())
    assert (document["nominal_period_s"], document["window_s"], document["rejected_samples"]) == (60.0, 60, 0)
    assert document["columns_left_out"] == ["anomaly"]
    for number, episode in enumerate(document["episodes"], 1):
        assert episode["episode"] == number
        assert episode["start"] < (episode["end"] or "9")
        assert episode["contributors"][0]["expected_low"] is not None
        assert any(row["episode"] == str(number) for row in rows)
    picture = ET.fromstring((tmp_path / "out" / "mixer.svg").read_text())
    assert picture.tag.endswith("svg")


def test_samples_faster_than_a_second_share_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history_file(tmp_path, period_s=0.1, rows=1_300)
    assert detect.main([str(path), "--out", str(tmp_path / "out"), "--no-picture", "--detector", "default"]) == 0
    assert "one every 0.1 s; windows of 1 s, detector default" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("*.svg"))


def test_more_tags_than_a_device_has_are_watched_all_the_same(tmp_path: Path) -> None:
    values = related(5, 400, tags=70)
    path = tmp_path / "wide.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *(f"t{number}" for number in range(70))])
        for row in range(400):
            values[row, 69] += 500.0 * (row >= 300)
            writer.writerow([row * 60, *values[row].tolist()])
    assert detect.main([str(path), "--out", str(tmp_path), "--no-picture"]) == 0
    document = json.loads((tmp_path / "wide.episodes.json").read_text())
    assert any(each["tag"] == "t69" for episode in document["episodes"] for each in episode["contributors"])


def test_a_bad_file_does_not_cost_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = history_file(tmp_path, rows=200), written(tmp_path, "time,a\n1,2\n2,x\n")
    assert detect.main([str(bad), str(good), "--out", str(tmp_path / "out"), "--no-picture"]) == 1
    captured = capsys.readouterr()
    assert "plant.csv, line 3, column 'a': 'x' is not a number" in captured.err
    assert "mixer.csv: 200 rows" in captured.out


def test_detectors_come_from_the_jobs_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, config = history_file(tmp_path, rows=200), tmp_path / "jobs.toml"
    config.write_text(
        '[[telemetry.detection.detectors]]\nname = "mine"\nkind = "robust"\nevery = 5\nparameters = {grace = 10}\n'
    )
    arguments = [str(path), "--out", str(tmp_path / "out"), "--no-picture"]
    assert detect.main([*arguments, "--config", str(config), "--detector", "mine"]) == 0
    assert detect.main([*arguments, "--detector", "mine"]) == 1
    assert "no detector is called 'mine'; known: default, drift" in capsys.readouterr().err
    assert detect.main([*arguments, "--config", str(tmp_path / "no.toml")]) == 1
    assert "no.toml does not exist" in capsys.readouterr().err
