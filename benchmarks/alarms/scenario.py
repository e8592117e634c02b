"""`bench alarms`: which of its parts is run, and its arguments."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import workload
from benchmarks.alarms import campaign, course, flooding, rules
from stack.reporting import Progress

SMOKE = {"alarms": 3, "raise_rate": 0.5, "rate": 0.0}


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """One of: the pure stage with many rules, kills, a flood, the course of alarms."""
    if options.rules:
        return rules.run(rules=options.rules, devices=options.devices, progress=progress)
    if options.kills:
        return campaign.run(options, progress)
    beside = workload.load("wide").at_rate(options.rate) if options.rate else None
    if options.flood:
        return flooding.run(beside=beside, seed=options.seed, progress=progress)
    return course.run(alarms=options.alarms, rate_hz=options.raise_rate, beside=beside, progress=progress)


def arguments(parser: argparse.ArgumentParser) -> None:
    """All of them; most belong to one part."""
    parser.add_argument("--alarms", type=int, default=200, help="alarms that count")
    parser.add_argument("--raise-rate", type=float, default=1.0, help="alarms a second, open loop")
    parser.add_argument("--rate", type=float, default=100_000, help="samples a second of telemetry beside it; 0: none")
    parser.add_argument("--flood", action="store_true", help="1,000 alarms in 10 s, 3 of them critical")
    parser.add_argument("--seed", type=int, default=1, help="of the flood: when which machine raises")
    parser.add_argument(
        "--kills", type=int, default=0, metavar="SEED", help="kill and pause what alarms pass, by this seed"
    )
    parser.add_argument("--raises", type=int, default=13, help="alarms under way at each kill or pause")
    parser.add_argument("--only", default="", metavar="NAME,..", help="of what is broken: " + ", ".join(campaign.NAMES))
    parser.add_argument("--kinds", default="kill,pause", metavar="KIND,..", help="how: kill, pause")
    parser.add_argument("--down-min", type=float, default=10, help="minutes for which the webhook is down at first")
    parser.add_argument("--minutes", type=float, default=0, help="break nothing later than this; 0: all of them")
    parser.add_argument("--rules", type=int, default=0, help="the pure stage with so many rules; nothing is started")
    parser.add_argument("--devices", type=int, default=40_000, help="devices of those rules")
