"""The scenario `machines`: detectors on a synthetic corpus of machines with known faults, both halves of it.

A fault counts as found when an episode opens between its start and its end (two windows later at the latest: a short one is over
before it is confirmed). An episode that opens elsewhere is false, except in the `AFTER` windows behind a fault, in which the machine comes
back. The time of learning counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.machines import corpus
from benchmarks.machines.lanes import Outcome, Told, watch
from benchmarks.machines.ranges import vus_pr
from detect.command import load_detection
from stack.reporting import Progress
from stages.config import DetectorSpec
from stages.detection.kinds import catalogue

LATE, AFTER = 2, 24
PER_WINDOWS = 3_000
_BATCH = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument("--detector", action="append", help="name as in a device class (repeat; default: default)")
    parser.add_argument("--config", default="", metavar="FILE", help="the jobs' TOML file with the detectors")
    parser.add_argument(
        "--seeds", type=int, default=corpus.SEEDS, help="cases of each kind and fault (default: %(default)s)"
    )
    parser.add_argument("--half", choices=("both", "design"), default="both", help="design: while a detector is made")


def scenario(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Entry of the table of scenarios."""
    known = catalogue(load_detection(options.config).detectors)
    chosen = [case for case in corpus.cases(options.seeds) if options.half == "both" or case.half == corpus.DESIGN]
    names = options.detector or ["default"]
    return {
        "cases": len(chosen),
        "faults": sum(bool(case.fault) for case in chosen),
        "found_means": f"an episode opens from the fault's start to {LATE} windows after its end",
        "false_means": f"an episode opens elsewhere, but for {AFTER} windows after a fault; learning counts",
        "detectors": {name: run(chosen, known[name], progress.sink) for name in names},
    }


def run(chosen: Sequence[corpus.Case], spec: DetectorSpec, say: Callable[[str], None]) -> dict[str, Any]:
    """Figures of one detector."""
    outcomes: list[dict[str, Any]] = []
    spent = 0.0
    # Kinds one after the other: the devices of a lane have windows of one length then.
    for number, batch in enumerate(corpus.batches(list(chosen), _BATCH), 1):
        began = time.perf_counter()
        watched = watch(batch, spec)
        spent += time.perf_counter() - began
        outcomes += [judge(each) for each in watched]
        say(f"{spec.name}: {min(number * _BATCH, len(chosen))} of {len(chosen)} cases")
    halves = {half: [each for each in outcomes if each["half"] == half] for half in (corpus.DESIGN, corpus.HELD_OUT)}
    windows = sum(each["windows"] for each in outcomes)
    return {
        **{half.replace(" ", "_"): figures(own) for half, own in halves.items() if own},
        "us_a_window_with_episodes": round(spent / windows * 1e6, 1),
        "not_found": [each["name"] for each in outcomes if each["found"] is False],
    }


def judge(outcome: Outcome) -> dict[str, Any]:
    """One case: what is counted of it."""
    made, truth = outcome.made, outcome.made.truth
    case = made.case
    found: dict[str, Any] = {
        "name": f"{case.kind}/{case.fault or 'none'}/{case.seed}",
        "kind": case.kind,
        "fault": case.fault,
        "half": case.half,
        "windows": made.windows,
        "disabled": outcome.disabled,
        "found": None,
        "levels": [level_is_outside(each) for each in outcome.episodes if _statistic(each) == "level"],
    }
    if truth is None:
        return found | {"false": len(outcome.episodes), "false_at": [each.opened for each in outcome.episodes]}
    hits = [each for each in outcome.episodes if truth.first <= each.opened <= truth.last + LATE]
    false = [each for each in outcome.episodes if not truth.first <= each.opened <= truth.last + AFTER]
    found |= {
        "found": bool(hits),
        "false": len(false),
        "false_at": [each.opened for each in false],
        "vus_pr": vus_pr(outcome.score, truth.first, truth.last),
    }
    if hits:
        contributors = hits[0].record["contributors"]
        found |= {
            "delay": hits[0].opened - truth.first,
            "outlasts": max((made.windows if hits[0].ended is None else hits[0].ended) - truth.last, 0),
            "named": bool(contributors) and contributors[0]["tag_id"] == truth.tag,
            "statistic": _statistic(hits[0]),
        }
    return found


def _statistic(told: Told) -> str:
    contributors = told.record["contributors"]
    return str(contributors[0].get("statistic", "")) if contributors else ""


def level_is_outside(told: Told) -> bool:
    """Whether the first contributor's value lies outside the range in which it was expected."""
    first = told.record["contributors"][0]
    low, high = first["expected_low"], first["expected_high"]
    return (low is not None and first["value"] < low) or (high is not None and first["value"] > high)


def figures(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of one half: totals, and by kind and fault."""
    kinds = list(dict.fromkeys(each["kind"] for each in outcomes))
    faults = list(dict.fromkeys(each["fault"] for each in outcomes if each["fault"]))
    named = [each["named"] for each in outcomes if each["found"]]
    levels = [level for each in outcomes for level in each["levels"]]
    return {
        "faults": sum(each["found"] is not None for each in outcomes),
        "found_percent": _percent(each["found"] for each in outcomes if each["found"] is not None),
        "false_per_3000_windows": _rate(outcomes),
        "first_contributor_right_percent": _percent(named),
        "level_fired": len(levels),
        "level_outside_expected_percent": _percent(levels),
        "median_delay_windows": float(np.median([e["delay"] for e in outcomes if e["found"]] or [np.nan])),
        "episode_outlasts_fault_windows": {
            f"p{share}": float(np.percentile([e["outlasts"] for e in outcomes if e["found"]] or [np.nan], share))
            for share in (50, 90)
        },
        "vus_pr": round(float(np.mean([e["vus_pr"] for e in outcomes if "vus_pr" in e] or [np.nan])), 3),
        "disabled": sum(bool(each["disabled"]) for each in outcomes),
        "by_kind": {
            kind: {
                "found_percent": _percent(e["found"] for e in outcomes if e["kind"] == kind and e["found"] is not None),
                "false_per_3000_windows": _rate([e for e in outcomes if e["kind"] == kind]),
            }
            for kind in kinds
        },
        "by_fault": {
            fault: {
                "of": sum(e["fault"] == fault for e in outcomes),
                "found_percent": _percent(e["found"] for e in outcomes if e["fault"] == fault),
                "named_percent": _percent(e["named"] for e in outcomes if e["fault"] == fault and e["found"]),
            }
            for fault in faults
        },
    }


def _percent(found: Iterable[bool]) -> float | None:
    each = list(found)
    return round(100.0 * sum(each) / len(each), 1) if each else None


def _rate(outcomes: Sequence[dict[str, Any]]) -> float:
    windows, false = (sum(int(each[name]) for each in outcomes) for name in ("windows", "false"))
    return round(false / max(windows, 1) * PER_WINDOWS, 2)
