"""The table of services: what runs, in which order it starts, how it is asked for its health and how long it may be silent.

Called by `supervisor` (renders it), `lifecycle` (starts and stops it), `health.watch` (watches it) and `status`.

Over 350 lines: one table, which is read as a whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from base import heartbeat
from registry.plant import GatewaySpec
from stack import flink, kafka, mosquitto, postgres, render, sign_in, trust
from stack.config import ROOT, StackConfig
from stack.errors import StackError
from stack.health import probes
from stack.health.answer import Answer, Health
from stack.programs import program

# Politeness of everything that may be late for a moment; the broker stays at 0. TaskManagers start at 0, and those that do not run the
# commands job become polite (stack/priority.py).
_POLITE = 5
# Who writes stops before what it writes to; the job keeper first of all (0), or it would bring the jobs back.
_WRITERS, FLINK, _STORES = 1, 4, 6
# Seconds of silence after which a service is restarted. A collection in Python takes milliseconds, but a busy machine may not let a
# process run for some seconds. Stores and Flink have more to lose by a restart than by waiting: after a pause of a minute (a full
# collection, a virtual machine that moves) they are back sooner than after a recovery.
_BRIEF_S, _SHORT_S, _LONG_S = 12.0, 20.0, 90.0
HEALTH_WATCH, JOB_KEEPER = "health-watch", "job-keeper"


@dataclass(frozen=True, kw_only=True)
class Service:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    health: Callable[[StackConfig], Health]
    # Services start in ascending `stage` and stop in ascending `stop_stage`; within one all at once.
    stage: int
    stop_stage: int
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = ROOT
    user: str | None = None
    nice: int = 0
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    # Upper bounds for slow machines, not expectations: until `up` gives up, and until a process that never answered is replaced.
    ready_timeout_s: float = 180
    start_grace_s: float = 180
    # How long it may be silent once it has answered.
    grace_s: float = _SHORT_S
    doc: str = ""
    address: str = ""

    def ready(self, config: StackConfig) -> bool:
        """Whether it answers and can do its work."""
        return self.health(config).answer is Answer.READY


def all_services(config: StackConfig) -> tuple[Service, ...]:
    """Every service of the instance, in start order."""
    found = (*_infrastructure(config), *_standby(config), *_flink(config), *_platform(config), *_keepers(config))
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
            health=kafka.health,
            stop_wait_s=40,
            grace_s=_LONG_S,
            # After a crash it reads its newest segments again.
            start_grace_s=600,
            doc="Kafka broker",
            address=config.bootstrap_servers,
        ),
        Service(
            name="postgres",
            stage=1,
            stop_stage=_STORES,
            command=postgres.command(config),
            health=postgres.health,
            grace_s=_LONG_S,
            start_grace_s=600,
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
            health=mosquitto.health,
            doc="MQTT broker",
            address=f"{config.host}:{port.mosquitto}",
        ),
    )


def _standby(config: StackConfig) -> tuple[Service, ...]:
    """When one was made (`stack.standby`)."""
    if not postgres.standby_dir(config).exists():
        return ()
    return (
        Service(
            name=postgres.STANDBY,
            stage=1,
            # Before the primary, which would wait for it to have everything.
            stop_stage=_STORES,
            command=postgres.command(config, standby=True),
            health=partial(postgres.health, standby=True),
            grace_s=_LONG_S,
            start_grace_s=600,
            user=postgres.system_user(),
            stop_signal="INT",
            stop_wait_s=60,
            directory=Path("/"),
            doc="PostgreSQL that follows the other and can take over",
            address=f"{config.host}:{config.ports.standby}",
        ),
    )


def _flink(config: StackConfig) -> tuple[Service, ...]:
    jobmanager = Service(
        name="jobmanager",
        stage=1,
        stop_stage=FLINK + 1,
        command=flink.jobmanager_command(config),
        health=flink.jobmanager_health,
        grace_s=_LONG_S,
        environment=flink.environment(config),
        directory=flink.tmp_dir(config),
        nice=_POLITE,
        ready_timeout_s=180,
        doc="Flink JobManager",
        address=config.flink_url,
    )
    taskmanagers = tuple(
        Service(
            name=flink.taskmanager_id(index),
            stage=1,
            stop_stage=FLINK,
            command=flink.taskmanager_command(config, index),
            health=partial(flink.taskmanager_health, index=index),
            grace_s=_LONG_S,
            environment=flink.environment(config),
            doc="Flink TaskManager",
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
        # Behind the gateways: machines that go first are machines that cannot be reached, and an alarm each.
        stop_stage=_WRITERS + 1,
        command=(sys.executable, "-m", "simulator", "--config", str(render.simulator_file(config))),
        health=partial(_admin_health, port=config.ports.simulator_admin),
        # It stands for the machines: nobody restarts a machine that is slow.
        grace_s=_LONG_S,
        doc="simulated machines",
        address=f"opc.tcp://{config.host}:{config.ports.opcua}",
    )
    serving = Service(
        name="serving",
        stage=2,
        stop_stage=_WRITERS,
        **_deployed(config, "serving", "serving", render.serving_file(config)),
        health=_serving_health,
        grace_s=_BRIEF_S,
        doc="gRPC and HTTP server, the page",
        address=config.serving_address,
    )
    maintenance = Service(
        name="maintenance",
        stage=2,
        stop_stage=_WRITERS,
        **_deployed(config, "historian", "historian.maintenance", render.maintenance_file(config)),
        nice=_POLITE,
        health=partial(_beat_health, name="maintenance"),
        environment=_beat_environment(config, "maintenance"),
        doc="repairs windows, makes and indexes partitions, drops old data",
    )
    audit = Service(
        name="audit",
        stage=2,
        # Behind those whose events it takes.
        stop_stage=_WRITERS + 2,
        **_deployed(config, "historian", "audit", render.audit_file(config)),
        nice=_POLITE,
        health=partial(_beat_health, name="audit"),
        environment=_beat_environment(config, "audit"),
        doc="makes the Merkle log of audit.log",
    )
    return (
        simulator,
        *_gateways(config),
        serving,
        maintenance,
        audit,
        *_enrolment(config),
        *_ingestion(config),
        *_notifier(config),
        *_issuer(config),
    )


def _enrolment(config: StackConfig) -> tuple[Service, ...]:
    """The door faces the network; the signer, which has the authority's key, does not."""
    signer = _keeper(
        config, "signer", "stack.enrolment", doc="signs for gateways that enrol", stage=2, stop_stage=_WRITERS
    )
    door = Service(
        name=trust.ENROLMENT,
        stage=2,
        stop_stage=_WRITERS,
        command=(sys.executable, "-m", "enrolment", "--config", str(render.enrolment_file(config))),
        nice=_POLITE,
        health=_enrolment_health,
        environment=_beat_environment(config, trust.ENROLMENT),
        doc="where gateways enrol",
        address=config.enrolment_url,
    )
    return signer, door


