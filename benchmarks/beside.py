"""Synthetic telemetry beside a running line: its site in the plant's file, the services without its gateways, its sender."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from base.ids import now_us
from base.settings import KafkaSettings
from benchmarks import workload as workloads
from benchmarks.line import tag_ids_of
from benchmarks.pace import Plan, Sender
from benchmarks.workload import Workload
from stack import postgres
from stack.config import StackConfig
from stack.services import HEALTH_WATCH, all_services
from stack.stand_in import StandIn

_SEED = 14


def with_site(plant: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A plant's file with the classes and sites of another beside its own."""
    return plant | {
        "tag_classes": plant["tag_classes"] | other["tag_classes"],
        "device_classes": plant["device_classes"] | other["device_classes"],
        "sites": [*plant["sites"], *other["sites"]],
    }


def example_plant() -> dict[str, Any]:
    """The example plant's file."""
    plant: dict[str, Any] = yaml.safe_load(StackConfig().plant.read_text())
    return plant


def services(config: StackConfig, beside: Workload | None) -> tuple[str, ...]:
    """All services; beside a workload all but its gateways, whose frames are generated.

    The health watch would call such a line down, and `up` would wait for it: it stays away too.
    """
    names = tuple(service.name for service in all_services(config))
    if beside is None:
        return names
    absent = {f"gateway-{beside.gateway_id(number)}" for number in range(beside.gateways)} | {HEALTH_WATCH}
    return tuple(name for name in names if name not in absent)


@contextmanager
def telemetry(config: StackConfig, beside: Workload | None, *, seconds: float) -> Iterator[Sender | None]:
    """Samples at the workload's rate while it is open, `seconds` at most."""
    if beside is None:
        yield None
        return
    tag_ids, version = tag_ids_of(postgres.dsn(config))
    plan = Plan(
        workload=beside,
        dirt=workloads.load_dirt("none"),
        tag_ids=tag_ids,
        seconds=seconds,
        seed=_SEED,
        registry_version=version,
        stand_in=StandIn.of(config),
    )
    with Sender(plan, KafkaSettings(bootstrap_servers=config.bootstrap_servers)) as sender:
        yield sender


def rate_hz(sender: Sender | None) -> float:
    """Samples a second that a sender has sent so far."""
    return 0.0 if sender is None else sender.samples / max(1e-9, now_us() - sender.start_us) * 1e6
