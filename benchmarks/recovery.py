"""`recovery`: kill -9 of TaskManagers under load, with registry changes in flight: seconds until the lag is back, every row compared.

The line runs at a share of its measured capacity. After a warm-up a TaskManager is killed, in turn those of the telemetry and the
historian job; right before, a tag's definition changes and frames name the new registry version before it is published, so that frames
wait for it while the job restarts. `recovered_s` of a kill is the time until the lag is back at its level before, which is the largest
of the ten seconds before the kill; the next kill comes some seconds after that. What is not back when the run ends is reported as such.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from base.errors import MillraceError
from benchmarks import steady
from benchmarks.freshness import SERVICES
from benchmarks.line import Line
from benchmarks.pace import WATCHED, Sender
from benchmarks.workload import Dirt
from registry import edit
from registry.publish import publish
from stack import jobs, lifecycle
from stack.flink_rest import FlinkRest
from stack.supervisor import Supervisor

VICTIMS = ("telemetry", "historian")
LEVEL_S = 10.0
SPARE_S = 40.0
"""Time that the last kill has at least."""
STEADY_S = 2.0
"""A line keeps up when less than this much of the load is on its way."""
_PUBLISH_AFTER_S = 2.0
_FIRST_STAY_S = 0.6
"""The lag must stay at its level this long: one look can fall between two batches."""


class NoVictimError(MillraceError):
    """The job has no TaskManager that could be killed."""


@dataclass(kw_only=True)
class Kill:
    """One kill. `recovered_s` is None when the lag was not back in time."""

    at_s: float
    victim: str
    job: str
    level: int
    peak: int = 0
    back_since_s: float | None = None
    recovered_s: float | None = None


class Killer:
    """Acts on a steady load; `schedule` is pure but for the acts themselves, which are methods."""

    def __init__(self, line: Line, *, kills: int, warmup_s: float, pause_s: float, last_s: float) -> None:
        self.kills: list[Kill] = []
        self.registry_changes = 0
        self._line, self._wanted, self._pause_s = line, kills, pause_s
        self._next_s, self._last_s = warmup_s, last_s
        self._lag: list[tuple[float, int]] = []
        self._publish_at_s: float | None = None
        self._version = line.registry_version

    @property
    def done(self) -> bool:
        """Whether every kill was made and is recovered."""
        return len(self.kills) == self._wanted and self.kills[-1].recovered_s is not None

    def act(self, at_s: float, lag: int, sender: Sender) -> None:
        """One look."""
        self._lag.append((at_s, lag))
        if self._publish_at_s is not None and at_s >= self._publish_at_s:
            publish(self._line.dsn, self._line.kafka)
            self._publish_at_s = None
        current = self.kills[-1] if self.kills else None
        if current is not None and current.recovered_s is None:
            if settle(current, at_s, lag):
                self._line.progress.sink(
                    f"    {current.victim} ({current.job}): lag back after {current.recovered_s:.1f} s"
                )
                self._next_s = at_s + self._pause_s
        elif len(self.kills) < self._wanted and self._next_s <= at_s <= self._last_s and self._steady(at_s):
            self._change_registry(at_s, sender)
            self._kill(at_s)

    def _steady(self, at_s: float) -> bool:
        """Whether the lag has been small for as long as its level is taken: a line that is still catching up has no level."""
        return level_before(self._lag, at_s) <= STEADY_S * self._line.workload.samples_per_s

    def _change_registry(self, at_s: float, sender: Sender) -> None:
        """Frames name the new version at once, its definitions follow a little later."""
        gateway = self._line.workload.gateway_id(self.registry_changes % self._line.workload.gateways)
        tag_id = int(self._line.tag_ids[gateway][WATCHED])
        with psycopg.connect(self._line.dsn, autocommit=True) as connection:
            row = connection.execute("SELECT path FROM tag_definition WHERE tag_id = %s", (tag_id,)).fetchone()
            assert row is not None
            text = f"changed {self.registry_changes} times"
            self._version = edit.set_attributes(connection, row[0], {"description": text})
        sender.set_registry_version(self._version)
        self.registry_changes += 1
        self._publish_at_s = at_s + _PUBLISH_AFTER_S

    def _kill(self, at_s: float) -> None:
        job = VICTIMS[len(self.kills) % len(VICTIMS)]
        victim, pid = victim_of(self._line, job)
        os.kill(pid, signal.SIGKILL)
        self.kills.append(Kill(at_s=at_s, victim=victim, job=job, level=level_before(self._lag, at_s)))
        self._line.progress.sink(f"    killed {victim} ({job}) at {at_s:.0f} s, lag {self.kills[-1].level:,} before")


def settle(kill: Kill, at_s: float, lag: int) -> bool:
    """Note a look after a kill; True when the lag is back for good."""
    kill.peak = max(kill.peak, lag)
    # The first moments after a kill look as before: what was in flight still arrives.
    if lag > kill.level or (kill.peak <= kill.level and at_s - kill.at_s < LEVEL_S):
        kill.back_since_s = None
        return False
    if kill.back_since_s is None:
        kill.back_since_s = at_s
    if at_s - kill.back_since_s >= _FIRST_STAY_S:
        kill.recovered_s = kill.back_since_s - kill.at_s if kill.peak > kill.level else 0.0
        return True
    return False


def level_before(lag: Sequence[tuple[float, int]], at_s: float) -> int:
    """Largest lag of the seconds before."""
    return max((value for when, value in lag if at_s - LEVEL_S <= when <= at_s), default=0)


def victim_of(line: Line, job: str) -> tuple[str, int]:
    """A TaskManager with tasks of the job, and its process id."""
    rest = FlinkRest(line.config.flink_url)
    live = rest.live_job(jobs.flink_name(job))
    states = Supervisor(line.config).states()
    hosts = sorted(rest.hosts_of(live.id)) if live is not None else []
    for name in hosts:
        if name in states and states[name].pid:
            return name, states[name].pid
    msg = f"job {job} has no running TaskManager"
    raise NoVictimError(msg)


def run(
    line: Line, dirt: Dirt, *, kills: int, warmup_s: float, pause_s: float, each_s: float, seed: int
) -> dict[str, Any]:
    """Start the line, load it, kill. `each_s`: time given to each kill; a run ends with the time of all of them."""
    lifecycle.up(line.config, line.progress, names=SERVICES)
    last_s = warmup_s + kills * each_s
    plan = steady.plan_of(line, dirt, seconds=last_s + SPARE_S, seed=seed)
    killer = Killer(line, kills=kills, warmup_s=warmup_s, pause_s=pause_s, last_s=last_s)
    began = time.monotonic()
    found = steady.run(line, plan, act=killer.act)
    line.progress.sink(f"    {len(killer.kills)} of {kills} kills in {time.monotonic() - began:.0f} s")
    if len(killer.kills) < kills:
        line.progress.sink(
            "    the line did not keep up long enough for the others: give a lower --rate or more time with --each"
        )
    times = [one.recovered_s for one in killer.kills if one.recovered_s is not None]
    return {
        **found.as_result(found.sent.expected.distinct_samples / plan.seconds),
        "kills_wanted": kills,
        "kills": len(killer.kills),
        "recovered": len(times),
        "recovered_s_max": max(times, default=None),
        "recovered_s_mean": sum(times) / len(times) if times else None,
        "registry_changes": killer.registry_changes,
        "marks": [(one.at_s, f"kill -9 {one.victim} ({one.job})") for one in killer.kills],
        "tables": [
            {
                "title": "Kills",
                "columns": ["at s", "victim", "job", "lag before, samples", "largest lag, samples", "lag back after s"],
                "rows": [[one.at_s, one.victim, one.job, one.level, one.peak, one.recovered_s] for one in killer.kills],
            }
        ],
    }
