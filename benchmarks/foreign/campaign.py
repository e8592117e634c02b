"""`bench foreign`: the OPC UA connector at foreign servers that restart, change, limit and lose the line, by the server's journal.

For each program (node-opcua, asyncua), without security and with SignAndEncrypt and a user name: restarts with the namespaces in
another order, cut links, half-open links, a node that is bad, one that is deleted and made again, a burst beyond the server's queue.
Then each limit alone. Seeds decide the order. What must hold is in `verdict`; how long a return takes is only reported.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.foreign import plan, process
from benchmarks.foreign.meeting import Meeting, Setting
from benchmarks.foreign.plan import Limits
from benchmarks.foreign.process import ForeignError
from stack.reporting import Progress

Say = Callable[[str], None]

ALL_LIMITS = Limits(
    nodes_per_read=40,
    nodes_per_browse=20,
    items_per_call=25,
    items_per_subscription=30,
    publish_requests=2,
    queue_size=20,
)
"""Every limit at once; small enough that each is met with 100 items."""
EACH_LIMIT = {
    "nodes_per_read": 100, "items_per_call": 100, "items_per_subscription": 50, "publish_requests": 2, "queue_size": 20,
    "sampling_ms": 500,
}  # fmt: skip
"""A queue of one value has no overflow bit (OPC 10000-4, 5.13.1.5): what it drops between two publications, nobody can tell. That it is
told of beforehand is tested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """How often what is done. `spacing_s` lies between two disturbances."""

    restarts: int
    cuts: int
    half_open: int
    spacing_s: float
    back_s: float = 120.0
    """An item that is silent for longer ends the trial."""


@dataclass(kw_only=True, slots=True)
class Trial:
    """What one setting came to. `back` has seconds until all items were heard again, by kind of disturbance."""

    name: str
    back: dict[str, list[float]] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    good: bool = False
    events: dict[str, int] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    failure: str = ""

    def took(self, what: str, seconds: float) -> None:
        """Note a return."""
        self.back.setdefault(what, []).append(seconds)


async def trial(name: str, setting: Setting, steps: Steps, *, seed: int, folder: Path, say: Say) -> Trial:
    """One setting with all its disturbances; what fails is in the result."""
    found = Trial(name=name)
    meeting = Meeting(setting, folder)
    try:
        async with meeting:
            found.took("first", await meeting.heard(time.monotonic(), steps.back_s))
            say(f"{name}: all {len(setting.items)} items heard after {found.back['first'][0]:.1f} s")
            for what in _sequence(steps, setting.limits, random.Random(seed)):
                await asyncio.sleep(steps.spacing_s)
                seconds = await _disturb(meeting, what, steps.back_s)
                found.took(what, seconds)
                say(f"{name}: {what}, back after {seconds:.1f} s")
            await asyncio.sleep(steps.spacing_s)
            judged = await meeting.judge()
            found.verdict, found.good = dataclasses.asdict(judged), judged.good and not meeting.crashes
    except ForeignError as error:
        found.failure = str(error)
        say(f"{name}: {error}")
    found.events, found.crashes = meeting.counts(), meeting.crashes[:10]
    return found


def _sequence(steps: Steps, limits: Limits, chance: random.Random) -> list[str]:
    sudden = [f"restart {'kill' if number % 2 else 'stop'}" for number in range(steps.restarts)]
    found = [*sudden, *["cut"] * steps.cuts, *["half-open"] * steps.half_open]
    if found:
        found += ["bad node", "new node"]
        # What changes between two looks of a server nobody can tell.
        found += ["burst"] if limits.sampling_ms is None else []
    chance.shuffle(found)
    return found


