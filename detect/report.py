"""Files of a replayed history: `<name>.scores.csv`, a row per row; `<name>.episodes.json`; `<name>.svg`.

Called by `detect.command`. Rows come in the file's own order with the timestamps as they were written.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detect.replay import EpisodeRow, Replay
from detect.table import History

COLUMNS = ("timestamp", "score", "threshold", "anomaly", "episode", "contributors")


def write_scores(path: Path, history: History, result: Replay) -> None:
    """One row per row of the input."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        rows = zip(
            history.stamps,
            result.score.tolist(),
            result.threshold.tolist(),
            result.episode.tolist(),
            result.contributors,
            strict=True,
        )
        for stamp, score, threshold, episode, contributors in rows:
            shown = f"{threshold:.4f}" if threshold == threshold else ""  # noqa: PLR0124  # NaN: not scored
            writer.writerow((stamp, f"{score:.6f}", shown, int(episode > 0), episode or "", contributors))


def summary(history: History, result: Replay, detector: str) -> dict[str, Any]:
    """What was run on what, and what came out, JSON-able."""
    return {
        "file": history.name,
        "rows": len(history.stamps),
        "tags": list(history.tags),
        "columns_left_out": list(history.left_out),
        "detector": detector,
        "nominal_period_s": round(result.period_s, 6),
        "irregular_intervals": round(result.irregular, 4),
        "window_s": result.window_s,
        "learning_until": iso(result.learning_until_us),
        "rejected_samples": result.rejected,
        "detectors_disabled": result.disabled,
        "line_us_per_row": round(result.line_us_per_row, 1),
        "episodes": [_episode(each) for each in result.episodes],
    }


def write_episodes(path: Path, document: dict[str, Any]) -> None:
    """The summary as JSON."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _episode(each: EpisodeRow) -> dict[str, Any]:
    return {
        "episode": each.number,
        "id": each.episode_id,
        "start": iso(each.start_us),
        "end": None if each.end_us is None else iso(each.end_us),
        "peak_score": round(each.peak, 4),
        "threshold": round(each.threshold, 4),
        "detector": each.detector,
        "contributors": [
            {
                "tag": one.tag,
                "part": round(one.part, 4),
                "value": one.value,
                "expected_low": one.expected_low,
                "expected_high": one.expected_high,
            }
            for one in each.contributors
        ],
    }


def iso(time_us: int) -> str:
    """ISO 8601 of microseconds UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()
