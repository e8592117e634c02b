"""A workload: what plant the frames come from and how dirty they are. Read from `benchmarks/suites/`; seeded, so a run can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from schemas import settings
from schemas.errors import ConfigError
from schemas.registry import DataType, Historise, TagDefinition

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

    @property
    def lane_tags(self) -> int:
        """Tags of one lane (one lane per gateway)."""
        return self.devices * self.tags

    @property
    def samples_per_s(self) -> float:
        """Nominal rate of the whole plant."""
        return self.gateways * self.lane_tags * 1000 / self.period_ms

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


def definitions(workload: Workload, *, registry_version: int = 1, detector: str = "default") -> Iterator[TagDefinition]:
    """Registry of the workload's plant. Ids are dense from 1: devices first within each gateway's block, tags in lane order."""
    for gateway in range(workload.gateways):
        for device in range(workload.devices):
            device_id = gateway * workload.devices + device + 1
            for tag in range(workload.tags):
                name = f"tag-{tag:02d}"
                yield TagDefinition(
                    tag_id=(device_id - 1) * workload.tags + tag + 1,
                    device_id=device_id,
                    registry_version=registry_version,
                    path=f"bench/{SITE}/area-{gateway:04d}/line-1/cell-1/device-{device_id:06d}/{name}",
                    name=name,
                    site=SITE,
                    device_class="bench",
                    tag_class="bench",
                    description="synthetic",
                    data_type=DataType.DOUBLE,
                    unit="1",
                    eu_low=-200.0,
                    eu_high=200.0,
                    limit_low=-LIMIT,
                    limit_high=LIMIT,
                    max_rate=1e6,
                    stuck_after_s=60.0,
                    period_ms=workload.period_ms,
                    deadband=0.0,
                    windows_s=workload.windows_s,
                    detector=detector,
                    historise=Historise.ALL,
                    gateway_id=workload.gateway_id(gateway),
                    lane=0,
                    address=f"opcua:ns=2;s={SITE}.device-{device_id:06d}.{name}",
                    writable=False,
                    retired=False,
                )
