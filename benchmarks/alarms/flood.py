"""A flood: 1,000 machines raise within ten seconds, three of the alarms are critical: the plan, and what the calm list showed. Pure.

Each machine has one tag, which leaves its limit at a moment drawn by the seed. `flooding` carries it out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import figures
from millrace_client import AlarmPriority

MACHINES, CRITICAL = 1_000, 3
SPAN_S = 10.0
SITE, GATEWAY = "flooded", "gw-flooded"
RULES = ("flood", "flood-critical")
_AREAS = {"pressing": 0.05, "milling": 0.15, "coating": 0.3, "packing": 0.5}
NORMAL, BEYOND, _LIMIT = 50.0, 90.0, 80.0
MOST_LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """`at_s`: when its tag leaves the limit, from the beginning of the flood."""

    name: str
    area: str
    critical: bool
    at_s: float

    @property
    def path(self) -> str:
        """Of its tag."""
        return f"acme/{SITE}/{self.area}/line/cell/{self.name}/level"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """An answer of the calm list: when it had come, and the path and priority of each line's head."""

    at_us: int
    lines: tuple[tuple[str, str], ...]
    alarms: int


@dataclass(kw_only=True)
class Sent:
    """When each machine's frame was closed and its sample taken, microseconds since 1970."""

    closed_us: dict[str, int] = field(default_factory=dict)
    source_us: dict[str, int] = field(default_factory=dict)


def plan(seed: int, machines: int = MACHINES, critical: int = CRITICAL, span_s: float = SPAN_S) -> list[Machine]:
    """Machines and moments; the critical ones come in the midst of it."""
    draw = random.Random(f"flood {seed}")
    areas = [area for area, share in _AREAS.items() for _ in range(round(machines * share))]
    chosen = set(draw.sample(range(machines), critical))
    return [
        Machine(
            name=f"machine-{number:04d}",
            area=areas[min(number, len(areas) - 1)],
            critical=number in chosen,
            at_s=(draw.uniform(0.3, 0.9) if number in chosen else draw.uniform(0, 0.99)) * span_s,
        )
        for number in range(machines)
    ]


def plant(machines: Sequence[Machine]) -> dict[str, Any]:
    """Its site, in the format of plant files."""
    tag = {
        "tag_class": "level", "data_type": "DOUBLE", "unit": "1", "description": "What floods", "eu": [0, 100], "limits": [-1000, 1000],
        "period_ms": 1000,
    }  # fmt: skip
    connection = {
        "name": "opcua",
        "protocol": "opcua",
        "endpoint": "opc.tcp://127.0.0.1:4840",
        "address": "ns=2;s={device}.{tag}",
    }
    areas = [
        {
            "name": area,
            "lines": [
                {
                    "name": "line",
                    "cells": [
                        {
                            "name": "cell",
                            "devices": [
                                {
                                    "name": one.name,
                                    "class": "flooded-critical" if one.critical else "flooded",
                                    "gateway": GATEWAY,
                                    "connection": "opcua",
                                }
                                for one in machines
                                if one.area == area
                            ],
                        }
                    ],
                }
            ],
        }
        for area in _AREAS
    ]
    classes = {name: {"detector": "default", "tags": {"level": tag}} for name in ("flooded", "flooded-critical")}
    return {
        "enterprise": "acme",
        "tag_classes": {"level": {"windows_s": [60]}},
        "device_classes": classes,
        "sites": [
            {"name": SITE, "gateways": [{"id": GATEWAY, "lanes": 1, "connections": [connection]}], "areas": areas}
        ],
    }


def rules() -> list[dict[str, Any]]:
    """One of each class."""
    weights = {
        "flood": ("flooded", "MODERATE", "PROMPT"),
        "flood-critical": ("flooded-critical", "SEVERE", "IMMEDIATE"),
    }
    return [
        {
            "name": name,
            "device_class": device_class,
            "kind": "LIMIT",
            "tag": "level",
            "level": "HI",
            "limit": _LIMIT,
            "severity": severity,
            "response": response,
            "title": f"Level is high ({name})",
            "cause": "The benchmark floods.",
            "consequence": "It is counted.",
            "corrective_action": "Acknowledge it.",
        }
        for name, (device_class, severity, response) in weights.items()
    ]


def judge(machines: Sequence[Machine], sent: Sent, looks: Sequence[Look]) -> dict[str, Any]:
    """A critical alarm is on top once its line is among the first, with none but critical ones above it."""
    took, never = [], []
    for one in machines:
        if not one.critical:
            continue
        closed_us = sent.closed_us[one.path]
        shown = [look.at_us for look in looks if look.at_us >= closed_us and one.path in _leading(look)]
        if shown:
            took.append((shown[0] - closed_us) / 1000)
            later = [look for look in looks if look.at_us > shown[0] and one.path not in _leading(look)]
            never += [f"{one.path} was on top, and no more at {look.at_us}" for look in later[:1]]
        else:
            never.append(f"{one.path} never was on top")
    return {
        "critical_on_top_max_ms": max(took, default=None),
        **figures.percentiles(took, "critical_on_top_"),
        "critical_not_on_top": never,
        "lines_max": max((len(look.lines) for look in looks), default=0),
        "alarms_in_lines_max": max((look.alarms for look in looks), default=0),
        "looks": len(looks),
    }


def _leading(look: Look) -> list[str]:
    """Heads of the critical lines on top."""
    found = []
    for path, priority in look.lines:
        if priority != AlarmPriority.CRITICAL:
            break
        found.append(path)
    return found
