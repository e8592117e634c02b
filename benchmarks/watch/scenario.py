"""`bench watch`: how many readers of live values a serving process has, and who suffers when some do not read.

A rung is so many streams of one machine each (20 tags that change once a second), over one face, at one or two serving processes. First the
readers alone; then beside them readers that are slow, that never read, one that takes everything it can get, and commands. Figures are by
the clock of the frame: from due to shown, in the reader's process (`plan.shown`). Source, readers, commands and servers are processes of
their own; with fewer cores than processes they take from each other, so the cores of each are beside the figures. A rung holds when 99 %
of the frames are shown within 250 ms and none stays out; the ladder of a face ends at the first rung that does not.

Broker and servers are the real ones. The telemetry job is not there: `freshness` has the way from the gateway's frame to the push.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from base import ids
from base.errors import UnavailableError
from base.settings import KafkaSettings
from benchmarks import figures
from benchmarks.edge_process import publish_tags
from benchmarks.processes import Usage, usage_of
from benchmarks.watch import callers, readers, source
from benchmarks.watch.callers import Calls
from benchmarks.watch.plan import MACHINES, MACHINES_A_LANE, PLANT, SITE, Plan, Shown, shown
from benchmarks.watch.readers import Kind, Reader, Seen
from benchmarks.watch.server import Serving
from benchmarks.watch.streams import FACES
from benchmarks.watch.worker import Worker
from stack import instance
from stack.config import TOOLS, StackConfig
from stack.reporting import Progress

GOAL_MS = 250.0
_SHOWN_SHARE = 0.999
_A_READING_PROCESS = 2_500
"""Streams that one reading process opens."""
_OPEN_S = 120.0
_SETTLE_S = 3.0
_GRACE_S = 2.0
_START_US = 5_000_000
"""Until the source begins: its process has to come up."""
_FILES = 65_536


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to try."""

    faces: Sequence[str]
    processes: Sequence[int]
    streams: Sequence[int]
    seconds: float
    slow: int
    never: int
    greedy: int
    commands_hz: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """Readings at one moment."""

    at_us: int
    servers: list[Usage]
    loaders: list[Usage]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command line."""
    parser.add_argument("--faces", nargs="+", choices=tuple(FACES), default=list(FACES), help="over which streams come")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="serving processes")
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=[500, 1_000, 2_000, 4_000, 10_000],
        help="streams of 20 tags, all in all",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement, two for each rung")
    parser.add_argument("--slow", type=int, default=50, help="readers beside them that take a message a second")
    parser.add_argument("--never", type=int, default=50, help="readers beside them that never read")
    parser.add_argument("--greedy", type=int, default=1, help="readers beside them that take the whole plant")
    parser.add_argument("--commands-rate", type=float, default=20.0, help="commands a second beside them")


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Climb the ladder of each face with each number of processes."""
    wanted = Options(
        faces=options.faces,
        processes=options.processes,
        streams=sorted(options.streams),
        seconds=options.seconds,
        slow=options.slow,
        never=options.never,
        greedy=options.greedy,
        commands_hz=options.commands_rate,
    )
    _allow_files()
    plan = Plan(machines=min(MACHINES, max(wanted.streams)))
    rungs: list[dict[str, Any]] = []
    with instance.temporary(folder=TOOLS / "bench") as running:
        config = running.require("kafka")
        kafka = publish_tags(config, SITE, list(plan.definitions()))
        for face in wanted.faces:
            for processes in wanted.processes:
                for streams in wanted.streams:
                    with progress.step(f"{face}, {processes} serving, {streams} streams") as details:
                        rung = _rung(wanted, plan, config, kafka, face, processes, streams)
                        details.append(f"p99 {rung['p99_ms']} ms, beside bad readers {rung['beside_p99_ms']} ms")
                    rungs.append(rung)
                    if not rung["holds"]:
                        break
    return summed_up(rungs)


