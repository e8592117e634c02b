"""A workload: what plant the frames come from and how dirty they are. Read from `benchmarks/suites/`; seeded, so a run can be repeated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from base import settings
from base.errors import ConfigError

SUITES = Path(__file__).parent / "suites"
SITE = "bench"
LIMIT = 1_000.0
"""Limits of every tag; values stay within +-100 unless they are out of range on purpose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dirt:
    """Probabilities of what goes wrong; see suites/workloads.yaml."""

    missing: float
    out_of_range: float
    late: float
    duplicate: float
    clock_skew: float
    skew_s: float
    late_frames: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A plant of equal gateways. Rates and sizes follow from the fields."""

    name: str
    gateways: int
    devices: int
    tags: int
    period_ms: int
    frame_ms: int
    windows_s: tuple[int, ...]
    frame_samples: int = 10_000
    """A frame is closed at this many samples, whatever its age."""
    without: tuple[str, ...] = ()
    """Stages left out, see benchmarks.switches."""

    def at_rate(self, samples_per_s: float) -> Workload:
        """The same plant sampled at about this rate; the period is a whole number of milliseconds."""
        tags = self.gateways * self.lane_tags
        return dataclasses.replace(self, period_ms=max(1, round(tags * 1000 / samples_per_s)))

    @property
    def lane_tags(self) -> int:
        """Tags of one lane (one lane per gateway)."""
        return self.devices * self.tags

    @property
    def samples_per_s(self) -> float:
        """Rate of the whole plant: whole rounds of all tags in each frame period."""
        tags = self.gateways * self.lane_tags
        return (
            tags * 1000 / self.period_ms
            if not self.rounds_per_frame
            else tags * self.rounds_per_frame * 1000 / self.frame_ms
        )

    @property
    def rounds_per_frame(self) -> int:
        """Times each tag is sampled within one frame period; 0 when the period is longer than a frame."""
        return self.frame_ms // self.period_ms

    def gateway_id(self, number: int) -> str:
        """Name of a gateway."""
        return f"gw-bench-{number:04d}"


def load(name: str) -> Workload:
    """Workload of that name; raises ConfigError naming those there are."""
    return settings.parse(Workload, {"name": name, **_entry("workloads.yaml", name)}, where=f"workload {name}")


def load_dirt(name: str) -> Dirt:
    """Dirt table of that name."""
    return settings.parse(Dirt, _entry("dirt.yaml", name), where=f"dirt {name}")


def _entry(file: str, name: str) -> dict[str, object]:
    entries = yaml.safe_load((SUITES / file).read_text())
    if name not in entries:
        msg = f"{file} has no {name!r}; it has {', '.join(entries)}"
        raise ConfigError(msg)
    entry: dict[str, object] = entries[name]
    return entry


# Named for the registry's sake: frames are generated, no gateway connects.
_CONNECTION = {
    "name": "opcua", "protocol": "opcua", "endpoint": "opc.tcp://127.0.0.1:4840", "address": "ns=2;s={site}.{device}.{tag}",
}  # fmt: skip


def plant(workload: Workload) -> dict[str, Any]:
    """The workload's plant in the format of plant files, one site, one cell per gateway."""
    tag: dict[str, Any] = {
        "tag_class": "bench",
        "data_type": "DOUBLE",
        "unit": "1",
        "description": "Synthetic value",
        "eu": [-200, 200],
        "period_ms": workload.period_ms,
        "historise": "NONE" if "copy" in workload.without else "ALL",
    }
    if "checks" not in workload.without:
        tag |= {"limits": [-LIMIT, LIMIT], "max_rate": 1e6, "stuck_after_s": 60}
    else:
        del tag["eu"]
    gateways = [workload.gateway_id(number) for number in range(workload.gateways)]
    cells = [
        {
            "name": f"cell-{number:04d}",
            "devices": [
                {
                    "name": f"device-{number:04d}-{device:03d}",
                    "class": "bench",
                    "gateway": gateway,
                    "connection": "opcua",
                }
                for device in range(workload.devices)
            ],
        }
        for number, gateway in enumerate(gateways)
    ]
    return {
        "enterprise": "bench",
        "tag_classes": {"bench": {"windows_s": list(workload.windows_s)}},
        "device_classes": {
            "bench": {"detector": "default", "tags": {f"tag-{number:02d}": tag for number in range(workload.tags)}}
        },
        "sites": [
            {
                "name": SITE,
                "gateways": [{"id": gateway, "lanes": 1, "connections": [_CONNECTION]} for gateway in gateways],
                "areas": [{"name": "area", "lines": [{"name": "line", "cells": cells}]}],
            }
        ],
    }
