"""What is said of a replayed history: `<name>.scores.csv`, a row per row; `<name>.episodes.json`; a table for the terminal.

Called by `detect.command`. Rows come in the file's own order with the timestamps as they were written. The table says what was scored and
what was not, so that "0 episodes" never stands for a history that no detector has seen.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from detect.forecasts import ForecastRow
from detect.replay import EpisodeRow, Replay
from detect.table import History

_EXAMPLES, _EXAMPLE_CHARACTERS = 20, 40
COLUMNS = ("timestamp", "score", "threshold", "anomaly", "episode", "contributors", "news")


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
            result.news.tolist(),
            strict=True,
        )
        for stamp, score, threshold, episode, contributors, news in rows:
            shown = f"{threshold:.4f}" if threshold == threshold else ""  # noqa: PLR0124  # NaN: not scored
            flags = (int(episode > 0), episode or "")
            writer.writerow((stamp, f"{score:.6f}", shown, *flags, contributors, f"{news:.6f}"))


def summary(history: History, result: Replay, detector: str) -> dict[str, Any]:
    """What was run on what, and what came out, JSON-able."""
    return {
        "file": history.name,
        "rows": len(history.stamps),
        "tags": list(history.tags),
        "columns_left_out": dict(history.left_out),
        "read_as": history.read_as,
        "detector": detector,
        "nominal_period_s": round(result.period_s, 6),
        "irregular_intervals": round(result.irregular, 4),
        "window_s": result.window_s,
        "learning_until": iso(result.learning_until_us),
        "windows_scored": result.windows_scored,
        "windows_learning": result.windows_learning,
        "rows_without_a_value": int(np.isnan(history.values).all(axis=1).sum()),
        "refused_samples": dict(result.refused),
        "refused_examples": [
            {"line": each.line, "column": each.column, "text": each.text[:_EXAMPLE_CHARACTERS], "why": each.why}
            for each in history.oddities[:_EXAMPLES]
        ],
        "detectors_disabled": result.disabled,
        "line_us_per_row": round(result.line_us_per_row, 1),
        "labels": labels(history, result),
        "episodes": [_episode(each) for each in result.episodes],
        "forecasts": [_forecast(each) for each in result.forecasts],
    }


def labels(history: History, result: Replay) -> dict[str, int] | None:
    """How the episodes meet the file's own labels: labelled ranges, those that an episode touches, episodes that touch none."""
    if history.labelled is None:
        return None
    order = np.argsort(history.time_us, kind="stable")
    marked, episode = history.labelled[order], result.episode[order]
    ranges = np.cumsum(np.diff(marked.astype(np.int8), prepend=0) == 1) * marked
    touched = (ranges > 0) & (episode > 0)
    return {
        "ranges": int(ranges.max(initial=0)),
        "found": len(np.unique(ranges[touched])),
        "episodes_outside": len(result.episodes) - len(np.unique(episode[touched])),
    }


def table(history: History, result: Replay, detector: str) -> str:
    """Some lines for people: what was scored, refused, left out and found."""
    irregular = f" ({result.irregular:.0%} of intervals irregular)" if result.irregular >= 0.005 else ""
    rows = len(history.stamps)
    lines = [
        f"{history.name}: {rows:,} rows, {len(history.tags)} tags, one every {result.period_s:g} s{irregular}; {history.read_as}",
        f"  scored    {result.windows_scored:,} windows of {result.window_s} s by {detector}, {result.windows_learning:,} only learned; "
        f"{result.line_us_per_row:.0f} µs a row",
    ]
    empty = int(np.isnan(history.values).all(axis=1).sum())
    if empty:
        lines.append(f"  no value  {empty:,} rows")
    if result.refused or history.oddities:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(result.refused.items()))
        late = sum(each.why not in result.refused for each in history.oddities)
        counts = ", ".join(part for part in (counts, f"{late:,} rows with an impossible time" if late else "") if part)
        first = (
            f" (line {(one := history.oddities[0]).line}, column {one.column!r}: {one.text[:_EXAMPLE_CHARACTERS]!r})"
            if history.oddities
            else ""
        )
        lines.append(f"  refused   {counts}{first}")
    if result.disabled:
        lines.append(f"  disabled  {result.disabled} detectors failed and scored nothing after that; the log says why")
    if history.left_out:
        lines.append("  left out  " + ", ".join(f"{name} ({why})" for name, why in history.left_out.items()))
    if result.limits:
        lines.append(f"  forecast  {len(result.forecasts)} for {len(result.limits)} tags with a limit")
        lines += [f"            {sentence(each)}" for each in result.forecasts]
    if not result.windows_scored:
        lines.append(
            f"  NOTHING WAS SCORED: the {result.windows_learning:,} windows were needed to learn. Give a longer history"
            + ("." if result.window_s == 1 else ", or shorter windows with --window.")
        )
        return "\n".join(lines)
    lines.append(f"  found     {len(result.episodes)} episodes, {(result.episode > 0).mean():.1%} of rows")
    against = labels(history, result)
    if against:
        lines.append(
            f"  labels    {against['found']} of {against['ranges']} labelled ranges meet an episode, "
            f"{against['episodes_outside']} episodes meet no label"
        )
    return "\n".join(lines)


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
                "statistic": one.statistic,
            }
            for one in each.contributors
        ],
    }


def _forecast(each: ForecastRow) -> dict[str, Any]:
    return {
        "tag": each.tag,
        "limit": each.limit,
        "start": iso(each.start_us),
        "end": None if each.end_us is None else iso(each.end_us),
        "reached": each.reached,
        "said": [
            {
                "as_of": iso(one.as_of_us),
                "level": one.level,
                "likely": iso(one.likely_us),
                "earliest": iso(one.earliest_us),
                "latest": None if one.latest_us is None else iso(one.latest_us),
            }
            for one in each.steps
        ],
    }


def sentence(each: ForecastRow) -> str:
    """A forecast for people: what it said at first and in the end, and what became of it."""
    first, last = each.steps[0], each.steps[-1]
    end = (
        "the history ends before"
        if each.end_us is None
        else f"{'reached' if each.reached else 'given up'} {iso(each.end_us)}"
    )
    latest = "no telling" if last.latest_us is None else iso(last.latest_us)
    return (
        f"{each.tag} reaches {each.limit:g}: said {iso(first.as_of_us)} for {iso(first.likely_us)}; last said {iso(last.as_of_us)} "
        f"for {iso(last.likely_us)} ({iso(last.earliest_us)} to {latest}); {end}"
    )


def iso(time_us: int) -> str:
    """ISO 8601 of microseconds UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()