def summed_up(rungs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the largest rung of the first ladder that holds, all rungs, where each ladder broke, and what a message costs. Pure."""
    first = [one for one in rungs if (one["face"], one["processes"]) == (rungs[0]["face"], rungs[0]["processes"])]
    chosen = max((one for one in first if one["holds"]), key=lambda one: one["streams"], default=rungs[0])
    laws = []
    for face, processes in dict.fromkeys((one["face"], one["processes"]) for one in rungs):
        ladder = [one for one in rungs if (one["face"], one["processes"]) == (face, processes)]
        broke = next((one["streams"] for one in ladder if not one["holds"]), None)
        held = max((one["streams"] for one in ladder if one["holds"]), default=0)
        a_push_us = law(ladder)
        laws.append([face, processes, held, broke, a_push_us, 1e6 / a_push_us if a_push_us else None])
    return {
        **{name: value for name, value in chosen.items() if not isinstance(value, str | bool)},
        "rungs": list(rungs),
        "tables": [
            {
                "title": "Rungs",
                "columns": list(_COLUMNS.values()),
                "rows": [[one[name] for name in _COLUMNS] for one in rungs],
            },
            {
                "title": "Where each ladder broke, and what a message of 20 updates costs the server",
                "columns": ["face", "processes", "streams held", "broke at", "µs a message", "messages/s a core"],
                "rows": laws,
            },
        ],
    }


_COLUMNS = {
    "face": "face", "processes": "processes", "streams": "streams", "pushes_per_s": "messages/s", "updates_per_s": "updates/s",
    "p50_ms": "p50 ms", "p99_ms": "p99 ms", "shown_share": "shown", "beside_p99_ms": "p99 ms beside", "beside_shown_share": "shown beside",
    "command_p99_ms": "command p99 ms", "server_cores": "server cores", "loader_cores": "reader cores", "stream_kb": "KB a stream",
    "holds": "holds",
}  # fmt: skip


def law(ladder: Sequence[dict[str, Any]]) -> float | None:
    """Microseconds of a server's core for each message: the slope of its cores over messages; None for fewer than two rungs."""
    pushes = np.array([one["pushes_per_s"] for one in ladder])
    cores = np.array([one["server_cores"] for one in ladder])
    if len(ladder) < 2 or np.ptp(pushes) == 0:
        return None
    return float(np.polyfit(pushes, cores, 1)[0]) * 1e6


def _rung(
    options: Options, plan: Plan, config: StackConfig, kafka: KafkaSettings, face: str, processes: int, streams: int
) -> dict[str, Any]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                Serving(config.state / "watch", kafka, host=config.host, port=config.ports.base + 900 + 2 * number)
            )
            for number in range(processes)
        ]
        for server in servers:
            server.until_ready()
        empty_mb = [server.usage().memory_mb for server in servers]
        start_us = ids.now_us() + _START_US
        sending = stack.enter_context(Worker(source.run, plan, kafka, start_us))
        plain = [
            Reader(kind=Kind.PLAIN, address=servers[at % processes].address, path=plan.path(at % plan.machines))
            for at in range(streams)
        ]
        parts = [plain[at::parts] for parts in (-(-streams // _A_READING_PROCESS),) for at in range(parts)]
        reading = [stack.enter_context(Worker(readers.run, face, part)) for part in parts]
        opened = sum(worker.until_ready(len(part), _OPEN_S) for worker, part in zip(reading, parts, strict=True))
        time.sleep(_SETTLE_S)  # what opening them cost is not in the figures

        def look() -> Span:
            loaders = [usage_of(psutil.Process(worker.pid)) for worker in reading]
            return Span(at_us=ids.now_us(), servers=[server.usage() for server in servers], loaders=loaders)

        alone = (look(), _after(options.seconds, look))
        others = [
            stack.enter_context(Worker(readers.run, face, _others(options, servers, plan))),
            stack.enter_context(Worker(callers.run, [one.address.grpc for one in servers], plan, options.commands_hz)),
        ]
        others[1].until_ready(1, _OPEN_S)
        time.sleep(_SETTLE_S)
        beside = (look(), _after(options.seconds, look))
        time.sleep(_GRACE_S)
        seen: list[Seen] = [worker.result() for worker in reading]
        calls: Calls = others[1].result()
        bad: Seen = others[0].result()
        behind: list[tuple[int, float]] = sending.result()
    found = [
        {f"{prefix}{name}": value for name, value in _figures(plan, seen, parts, start_us, window).items()}
        for prefix, window in (("", alone), ("beside_", beside))
    ]
    taken = [took for due_us, took in zip(calls.due_us, calls.took_ms, strict=True) if due_us >= beside[0].at_us]
    rung = {
        "face": face,
        "processes": processes,
        "streams": streams,
        "opened": opened,
        **found[0],
        **found[1],
        **figures.percentiles(taken, "command_"),
        "commands": len(taken),
        "commands_failed": dict(calls.failed),
        "stream_kb": _stream_kb(empty_mb, alone[0], opened),
        "greedy_updates_per_s": _greedy(bad, beside, options),
        "ended": dict(_sum(one.ended for one in seen)),
        "beside_ended": dict(bad.ended),
        **figures.percentiles([late for due_us, late in behind if due_us >= alone[0].at_us], "source_behind_"),
    }
    return rung | {"holds": holds(rung)}


def holds(rung: dict[str, Any]) -> bool:
    """Whether all streams were there, their values in time and none left out; alone and beside readers that do not keep up."""
    if rung["opened"] < rung["streams"]:
        return False
    return all(
        rung.get(f"{prefix}p99_ms", float("inf")) <= GOAL_MS and rung[f"{prefix}shown_share"] >= _SHOWN_SHARE
        for prefix in ("", "beside_")
    )


def _others(options: Options, servers: Sequence[Serving], plan: Plan) -> list[Reader]:
    """Those that do not keep up, and the one that takes everything."""
    kinds = [Kind.SLOW] * options.slow + [Kind.NEVER] * options.never + [Kind.GREEDY] * options.greedy
    return [
        Reader(
            kind=kind,
            address=servers[at % len(servers)].address,
            # A thousand tags, so that the buffers of one that does not read fill.
            path=PLANT if kind is Kind.GREEDY else plan.line(at % plan.lines),
            interval_ms=10,
        )
        for at, kind in enumerate(kinds)
    ]


def _after(seconds: float, look: Any) -> Span:
    time.sleep(seconds)
    found: Span = look()
    return found


def _figures(
    plan: Plan, seen: Sequence[Seen], parts: Sequence[Sequence[Reader]], start_us: int, window: tuple[Span, Span]
) -> dict[str, Any]:
    before, after = window
    seconds = (after.at_us - before.at_us) / 1e6
    late_ms, expected, messages, updates = [np.zeros(0)], 0, 0, 0
    for one, part in zip(seen, parts, strict=True):
        found = _shown(plan, one, part, start_us, (before.at_us, after.at_us))
        late_ms.append(found.late_ms)
        expected += found.expected
        inside = (one.received_us >= before.at_us) & (one.received_us < after.at_us)
        messages += int(inside.sum())
        updates += int(one.updates[inside].sum())
    all_ms: NDArray[np.float64] = np.concatenate(late_ms)
    server_cores = _cores(before.servers, after.servers, seconds)
    return {
        **figures.percentiles(all_ms),
        "shown_share": Shown(late_ms=all_ms, expected=expected).share,
        "pushes_per_s": messages / seconds,
        "updates_per_s": updates / seconds,
        "server_cores": server_cores,
        "loader_cores": _cores(before.loaders, after.loaders, seconds),
        "updates_per_core_s": updates / seconds / server_cores if server_cores else None,
    }


def _shown(plan: Plan, seen: Seen, part: Sequence[Reader], start_us: int, window_us: tuple[int, int]) -> Shown:
    lanes = {plan.path(machine): machine // MACHINES_A_LANE for machine in range(plan.machines)}
    return shown(
        seen.reader,
        seen.received_us,
        seen.newest_us,
        offsets_us=[plan.offset_us(lanes[reader.path]) for reader in part],
        start_us=start_us,
        period_us=plan.period_us,
        window_us=window_us,
    )


def _cores(before: Sequence[Usage], after: Sequence[Usage], seconds: float) -> float:
    return sum(now.cpu_s - then.cpu_s for then, now in zip(before, after, strict=True)) / seconds


def _stream_kb(empty_mb: Sequence[float], opened: Span, streams: int) -> float | None:
    grown_mb = sum(one.memory_mb for one in opened.servers) - sum(empty_mb)
    return grown_mb * 1024 / streams if streams else None


def _greedy(bad: Seen, window: tuple[Span, Span], options: Options) -> float | None:
    """Updates a second that the greedy readers got."""
    if not options.greedy:
        return None
    before, after = window
    mine = bad.reader >= options.slow + options.never
    inside = mine & (bad.received_us >= before.at_us) & (bad.received_us < after.at_us)
    return float(bad.updates[inside].sum()) / ((after.at_us - before.at_us) / 1e6)


def _sum(counters: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counters:
        total += one
    return total


def _allow_files() -> None:
    """A connection is a file, at both ends; children inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < _FILES // 4:
        msg = f"only {wanted} files may be open here; raise the hard limit (ulimit -Hn)"
        raise UnavailableError(msg)
