"""Scenarios that run a line of a workload, telemetry and historian alone: what each takes as arguments, and how its parts are put together.

What they share is here (an instance with a workload, switches, the reference of COPY); a scenario's own module measures.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from base import ids
from benchmarks import (
    alone,
    cluster,
    conditions,
    freshness,
    limits,
    processes,
    reads,
    recovery,
    restore,
    soak,
    switches,
    throughput,
    workload,
)
from benchmarks.generate import Expected
from benchmarks.line import Line, line
from benchmarks.peers import run as peers
from benchmarks.workload import Dirt, Workload
from stack.config import Parallelism
from stack.reporting import Progress

Result = dict[str, Any]


def run_throughput(options: argparse.Namespace, progress: Progress) -> Result:
    """A preloaded topic through all stages into SQL; with `without`, less of them."""
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


def run_passthrough(options: argparse.Namespace, progress: Progress) -> Result:
    """The same with a job that does nothing in the place of the telemetry job."""
    chosen, dirt = workload.load(options.workload), workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=chosen.samples_per_s * options.seconds) as under_test:
        found = alone.run(under_test, _preload(options, under_test, dirt), passthrough=True)
        return found | _to_copy_limit(options, under_test, dirt, found)


def _preload(options: argparse.Namespace, under_test: Line, dirt: Dirt) -> Expected:
    # So long ago that no sample lies ahead of the clock.
    start_us = ids.now_us() - int((options.seconds + 60) * 1e6)
    return under_test.preload(dirt, seconds=options.seconds, start_us=start_us, seed=options.seed)


def run_limits(options: argparse.Namespace, progress: Progress) -> Result:
    """Each part alone."""
    chosen, dirt = workload.load(options.workload), workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=4e6 * options.seconds) as under_test:
        return limits.run(under_test, dirt, seconds=options.seconds, seed=options.seed)


def run_freshness(options: argparse.Namespace, progress: Progress) -> Result:
    """Delays at a given rate."""
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    total_s = options.seconds + options.warmup
    with _line(options, progress, chosen, samples=chosen.samples_per_s * total_s) as under_test:
        return freshness.run(under_test, dirt, seconds=options.seconds, warmup_s=options.warmup, seed=options.seed)


def run_recovery(options: argparse.Namespace, progress: Progress) -> Result:
    """TaskManagers killed under load."""
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


def run_restore(options: argparse.Namespace, progress: Progress) -> Result:
    """The database destroyed, or taken over by a standby."""
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    # The repository and the log come on top of the line's own.
    with _line(options, progress, chosen, samples=1.5 * options.samples) as under_test:
        return restore.run(under_test, dirt, samples=options.samples, standby=options.standby, seed=options.seed)


def run_soak(options: argparse.Namespace, progress: Progress) -> Result:
    """Memory and lag over many minutes."""
    chosen, dirt = _at_rate(options), workload.load_dirt(options.dirt)
    with _line(options, progress, chosen, samples=chosen.samples_per_s * options.seconds) as under_test:
        return soak.run(under_test, dirt, seconds=options.seconds, seed=options.seed)


def run_peers(options: argparse.Namespace, progress: Progress) -> Result:
    """The same windows by other systems."""
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


def run_scaling(options: argparse.Namespace, progress: Progress) -> Result:
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
        signatures=options.signatures,
        log_to=progress,
    ) as under_test:
        yield under_test


def signatures_argument(parser: argparse.ArgumentParser) -> None:
    """Whether frames and commands are signed, and what is not is refused."""
    parser.add_argument("--signatures", choices=("required", "off"), default="required", help="of frames and commands")


def line_arguments(
    *, seconds: float, dirt: str = "default", slots: int = 1, spare: int = 0
) -> Callable[[argparse.ArgumentParser], None]:
    """Arguments of a line; these are the defaults."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--workload", default="fast", help="of suites/workloads.yaml")
        parser.add_argument("--dirt", default=dirt, help="of suites/dirt.yaml")
        parser.add_argument("--seconds", type=float, default=seconds, help="of event time, or of measuring")
        parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same frames")
        parser.add_argument("--telemetry-slots", type=int, default=slots, help="TaskManagers of the telemetry job")
        parser.add_argument("--historian-slots", type=int, default=1, help="TaskManagers of the historian job")
        parser.add_argument("--spare", type=int, default=spare, help="TaskManagers that wait to take over")
        parser.add_argument("--timescaledb", choices=("auto", "off"), default="auto", help="auto: where installed")
        signatures_argument(parser)

    return add


def drain_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `passthrough`."""
    line_arguments(seconds=60)(parser)
    parser.add_argument(
        "--copy-seconds", type=float, default=5, help="of COPY alone, measured afterwards, for the ratio"
    )


def throughput_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `throughput`."""
    drain_arguments(parser)
    parser.add_argument(
        "--read", type=int, default=0, help="afterwards read so many samples of one tag (workload deep has them)"
    )
    parser.add_argument(
        "--without", action="append", default=[], choices=tuple(switches.SWITCHES), help="leave a stage out"
    )


def freshness_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `freshness`."""
    line_arguments(seconds=60)(parser)
    parser.add_argument("--rate", type=float, default=100_000, help="samples per second; 0: the workload's own")
    parser.add_argument("--warmup", type=float, default=60, help="seconds at the start that are left out")


def recovery_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `recovery`."""
    line_arguments(seconds=0, spare=1)(parser)  # of the whole run; 0: as long as the kills need
    # Half of the machines is half of the load in every respect. Half of the rate is not: there are as many windows to each second.
    parser.add_argument("--gateways", type=int, default=10, help="how many of the workload send; 0: all")
    parser.add_argument("--rate", type=float, default=0, help="samples per second; 0: the workload's own")
    parser.add_argument("--kills", type=int, default=10, help="how often a TaskManager is killed")
    parser.add_argument("--each", type=float, default=45, help="seconds given to each kill")
    parser.add_argument("--warmup", type=float, default=30, help="seconds before the first kill")
    parser.add_argument("--pause", type=float, default=12, help="seconds between the lag being back and the next kill")


def restore_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `restore`."""
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
    signatures_argument(parser)


def soak_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `soak`."""
    line_arguments(seconds=1200)(parser)
    parser.add_argument("--rate", type=float, default=300_000, help="samples per second")


def peers_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `peers`."""
    line_arguments(seconds=60, dirt="none", slots=2)(parser)
    parser.add_argument("--rate", type=float, default=0, help="samples per second of event time; 0: the workload's own")
    parser.add_argument("--peer-seconds", type=float, default=6, help="of event time that the peers read")
    parser.add_argument("--bytewax-processes", type=int, default=2, help="worker processes of bytewax")


def scaling_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `scaling`."""
    line_arguments(seconds=60)(parser)
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 2], help="TaskManagers of each job")
    parser.add_argument(
        "--frame-samples", type=int, nargs="*", default=[1, 10, 100, 1_000, 10_000], help="sizes of frames"
    )
    parser.add_argument("--frames", type=int, default=200_000, help="at most so many frames of a size")
