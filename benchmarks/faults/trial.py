"""One fault on a running line, from a steady line to its outcome.

The line must be well and steady first. Commands go out from just before the fault. Once it is over the line is looked at until it
has been well for `STAY_S`, at most `BOUND_S`; then follows the verdict. A line that does not heal is recorded with its status and
logs, and restarted as a person would, so that a campaign goes on.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from base.errors import MillraceError
from benchmarks import conditions
from benchmarks.faults import flow, health, orders, signals, verdict
from benchmarks.faults.flow import FlowWatch
from benchmarks.faults.orders import Order
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.person import Intervention, intervene
from benchmarks.faults.signals import Broken
from benchmarks.faults.table import Fault, Suite
from benchmarks.faults.verdict import Verdict
from stack.config import StackConfig
from stack.reporting import Progress
from stack.supervisor import restarts

BOUND_S = 180.0
"""A line that is not well so long after a fault was over does not heal."""
STAY_S = 12.0
"""It must stay well this long: a lost heartbeat is noticed after 10 s."""
_STEADY_S = 10.0
_LOOK_S = 0.5
_LEAD_S = 1.5


class NotSteadyError(MillraceError):
    """The line is not well before anything was done to it: there is nothing to measure."""


@dataclass(kw_only=True)
class Line:
    """A running instance and what is remembered of it between faults."""

    config: StackConfig
    suite: Suite
    watch: FlowWatch
    progress: Progress
    earlier: list[Order] = field(default_factory=list)
    """Commands of the faults before: they must not change any more."""
    known_wrong: set[str] = field(default_factory=set)


@dataclass(kw_only=True, slots=True)
class _Healing:
    """What the looks at the line's health saw. `well_s`: monotonic, since when it is well."""

    well_s: float | None = None
    problems: list[str] = field(default_factory=list)


def run(line: Line, fault: Fault) -> Outcome:
    """Carry one fault out; raises NotSteadyError before it. A line that not even a restart brings back is said in the outcome."""
    began_s, load = time.monotonic(), os.getloadavg()[0]
    steady_s = wait_steady(line)
    level = flow.level_of(line.watch.looks(steady_s))
    ended = restarts(line.config)
    commands = orders.plan(fault, line.suite, orders.targets(line.config))
    fault_s = time.monotonic() + _LEAD_S
    caller = orders.Caller(line.config, commands, fault_s)
    caller.start()
    try:
        time.sleep(max(0.0, fault_s - time.monotonic()))
        when = datetime.now(UTC)
        broken = signals.break_services(line.config, fault.services, fault.pause_s)
        healing = _watch_healing(line, broken, level)
    finally:
        caller.join()
    looks = line.watch.looks(steady_s)
    help_ = Intervention() if healing.well_s is not None else intervene(line.config, fault, line.progress)
    compared = Verdict() if help_.failed else verdict.reach(line.config, commands, line.earlier, line.known_wrong)
    line.earlier += commands
    found = flow.measure(looks, broken_s=broken.at_s, over_s=broken.over_s, level=level)
    return Outcome(
        seed=fault.seed,
        round=fault.round,
        fault=fault.name,
        kind=fault.kind,
        pause_s=fault.pause_s,
        services=list(fault.services),
        time=when.isoformat(timespec="milliseconds"),
        commit=conditions.commit(),
        load=load,
        took_s=time.monotonic() - began_s,
        healed=healing.well_s is not None,
        healed_s=None if healing.well_s is None else healing.well_s - broken.over_s,
        samples_s=found.samples_s,
        lag_s=found.lag_s,
        silent_s=found.silent_s,
        largest_lag=found.largest_lag,
        restarted=health.restarted(ended, line.config),
        commands=compared.by_state,
        commands_unacknowledged=compared.unacknowledged,
        commands_wrong=compared.wrong,
        accounting=compared.accounting,
        problems=healing.problems,
        status=help_.status,
        logs=help_.logs,
        by_person=help_.result,
        lost=help_.failed,
    )


def wait_steady(line: Line) -> float:
    """Return the moment since which the line has been well and fresh for `_STEADY_S`; raises NotSteadyError after `BOUND_S`."""
    until_s, since_s, found = time.monotonic() + BOUND_S, time.monotonic(), list[str]()
    while time.monotonic() < until_s:
        looks = line.watch.looks(since_s)
        silent = [one.at_s for one in looks if one.silent]
        if silent:
            since_s = silent[-1] + 1e-6
        elif len(looks) > 1 and looks[-1].at_s - since_s >= _STEADY_S:
            found = health.problems(line.config)
            if not found:
                return since_s
            since_s = time.monotonic()
        time.sleep(_LOOK_S)
    msg = f"the line was not steady within {BOUND_S:.0f} s: {'; '.join(found) or 'devices without fresh samples'}"
    raise NotSteadyError(msg)


def _watch_healing(line: Line, broken: Broken, level: int) -> _Healing:
    """Look until the line has been well for STAY_S, or BOUND_S are over."""
    found, over_s = _Healing(), broken.over_s
    over_ms = (time.time() - (time.monotonic() - over_s)) * 1000
    while True:
        found.problems = _problems(line, over_ms, level)
        now_s = time.monotonic()
        if found.problems:
            found.well_s = None
        elif found.well_s is None:
            found.well_s = now_s
        if found.well_s is not None and now_s - found.well_s >= STAY_S:
            return found
        if found.well_s is None and now_s - over_s > BOUND_S:
            return found
        time.sleep(_LOOK_S)


def _problems(line: Line, over_ms: float, level: int) -> list[str]:
    found = health.problems(line.config, since_ms=over_ms)
    looks = line.watch.looks()
    if not looks or time.monotonic() - looks[-1].at_s > flow.FRESH_S:
        return [*found, "the database does not answer"]
    if looks[-1].silent:
        found.append(f"{looks[-1].silent} devices have no fresh samples in SQL")
    if looks[-1].lag > level:
        found.append(f"{looks[-1].lag} samples are on their way, more than {level}")
    return found