def _ingestion(config: StackConfig) -> tuple[Service, ...]:
    """Where a gateway goes by it."""
    if not trust.takes_gateways(config):
        return ()
    made = Service(
        name=trust.INGESTION,
        stage=2,
        # Behind the gateways, whose last frames it takes.
        stop_stage=_WRITERS + 2,
        **_deployed(config, "ingestion", "ingestion", render.ingestion_file(config)),
        health=partial(_admin_health, port=config.ports.ingestion_metrics),
        stop_wait_s=30,
        doc="takes frames of gateways that may not open Kafka",
        address=config.ingestion_address,
    )
    return (made,)


def _notifier(config: StackConfig) -> tuple[Service, ...]:
    if not render.alarm_routes(config).exists():
        return ()
    made = Service(
        name="notifier",
        stage=2,
        stop_stage=_WRITERS,
        **_deployed(config, "notifier", "notifier", render.notifier_file(config)),
        nice=_POLITE,
        health=partial(_beat_health, name="notifier"),
        environment=_beat_environment(config, "notifier"),
        # What is on its way arrives first.
        stop_wait_s=45,
        doc="tells people of alarms",
    )
    return (made,)


def _issuer(config: StackConfig) -> tuple[Service, ...]:
    if not config.sign_in:
        return ()
    made = Service(
        name="issuer",
        stage=1,
        stop_stage=_WRITERS,
        command=(sys.executable, "-m", "issuer", "--config", str(sign_in.file(config))),
        nice=_POLITE,
        health=_issuer_health,
        doc="where people sign in",
        address=sign_in.address(config),
    )
    return (made,)


