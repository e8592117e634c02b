"""The scenario `nab`: labelled series through frames, windows and the configured detector, scored by NAB's rule.

Enters folders in NAB's layout; leaves figures per profile for our detector and for the published ones that all folders have,
re-scored by the same rule: one threshold for all series, the one with the best total (NAB's own rule). As it is, our detector says when
there is news, what opens episodes (`stages.detection.news`); how strange the rows are is a row of its own. Every detector is scored as it
is and by its onsets (`benchmarks.nab.onsets`), and on each half of the series by the same rule within that half. Beside it stands
the score at the threshold that is configured, which no label has touched. Before anything is scored the scorer itself is held
to the published rows, where there are any.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base.errors import MillraceError
from benchmarks.nab import data, scorer
from benchmarks.nab.files import SeriesResult, write
from benchmarks.nab.onsets import onsets
from detect.command import DEFAULT_DETECTOR, load_detection
from detect.replay import replay
from detect.table import History
from stack.reporting import Progress
from stages.config import DetectionConfig
from stages.detection.kinds import catalogue, make
from stages.detection.protocol import Subject
from stages.detection.threshold import ThresholdConfig

TOLERANCE = 1e-6
Scored = list[tuple[NDArray[np.float64], scorer.Labels]]


class ScorerError(MillraceError):
    """The scorer does not reproduce published results: nothing it says can be believed."""


Scores = Sequence[NDArray[np.float64]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument(
        "--data",
        action="append",
        metavar="DIR",
        help="folder of labelled series (repeat); MILLRACE_NAB_DATA names other defaults, separated by colons",
    )
    parser.add_argument("--detector", default=DEFAULT_DETECTOR, help="name as in a device class")
    parser.add_argument("--config", default="", metavar="FILE", help="the jobs' TOML file with the detectors")
    parser.add_argument("--out", default="", metavar="DIR", help="write results in NAB's own layout below this folder")


def scenario(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Entry of the table of scenarios."""
    return run(
        [Path(each) for each in options.data] if options.data else data.DEFAULT_FOLDERS,
        detector=options.detector,
        detection=load_detection(options.config),
        out=Path(options.out) if options.out else None,
        say=progress.sink,
    )


