"""What the line made of a series, and the files of it in NAB's own layout."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.nab import data, scorer
from benchmarks.nab.onsets import onsets
from detect.replay import Replay


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesResult:
    """A series, and what the line made of it."""

    series: data.Series
    replay: Replay


def write(out: Path, detector: str, results: Sequence[SeriesResult]) -> None:
    """`results/<detector>/<group>/<detector>_<file>.csv` and `<detector>_<profile>_scores.csv`, as NAB writes them.

    `anomaly_score` is the detector's news, `strange` how strange the row is, `onset` what the news adds to the alarm that is already given.
    """
    files = [(each.replay.news, each.series.labels) for each in results]
    best = {profile.name: scorer.best_threshold(files, profile)[0] for profile in scorer.PROFILES}
    base = out / "results" / detector
    for each in results:
        labels = each.series.labels
        columns = [
            scorer.row_scores(each.replay.news, labels, profile, best[profile.name]).tolist()
            for profile in scorer.PROFILES
        ]
        group, _, file = each.series.name.rpartition("/")
        path = base / group / f"{detector}_{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as target:
            writer = csv.writer(target)
            header = ["timestamp", "value", "anomaly_score", "strange", "onset", "label"]
            writer.writerow([*header, *(f"S(t)_{profile.name}" for profile in scorer.PROFILES)])
            label = (labels.window_of_row() >= 0).astype(int).tolist()
            score = each.replay.news
            rows = zip(
                each.series.stamps,
                each.series.value.tolist(),
                score.tolist(),
                each.replay.score.tolist(),
                onsets(score).tolist(),
                label,
                *columns,
                strict=True,
            )
            writer.writerows(rows)
    for profile in scorer.PROFILES:
        with (base / f"{detector}_{profile.name}_scores.csv").open("w", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(
                ["Detector", "Profile", "File", "Threshold", "Score", "TP", "TN", "FP", "FN", "Total_Count"]
            )
            for each in results:
                one = scorer.score_file(each.replay.news, each.series.labels, profile, best[profile.name])
                counts = (one.true_positives, one.true_negatives, one.false_positives, one.false_negatives)
                writer.writerow(
                    [
                        detector,
                        profile.name,
                        each.series.name,
                        best[profile.name],
                        one.score,
                        *counts,
                        each.series.labels.rows,
                    ]
                )
