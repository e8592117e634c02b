"""Breaking services: a signal to every process of each, all services at once.

A service is the process that the supervisor started, its process group, and whatever descends from it (PostgreSQL's backends are groups of
their own). psutil continues a process only while it is the same one: meanwhile somebody may have put another in its place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from base.errors import MillraceError
from stack import processes
from stack.config import StackConfig
from stack.supervisor import Supervisor


class NotRunningError(MillraceError):
    """A service that is to be broken does not run."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Where a process belongs."""

    pid: int
    parent: int
    group: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """What was done. Monotonic seconds: `at_s` of the signal, `over_s` when the processes may run again (a kill is over at once)."""

    at_s: float
    over_s: float


def break_services(config: StackConfig, services: Sequence[str], pause_s: float) -> Broken:
    """Kill the services, or pause them for `pause_s`; returns when it is over. Raises NotRunningError."""
    victims = _processes_of(config, services)
    at_s = time.monotonic()
    if not pause_s:
        _each(victims, psutil.Process.kill)
        return Broken(at_s=at_s, over_s=at_s)
    try:
        _each(victims, psutil.Process.suspend)
        # What they started in the same moment goes on otherwise.
        victims = _processes_of(config, services)
        _each(victims, psutil.Process.suspend)
        time.sleep(max(0.0, at_s + pause_s - time.monotonic()))
    finally:
        _each(victims, psutil.Process.resume)
    return Broken(at_s=at_s, over_s=time.monotonic())


def _processes_of(config: StackConfig, services: Sequence[str]) -> list[psutil.Process]:
    states = Supervisor(config).states()
    leaders = [states[name].pid if name in states else 0 for name in services]
    if not all(leaders):
        idle = [name for name, pid in zip(services, leaders, strict=True) if not pid]
        msg = f"does not run and cannot be broken: {', '.join(idle)}"
        raise NotRunningError(msg)
    known, relations = dict[int, psutil.Process](), list[Relation]()
    for process in processes.of_instance(config):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            relations.append(Relation(process.pid, process.ppid(), os.getpgid(process.pid)))
            known[process.pid] = process
    return [known[pid] for pid in members(leaders, relations)]


def members(leaders: Iterable[int], relations: Sequence[Relation]) -> list[int]:
    """The leaders, then what is in their groups or descends from any of them. Pure."""
    groups = {one.pid for one in relations} & set(leaders)
    chosen = dict.fromkeys(pid for pid in leaders if pid in groups)
    while True:
        more = [one.pid for one in relations if one.pid not in chosen and (one.parent in chosen or one.group in groups)]
        if not more:
            return list(chosen)
        chosen |= dict.fromkeys(more)


def _each(victims: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for one in victims:
        with suppress(psutil.NoSuchProcess):  # its leader's end was its own, or another has taken its place
            act(one)
