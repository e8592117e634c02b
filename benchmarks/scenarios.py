"""The table of scenarios: what each is called, which arguments it takes, how small it goes, and how it is run.

A scenario's own module measures; what several share (an instance with a workload, switches, the reference of COPY) is put together here.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from base import ids
from benchmarks import (
    actuations,
    alone,
    audit_log,
    cluster,
    commands,
    conditions,
    corruption,
    edge,
    freshness,
    history,
    limits,
    outage,
    processes,
    reads,
    recovery,
    restore,
    screen,
    soak,
    switches,
    throughput,
    workload,
)
from benchmarks.faults import campaign
from benchmarks.foreign import campaign as foreign
from benchmarks.generate import Expected
from benchmarks.line import Line, line
from benchmarks.machines import run as machines
from benchmarks.nab import run as nab
from benchmarks.peers import run as peers
from benchmarks.watch import scenario as watch
from benchmarks.workload import Dirt, Workload
from stack.config import Parallelism
from stack.reporting import Progress

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One row. `smoke` are the arguments of a run that only tries the harness."""

    doc: str
    run: Callable[[argparse.Namespace, Progress], Result]
    arguments: Callable[[argparse.ArgumentParser], None]
    smoke: Mapping[str, Any] = field(default_factory=dict)


def _throughput(options: argparse.Namespace, progress: Progress) -> Result:
    without = tuple(options.without)
    chosen, dirt = switches.apply(workload.load(options.workload), workload.load_dirt(options.dirt), without)
    with _line(options, progress, chosen, samples=chosen.samples_per_s * options.seconds) as under_test:
        switches.edit_registry(under_test.dsn, under_test.kafka, without)
        expected = _preload(options, under_test, dirt)
        if "historian" in without:
            with switches.job_settings(without):
                found = alone.run(under_test, expected, passthrough=False)
            return found | _to_copy_limit(options, under_test, dirt, found)
        if "copy" in without:  # everything is accounted for, nothing becomes a row
            expected.count.fill(0)
            expected.sums.fill(0)
        with switches.job_settings(without), processes.watching(under_test.config) as seen:
            found = throughput.run(under_test, expected)
        read = {"samples": options.read, "seed": options.seed}
        if options.read:
            found |= reads.measure(under_test, expected, "hot", **read)
        found |= throughput.close(under_test, found)
        if options.read:
            found |= reads.measure(under_test, expected, "closed", **read)
        found |= _to_copy_limit(options, under_test, dirt, found)
    return found | seen.as_result()


def _passthrough(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = workload.load(options.workload), workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=chosen.samples_per_s * options.seconds) as under_test:
        found = alone.run(under_test, _preload(options, under_test, dirt), passthrough=True)
        return found | _to_copy_limit(options, under_test, dirt, found)


def _preload(options: argparse.Namespace, under_test: Line, dirt: Dirt) -> Expected:
    # So long ago that no sample lies ahead of the clock.
    start_us = ids.now_us() - int((options.seconds + 60) * 1e6)
    return under_test.preload(dirt, seconds=options.seconds, start_us=start_us, seed=options.seed)


def _limits(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = workload.load(options.workload), workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=4e6 * options.seconds) as under_test:
        return limits.run(under_test, dirt, seconds=options.seconds, seed=options.seed)