def _gateways(config: StackConfig) -> tuple[Service, ...]:
    return tuple(
        _gateway(config, gateway, render.gateway_admin_port(config, index))
        for index, gateway in trust.gateways_here(config)
    )


def _gateway(config: StackConfig, gateway: GatewaySpec, port: int) -> Service:
    return Service(
        name=f"gateway-{gateway.id}",
        stage=2,
        stop_stage=_WRITERS + 1,
        **_deployed(config, "gateway", "edge", render.gateway_file(config, gateway.id)),
        health=partial(_admin_health, port=port),
        stop_wait_s=30,
        doc=f"gateway of site {gateway.site}",
        address=f"http://{config.host}:{port}",
    )


def _keepers(config: StackConfig) -> tuple[Service, ...]:
    """Who looks after the others. The watch of the services and the keeper of the jobs look after each other."""
    services = [
        _keeper(config, JOB_KEEPER, "stack.keeper", doc="heals jobs that Flink forgot, that fail or that stand still"),
        _keeper(config, HEALTH_WATCH, "stack.health.watch", doc="restarts services that do not answer"),
    ]
    if config.owner_pid:
        services.append(
            _keeper(
                config,
                "owner-watch",
                "stack.owner_watch",
                stage=0,
                stop_stage=_STORES + 2,
                doc="stops this instance when its owner is gone",
            )
        )
    return tuple(services)


def _deployed(config: StackConfig, deployable: str, module: str, config_file: Path) -> dict[str, Any]:
    found = program(config, deployable)
    return {"command": found.module(module, "--config", str(config_file)), "directory": found.directory}


def _keeper(config: StackConfig, name: str, module: str, *, doc: str, stage: int = 4, stop_stage: int = 0) -> Service:
    return Service(
        name=name,
        stage=stage,
        stop_stage=stop_stage,
        command=(sys.executable, "-m", module),
        nice=_POLITE,
        health=partial(_beat_health, name=name),
        environment=render.instance_environment(config) | _beat_environment(config, name),
        doc=doc,
    )


def heartbeat_file(config: StackConfig, name: str) -> Path:
    """Where a service that listens on no port shows that it lives."""
    return config.run / "heartbeats" / name


def _beat_environment(config: StackConfig, name: str) -> dict[str, str]:
    return {heartbeat.VARIABLE: str(heartbeat_file(config, name))}


def _beat_health(config: StackConfig, name: str) -> Health:
    return probes.heartbeat_health(heartbeat_file(config, name))


def _enrolment_health(config: StackConfig) -> Health:
    beats = _beat_health(config, trust.ENROLMENT)
    if beats.answer is not Answer.READY:
        return beats
    root = trust.book(config).root_file
    return probes.https_health(config.host, config.ports.enrolment, "/v1/authority", root)


def _admin_health(config: StackConfig, port: int) -> Health:
    return probes.http_health(config.host, port)


def _issuer_health(config: StackConfig) -> Health:
    return probes.http_health(config.host, config.ports.issuer, "/jwks")


def _serving_health(config: StackConfig) -> Health:
    return probes.grpc_health(config.serving_address)