def run(
    folders: Sequence[Path], *, detector: str, detection: DetectionConfig, out: Path | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """The whole scenario; raises ConfigError for a folder or detector that is none, ScorerError when the proof fails."""
    corpus = [series for folder in folders for series in data.read_folder(folder)]
    if not corpus:
        msg = f"{', '.join(map(str, folders))}: no series is labelled"
        raise ScorerError(msg)
    published = {name: published_scores(name, corpus) for name in published_detectors(folders)}
    proof = {name: proven(name, corpus, scores) for name, scores in published.items()}
    check(proof)
    results = []
    for series in corpus:
        found = replay(_history(series), detection, detector=detector, keep=True)
        results.append(SeriesResult(series=series, replay=found))
        say(
            f"{series.name}: {len(series.value)} rows, windows of {found.window_s} s, {len(found.episodes)} episodes, "
            f"{found.line_us_per_row:.0f} µs a row"
        )
    ours = [each.replay.news for each in results]
    everybody = {detector: ours, f"{detector}, strangeness": [each.replay.score for each in results], **published}
    report = {
        "folder": ", ".join(folder.name for folder in folders),
        "series": len(corpus),
        "windows": sum(len(series.labels.windows) for series in corpus),
        "points": sum(len(series.value) for series in corpus),
        "detector": detector,
        "scorer_proof": proof or "no published results in these folders",
        "threshold_rule": "per profile one threshold for all series, the one with the highest total (NAB's rule)",
        "scores": table(everybody, corpus),
        "half_rule": "by CRC-32 of the series' name; within a half NAB's rule chooses the half's own threshold",
        "halves": {half: half_table(everybody, corpus, half) for half in (data.DESIGN, data.HELD_OUT)},
        "at_published_threshold": {name: at_published(name, corpus, scores) for name, scores in published.items()},
        "at_configured_threshold": _fixed(_pair(ours, corpus), ThresholdConfig().base),
        "detection_delay": delays(results),
        "per_series": per_series(results),
        "us_per_point": {
            "line": round(float(np.average([r.replay.line_us_per_row for r in results], weights=_sizes(results))), 1),
            "detector": round(detector_us(results, detection, detector), 1),
        },
    }
    if out is not None:
        write(out, detector, results)
        report["results_written_to"] = str(out)
    return report


def table(everybody: Mapping[str, Scores], corpus: Sequence[data.Series]) -> dict[str, Any]:
    """Every detector as it is, and by its onsets: the same two columns for everybody."""
    found = {}
    for name, scores in everybody.items():
        found[name] = profiles(_pair(scores, corpus))
        found[f"{name}, onsets"] = profiles(_pair([onsets(column) for column in scores], corpus))
    return found


def half_table(everybody: Mapping[str, Scores], corpus: Sequence[data.Series], half: str) -> dict[str, Any]:
    """The table of one half of the series, and which they are."""
    chosen = [at for at, series in enumerate(corpus) if series.half == half]
    own = [corpus[at] for at in chosen]
    return {
        "series": [series.name for series in own],
        "windows": sum(len(series.labels.windows) for series in own),
        "scores": table({name: [scores[at] for at in chosen] for name, scores in everybody.items()}, own),
    }


# --- published results ----------------------------------------------------------------------------------------------------


def published_detectors(folders: Sequence[Path]) -> list[str]:
    """Detectors with a folder under results/ of every folder: who has not scored all series cannot be compared."""
    names = [
        {each.name for each in (folder / "results").iterdir() if each.is_dir()}
        if (folder / "results").is_dir()
        else set()
        for folder in folders
    ]
    return sorted(set.intersection(*names))


def published_rows(series: data.Series, detector: str) -> list[dict[str, str]]:
    """Rows of a detector on a series."""
    group, _, file = series.name.rpartition("/")
    return data.read_rows(series.folder / "results" / detector / group / f"{detector}_{file}")


def published_scores(detector: str, corpus: Sequence[data.Series]) -> list[NDArray[np.float64]]:
    """Anomaly scores of a published detector, a column per series."""
    return [np.array([float(row["anomaly_score"]) for row in published_rows(each, detector)]) for each in corpus]


def proven(detector: str, corpus: Sequence[data.Series], scores: Scores) -> dict[str, Any]:
    """Largest difference to the published value of any row, standard profile, at the published threshold."""
    worst, rows, thresholds = 0.0, 0, set()
    for series, column in zip(corpus, scores, strict=True):
        threshold = published_threshold(series.folder, detector)
        published = published_rows(series, detector)
        if threshold is None or not published or "S(t)_standard" not in published[0]:
            continue
        expected = np.array([float(row["S(t)_standard"]) for row in published])
        found = scorer.row_scores(column, series.labels, scorer.STANDARD, threshold)
        worst, rows = max(worst, float(np.abs(found - expected).max())), rows + len(expected)
        thresholds.add(threshold)
    if not rows:
        return {"compared": False}
    agrees = worst <= TOLERANCE
    note = (
        {} if agrees else {"note": "published by another rule; its anomaly scores are scored by the rule of this table"}
    )
    return {"compared": True, "agrees": agrees, "rows": rows, "largest_difference": worst, **note}


def check(proof: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ScorerError when published rows could be compared and those of no detector are reproduced."""
    compared = {name: found for name, found in proof.items() if found["compared"]}
    if compared and not any(found["agrees"] for found in compared.values()):
        worst = ", ".join(f"{name} by {found['largest_difference']:g}" for name, found in compared.items())
        msg = f"the scorer differs from all published rows: {worst}"
        raise ScorerError(msg)


def published_threshold(folder: Path, detector: str) -> float | None:
    """Threshold of the standard profile; None when the folder does not say."""
    path = folder / "results" / detector / f"{detector}_standard_scores.csv"
    return float(data.read_rows(path)[0]["Threshold"]) if path.exists() else None


def at_published(detector: str, corpus: Sequence[data.Series], scores: Scores) -> dict[str, float] | None:
    """Scores at the threshold that was published, when all folders name the same one."""
    thresholds = {published_threshold(series.folder, detector) for series in corpus}
    return (
        _fixed(_pair(scores, corpus), threshold) if len(thresholds) == 1 and (threshold := thresholds.pop()) else None
    )


# --- figures --------------------------------------------------------------------------------------------------------------


def profiles(files: Scored) -> dict[str, Any]:
    """Normalised score of each profile at the best threshold of the folder."""
    found = {}
    for profile in scorer.PROFILES:
        threshold, total = scorer.best_threshold(files, profile)
        windows = sum(len(labels.windows) for _, labels in files)
        counts = [scorer.score_file(scores, labels, profile, threshold) for scores, labels in files]
        found[profile.name] = {
            "score": round(scorer.normalise(total, windows, profile), 2) if windows else None,
            "threshold": round(threshold, 6) if np.isfinite(threshold) else None,
            "windows_detected": sum(len(each.delays_rows) for each in counts),
            "false_positive_rows": sum(each.false_positives for each in counts),
        }
    return found


def _fixed(files: Scored, threshold: float) -> dict[str, float]:
    windows = sum(len(labels.windows) for _, labels in files)
    found = {"threshold": threshold}
    for profile in scorer.PROFILES:
        total = sum(scorer.score_file(scores, labels, profile, threshold).score for scores, labels in files)
        found[profile.name] = round(scorer.normalise(total, windows, profile), 2) if windows else float("nan")
    return found


def delays(results: Sequence[SeriesResult]) -> dict[str, Any]:
    """From the start of a labelled window to its first detection, at the standard profile's threshold."""
    threshold, _ = scorer.best_threshold([(r.replay.news, r.series.labels) for r in results], scorer.STANDARD)
    rows, shares = [], []
    for each in results:
        labels = each.series.labels
        for first, last in labels.windows:
            hits = np.flatnonzero(each.replay.news[max(first, labels.probation) : last + 1] >= threshold)
            if hits.size:
                rows.append(int(hits[0]) + max(first, labels.probation) - first)
                shares.append(rows[-1] / (last - first + 1))
    if not rows:
        return {"detected": 0}
    return {
        "detected": len(rows),
        "median_rows": float(np.median(rows)),
        "median_share_of_window": round(float(np.median(shares)), 3),
        "note": "NAB's windows are centred on the anomaly: 0.5 is its beginning",
    }


def per_series(results: Sequence[SeriesResult]) -> dict[str, Any]:
    """Standard profile, per series."""
    threshold, _ = scorer.best_threshold([(r.replay.news, r.series.labels) for r in results], scorer.STANDARD)
    found = {}
    for each in results:
        one = scorer.score_file(each.replay.news, each.series.labels, scorer.STANDARD, threshold)
        found[each.series.name] = {
            "window_s": each.replay.window_s,
            "score": round(one.score, 3),
            "detected": len(one.delays_rows),
            "of": len(each.series.labels.windows),
            "false_positive_rows": one.false_positives,
            "episodes_at_configured_threshold": len(each.replay.episodes),
        }
    return found


def detector_us(results: Sequence[SeriesResult], detection: DetectionConfig, name: str) -> float:
    """Microseconds that scoring and learning one window take, without the line around it."""
    spec = catalogue(detection.detectors)[name]
    spent, windows = 0.0, 0
    for each in results:
        unknown = np.array([np.nan])
        subject = Subject(
            device_id=1,
            window_s=each.replay.window_s,
            tag_id=np.array([1], dtype=np.int32),
            normal_low=unknown,
            normal_high=unknown,
            seed=1,
        )
        fresh = make(spec, subject)
        began = time.perf_counter()
        for _, features in each.replay.scored:
            fresh.score(features)
            fresh.learn(features)
        spent += time.perf_counter() - began
        windows += len(each.replay.scored)
    return spent / max(windows, 1) * 1e6


# --- small ----------------------------------------------------------------------------------------------------------------


def _history(series: data.Series) -> History:
    return History(
        name=series.name,
        stamps=series.stamps,
        time_us=series.time_us,
        tags=("value",),
        values=series.value[:, None],
    )


def _pair(scores: Sequence[NDArray[np.float64]], corpus: Sequence[data.Series]) -> Scored:
    return [(column, series.labels) for column, series in zip(scores, corpus, strict=True)]


def _sizes(results: Sequence[SeriesResult]) -> list[int]:
    return [len(each.series.value) for each in results]
