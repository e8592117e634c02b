"""The figures of EEMUA 191 by hand: what the SQL functions must say of given activations. Pure; nothing of the historian is used.

Deliberately plain: lists, sums and a median, as one would do it on paper.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TEN_MINUTES_US = 600_000_000
_FLOOD_ABOVE = 10
_PRIORITIES = ("critical", "high", "medium", "low")
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """A new alarm that a person saw; times in microseconds since 1970, None when nobody has acknowledged it."""

    path: str
    rule: str
    priority: str
    time_us: int
    acknowledged_us: int | None = None

    @property
    def scope(self) -> str:
        """The area: the first three names of a path."""
        return "/".join(self.path.split("/")[:3])


def kpis(activations: Iterable[Activation], from_us: int, to_us: int) -> dict[str, dict[str, float | None]]:
    """By scope, what `alarm_kpis` returns of a span; `time_to_acknowledge_us` is the median."""
    scopes: dict[str, list[Activation]] = {}
    for one in activations:
        if from_us <= one.time_us < to_us:
            scopes.setdefault(one.scope, []).append(one)
    found: dict[str, dict[str, float | None]] = {}
    for scope, all_of_it in scopes.items():
        spans = Counter((one.time_us - from_us) // _TEN_MINUTES_US for one in all_of_it)
        took = [one.acknowledged_us - one.time_us for one in all_of_it if one.acknowledged_us is not None]
        total = len(all_of_it)
        found[scope] = {
            "alarms": total,
            "per_10_min": total * _TEN_MINUTES_US / (to_us - from_us),
            "peak_10_min": max(spans.values()),
            "flood_share": sum(many > _FLOOD_ABOVE for many in spans.values())
            / math.ceil((to_us - from_us) / _TEN_MINUTES_US),
            **{name: sum(one.priority.lower() == name for one in all_of_it) / total for name in _PRIORITIES},
            "acknowledged": len(took),
            "time_to_acknowledge_us": statistics.median(took) if took else None,
        }
    return found


def top(activations: Iterable[Activation], from_us: int, to_us: int, most: int = 10) -> list[tuple[str, str, int]]:
    """Path, rule and number of the sources with most new alarms."""
    counts = Counter((one.path, one.rule) for one in activations if from_us <= one.time_us < to_us)
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [(path, rule, count) for (path, rule), count in ordered[:most]]


def differences(wanted: Mapping[str, Mapping[str, float | None]], rows: Sequence[Row]) -> list[str]:
    """Where the rows of `alarm_kpis` say something else, in words."""
    told = {str(row["scope"]): row for row in rows}
    found = [f"{scope} is not in the figures" for scope in wanted.keys() - told.keys()]
    found += [f"{scope} is in the figures, and nothing was raised there" for scope in told.keys() - wanted.keys()]
    for scope in sorted(wanted.keys() & told.keys()):
        for name, value in wanted[scope].items():
            seen = told[scope][name]
            equal = value is None if seen is None else value is not None and _near(float(seen), value)
            if not equal:
                found.append(f"{scope}: {name} is {seen}, by hand {value}")
    return found


def _near(seen: float, value: float) -> bool:
    return math.isclose(seen, value, rel_tol=1e-9, abs_tol=1.0 if value > 1e3 else 1e-9)
