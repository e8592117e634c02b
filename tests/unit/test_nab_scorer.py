"""The scorer against the published per-row results of two detectors: row by row, within 1e-6."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.nab import data, scorer

FOLDER = data.DEFAULT_FOLDERS[0]
pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason="the NAB subset is not beside the repository; set MILLRACE_NAB_DATA"
)
DETECTORS = ("numenta", "windowedGaussian")


def published(detector: str, series: data.Series) -> list[dict[str, str]]:
    group, file = series.name.split("/")
    return data.read_rows(FOLDER / "results" / detector / group / f"{detector}_{file}")


def standard(detector: str) -> dict[str, dict[str, str]]:
    return {
        row["File"]: row for row in data.read_rows(FOLDER / "results" / detector / f"{detector}_standard_scores.csv")
    }


@pytest.fixture(scope="module")
def corpus() -> list[data.Series]:
    return list(data.read_folder(Path(FOLDER)))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("profile", scorer.PROFILES, ids=lambda profile: profile.name)
def test_rows_are_the_published_rows(detector: str, profile: scorer.Profile, corpus: list[data.Series]) -> None:
    """One threshold for all files must explain every row.

    The standard one is published; that of another profile is the lowest score that counted as a false positive.
    """
    columns = []
    for series in corpus:
        rows = published(detector, series)
        column = next(name for name in rows[0] if name.endswith(profile.name))
        scores = np.array([float(row["anomaly_score"]) for row in rows])
        columns.append((series.labels, scores, np.array([float(row[column]) for row in rows])))
    threshold = float(next(iter(standard(detector).values()))["Threshold"])
    if profile is not scorer.STANDARD:
        threshold = min(
            scores[(expected != 0) & (labels.window_of_row() < 0)].min(initial=np.inf)
            for labels, scores, expected in columns
        )
    for labels, scores, expected in columns:
        assert np.abs(scorer.row_scores(scores, labels, profile, threshold) - expected).max() <= 1e-6


@pytest.mark.parametrize("detector", DETECTORS)
def test_files_are_the_published_files(detector: str, corpus: list[data.Series]) -> None:
    expected = standard(detector)
    for series in corpus:
        row = expected[series.name]
        scores = np.array([float(r["anomaly_score"]) for r in published(detector, series)])
        result = scorer.score_file(scores, series.labels, scorer.STANDARD, float(row["Threshold"]))
        assert result.score == pytest.approx(float(row["Score"]), abs=1e-6), series.name
        counts = (result.true_positives, result.true_negatives, result.false_positives, result.false_negatives)
        assert counts == tuple(int(row[name]) for name in ("TP", "TN", "FP", "FN")), series.name


def test_threshold_sweep_equals_trying_every_threshold(corpus: list[data.Series]) -> None:
    files = [
        (np.array([float(r["anomaly_score"]) for r in published("windowedGaussian", s)]), s.labels) for s in corpus[:6]
    ]
    threshold, total = scorer.best_threshold(files, scorer.STANDARD)
    tried = {
        candidate: sum(scorer.score_file(scores, labels, scorer.STANDARD, candidate).score for scores, labels in files)
        for candidate in [np.inf, *np.unique(np.concatenate([scores for scores, _ in files]))]
    }
    assert total == pytest.approx(max(tried.values()))
    assert tried[threshold] == pytest.approx(total)


def test_ends_of_the_scale() -> None:
    labels = scorer.Labels(rows=1000, windows=((300, 399), (700, 799)))
    nothing = scorer.score_file(np.zeros(1000), labels, scorer.STANDARD, 0.5)
    assert scorer.normalise(nothing.score, 2, scorer.STANDARD) == 0.0
    early = np.zeros(1000)
    early[[300, 700]] = 1.0
    perfect = scorer.score_file(early, labels, scorer.STANDARD, 0.5)
    assert scorer.normalise(perfect.score, 2, scorer.STANDARD) == pytest.approx(100.0)
    assert perfect.delays_rows == (0, 0)
