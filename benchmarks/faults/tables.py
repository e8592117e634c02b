"""Outcomes summed up: figures of a result, and tables by kind and by fault. Pure.

A fault that did not heal has no times; in percentiles it counts as longer than any.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.faults.outcome import Outcome

_COLUMNS = (
    "n",
    "healed alone",
    "samples p50 s",
    "samples p95 s",
    "samples max s",
    "lag p50 s",
    "lag p95 s",
    "lag max s",
    "exact accounting",
    "commands",
    "wrong",
)


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One number each, and the tables."""
    kills = [one for one in outcomes if not one.pause_s]
    pauses = [one for one in outcomes if one.pause_s]
    states = _states(outcomes)
    found: dict[str, Any] = {
        "faults_done": len(outcomes),
        "healed": sum(one.healed for one in outcomes),
        "accounting_exact": sum(one.exact for one in outcomes),
        "commands": sum(states.values()),
        "commands_unknown": states["UNKNOWN"],
        "commands_wrong": sum(len(one.commands_wrong) for one in outcomes),
    }
    for name, some in (("kill", kills), ("pause", pauses)):
        for what, times in (("samples", _times(some, "samples_s")), ("lag", _times(some, "lag_s"))):
            found[f"{what}_{name}_p50_s"], found[f"{what}_{name}_p95_s"], found[f"{what}_{name}_max_s"] = spread(times)
    return found | {
        "tables": [
            _table("By kind", ["kind"], outcomes, lambda one: (one.kind,)),
            _table("By fault", ["fault", "kind"], outcomes, lambda one: (one.fault, one.kind)),
            _not_well(outcomes),
        ]
    }


def spread(times: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Median, 95th percentile and largest; None where a fault that did not heal decides, or there is none."""
    if not times:
        return None, None, None
    # The next larger observed one: between a number and infinity there is nothing to interpolate.
    values = np.percentile(np.asarray(times, dtype=np.float64), (50, 95, 100), method="higher")
    low, high, largest = (None if math.isinf(value) else float(value) for value in values)
    return low, high, largest


def _times(outcomes: Iterable[Outcome], name: str) -> list[float]:
    return [math.inf if (value := getattr(one, name)) is None else value for one in outcomes]


def _states(outcomes: Iterable[Outcome]) -> Counter[str]:
    states = Counter[str]()
    for one in outcomes:
        states.update(one.commands)
    return states


def _table(
    title: str, names: Sequence[str], outcomes: Sequence[Outcome], key: Callable[[Outcome], tuple[str, ...]]
) -> dict[str, Any]:
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for one in sorted(outcomes, key=key):
        groups.setdefault(key(one), []).append(one)
    rows = [[*group, *_row(members)] for group, members in groups.items()]
    return {"title": title, "columns": [*names, *_COLUMNS], "rows": rows}


def _row(members: Sequence[Outcome]) -> list[Any]:
    states = ", ".join(f"{count} {state}" for state, count in sorted(_states(members).items()))
    return [
        len(members),
        sum(one.healed for one in members),
        *(_shown(value) for value in spread(_times(members, "samples_s"))),
        *(_shown(value) for value in spread(_times(members, "lag_s"))),
        sum(one.exact for one in members),
        states,
        sum(len(one.commands_wrong) for one in members),
    ]


def _shown(value: float | None) -> str:
    return "not back" if value is None else f"{value:.1f}"


def _not_well(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Every fault that a person or a closer look was needed for."""
    rows = []
    for one in outcomes:
        notes = [*one.problems, *one.commands_wrong]
        if not one.exact:
            notes.append(f"accounting: {one.accounting}")
        if not one.healed or notes:
            rows.append([one.fault, one.kind, one.round, ", ".join(one.services), "; ".join(notes), one.logs])
    return {
        "title": "Not healed, or not exact",
        "columns": ["fault", "kind", "round", "services", "what", "logs"],
        "rows": rows,
    }
