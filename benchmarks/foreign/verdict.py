"""Compares what was stored with what a server's journal says it set. Pure.

For each item: a stored sample is in the journal with this value (else *wrong*) and is there once (else *doubled*). A run of
journal entries that was not stored, between two that were, is a loss: *exact* when a gap event of the item runs from the last sample
before it to the first one after it, *inexact* when gap events cover it otherwise, *unnamed* when one does not. Entries before an
item's first sample are no loss: nobody listened. Entries after the last one are: the item is *silent* when there are several. A bad
sample without a value that is not in the journal is what a server says of a node that is gone: it is a sample like others. A sample
whose value the connector refuses by name has no value to compare: its item is *refused*, and its time is judged like that of any other.

A gap in which nothing was lost is *needless*, unless nobody who reads could know: the server set nothing for longer than an item's period
allows, as one that is starved does, and the line was away meanwhile (*quiet*). Such a gap lies where the line was away, and reaches
beyond it by two periods at most: what was set last before, and first after it. It may begin long before where it ends while the line
was away: who finds a new value then does not know that it is the only one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.foreign.plan import ELEMENT, FIELD
from benchmarks.foreign.recorder import GapRow, Row
from connectors.readings import Unusable

_KEPT = 10
_BAD = 0x8000
_AROUND = 2
"""Periods by which a gap may begin before the line went away, and end after it was back."""


@dataclass(kw_only=True, slots=True)
class Verdict:
    """Counts over all items; `examples` are the first few of what is not right, in words."""

    stored: int = 0
    wrong: int = 0
    refused: int = 0
    """Items with values that the connector refuses by name."""
    doubled: int = 0
    lost: int = 0
    exact: int = 0
    inexact: int = 0
    unnamed: int = 0
    silent: int = 0
    needless: int = 0
    """Gap events in which nothing was lost, as could be known."""
    quiet: int = 0
    """Gap events in which nothing was lost because the server had nothing to tell while the line was away."""
    reasons: list[str] = field(default_factory=list)
    """Why values were refused, the first few."""
    examples: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing wrong, doubled, unnamed or silent; every loss exactly named."""
        return not (self.wrong or self.doubled or self.inexact or self.unnamed or self.silent)

    def note(self, text: str) -> None:
        """Keep an example, the first few."""
        if len(self.examples) < _KEPT:
            self.examples.append(text)


Journal = Mapping[int, Mapping[int, Any]]
"""By item: values by time in microseconds."""


def read_journal(lines: Iterable[str]) -> dict[int, dict[int, Any]]:
    """Journal of its lines; a line that a kill tore is left out."""
    found: dict[int, dict[int, Any]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        for key, value in entry.get("v", ()) or entry.get("w", ()):
            found.setdefault(key, {})[entry["t"] * 1000] = value
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """`away`: from when to when the line or the server was away, in microseconds. `period_us`: how often items change, if all is well."""

    away: Sequence[tuple[int, int]] = ()
    period_us: int = 0

    def excuses(self, gap: GapRow) -> bool:
        """Whether the gap is one of the line's being away, and longer than the silence that is none (`connectors.gap_tracker`)."""
        long = gap.to_us - gap.from_us > 1.5 * self.period_us
        return long and any(self._of(gap, since, until) for since, until in self.away)

    def _of(self, gap: GapRow, since: int, until: int) -> bool:
        # What was set just before was not yet sent.
        touches = gap.from_us <= until and gap.to_us >= since - self.period_us
        near = gap.from_us >= since - _AROUND * self.period_us and gap.to_us <= until + _AROUND * self.period_us
        return touches and (near or gap.to_us <= until)


_ALWAYS_THERE = Line()


def judge(
    journal: Journal, rows: Mapping[int, list[Row]], gaps: Mapping[int, list[GapRow]], line: Line = _ALWAYS_THERE
) -> Verdict:
    """Verdict over the items of `rows`, which have the journal's keys."""
    verdict = Verdict()
    for key, stored in rows.items():
        _item(key, journal.get(key, {}), stored, gaps.get(key, []), line, verdict)
    return verdict


def _item(
    key: int, said: Mapping[int, Any], stored: list[Row], gaps: list[GapRow], line: Line, verdict: Verdict
) -> None:
    verdict.stored += len(stored)
    reasons = {row.value.reason for row in stored if isinstance(row.value, Unusable)}
    verdict.refused += bool(reasons)
    verdict.reasons = sorted({*verdict.reasons, *reasons})[:_KEPT]
    times: set[int] = set()
    for row in stored:
        if row.time_us in times:
            verdict.doubled += 1
            verdict.note(f"item {key}: {row.time_us} is there twice")
        times.add(row.time_us)
        told_bad = row.value is None and row.quality >= _BAD and row.time_us not in said
        if not told_bad and (row.time_us not in said or not same(said[row.time_us], row)):
            verdict.wrong += 1
            verdict.note(f"item {key} at {row.time_us}: stored {row.value!r}, set {said.get(row.time_us, 'nothing')!r}")
    entries = sorted(said)
    if not times:
        if entries:
            verdict.silent += 1
            verdict.note(f"item {key}: nothing stored")
        return
    used = _losses(key, sorted({at for at in entries if at >= min(times)} | times), times, gaps, verdict)
    empty = [gap for gap in gaps if gap not in used]
    for gap in empty:
        if line.excuses(gap):
            verdict.quiet += 1
        else:
            verdict.needless += 1
            verdict.note(
                f"item {key}: nothing was lost in the gap from {gap.from_us} to {gap.to_us} ({gap.cause[:100]})"
            )


def _losses(key: int, moments: list[int], times: set[int], gaps: list[GapRow], verdict: Verdict) -> set[GapRow]:
    """Judge each run of moments that are not stored; returns the gaps that name one."""
    used: set[GapRow] = set()
    before, run = 0, 0
    for at in moments:
        if at not in times:
            run += 1
            continue
        if run:
            verdict.lost += run
            covering = {gap for gap in gaps if gap.from_us <= before and gap.to_us >= at}
            overlapping = {gap for gap in gaps if gap.from_us < at and gap.to_us > before}
            used |= overlapping
            if any((gap.from_us, gap.to_us) == (before, at) for gap in gaps):
                verdict.exact += 1
            elif covering or overlapping:
                verdict.inexact += 1
                named = [(gap.from_us - before, gap.to_us - at) for gap in overlapping]
                verdict.note(f"item {key}: {run} lost between {before} and {at}; gaps are off by {named} us")
            else:
                verdict.unnamed += 1
                verdict.note(f"item {key}: {run} lost between {before} and {at} without a gap")
        before, run = at, 0
    # The last one may still be under way when the end is taken.
    if run > 1:
        verdict.lost += run
        verdict.silent += 1
        verdict.note(f"item {key}: silent, {run} values since {before}")
    return used


def same(said: Any, row: Row) -> bool:
    """Whether a stored sample has the journal's value, or the part of it that is read; null is a bad one.

    A value that is refused by name is no other value.
    """
    if isinstance(row.value, Unusable):
        return True
    if said is None:
        return row.value is None and row.quality >= _BAD
    if isinstance(said, list):
        said = said[ELEMENT]
    elif isinstance(said, dict):
        said = said[FIELD]
    return row.quality < _BAD and row.value == said
