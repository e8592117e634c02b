"""`./millrace bench SCENARIO [--workload W] [--seconds N] [--seed S] [--dirt D] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import commands, throughput, workload
from benchmarks.line import line
from schemas import ids
from schemas.errors import MillraceError
from stack.config import Parallelism
from stack.lifecycle import Progress


def main() -> int:
    """Run one scenario; its result on standard output or in a file, progress on standard error."""
    options = _arguments()
    try:
        result = SCENARIOS[options.scenario](options)
    except MillraceError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    text = json.dumps({**_conditions(options), **result}, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0


def _throughput(options: argparse.Namespace) -> dict[str, Any]:
    chosen = workload.load(options.workload)
    dirt = workload.load_dirt(options.dirt)
    parallelism = Parallelism(telemetry=options.telemetry_slots, historian=options.historian_slots)
    progress = _progress()
    samples = chosen.samples_per_s * options.seconds
    with line(
        chosen, samples=samples, parallelism=parallelism, timescaledb=options.timescaledb, log_to=progress
    ) as under_test:
        start_us = ids.now_us() - int((options.seconds + 60) * 1e6)
        expected = under_test.preload(dirt, seconds=options.seconds, start_us=start_us, seed=options.seed)
        return throughput.run(under_test, expected)


def _commands(options: argparse.Namespace) -> dict[str, Any]:
    return commands.run(commands=options.commands, progress=_progress())


SCENARIOS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "throughput": _throughput,
    "commands": _commands,
}


def _progress() -> Progress:
    return Progress(sink=_say)


def _say(line_of_progress: str) -> None:
    sys.stderr.write(line_of_progress + "\n")


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    cpu = next(
        (
            row.split(":")[1].strip()
            for row in Path("/proc/cpuinfo").read_text().splitlines()
            if row.startswith("model name")
        ),
        "",
    )
    return {
        "scenario": options.scenario,
        "arguments": vars(options),
        "machine": {
            "cpu": cpu,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="millrace bench", description="Measure the line; see benchmarks/README.md for what is not measured."
    )
    parser.add_argument("scenario", choices=tuple(SCENARIOS))
    parser.add_argument("--workload", default="fast", help="of suites/workloads.yaml")
    parser.add_argument("--dirt", default="default", help="of suites/dirt.yaml")
    parser.add_argument("--seconds", type=float, default=60, help="of event time at the workload's nominal rate")
    parser.add_argument("--commands", type=int, default=200, help="round trips of the scenario commands")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--telemetry-slots", type=int, default=1)
    parser.add_argument("--historian-slots", type=int, default=1)
    parser.add_argument("--timescaledb", choices=("auto", "off"), default="auto")
    parser.add_argument("--json", help="write the result to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
