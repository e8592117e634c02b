"""Many rules: what the pure stage of alarms costs with so many of them, by record and in bytes. Nothing is started.

The plant is that of the workload `plant`, 40,000 devices at 1,000 gateways of one lane and 400 tags each; each device has rules of its own,
so none is shared. Once all of it is one site, which is the unit of state and the worst case, and once it is a site for every 40 gateways.
A record is the last values of a lane, as `telemetry.latest` has them; its cost has the state that is written behind it, and not Flink,
Kafka, or decoding. Times are CPU time of one process, so that other work on the machine shows less.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from schemas.alarm_rules import AlarmRule, ConditionKind, Level
from schemas.definitions import DataType, Historise, TagDefinition, encode_tag, encode_version
from schemas.priorities import Response, Severity
from stack.reporting import Progress
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.step import Step

DEVICES_OF_GATEWAY, TAGS_OF_DEVICE = 40, 10
_GATEWAYS_OF_SITE = 40
_T0_US = 1_767_225_600_000_000
_LIMIT = 80.0
_NORMAL, _BEYOND = 50.0, 90.0
_ROUNDS = 5
_CHANGES, _MANY = 3, 200
_STANDING = 0.01
"""Share of the rules whose alarm stands in the busy rounds; half of them come and go in each, and their delays run."""


@dataclass(kw_only=True)
class Plant:
    """So many devices; `site_of` says where a gateway is."""

    devices: int
    rules: int
    site_of: Callable[[int], str]

    @property
    def gateways(self) -> int:
        """One for every 40 devices."""
        return -(-self.devices // DEVICES_OF_GATEWAY)

    @property
    def sites(self) -> list[str]:
        """Names."""
        return sorted({self.site_of(number) for number in range(self.gateways)})

    def path(self, device: int) -> str:
        """Of a device; areas are of ten gateways."""
        gateway = device // DEVICES_OF_GATEWAY
        return f"bench/{self.site_of(gateway)}/area-{gateway // 10}/line/cell-{gateway}/device-{device}"

    def tags(self) -> Iterator[TagDefinition]:
        """Definitions."""
        for device in range(self.devices):
            gateway = device // DEVICES_OF_GATEWAY
            for number in range(TAGS_OF_DEVICE):
                yield TagDefinition(
                    tag_id=device * TAGS_OF_DEVICE + number + 1,
                    device_id=device + 1,
                    registry_version=1,
                    path=f"{self.path(device)}/tag-{number:02d}",
                    name=f"tag-{number:02d}",
                    site=self.site_of(gateway),
                    device_class="bench",
                    tag_class="bench",
                    description="",
                    data_type=DataType.DOUBLE,
                    unit="1",
                    eu_low=None,
                    eu_high=None,
                    limit_low=None,
                    limit_high=None,
                    max_rate=None,
                    stuck_after_s=None,
                    period_ms=1000,
                    deadband=0.0,
                    windows_s=(60,),
                    detector="default",
                    historise=Historise.ALL,
                    gateway_id=f"gw-{gateway}",
                    lane=0,
                    address="",
                    writable=False,
                    retired=False,
                )

    def rule(self, number: int, **changes: Any) -> AlarmRule:
        """One rule: a device has one for each of its tags, then the next; every second has delays."""
        device, tag = number % self.devices, number // self.devices % TAGS_OF_DEVICE
        delay_s = 5.0 if number % 2 else 0.0
        fields: dict[str, Any] = {
            "name": f"rule-{number // self.devices}",
            "device_path": self.path(device),
            "kind": ConditionKind.LIMIT,
            "tag": f"tag-{tag:02d}",
            "level": Level.HI,
            "limit": _LIMIT,
            "deadband": 1.0,
            "on_delay_s": delay_s,
            "off_delay_s": delay_s,
            "severity": Severity.MODERATE,
            "response": Response.SOON,
            "title": f"Tag {tag} of the device is high",
            "cause": "The benchmark says so.",
            "consequence": "It is counted.",
            "corrective_action": "None.",
        }
        return AlarmRule(**(fields | changes))


@dataclass(kw_only=True)
class _Run:
    """The logic, and the state that an adapter would keep."""

    plant: Plant
    logic: AlarmLogic = field(default_factory=lambda: AlarmLogic(AlarmConfig(), _T0_US - 60_000_000))
    parts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    now_us: int = _T0_US
    alarms: int = 0

    def keep(self, site: str, step: Step) -> int:
        """Bytes written."""
        self.alarms += len(step.alarms)
        stored = self.parts.setdefault(site, {})
        changes = self.logic.drain_changes(site)
        for name, data in changes.items():
            if data is None:
                del stored[name]
            else:
                stored[name] = data
        return sum(len(data) for data in changes.values() if data is not None)

    def lane(self, gateway: int, values: np.ndarray[Any, np.dtype[np.float64]]) -> int:
        """One record of a gateway's lane, and its timer's turn is not in it."""
        count, site = len(values), self.plant.site_of(gateway)
        first = gateway * DEVICES_OF_GATEWAY * TAGS_OF_DEVICE + 1
        record = {
            "gateway_id": f"gw-{gateway}",
            "lane": 0,
            "closed_time_us": self.now_us,
            "tag_id": np.arange(first, first + count, dtype=np.int32),
            "time_us": np.full(count, self.now_us - 1000, dtype=np.int64),
            "value": values,
            "quality": np.zeros(count, dtype=np.uint16),
        }
        return self.keep(site, self.logic.on_record(site, "LatestBatch", record, self.now_us))


def run(*, rules: int, devices: int, progress: Progress) -> dict[str, Any]:
    """Both plants, one after the other."""
    found = {
        name: measure(Plant(devices=devices, rules=rules, site_of=site_of), progress, name)
        for name, site_of in (
            ("one_site", lambda _: "site-0"),
            ("sites_of_40_gateways", lambda gateway: f"site-{gateway // _GATEWAYS_OF_SITE}"),
        )
    }
    columns = ["plant", *next(iter(found.values()))]
    rows = [[name, *one.values()] for name, one in found.items()]
    turned = [[columns[index], *(row[index] for row in rows)] for index in range(1, len(columns))]
    table = {"title": f"{rules:,} rules on {devices:,} devices", "columns": ["", *found], "rows": turned}
    one = found["one_site"]
    return {
        "rules": rules,
        "devices": devices,
        "quiet_record_us": one["quiet_record_mean_us"],
        "busy_record_us": one["busy_record_mean_us"],
        "memory_of_rules_mb": one["memory_of_rules_mb"],
        "memory_bytes_a_rule": one["memory_bytes_a_rule"],
        **found,
        "tables": [table],
    }


def measure(plant: Plant, progress: Progress, name: str) -> dict[str, Any]:
    """Figures of one plant; times are of this process, milliseconds or microseconds as their names say."""
    with progress.step(f"{name}: definitions") as details:
        found = _define(run := _Run(plant=plant))
        details.append(f"{found['load_s']:.1f} s")
    with progress.step(f"{name}: records"):
        found |= _records(run)
    with progress.step(f"{name}: changes"):
        found |= _changes(run)
    with progress.step(f"{name}: start"):
        found |= _start(run)
    return found


def _define(run: _Run) -> dict[str, Any]:
    """Memory is what the process has grown by: with the definitions of tags, and then with rules and tables."""
    plant, before = run.plant, _memory_bytes()
    load_s = 0.0
    for tag in plant.tags():
        message = encode_tag(tag)[1]
        began = time.process_time()
        run.logic.apply_registry(message)
        load_s += time.process_time() - began
    tags = plant.devices * TAGS_OF_DEVICE
    run.logic.apply_registry(encode_version(1, tags=tags, time_us=_T0_US)[1])
    defined = _memory_bytes()
    for number in range(plant.rules):
        rule = plant.rule(number)
        began = time.process_time()
        run.logic.apply_rule(rule)
        load_s += time.process_time() - began
    began = time.process_time()
    for site in plant.sites:
        run.keep(site, run.logic.on_timer(site, run.now_us))
    tables_s = time.process_time() - began
    after = _memory_bytes()
    return {
        "load_s": load_s,
        "tables_s": tables_s,
        "memory_of_tags_mb": (defined - before) / 1e6,
        "memory_of_rules_mb": (after - defined) / 1e6,
        "memory_bytes_a_rule": round((after - defined) / plant.rules),
    }


def _records(run: _Run) -> dict[str, Any]:
    plant, rng = run.plant, np.random.default_rng(1)
    count = DEVICES_OF_GATEWAY * TAGS_OF_DEVICE
    lanes = [np.full(count, _NORMAL) for _ in range(plant.gateways)]
    found: dict[str, Any] = {}
    _round(run, lanes)  # the first values of every tag
    quiet = [each for _ in range(_ROUNDS) for each in _round(run, lanes)]
    found |= _spread(quiet, "quiet_record")
    found["state_bytes_quiet"] = _stored(run)
    # Some stand, and half of them come and go.
    chosen = rng.choice(plant.rules, max(2, round(plant.rules * _STANDING)), replace=False)
    busy = []
    for turn in range(_ROUNDS):
        for number in chosen:
            device, tag = number % plant.devices, number // plant.devices % TAGS_OF_DEVICE
            gateway, place = divmod(device, DEVICES_OF_GATEWAY)
            beyond = number % 4 < 2 or turn % 2 == 0
            lanes[gateway][place * TAGS_OF_DEVICE + tag] = _BEYOND if beyond else _NORMAL
        run.now_us += 9_000_000
        busy += _round(run, lanes)
    found |= _spread(busy, "busy_record")
    found["alarm_records"] = run.alarms
    found["state_bytes_busy"] = _stored(run)
    ticks = []
    for _ in range(_ROUNDS):
        run.now_us += 1_000_000
        for site in plant.sites:
            began = time.process_time()
            run.keep(site, run.logic.on_timer(site, run.now_us))
            ticks.append(time.process_time() - began)
    return found | _spread(ticks, "tick_of_a_site")


def _round(run: _Run, lanes: list[np.ndarray[Any, np.dtype[np.float64]]]) -> list[float]:
    """A second of the plant: one record of each lane; seconds of each."""
    run.now_us += 1_000_000
    took = []
    for gateway, values in enumerate(lanes):
        run.now_us += 1_000_000 // len(lanes)
        noise = values + np.linspace(0, 1, len(values)) * (run.now_us % 7)
        began = time.process_time()
        run.lane(gateway, noise)
        took.append(time.process_time() - began)
    return took


def _changes(run: _Run) -> dict[str, Any]:
    """A rule that changes long after the last one: the site's table is made anew. Then many within a second, a record behind each."""
    plant, site = run.plant, run.plant.sites[0]
    took, between = list[float](), list[float]()
    for number in range(_CHANGES):
        run.now_us += 600_000_000
        run.logic.apply_rule(plant.rule(number, version=2, limit=_LIMIT + 1))
        began = time.process_time()
        run.keep(site, run.logic.on_timer(site, run.now_us))
        took.append(time.process_time() - began)
    quiet = np.full(DEVICES_OF_GATEWAY * TAGS_OF_DEVICE, _NORMAL)
    for number in range(_MANY):
        run.now_us += 1_000_000 // _MANY
        run.logic.apply_rule(plant.rule(number, version=3, limit=_LIMIT + 2))
        began = time.process_time()
        run.lane(0, quiet)
        between.append(time.process_time() - began)
    return {"rule_changed_ms": 1000 * float(np.median(took))} | _spread(between, "record_between_changes")


def _start(run: _Run) -> dict[str, Any]:
    began = time.process_time()
    for site in run.plant.sites:
        run.logic.restore(site, run.parts[site], run.now_us)
    return {"restore_s": time.process_time() - began, "peak_memory_mb": _peak_mb()}


def _stored(run: _Run) -> int:
    return sum(len(data) for parts in run.parts.values() for data in parts.values())


def _spread(seconds: list[float], prefix: str) -> dict[str, float]:
    values = np.asarray(seconds) * 1e6
    return {
        f"{prefix}_mean_us": round(float(values.mean()), 1),
        f"{prefix}_p50_us": round(float(np.percentile(values, 50)), 1),
        f"{prefix}_p99_us": round(float(np.percentile(values, 99)), 1),
    }


def _memory_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