async def _disturb(meeting: Meeting, what: str, timeout_s: float) -> float:
    """Do one thing; seconds until all items were heard again."""
    items = meeting.setting.items
    if what.startswith("restart"):
        return await meeting.restart(swapped=True, sudden=what.endswith("kill"), timeout_s=timeout_s)
    if what == "cut":
        return await meeting.cut(timeout_s)
    if what == "half-open":
        return await meeting.freeze(timeout_s)
    period_s = meeting.setting.period_ms / 1000
    if what == "bad node":
        await meeting.order("bad", item=items[4].key, on=True)
        await asyncio.sleep(2 * period_s)
        await meeting.order("bad", item=items[4].key, on=False)
    elif what == "new node":
        await meeting.order("delete", item=items[7].key)
        await asyncio.sleep(2 * period_s)
        await meeting.order("create", item=items[7].key)
    else:
        await meeting.order("burst", item=items[0].key, count=100)
    return await meeting.heard(time.monotonic(), timeout_s)


async def _all(options: argparse.Namespace, folder: Path, say: Say) -> list[Trial]:
    steps = Steps(restarts=options.restarts, cuts=options.cuts, half_open=options.half_open, spacing_s=options.spacing)
    kinds = process.KINDS if options.server == "both" else (options.server,)
    found = []
    for kind in kinds:
        for secured in (False, True):
            name = f"{kind}, {'SignAndEncrypt' if secured else 'no security'}"
            setting = Setting(kind=kind, items=plan.items(options.items, seed=options.seed), secured=secured)
            found.append(await trial(name, setting, steps, seed=options.seed, folder=_made(folder, name), say=say))
        few = plan.items(min(options.items, 240), seed=options.seed)
        calm = dataclasses.replace(steps, restarts=1, cuts=1, half_open=0, spacing_s=min(options.spacing, 3.0))
        for limit, value in EACH_LIMIT.items() if options.limits else ():
            name = f"{kind}, {limit} {value}"
            setting = Setting(kind=kind, items=few, limits=Limits(**{limit: value}))
            found.append(await trial(name, setting, calm, seed=options.seed, folder=_made(folder, name), say=say))
    return found


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """The scenario."""
    with tempfile.TemporaryDirectory(prefix="millrace-foreign-") as folder:
        trials = asyncio.run(_all(options, Path(folder), progress.sink))
    restarts = [
        seconds for one in trials for what, all_s in one.back.items() if what.startswith("restart") for seconds in all_s
    ]
    counted = ("stored", "wrong", "doubled", "lost", "exact", "inexact", "unnamed", "silent", "needless")
    return {
        **{name: sum(one.verdict.get(name, 0) for one in trials) for name in counted},
        "good": all(one.good for one in trials),
        "trials": [dataclasses.asdict(one) for one in trials],
        "back_after_restart_s_max": max(restarts, default=None),
        "back_after_restart_s_median": statistics.median(restarts) if restarts else None,
        "tables": [_table(trials)],
    }


def _table(trials: list[Trial]) -> dict[str, Any]:
    columns = [
        "trial",
        "stored",
        "lost",
        "exact",
        "inexact",
        "unnamed",
        "wrong",
        "refused",
        "doubled",
        "silent",
        "needless",
        "quiet",
        "worst return, s",
        "failure",
    ]
    rows = [
        [
            one.name, *(one.verdict.get(name) for name in columns[1:-2]),
            max((seconds for all_s in one.back.values() for seconds in all_s), default=None), one.failure[:200],
        ]
        for one in trials
    ]  # fmt: skip
    return {"title": "Foreign OPC UA servers, losses in runs by item", "columns": columns, "rows": rows}


def _made(folder: Path, name: str) -> Path:
    made = folder / "".join(one if one.isalnum() else "-" for one in name)
    made.mkdir()
    return made


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument("--server", choices=("both", *process.KINDS), default="both", help="which programs")
    parser.add_argument("--items", type=int, default=2000, help="items of each server")
    parser.add_argument(
        "--restarts", type=int, default=20, help="restarts with changed namespaces, for each server and security"
    )
    parser.add_argument("--cuts", type=int, default=20, help="links reset")
    parser.add_argument("--half-open", type=int, default=5, help="links left half open")
    parser.add_argument("--spacing", type=float, default=15.0, help="seconds between two disturbances")
    parser.add_argument(
        "--limits", action=argparse.BooleanOptionalAction, default=True, help="each limit alone as well"
    )
    parser.add_argument("--seed", type=int, default=1, help="of items and of the order of disturbances")
