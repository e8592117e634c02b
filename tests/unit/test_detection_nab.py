"""The scenario `nab` on a folder made here, in NAB's layout: figures, proof of the scorer, results written as NAB writes them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from base.errors import ConfigError
from benchmarks.nab import data, run, scorer
from benchmarks.nab.onsets import onsets
from stages.config import DetectionConfig
from tests.unit.series_with_faults import LENGTH, PERIOD_S, START_US, faulty, usual

AT = 3_000


def stamp(row: int) -> str:
    moment = np.datetime64(START_US + row * PERIOD_S * 1_000_000, "us")
    return str(moment.astype("datetime64[s]")).replace("T", " ")


def folder_of(base: Path) -> Path:
    """Two series, one with a fault and its window."""
    series = {"quiet/white.csv": usual("white", 1), "faults/daily.csv": faulty("daily", "outage", 3, AT)}
    windows: dict[str, list[list[str]]] = {
        "quiet/white.csv": [],
        "faults/daily.csv": [[stamp(AT - 200), stamp(AT + 200)]],
    }
    for name, values in series.items():
        path = base / "data" / name
        path.parent.mkdir(parents=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "value"])
            writer.writerows((stamp(row), value) for row, value in enumerate(values.tolist()))
    (base / "labels").mkdir()
    (base / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return base


def test_a_folder_is_scored_and_written_in_its_own_layout(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "corpus")
    said: list[str] = []
    out = tmp_path / "out"
    result = run.run([folder], detector="seasonal", detection=DetectionConfig(), out=out, say=said.append)
    assert len(said) == 2
    assert (result["series"], result["windows"], result["points"]) == (2, 1, 2 * LENGTH)
    found = result["scores"]["seasonal"]
    assert set(found) == {"standard", "reward_low_FP_rate", "reward_low_FN_rate"}
    assert found["standard"]["score"] > 80.0
    assert result["detection_delay"]["detected"] == 1
    assert 195 <= result["detection_delay"]["median_rows"] <= 210
    assert result["us_per_point"]["detector"] < result["us_per_point"]["line"]
    rows = data.read_rows(out / "results" / "seasonal" / "faults" / "seasonal_daily.csv")
    assert len(rows) == LENGTH
    assert [row["label"] for row in rows].count("1") == 401
    # What was written is scored again by the scorer alone, to the same figure.
    labels = next(series for series in data.read_folder(folder) if series.name == "faults/daily.csv").labels
    scores = np.array([float(row["anomaly_score"]) for row in rows])
    (_, summary) = data.read_rows(out / "results" / "seasonal" / "seasonal_standard_scores.csv")[::-1]
    threshold = float(summary["Threshold"])
    assert scorer.score_file(scores, labels, scorer.STANDARD, threshold).score == pytest.approx(
        sum(float(row["S(t)_standard"]) for row in rows)
    )
    assert [float(row["onset"]) for row in rows] == onsets(scores).tolist()


def test_results_that_the_scorer_does_not_reproduce_stop_everything(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for name in ("quiet/white", "faults/daily"):
        group, file = name.split("/")
        path = folder / "results" / "other" / group / f"other_{file}.csv"
        path.parent.mkdir(parents=True)
        with path.open("w", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(["timestamp", "value", "anomaly_score", "label", "S(t)_standard"])
            writer.writerows((stamp(row), 0.0, 0.0, 0, 0.5) for row in range(LENGTH))
    (folder / "results" / "other" / "other_standard_scores.csv").write_text("Detector,Threshold\nother,0.5\n")
    with pytest.raises(run.ScorerError, match="all published rows: other by"):
        run.run([folder], detector="seasonal", detection=DetectionConfig(), out=None, say=lambda _: None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda base: (base / "labels" / "combined_windows.json").unlink(), "combined_windows.json does not exist"),
        (lambda base: (base / "labels" / "combined_windows.json").write_text("{"), "is not valid JSON"),
        (lambda base: (base / "data" / "quiet" / "white.csv").unlink(), "white.csv does not exist"),
        (
            lambda base: (base / "data" / "quiet" / "white.csv").write_text("timestamp,value\n2026-01-01,x\n"),
            "white.csv, line 2: no number in column value",
        ),
        (
            lambda base: (base / "data" / "quiet" / "white.csv").write_text("timestamp,value\nnever,1\n"),
            "white.csv, line 2: no column timestamp",
        ),
    ],
)
def test_a_folder_that_cannot_be_scored_is_explained(tmp_path: Path, spoil: object, message: str) -> None:
    folder = folder_of(tmp_path)
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=message):
        list(data.read_folder(folder))


def test_onsets_are_first_words_and_clearly_louder_ones() -> None:
    scores = np.array([0.1, 0.5, 0.51, 0.5, 0.45, 0.9, 0.9, 0.2, 0.0])
    assert onsets(scores).tolist() == [0.0, 0.5, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0]
    later = np.zeros(2_000)
    later[[10, 500, 1_900]] = 0.6
    assert np.flatnonzero(onsets(later)).tolist() == [10, 500, 1_900]
    assert not onsets(np.zeros(10)).any()


def publish(folder: Path, detector: str, difference: float) -> None:
    """A published detector whose rows are the scorer's, or differ from them."""
    for series in data.read_folder(folder):
        group, file = series.name.removesuffix(".csv").split("/")
        path = folder / "results" / detector / group / f"{detector}_{file}.csv"
        path.parent.mkdir(parents=True)
        scores = np.zeros(len(series.value))
        rows = scorer.row_scores(scores, series.labels, scorer.STANDARD, 0.5) + difference
        with path.open("w", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(["timestamp", "value", "anomaly_score", "label", "S(t)_standard"])
            writer.writerows((stamp(row), 0.0, 0.0, 0, value) for row, value in enumerate(rows.tolist()))
    (folder / "results" / detector / f"{detector}_standard_scores.csv").write_text(
        f"Detector,Threshold\n{detector},0.5\n"
    )


def test_one_detector_that_was_published_by_another_rule_does_not_cost_the_others(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    publish(folder, "alike", 0.0)
    publish(folder, "foreign", 0.25)
    result = run.run([folder], detector="seasonal", detection=DetectionConfig(), out=None, say=lambda _: None)
    proof = result["scorer_proof"]
    assert proof["alike"]["agrees"]
    assert not proof["foreign"]["agrees"]
    assert proof["foreign"]["largest_difference"] == pytest.approx(0.25)
    assert "another rule" in proof["foreign"]["note"]
    # Everybody is scored as it is and by its onsets.
    names = {"seasonal", "seasonal, strangeness", "alike", "foreign"}
    assert set(result["scores"]) == names | {f"{name}, onsets" for name in names}
    halves = result["halves"]
    assert sum(len(half["series"]) for half in halves.values()) == 2
    assert sum(half["windows"] for half in halves.values()) == result["windows"]


def test_only_detectors_that_scored_all_folders_are_compared(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "one"), folder_of(tmp_path / "two")
    publish(one, "everywhere", 0.0)
    publish(two, "everywhere", 0.0)
    publish(one, "somewhere", 0.0)
    assert run.published_detectors([one, two]) == ["everywhere"]