def _freshness(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    total_s = options.seconds + options.warmup
    with _line(options, progress, chosen, samples=chosen.samples_per_s * total_s) as under_test:
        return freshness.run(under_test, dirt, seconds=options.seconds, warmup_s=options.warmup, seed=options.seed)


def _recovery(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = _at_rate(options, options.gateways), workload.load_dirt(options.dirt)
    if options.seconds:
        options.each = (options.seconds - options.warmup - recovery.SPARE_S) / options.kills
    total_s = options.warmup + options.kills * options.each + recovery.SPARE_S
    with _line(options, progress, chosen, samples=chosen.samples_per_s * total_s) as under_test:
        return recovery.run(
            under_test,
            dirt,
            kills=options.kills,
            warmup_s=options.warmup,
            pause_s=options.pause,
            each_s=options.each,
            seed=options.seed,
        )


def _restore(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    # The repository and the log come on top of the line's own.
    with _line(options, progress, chosen, samples=1.5 * options.samples) as under_test:
        return restore.run(under_test, dirt, samples=options.samples, standby=options.standby, seed=options.seed)


def _soak(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=chosen.samples_per_s * options.seconds) as under_test:
        return soak.run(under_test, dirt, seconds=options.seconds, seed=options.seed)


def _peers(options: argparse.Namespace, progress: Progress) -> Result:
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    samples = chosen.samples_per_s * (options.seconds + 5 * options.peer_seconds)
    with _line(options, progress, chosen, samples=samples) as under_test:
        return peers.run(
            under_test,
            dirt,
            peer_seconds=options.peer_seconds,
            seconds=options.seconds,
            seed=options.seed,
            slots=options.telemetry_slots,
            bytewax_processes=options.bytewax_processes,
        )


def _scaling(options: argparse.Namespace, progress: Progress) -> Result:
    """One drain after the other, each on an instance of its own."""
    rows = []
    for slots in options.slots:
        one = argparse.Namespace(**vars(options) | {"telemetry_slots": slots, "historian_slots": slots})
        rows.append([f"{slots} TaskManagers a job", *_drained(one, progress, workload.load(options.workload))])
    for size in options.frame_samples:
        chosen = dataclasses.replace(workload.load(options.workload), frame_samples=size)
        # So many frames at most, but one round of all gateways at least.
        seconds = min(options.seconds, max(chosen.frame_ms / 1000, options.frames * size / chosen.samples_per_s))
        one = argparse.Namespace(**vars(options) | {"seconds": seconds})
        rows.append([f"frames of {size} samples", *_drained(one, progress, chosen)])
    columns = ["what", "samples/s", "frames/s", "samples", "lost", "duplicated", "wrong cells"]
    return {"tables": [{"title": "Drains through all stages", "columns": columns, "rows": rows}]}


def _drained(options: argparse.Namespace, progress: Progress, chosen: Workload) -> list[Any]:
    dirt = workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=chosen.samples_per_s * options.seconds) as under_test:
        expected = _preload(options, under_test, dirt)
        found = throughput.run(under_test, expected)
    rate = found["samples_per_s"]
    frames = rate * expected.frames / expected.distinct_samples
    return [rate, frames, found["samples"], found["lost"], found["duplicated"], found["wrong_cells"]]


def _at_rate(options: argparse.Namespace, gateways: int = 0) -> Workload:
    """The workload, or so many of its gateways, at the rate of the arguments; 0 leaves either at its own."""
    chosen = workload.load(options.workload)
    if gateways:
        chosen = dataclasses.replace(chosen, gateways=gateways)
    return chosen.at_rate(options.rate) if options.rate else chosen


def _commands(options: argparse.Namespace, progress: Progress) -> Result:
    beside = None
    if options.telemetry_rate:
        beside = workload.load(options.telemetry_of).at_rate(options.telemetry_rate)
    return commands.run(
        commands=options.commands,
        rate_hz=options.rate,
        beside=beside,
        kill_at_s=options.kill_at,
        spare=options.spare,
        progress=progress,
    )


def _to_copy_limit(options: argparse.Namespace, under_test: Line, dirt: Dirt, found: Result) -> Result:
    cluster.cancel(under_test.config)
    limit = limits.reference(under_test, dirt, seconds=options.copy_seconds, seed=options.seed)
    return {"copy_limit_rows_per_s": limit, "ratio_to_copy_limit": found["samples_per_s"] / limit if limit else None}


@contextmanager
def _line(options: argparse.Namespace, progress: Progress, chosen: Workload, *, samples: float) -> Iterator[Line]:
    parallelism = Parallelism(telemetry=options.telemetry_slots, historian=options.historian_slots)
    progress.sink(f"storage: {conditions.storage(options.timescaledb)}")
    with line(
        chosen,
        samples=samples,
        parallelism=parallelism,
        spare=options.spare,
        timescaledb=options.timescaledb,
        log_to=progress,
    ) as under_test:
        yield under_test


def _line_arguments(
    *, seconds: float, dirt: str = "default", slots: int = 1, spare: int = 0
) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--workload", default="fast", help="of suites/workloads.yaml")
        parser.add_argument("--dirt", default=dirt, help="of suites/dirt.yaml")
        parser.add_argument("--seconds", type=float, default=seconds, help="of event time, or of measuring")
        parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same frames")
        parser.add_argument("--telemetry-slots", type=int, default=slots, help="TaskManagers of the telemetry job")
        parser.add_argument("--historian-slots", type=int, default=1, help="TaskManagers of the historian job")
        parser.add_argument("--spare", type=int, default=spare, help="TaskManagers that wait to take over")
        parser.add_argument("--timescaledb", choices=("auto", "off"), default="auto", help="auto: where installed")

    return add


def _drain_arguments(parser: argparse.ArgumentParser) -> None:
    _line_arguments(seconds=60)(parser)
    parser.add_argument(
        "--copy-seconds", type=float, default=5, help="of COPY alone, measured afterwards, for the ratio"
    )


def _throughput_arguments(parser: argparse.ArgumentParser) -> None:
    _drain_arguments(parser)
    parser.add_argument(
        "--read", type=int, default=0, help="afterwards read so many samples of one tag (workload deep has them)"
    )
    parser.add_argument(
        "--without", action="append", default=[], choices=tuple(switches.SWITCHES), help="leave a stage out"
    )


def _freshness_arguments(parser: argparse.ArgumentParser) -> None:
    _line_arguments(seconds=60)(parser)
    parser.add_argument("--rate", type=float, default=100_000, help="samples per second; 0: the workload's own")
    parser.add_argument("--warmup", type=float, default=60, help="seconds at the start that are left out")


def _recovery_arguments(parser: argparse.ArgumentParser) -> None:
    _line_arguments(seconds=0, spare=1)(parser)  # of the whole run; 0: as long as the kills need
    # Half of the machines is half of the load in every respect. Half of the rate is not: there are as many windows to each second.
    parser.add_argument("--gateways", type=int, default=10, help="how many of the workload send; 0: all")
    parser.add_argument("--rate", type=float, default=0, help="samples per second; 0: the workload's own")
    parser.add_argument("--kills", type=int, default=10, help="how often a TaskManager is killed")
    parser.add_argument("--each", type=float, default=45, help="seconds given to each kill")
    parser.add_argument("--warmup", type=float, default=30, help="seconds before the first kill")
    parser.add_argument("--pause", type=float, default=12, help="seconds between the lag being back and the next kill")


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=50_000_000, help="sent over the whole drill")
    parser.add_argument("--rate", type=float, default=100_000, help="samples per second; 0: the workload's own")
    parser.add_argument(
        "--standby", action="store_true", help="a standby takes over, instead of a restore from a backup"
    )
    parser.add_argument("--workload", default="fast", help="of suites/workloads.yaml")
    parser.add_argument("--dirt", default="default", help="of suites/dirt.yaml")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same frames")
    parser.add_argument("--telemetry-slots", type=int, default=1, help="TaskManagers of the telemetry job")
    parser.add_argument("--historian-slots", type=int, default=1, help="TaskManagers of the historian job")
    parser.add_argument("--spare", type=int, default=0, help="TaskManagers that wait to take over")
    parser.add_argument("--timescaledb", choices=("auto", "off"), default="auto", help="auto: where installed")


def _soak_arguments(parser: argparse.ArgumentParser) -> None:
    _line_arguments(seconds=1200)(parser)
    parser.add_argument("--rate", type=float, default=300_000, help="samples per second")


def _peers_arguments(parser: argparse.ArgumentParser) -> None:
    _line_arguments(seconds=60, dirt="none", slots=2)(parser)
    parser.add_argument("--rate", type=float, default=0, help="samples per second of event time; 0: the workload's own")
    parser.add_argument("--peer-seconds", type=float, default=6, help="of event time that the peers read")
    parser.add_argument("--bytewax-processes", type=int, default=2, help="worker processes of bytewax")


def _scaling_arguments(parser: argparse.ArgumentParser) -> None:
    _line_arguments(seconds=60)(parser)
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 2], help="TaskManagers of each job")
    parser.add_argument(
        "--frame-samples", type=int, nargs="*", default=[1, 10, 100, 1_000, 10_000], help="sizes of frames"
    )
    parser.add_argument("--frames", type=int, default=200_000, help="at most so many frames of a size")


