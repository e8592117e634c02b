"""The table of services: what runs, in which order it starts, how its readiness is seen.

Called by `supervisor` (renders it), `lifecycle` (starts and stops it) and `status`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from registry.plant import GatewaySpec
from stack import flink, kafka, mosquitto, postgres, render, serving_health
from stack.config import ROOT, StackConfig
from stack.errors import StackError
from stack.plant import read_gateways
from stack.programs import program

# Politeness of everything that may be late for a moment; the broker and the commands job's TaskManager stay at 0.
_POLITE = 5
# Who writes stops before what it writes to; the job keeper first of all (0), or it would bring the jobs back.
_WRITERS, FLINK, _STORES = 1, 4, 6


@dataclass(frozen=True, kw_only=True)
class Service:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[StackConfig], bool]
    # Services start in ascending `stage` and stop in ascending `stop_stage`; within one all at once.
    stage: int
    stop_stage: int
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = ROOT
    user: str | None = None
    nice: int = 0
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    # An upper bound for slow machines, not an expectation.
    ready_timeout_s: float = 180
    doc: str = ""
    address: str = ""


def all_services(config: StackConfig) -> tuple[Service, ...]:
    """Every service of the instance, in start order."""
    found = (*_infrastructure(config), *_flink(config), *_platform(config), *_keepers(config))
    return tuple(sorted(found, key=lambda service: service.stage))


def select(config: StackConfig, names: tuple[str, ...]) -> tuple[Service, ...]:
    """Services by name or by prefix (`taskmanager`, `gateway`, `flink` for the whole cluster); all of them when no name is given."""
    services = all_services(config)
    if not names:
        return services
    wanted = [expanded for name in names for expanded in _GROUPS.get(name, (name,))]
    chosen = tuple(s for s in services if any(s.name == w or s.name.startswith(f"{w}-") for w in wanted))
    missing = [w for w in wanted if not any(s.name == w or s.name.startswith(f"{w}-") for s in services)]
    if missing:
        msg = f"no service {missing[0]!r}; there are {', '.join(s.name for s in services)} and the groups {', '.join(_GROUPS)}"
        raise StackError(msg)
    return chosen


_GROUPS = {"flink": ("jobmanager", "taskmanager"), "brokers": ("kafka", "mosquitto")}


def _infrastructure(config: StackConfig) -> tuple[Service, ...]:
    port = config.ports
    return (
        Service(
            name="kafka",
            stage=1,
            stop_stage=_STORES + 1,
            command=kafka.command(config),
            ready=kafka.ready,
            stop_wait_s=40,
            doc="Kafka broker",
            address=config.bootstrap_servers,
        ),
        Service(
            name="postgres",
            stage=1,
            stop_stage=_STORES,
            command=postgres.command(config),
            ready=postgres.ready,
            user=postgres.system_user(),
            # SIGINT is PostgreSQL's fast shutdown: it ends sessions and writes a checkpoint.
            stop_signal="INT",
            stop_wait_s=60,
            directory=Path("/"),
            doc="PostgreSQL",
            address=f"{config.host}:{port.postgres}",
        ),
        Service(
            name="mosquitto",
            stage=1,
            stop_stage=_STORES,
            command=mosquitto.command(config),
            ready=mosquitto.ready,
            doc="MQTT broker",
            address=f"{config.host}:{port.mosquitto}",
        ),
    )


def _flink(config: StackConfig) -> tuple[Service, ...]:
    jobmanager = Service(
        name="jobmanager",
        stage=1,
        stop_stage=FLINK + 1,
        command=flink.jobmanager_command(config),
        ready=flink.jobmanager_ready,
        environment=flink.environment(config, "jobmanager"),
        directory=flink.tmp_dir(config),
        nice=_POLITE,
        ready_timeout_s=180,
        doc="Flink JobManager",
        address=config.flink_url,
    )
    reserved = config.parallelism.commands
    taskmanagers = tuple(
        Service(
            name=flink.taskmanager_id(index),
            # The commands job is submitted while only its own TaskManagers are there, so it gets them.
            stage=1 if index <= reserved else 3,
            stop_stage=FLINK,
            command=flink.taskmanager_command(config, index),
            ready=partial(flink.taskmanager_ready, index=index),
            environment=flink.environment(config, flink.taskmanager_id(index)),
            nice=0 if index <= reserved else _POLITE,
            doc="Flink TaskManager" + (" (commands)" if index <= reserved else ""),
            directory=flink.tmp_dir(config),
            ready_timeout_s=180,
        )
        for index in range(1, config.taskmanagers + 1)
    )
    return (jobmanager, *taskmanagers)


def _platform(config: StackConfig) -> tuple[Service, ...]:
    simulator = Service(
        name="simulator",
        stage=2,
        stop_stage=_WRITERS,
        command=(sys.executable, "-m", "simulator", "--config", str(render.simulator_file(config))),
        nice=_POLITE,
        ready=partial(_admin_ready, port=config.ports.simulator_admin),
        doc="simulated machines",
        address=f"opc.tcp://{config.host}:{config.ports.opcua}",
    )
    serving = Service(
        name="serving",
        stage=2,
        stop_stage=_WRITERS,
        **_deployed(config, "serving", "serving", render.serving_file(config)),
        ready=serving_health.ready,
        doc="gRPC server",
        address=config.serving_address,
    )
    maintenance = Service(
        name="maintenance",
        stage=2,
        stop_stage=_WRITERS,
        **_deployed(config, "historian", "historian.maintenance", render.platform_file(config)),
        nice=_POLITE,
        ready=lambda _: True,
        doc="repairs windows, makes and indexes partitions, drops old data",
    )
    return (simulator, *_gateways(config), serving, maintenance)


def _gateways(config: StackConfig) -> tuple[Service, ...]:
    return tuple(
        _gateway(config, gateway, render.gateway_admin_port(config, index))
        for index, gateway in enumerate(read_gateways(config.plant))
    )


def _gateway(config: StackConfig, gateway: GatewaySpec, port: int) -> Service:
    return Service(
        name=f"gateway-{gateway.id}",
        stage=2,
        stop_stage=_WRITERS + 1,
        **_deployed(config, "gateway", "edge", render.gateway_file(config, gateway.id)),
        nice=_POLITE,
        ready=partial(_admin_ready, port=port),
        stop_wait_s=30,
        doc=f"gateway of site {gateway.site}",
        address=f"http://{config.host}:{port}",
    )


def _keepers(config: StackConfig) -> tuple[Service, ...]:
    services = [
        Service(
            name="job-keeper",
            stage=4,
            stop_stage=0,
            command=(sys.executable, "-m", "stack.keeper"),
            ready=lambda _: True,
            nice=_POLITE,
            environment=render.instance_environment(config),
            doc="resubmits jobs that a restarted JobManager forgot",
        )
    ]
    if config.owner_pid:
        services.append(
            Service(
                name="owner-watch",
                stage=0,
                stop_stage=_STORES + 2,
                command=(sys.executable, "-m", "stack.owner_watch"),
                ready=lambda _: True,
                environment=render.instance_environment(config),
                doc="stops this instance when its owner is gone",
            )
        )
    return tuple(services)


def _deployed(config: StackConfig, deployable: str, module: str, config_file: Path) -> dict[str, Any]:
    found = program(config, deployable)
    return {"command": found.module(module, "--config", str(config_file)), "directory": found.directory}


def _admin_ready(config: StackConfig, port: int) -> bool:
    return mosquitto.accepts(config.host, port)
