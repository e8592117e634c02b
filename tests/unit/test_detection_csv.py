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
from detect.chart import POINTS, thinned
from detect.numbers import find_style
from detect.replay import nominal_period_s
from detect.table import Reading, read_csv
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
    times = parse_times(texts).us
    assert (times[1] - times[0]) / 1e6 == pytest.approx(second)
    if "1767225600" in texts[0]:
        assert times[0] == 1_767_225_600_000_000


def test_small_numbers_are_seconds_from_the_start() -> None:
    times = parse_times(["0", "180", "360"])
    assert times.us.tolist() == [0, 180 * SECOND_US, 360 * SECOND_US]
    assert (times.relative, times.read_as) == (True, "s from a start")


def test_days_of_a_spreadsheet() -> None:
    times = parse_times(["46023.0", "46023.000694444", "46023.25"])
    assert times.us.tolist() == [20_454 * DAY_US, 20_454 * DAY_US + 60 * SECOND_US, 20_454 * DAY_US + DAY_US // 4]
    assert times.read_as == "days of a spreadsheet"
    assert parse_times(["46023", "46024"], "excel").us.tolist() == [20_454 * DAY_US, 20_455 * DAY_US]


def test_whole_numbers_that_may_be_days_or_seconds_are_asked_for() -> None:
    with pytest.raises(TimeFormatError, match="--time-format excel or --time-format s"):
        parse_times(["46023", "46024", "46025"])
    assert parse_times(["46023", "46024"], "s").us.tolist() == [46_023 * SECOND_US, 46_024 * SECOND_US]


@pytest.mark.parametrize(("unit", "us"), [("s", 1_500_000), ("ms", 1_500), ("us", 2), ("ns", 0)])
def test_the_unit_of_numbers_can_be_said(unit: str, us: int) -> None:
    assert parse_times(["0", "1.5"], unit).us.tolist() == [0, us]


def test_day_or_month_first_is_asked_when_order_does_not_tell() -> None:
    with pytest.raises(TimeFormatError, match="day/month or month/day"):
        parse_times(["01/02/2026 10:00", "01/02/2026 10:05"])
    times = parse_times(["01/02/2026 10:00", "01/02/2026 10:05"], "%d/%m/%Y %H:%M")
    assert times.us[0] // DAY_US == 20_485


@pytest.mark.parametrize(
    ("texts", "row"),
    [
        (["2026-01-01", "yesterday"], 1),
        (["100", "200", ""], 2),
        (["soon"], 0),
        (["31/12/2025", "32/12/2025"], 1),
        (["1e300", "2e300"], 0),
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
    assert history.left_out == {"anomaly": "a label"}
    assert history.labelled is not None
    assert history.labelled.tolist() == [False, False, True]
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
        (
            "2026-01-01,1,2\n2026-01-02,1,3\n2026-01-03,1,2\n",
            "line 1: a header with the columns' names is missing; --no-header",
        ),
        (
            "pressure,flow\n1.5,2\n1.6,3\n",
            "no column is called a time, and the first one, 'pressure', holds '1.5', which is no date",
        ),
        ("pressure,flow\nhigh,2\nlow,3\n", "name the column with --time-column, or count rows with --period"),
        ("time,a\n2026-01-01,2\n2026-01-01,3\n", "all 2 rows have the time '2026-01-01'; count rows with --period 60"),
        ("time,a\n2924-01-01,2\n2924-01-02,3\n", "every time is after the year 2100, such as '2924-01-01'"),
        (
            "time;a;b\n2026-01-01;1,5;2.25\n2026-01-02;1,5;2.5\n",
            "'2.25' and '1,5' are written with different decimal marks",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_csv(written(tmp_path, text))
    assert message in str(caught.value)


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, "batch,when,a\nred,0,1\nblue,60,2\n")
    history = read_csv(path, Reading(time_columns=["when"], ignore=["batch"]))
    assert (history.tags, history.left_out) == (("a",), {"batch": "asked for"})
    for reading, message in (
        (Reading(time_columns=["then"]), "no column 'then'"),
        (Reading(ignore=["b"]), "no column 'b'"),
        (Reading(keep=["c"]), "no column 'c'"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            read_csv(path, reading)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_bytes(b"\xef\xbb\xbftime,a\n1,\xe9\n2,3\n")
    for path, message in (
        ("none.csv", "does not exist"),
        (".", "is a folder"),
        ("broken.csv", "is not utf-8-sig text"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            read_csv(tmp_path / path)
    with pytest.raises(InvalidRequestError, match="no encoding is called 'klingon'"):
        read_csv(tmp_path / "broken.csv", Reading(encoding="klingon"))


PLAIN = "# logger 7, 2026\ntime;\u00d6ldruck\n2026-01-01 00:00:00;1,5\n2026-01-01 00:00:01;2,5\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_and_comment_lines(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "plant.csv").write_bytes(PLAIN.encode(encoding))
    history = read_csv(tmp_path / "plant.csv")
    assert history.tags == ("\u00d6ldruck",)
    assert history.values.ravel().tolist() == [1.5, 2.5]
    assert "1 comment lines skipped" in history.read_as
    assert ("text as cp1252" in history.read_as) == (encoding == "latin-1")


def test_date_and_clock_in_two_columns(tmp_path: Path) -> None:
    found = read_csv(written(tmp_path, "Date,Time,a\n31/12/2025,23:59:30,1\n01/01/2026,00:00:30,2\n"))
    assert np.diff(found.time_us).tolist() == [60 * SECOND_US]
    assert (found.tags, found.stamps[0]) == (("a",), "31/12/2025 23:59:30")
    named = read_csv(
        written(tmp_path, "d,c,a\n2026-01-01,10:00,1\n2026-01-01,10:05,2\n"), Reading(time_columns=["d", "c"])
    )
    assert np.diff(named.time_us).tolist() == [300 * SECOND_US]


def test_rows_without_a_time_can_be_counted(tmp_path: Path) -> None:
    history = read_csv(written(tmp_path, "1.5\t2\n1.6\t3\n1.7\t4\n"), Reading(period_s=0.5, header=False))
    assert history.tags == ("column1", "column2")
    assert history.time_us.tolist() == [0, SECOND_US // 2, SECOND_US]
    assert history.read_as == "times as rows every 0.5 s"


@pytest.mark.parametrize(
    ("fields", "delimiter", "values"),
    [
        (["1,234,567.5", "12.25"], ",", [1_234_567.5, 12.25]),
        (["1.234.567,5", "12,25"], ";", [1_234_567.5, 12.25]),
        (["1.234", "0,5"], ";", [1_234.0, 0.5]),
        (["1,234", "2"], ",", [1_234.0, 2.0]),
        (["1,234", "2"], ";", [1.234, 2.0]),
        (["1.234", "2"], ";", [1.234, 2.0]),
        (["1 234,5", "1\u202f234"], ";", [1_234.5, 1_234.0]),
        (["1'234.5", "7"], ",", [1_234.5, 7.0]),
        (["-1e-3", "2.5E2"], ",", [-0.001, 250.0]),
        (["#N/A", "Bad"], ",", [np.nan, np.nan]),
    ],
)
def test_numbers_of_many_countries(fields: list[str], delimiter: str, values: list[float]) -> None:
    style = find_style(fields, delimiter=delimiter)
    found = np.array([style.number(field) for field in fields], dtype=np.float64)
    assert np.array_equal(found, values, equal_nan=True)


@pytest.mark.parametrize("text", ["1,23,456.5", "12.5.1", "x", "1,2345.0"])
def test_what_looks_like_a_number_and_is_none(text: str) -> None:
    assert find_style([text, "1,234.5"], delimiter=",").number(text) is None


def test_columns_that_number_the_rows_are_no_tags(tmp_path: Path) -> None:
    rows = "".join(f"{9 - row % 3},{row},2026-01-01 00:00:{row:02},{row * row}\n" for row in range(20))
    path = written(tmp_path, "id,Unit,time,a\n" + rows)
    history = read_csv(path)
    assert history.tags == ("a",)
    assert history.left_out == {"id": "numbers the rows", "Unit": "numbers the rows"}
    assert read_csv(path, Reading(keep=["id"])).tags == ("id", "a")


def test_a_row_of_the_year_2924_costs_only_itself(tmp_path: Path) -> None:
    history = read_csv(written(tmp_path, "time,a\n2026-01-01,1\n2924-01-02,2\n2026-01-03,inf\n2026-01-04,4\n"))
    assert np.array_equal(history.values.ravel(), [1.0, np.nan, np.inf, 4.0], equal_nan=True)
    assert history.time_us[1] == history.time_us[0]
    assert [(each.line, each.column, each.text) for each in history.oddities] == [
        (3, "time", "2924-01-02"),
        (4, "a", "inf"),
    ]


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
    assert "mixer.csv: 1,600 rows, 6 tags, one every 60 s; times as s since 1970" in said
    assert "windows of 60 s by seasonal" in said
    assert "left out  anomaly (a label)" in said
    assert "1 of 1 labelled ranges meet an episode" in said
    with (tmp_path / "out" / "mixer.scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    with path.open() as file:
        assert [row["timestamp"] for row in rows] == [row["timestamp"] for row in csv.DictReader(file)]
    scores = np.array([float(row["score"]) for row in rows])
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    flagged = [number for number, row in enumerate(rows) if row["anomaly"] == "1"]
    assert any(1_200 <= row <= 1_260 for row in flagged)
    document = json.loads((tmp_path / "out" / "mixer.episodes.json").read_text())
    assert (document["nominal_period_s"], document["window_s"], document["refused_samples"]) == (60.0, 60, {})
    assert document["columns_left_out"] == {"anomaly": "a label"}
    assert document["windows_scored"] + document["windows_learning"] == 1_600
    for number, episode in enumerate(document["episodes"], 1):
        assert episode["episode"] == number
        assert episode["start"] < (episode["end"] or "9")
        assert episode["contributors"][0]["expected_low"] is not None
        assert any(row["episode"] == str(number) for row in rows)
    picture = ET.fromstring((tmp_path / "out" / "mixer.svg").read_text())
    assert picture.tag.endswith("svg")
    texts = [each.text for each in picture.iter() if each.tag.endswith("text")]
    assert {"episode", "learning, not scored", "time, UTC", "2026-01-01 00:00", "04:00"} <= set(texts)
    page = (tmp_path / "out" / "mixer.html").read_text()
    assert "tag2" in page
    assert "src=" not in page.split("<body>")[0].split("<script")[0]


def wearing_file(folder: Path) -> Path:
    """Three weeks of hours: a bearing that wears and reaches 80 after 20 days, a room that does not."""
    chance = np.random.default_rng(1)
    with (folder / "press.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "bearing", "room"])
        for hour in range(21 * 24):
            values = np.array([50.0 + hour / 16.0, 20.0]) + chance.normal(0.0, 0.5, 2)
            writer.writerow([1_767_225_600 + hour * 3_600, *(f"{value:.3f}" for value in values)])
    return folder / "press.csv"


def test_limits_are_forecast_where_they_are_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = wearing_file(tmp_path)
    limits = ["--limit", "bearing=:80", "--limit", "room=10:30"]
    assert detect.main([str(path), "--out", str(tmp_path), *limits]) == 0
    assert (
        "forecast  1 for 2 tags with a limit\n            bearing reaches 80: said 2026-01-" in capsys.readouterr().out
    )
    (forecast,) = json.loads((tmp_path / "press.episodes.json").read_text())["forecasts"]
    assert (forecast["tag"], forecast["limit"], forecast["reached"]) == ("bearing", 80.0, True)
    assert forecast["start"] < "2026-01-16"
    assert "2026-01-20" <= forecast["end"] < "2026-01-22"
    for said in forecast["said"]:
        assert said["earliest"] <= said["likely"] <= (said["latest"] or "9")
    picture = ET.fromstring((tmp_path / "press.svg").read_text())
    kinds = [each.get("class") for each in picture.iter() if each.tag.endswith("path")]
    assert kinds.count("m") == 3
    assert kinds.count("p") == len(forecast["said"])
    assert "bearing reaches 80" in (tmp_path / "press.html").read_text()


def test_without_a_limit_nothing_is_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert detect.main([str(wearing_file(tmp_path)), "--out", str(tmp_path), "--no-picture"]) == 0
    assert "forecast" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("bearing", "write TAG=LOW:HIGH"),
        ("bearing=:", "write TAG=LOW:HIGH"),
        ("bearing=80", "write TAG=LOW:HIGH"),
        ("bearing=:warm", "write TAG=LOW:HIGH"),
        ("bearing=:inf", "write TAG=LOW:HIGH"),
        ("bearing=80:50", "the low end is not below"),
        ("motor=:80", "press.csv has no tag 'motor' for --limit; it has bearing, room"),
    ],
)
def test_a_limit_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str, message: str
) -> None:
    assert detect.main([str(wearing_file(tmp_path)), "--out", str(tmp_path), "--limit", limit]) == 1
    assert message in capsys.readouterr().err


def test_samples_faster_than_a_second_share_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history_file(tmp_path, period_s=0.1, rows=1_300)
    assert detect.main([str(path), "--out", str(tmp_path / "out"), "--no-picture"]) == 0
    said = capsys.readouterr().out
    assert "one every 0.1 s" in said
    assert "windows of 1 s by seasonal" in said
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".json"}


def test_a_history_that_is_too_short_says_that_nothing_was_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{row / 1000},{row % 7}\n" for row in range(20_000))
    path = written(tmp_path, "time,a\n" + rows)
    assert detect.main([str(path), "--out", str(tmp_path / "out"), "--no-picture"]) == 3
    said = capsys.readouterr().out
    assert "scored    0 windows of 1 s" in said
    assert "NOTHING WAS SCORED: the 20 windows were needed to learn. Give a longer history." in said
    assert "episodes" not in said


def test_refused_samples_are_named_where_people_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(
        f"{'2924' if row == 200 else '2026'}-01-01 00:{row // 60:02}:{row % 60:02},{'inf' if row == 100 else row % 7}\n"
        for row in range(300)
    )
    assert detect.main([str(written(tmp_path, "time,a\n" + rows)), "--out", str(tmp_path), "--no-picture"]) == 0
    said = capsys.readouterr().out
    assert (
        "refused   1 NOT_FINITE, 1 rows with an impossible time (line 202, column 'time': '2924-01-01 00:03:20')"
        in said
    )
    assert "no value  1 rows" in said


def test_detectors_can_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history_file(tmp_path, rows=400)
    arguments = [str(path), "--out", str(tmp_path / "out"), "--compare", "default,seasonal"]
    assert detect.main(arguments) == 0
    said = capsys.readouterr().out
    assert "detectors side by side" in said
    assert "labels found" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"mixer.default.scores.csv", "mixer.seasonal.html", "mixer.seasonal.svg"} <= names
    assert detect.main([*arguments[:3], "--compare", "default,none"]) == 1


def test_a_long_history_is_drawn_by_its_extremes() -> None:
    values = np.sin(np.arange(100_000) / 500.0)
    values[77_777], values[50_000] = 99.0, np.nan
    ms, drawn = thinned(np.arange(100_000) * 1_000, values)
    assert len(ms) == len(drawn) == POINTS
    assert drawn.max() == 99.0
    assert (np.diff(ms) >= 0).all()


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
    assert "mixer.csv: 200 rows, 6 tags" in captured.out


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