def _commands_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--commands", type=int, default=10_000, help="commands that count")
    parser.add_argument("--rate", type=float, default=20.0, help="commands a second, open loop")
    parser.add_argument(
        "--telemetry-rate", type=float, default=0.0, help="samples a second beside it; 0: the example plant's alone"
    )
    parser.add_argument("--telemetry-of", default="wide", metavar="WORKLOAD", help="whose lanes send beside it")
    parser.add_argument(
        "--kill-at",
        type=float,
        default=0.0,
        metavar="S",
        help="kill -9 the commands job's TaskManager after S seconds; 0: never",
    )
    parser.add_argument("--spare", type=int, default=0, help="TaskManagers that wait to take over")


def _faults_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same schedule")
    parser.add_argument("--rounds", type=int, default=1, help="how often the table of faults is gone through")
    parser.add_argument("--only", default="", metavar="FAULT,..", help="services or groups of services")
    parser.add_argument("--kinds", default="", metavar="KIND,..", help="of suites/faults.yaml")
    parser.add_argument("--minutes", type=float, default=0, help="begin no fault later than this; 0: all of them")
    parser.add_argument("--timescaledb", choices=("auto", "off"), default="auto", help="auto: where installed")
    parser.add_argument("--merge", nargs="+", metavar="RESULT.json", help="break nothing, join these results")


