"""A campaign: the faults of a schedule one after the other on one instance, each written to the result file as soon as it is known.

A run goes on where the file stands: faults that are in it are left out. So a campaign is cut into runs as short as one likes, by
`minutes`, by `only` and `kinds`, or by Ctrl-C, and several files are merged.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from base import files
from benchmarks import recorded, report
from benchmarks.faults import outcome, table, tables, trial
from benchmarks.faults.flow import FlowWatch
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.table import Fault
from benchmarks.figures import rounded
from stack import instance, lifecycle
from stack.config import TOOLS, Parallelism
from stack.errors import StackError
from stack.reporting import Progress
from stack.services import all_services

Result = dict[str, Any]

_OVERHEAD_S = 45.0
"""Of a fault beside its pause, before there is one to learn from."""


def run(options: argparse.Namespace, progress: Progress) -> Result:
    """The scenario: merge files, or carry out what is left of the schedule."""
    if options.merge:
        return result(merge(options.merge))
    file = Path(options.json) if options.json else None
    known = outcome.read(report.load(file), file.name) if file is not None and file.exists() else []

    def keep(outcomes: Sequence[Outcome]) -> None:
        if file is not None:
            write(file, outcomes)

    settings = {"timescaledb": options.timescaledb, "parallelism": Parallelism()}
    with instance.temporary(folder=TOOLS / "bench", **settings) as running:
        faults = table.schedule(
            table.load(),
            [service.name for service in all_services(running.config)],
            seed=options.seed,
            rounds=options.rounds,
            only=_words(options.only),
            kinds=_words(options.kinds),
        )
        todo = outcome.left(faults, known)
        progress.sink(f"{len(faults)} faults, {len(faults) - len(todo)} of them done before")
        if todo:
            lifecycle.up(running.config, progress)
            with FlowWatch(running.config) as watch:
                line = trial.Line(config=running.config, suite=table.load(), watch=watch, progress=progress)
                known = _carry_out(line, todo, known, minutes=options.minutes, keep=keep)
    found = result(known)
    return found | {"faults_left": len(outcome.left(faults, known))}


def result(outcomes: Sequence[Outcome]) -> Result:
    """Figures, tables and every outcome."""
    return tables.figures(outcomes) | {"faults": [one.as_row() for one in outcomes]}


def merge(files: Sequence[str]) -> list[Outcome]:
    """The outcomes of several result files."""
    return outcome.merged(outcome.read(report.load(Path(name)), name) for name in files)


def write(file: Path, outcomes: Sequence[Outcome]) -> None:
    """What is known so far, in the place of the file: whoever is interrupted leaves the old one or the new one, without conditions."""
    files.replace(file, recorded.dumps({"scenario": "faults"} | rounded(result(outcomes))))


def _carry_out(
    line: trial.Line,
    todo: Sequence[Fault],
    known: list[Outcome],
    *,
    minutes: float,
    keep: Callable[[Sequence[Outcome]], None],
) -> list[Outcome]:
    began_s = time.monotonic()
    for number, fault in enumerate(todo):
        if minutes and time.monotonic() - began_s > minutes * 60:
            line.progress.sink(f"    {minutes:g} minutes are over")
            break
        line.progress.sink(f"    {fault.label}: {', '.join(fault.services)}")
        found = trial.run(line, fault)
        known = [*known, found]
        keep(known)
        rest = todo[number + 1 :]
        line.progress.sink(f"    {_said(found)}; {len(rest)} left, about {_estimate_s(rest, known) / 60:.0f} min")
        if found.lost:
            msg = f"{fault.label}: {found.by_person}"
            raise StackError(msg)
    return known


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _said(found: Outcome) -> str:
    times = ", ".join(
        f"{what} {'not back' if value is None else f'{value:.1f} s'}"
        for what, value in (("samples", found.samples_s), ("lag", found.lag_s), ("well", found.healed_s))
    )
    commands = ", ".join(f"{count} {state}" for state, count in found.commands.items())
    exact = "accounting exact" if found.exact else f"accounting NOT exact: {found.accounting}"
    wrong = f", WRONG: {'; '.join(found.commands_wrong)}" if found.commands_wrong else ""
    needed = "" if found.healed else f"NOT HEALED ({'; '.join(found.problems)}; {found.by_person}), "
    return f"{needed}{times}, {exact}, {commands}{wrong}"


def _estimate_s(rest: Sequence[Fault], known: Sequence[Outcome]) -> float:
    overheads = [one.took_s - one.pause_s for one in known if one.healed]
    each_s = sum(overheads) / len(overheads) if overheads else _OVERHEAD_S
    return sum(one.pause_s + each_s for one in rest)
