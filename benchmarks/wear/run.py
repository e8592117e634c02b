"""The scenario `wear`: forecasts on the corpus of run-to-failure series, both halves of it.

Every series is a tag of a machine with a normal range, and its hourly means go to the stage of the line. A forecast is *false* when it
begins where nothing wears, or before the wear begins. A failure is *told in time* when a forecast stands in the moment that leaves a tenth
of the life. Forecasts are judged by every record that says when: whether the failure lies in its interval, and how far off its moment is,
relative to the time that was left. A series counts once in those figures, whatever it says how often.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.wear import corpus
from benchmarks.wear.corpus import Case, Made
from schemas import codec
from stack.reporting import Progress
from stages.config import ForecastConfig
from stages.forecast.life import Life
from stages.forecast.tags import TagForecasts

IN_TIME = 0.1
_MONTH_H = 30 * 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument("--seeds", type=int, default=corpus.SEEDS, help="series of each kind (default: %(default)s)")
    parser.add_argument("--half", choices=("both", "design"), default="both", help="design: while forecasts are made")


def scenario(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Entry of the table of scenarios."""
    chosen = [case for case in corpus.cases(options.seeds) if options.half == "both" or case.half == corpus.DESIGN]
    judged: list[dict[str, Any]] = []
    levels = spent = 0.0
    for number, case in enumerate(chosen, 1):
        made = corpus.make(case)
        began = time.process_time()
        records = watch(made)
        spent += time.process_time() - began
        levels += len(made.mean)
        judged.append(judge(made, records))
        if number % 20 == 0:
            progress.sink(f"wear: {number} of {len(chosen)} series")
    halves = {half: [each for each in judged if each["half"] == half] for half in (corpus.DESIGN, corpus.HELD_OUT)}
    return {
        "series": len(chosen),
        "in_time_means": f"a forecast stands when {IN_TIME:.0%} of the life is left",
        "processor_us_a_window": round(spent / levels * 1e6, 1),
        "forecasts": {half.replace(" ", "_"): figures(own) for half, own in halves.items() if own},
    }


def watch(made: Made, config: ForecastConfig | None = None) -> list[dict[str, Any]]:
    """Records of a series, hour by hour."""
    life = Life(device_id=1, tag_id=1, low=corpus.LIMIT_LOW, high=corpus.LIMIT_HIGH)
    tags = TagForecasts(config or ForecastConfig(), [life], corpus.HOUR_US)
    at, said = np.zeros(1, dtype=np.intp), list[bytes]()
    for hour in np.flatnonzero(~np.isnan(made.mean)).tolist():
        for _, records in tags.put(at, corpus.START_US + hour * corpus.HOUR_US, made.mean[hour : hour + 1]):
            said += records
    return [codec.decode(each, "Anomaly")[1] for each in said]


def judge(made: Made, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One series: what is counted of it."""
    case: Case = made.case
    episodes: dict[Any, list[dict[str, Any]]] = {}
    for each in records:
        episodes.setdefault(each["episode_id"], []).append(each)
    begun = [_hour(own[0]["start_us"]) for own in episodes.values()]
    found: dict[str, Any] = {
        "kind": case.kind,
        "name": f"{case.kind}/{case.seed}",
        "half": case.half,
        "worn": made.fails is not None,
    }
    found["noise"] = corpus.NOISES[case.seed // 2 % len(corpus.NOISES)]
    if made.fails is None or made.begins is None:
        return found | {"hours": len(made.mean), "false": len(begun)}
    life = made.fails - made.begins
    # A machine that is maintained wears before that too.
    healthy = made.begins if case.kind == "onset" else 0
    found |= {"hours": healthy, "false": sum(each < healthy for each in begun)}
    told = [
        (_hour(own[0]["start_us"]), _hour(own[-1]["end_us"]) if own[-1]["end_us"] is not None else np.inf)
        for own in episodes.values()
    ]
    moment = made.fails - IN_TIME * life
    found["in_time"] = any(first <= moment <= last for first, last in told)
    leads = [made.fails - first for first, last in told if first <= moment <= last]
    found["lead"] = max(leads) / life if leads else 0.0
    said = [_said(each, made.fails) for own in episodes.values() for each in own if each["phase"] != "CLOSE"]
    said = [each for each in said if made.begins < each["at"] < made.fails]
    if said:
        found["covered"] = float(np.mean([each["covered"] for each in said]))
        found["early"] = float(np.mean([each["early"] for each in said]))
        found["error"] = float(np.median([each["error"] for each in said]))
        found["width"] = float(np.median([each["width"] for each in said]))
        found["records"] = len(said)
    return found


def _said(record: dict[str, Any], fails: float) -> dict[str, float]:
    one = record["contributors"][0]
    likely, near = _hour(one["limit_us"]), _hour(one["earliest_us"])
    far = np.inf if one["latest_us"] is None else _hour(one["latest_us"])
    at = _hour(one["as_of_us"])
    return {
        "at": at,
        "covered": near <= fails <= far,
        "early": fails < near,
        "error": abs(likely - fails) / max(fails - at, 1.0),
        "width": (far - near) / max(fails - at, 1.0),
    }


def _hour(time_us: int) -> float:
    return (time_us - corpus.START_US) / corpus.HOUR_US


def figures(judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of one half: totals, and by kind and noise."""
    return _of(judged) | {
        "by_kind": {
            kind: _of([each for each in judged if each["kind"] == kind]) for kind in (*corpus.WEARS, *corpus.UNWORN)
        },
        "by_noise": {noise: _of([each for each in judged if each["noise"] == noise]) for noise in corpus.NOISES},
    }


def _of(judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    worn = [each for each in judged if each["worn"]]
    hours = sum(each["hours"] for each in judged)
    found: dict[str, Any] = {"series": len(judged)}
    if worn:
        found |= {
            "failures": len(worn),
            "in_time_percent": _percent(each["in_time"] for each in worn),
            "median_lead_of_life_percent": round(100 * float(np.median([each["lead"] for each in worn])), 1),
            "interval_has_failure_percent": _percent(each["covered"] for each in worn if "covered" in each),
            "fails_before_interval_percent": _percent(each["early"] for each in worn if "covered" in each),
            "median_error_of_time_left_percent": _median(100 * each["error"] for each in worn if "error" in each),
            "records_a_failure": round(float(np.mean([each.get("records", 0) for each in worn])), 1),
        }
    if hours:
        found["false_per_machine_month"] = round(sum(each["false"] for each in judged) / hours * _MONTH_H, 2)
    return found


def _percent(found: Iterable[float]) -> float | None:
    each = list(found)
    return round(100.0 * sum(each) / len(each), 1) if each else None


def _median(found: Iterable[float]) -> float | None:
    each = list(found)
    return round(float(np.median(each)), 1) if each else None