def _corruption(options: argparse.Namespace, progress: Progress) -> Result:
    with progress.step("damage and open") as details:
        result = corruption.run(range(options.seed, options.seed + options.trials))
        details.append(f"{result['failed']} of {result['trials']} trials failed")
    return result


def _corruption_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; each has its own")
    parser.add_argument("--trials", type=int, default=1_000, help="how often a buffer is damaged")


def _history(options: argparse.Namespace, progress: Progress) -> Result:
    return history.run(
        progress,
        samples=options.samples,
        hot_samples=options.hot_samples,
        reads=options.reads,
        charts=options.charts,
        pixels=options.pixels,
        seed=options.seed,
    )


def _history_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=100_000_000, help="stored; about 100 bytes each on the disk")
    parser.add_argument("--hot-samples", type=int, default=100_000_000, help="in partitions that are still written to")
    parser.add_argument("--reads", type=int, default=20, help="reads of a million samples, and of each kind in SQL")
    parser.add_argument("--charts", type=int, default=300, help="charts of a day")
    parser.add_argument("--pixels", type=int, default=1000, help="width of a chart")
    parser.add_argument("--seed", type=int, default=1, help="of values and of the tags that are read")


def _outage(options: argparse.Namespace, progress: Progress) -> Result:
    chosen = outage.trials(short_s=options.short, long_s=options.long, beyond_s=options.beyond)
    only = set(filter(None, options.only.split(",")))
    wanted = [trial for trial in chosen if not only or trial.name in only]
    return outage.run(wanted, progress, rate=options.rate, calm_s=options.calm)


def _outage_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=1_000, help="samples per second")
    parser.add_argument("--short", type=float, default=60, help="seconds without Kafka in the first trial")
    parser.add_argument("--long", type=float, default=600, help="seconds without Kafka in the second")
    parser.add_argument(
        "--beyond", type=float, default=180, help="seconds without Kafka in the third, whose buffer holds less"
    )
    parser.add_argument("--calm", type=float, default=30, help="seconds before and after each outage")
    parser.add_argument("--only", default="", metavar="TRIAL,..", help="short, long, beyond")


def _actuations(options: argparse.Namespace, progress: Progress) -> Result:
    return actuations.run(commands=options.commands, kills=options.kills, seed=options.seed, progress=progress)


def _actuations_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--commands", type=int, default=500, help="commands to send")
    parser.add_argument("--kills", type=int, default=25, help="how often the gateway is killed")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same commands")


def _screen(options: argparse.Namespace, progress: Progress) -> Result:
    return screen.run(updates=options.updates, progress=progress)


def _screen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--updates", type=int, default=500, help="values that come to the screen")


_SMOKE = {"workload": "smoke", "seconds": 10.0}

