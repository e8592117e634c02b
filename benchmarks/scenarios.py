"""The table of scenarios: what each is called, which arguments it takes, how small it goes, and how it is run.

A scenario's own module measures; those that run a line of a workload share what `line_scenarios` has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import (
    actuations,
    audit_log,
    commands,
    corruption,
    edge,
    history,
    line_scenarios,
    outage,
    screen,
    signing,
    workload,
)
from benchmarks.alarms import scenario as alarms
from benchmarks.faults import campaign
from benchmarks.foreign import campaign as foreign
from benchmarks.machines import run as machines
from benchmarks.nab import run as nab
from benchmarks.watch import scenario as watch
from benchmarks.wear import run as wear
from stack.reporting import Progress

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One row. `smoke` are the arguments of a run that only tries the harness."""

    doc: str
    run: Callable[[argparse.Namespace, Progress], Result]
    arguments: Callable[[argparse.ArgumentParser], None]
    smoke: Mapping[str, Any] = field(default_factory=dict)


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
        signatures=options.signatures,
        progress=progress,
    )


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
    line_scenarios.signatures_argument(parser)


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
        run=line_scenarios.run_limits,
        arguments=line_scenarios.line_arguments(seconds=10),
        smoke={"workload": "smoke", "seconds": 1.0},
    ),
    "throughput": Scenario(
        doc="a preloaded topic drained through all stages into SQL, verified by tag and minute",
        run=line_scenarios.run_throughput,
        arguments=line_scenarios.throughput_arguments,
        smoke={**_SMOKE, "copy_seconds": 1.0},
    ),
    "passthrough": Scenario(
        doc="a job that does nothing in the place of the telemetry job: what Kafka, Flink and the harness cost",
        run=line_scenarios.run_passthrough,
        arguments=line_scenarios.drain_arguments,
        smoke={**_SMOKE, "copy_seconds": 1.0},
    ),
    "freshness": Scenario(
        doc="from frame closed, and from source time, to the row readable in SQL and the push over gRPC, at a given rate",
        run=line_scenarios.run_freshness,
        arguments=line_scenarios.freshness_arguments,
        smoke={**_SMOKE, "rate": 0.0, "warmup": 5.0},
    ),
    "scaling": Scenario(
        doc="the drain of throughput with 1 and 2 TaskManagers a job, and with frames of 1 to 10,000 samples",
        run=line_scenarios.run_scaling,
        arguments=line_scenarios.scaling_arguments,
        smoke={**_SMOKE, "slots": [2], "frame_samples": [10]},
    ),
    "peers": Scenario(
        doc="the same windowed aggregate by Flink SQL in the JVM, by bytewax and by our job",
        run=line_scenarios.run_peers,
        arguments=line_scenarios.peers_arguments,
        smoke={**_SMOKE, "rate": 0.0, "peer_seconds": 10.0, "seconds": 30.0},
    ),
    "recovery": Scenario(
        doc="kill -9 of TaskManagers under load, registry changes in flight: seconds until the lag is back, every row compared",
        run=line_scenarios.run_recovery,
        arguments=line_scenarios.recovery_arguments,
        smoke={"workload": "smoke", "gateways": 0, "kills": 2, "warmup": 10.0, "pause": 5.0, "each": 60.0},
    ),
    "restore": Scenario(
        doc="the database destroyed under load and brought back by the runbook, or taken over by a standby: lost, RPO, RTO",
        run=line_scenarios.run_restore,
        arguments=line_scenarios.restore_arguments,
        smoke={"workload": "smoke", "samples": 60_000, "rate": 0.0},
    ),
    "soak": Scenario(
        doc="memory of each process and lag over many minutes at a steady rate",
        run=line_scenarios.run_soak,
        arguments=line_scenarios.soak_arguments,
        smoke={"workload": "smoke", "rate": 0.0, "seconds": 40.0},
    ),
    "commands": Scenario(
        doc="commands at a rate on the whole line with the example plant: from due to SUCCEEDED, by hop; memory and CPU of each process",
        run=_commands,
        arguments=_commands_arguments,
        smoke={"commands": 5, "rate": 5.0},
    ),
    "alarms": Scenario(
        doc="alarms on the whole line: from the frame that shows one to a person, by hop; a flood; kills on their way; many rules",
        run=alarms.run,
        arguments=alarms.arguments,
        smoke=alarms.SMOKE,
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
    "signatures": Scenario(
        doc="what signatures of frames cost the telemetry job's logic: CPU of a frame with and without, in turn",
        run=signing.run,
        arguments=signing.arguments,
        smoke={"workload": "smoke", "seconds": 1.0},
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
    "wear": Scenario(
        doc="forecasts of when a limit is reached, on synthetic run-to-failure series, both halves of them",
        run=wear.scenario,
        arguments=wear.add_arguments,
        smoke={"seeds": 1, "half": "design"},
    ),
    "nab": Scenario(
        doc="anomaly detection on labelled series, scored by the rule of the Numenta Anomaly Benchmark",
        run=nab.scenario,
        arguments=nab.add_arguments,
    ),
}