SCENARIOS: dict[str, Scenario] = {
    "limits": Scenario(
        doc="each part alone: generator, decode, logic, store, COPY",
        run=_limits,
        arguments=_line_arguments(seconds=10),
        smoke={"workload": "smoke", "seconds": 1.0},
    ),
    "throughput": Scenario(
        doc="a preloaded topic drained through all stages into SQL, verified by tag and minute",
        run=_throughput,
        arguments=_throughput_arguments,
        smoke={**_SMOKE, "copy_seconds": 1.0},
    ),
    "passthrough": Scenario(
        doc="a job that does nothing in the place of the telemetry job: what Kafka, Flink and the harness cost",
        run=_passthrough,
        arguments=_drain_arguments,
        smoke={**_SMOKE, "copy_seconds": 1.0},
    ),
    "freshness": Scenario(
        doc="from frame closed, and from source time, to the row readable in SQL and the push over gRPC, at a given rate",
        run=_freshness,
        arguments=_freshness_arguments,
        smoke={**_SMOKE, "rate": 0.0, "warmup": 5.0},
    ),
    "scaling": Scenario(
        doc="the drain of throughput with 1 and 2 TaskManagers a job, and with frames of 1 to 10,000 samples",
        run=_scaling,
        arguments=_scaling_arguments,
        smoke={**_SMOKE, "slots": [2], "frame_samples": [10]},
    ),
    "peers": Scenario(
        doc="the same windowed aggregate by Flink SQL in the JVM, by bytewax and by our job",
        run=_peers,
        arguments=_peers_arguments,
        smoke={**_SMOKE, "rate": 0.0, "peer_seconds": 10.0, "seconds": 30.0},
    ),
    "recovery": Scenario(
        doc="kill -9 of TaskManagers under load, registry changes in flight: seconds until the lag is back, every row compared",
        run=_recovery,
        arguments=_recovery_arguments,
        smoke={"workload": "smoke", "gateways": 0, "kills": 2, "warmup": 10.0, "pause": 5.0, "each": 60.0},
    ),
    "restore": Scenario(
        doc="the database destroyed under load and brought back by the runbook, or taken over by a standby: lost, RPO, RTO",
        run=_restore,
        arguments=_restore_arguments,
        smoke={"workload": "smoke", "samples": 60_000, "rate": 0.0},
    ),
    "soak": Scenario(
        doc="memory of each process and lag over many minutes at a steady rate",
        run=_soak,
        arguments=_soak_arguments,
        smoke={"workload": "smoke", "rate": 0.0, "seconds": 40.0},
    ),
    "commands": Scenario(
        doc="commands at a rate on the whole line with the example plant: from due to SUCCEEDED, by hop; memory and CPU of each process",
        run=_commands,
        arguments=_commands_arguments,
        smoke={"commands": 5, "rate": 5.0},
    ),
    "faults": Scenario(
        doc="every service of the example plant killed and paused, commands under way: seconds until the line is back, accounting, journal",
        run=campaign.run,
        arguments=_faults_arguments,
        smoke={"only": "maintenance", "kinds": "kill"},
    ),
    "foreign": Scenario(
        doc="the OPC UA connector at servers of other makers: restarts, cuts, half-open links, limits; by the servers' journal",
        run=foreign.run,
        arguments=foreign.arguments,
        smoke={
            "items": 100,
            "restarts": 1,
            "cuts": 1,
            "half_open": 0,
            "spacing": 1.0,
            "limits": False,
            "server": "asyncua",
        },
    ),
    "outage": Scenario(
        doc="Kafka gone for a minute, for ten, and beyond the buffer's bound, the gateway killed meanwhile: every sample accounted for",
        run=_outage,
        arguments=_outage_arguments,
        smoke={"short": 15.0, "only": "short", "calm": 3.0, "rate": 200.0},
    ),
    "actuations": Scenario(
        doc="commands while their gateway is killed at every step: each at most once, no outcome hides an effect; by the machine's journal",
        run=_actuations,
        arguments=_actuations_arguments,
        smoke={"commands": 24, "kills": 2},
    ),
    "edge": Scenario(
        doc="what one gateway carries from OPC UA, Sparkplug and MQTT with JSON into Kafka: rate, CPU, memory, bytes, latency",
        run=edge.run,
        arguments=edge.arguments,
        smoke={"seconds": 3.0, "rates": [500], "protocols": "mqtt"},
    ),
    "audit": Scenario(
        doc="the writer of the audit log: events a second, delay until a signed checkpoint has one, checked by millrace-verify",
        run=audit_log.run,
        arguments=audit_log.arguments,
        smoke={"rate": 200, "seconds": 2.0, "waiting": 1_000},
    ),
    "corruption": Scenario(
        doc="truncations and flipped bits over all segments of a gateway's buffer: every loss told of exactly, nothing wrong",
        run=_corruption,
        arguments=_corruption_arguments,
        smoke={"trials": 20},
    ),
    "history": Scenario(
        doc="history over gRPC: a million samples of one tag, charts of a day; in SQL: a tag from hot partitions, a day of one, dashboards",
        run=_history,
        arguments=_history_arguments,
        smoke={"samples": 2_000_000, "hot_samples": 1_000_000, "reads": 2, "charts": 10},
    ),
    "screen": Scenario(
        doc="a machine's page in a real browser on the running example plant: from source time, and from frame closed, to the screen",
        run=_screen,
        arguments=_screen_arguments,
        smoke={"updates": 20},
    ),
    "watch": Scenario(
        doc="live values to thousands of readers over gRPC, server-sent events and WebSocket, beside some that do not read, and commands",
        run=watch.run,
        arguments=watch.arguments,
        smoke={"faces": ["grpc"], "processes": [1], "streams": [40], "seconds": 4.0, "slow": 2, "never": 2},
    ),
    "machines": Scenario(
        doc="quality of detection on a synthetic corpus of machines with known faults, both halves of it",
        run=machines.scenario,
        arguments=machines.add_arguments,
        smoke={"seeds": 1, "half": "design"},
    ),
    "nab": Scenario(
        doc="anomaly detection on labelled series, scored by the rule of the Numenta Anomaly Benchmark",
        run=nab.scenario,
        arguments=nab.add_arguments,
    ),
}
