"""Renders the configuration files of our own services; tables of values, one function per file.

Enters: `StackConfig` and the plant file. Leaves: TOML files in the state folder, mode 0600.
Who reads them: `edge`, `simulator`, `serving`, `jobs`, and the one-shots of `connectors`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from base.toml import to_toml
from registry.plant import ConnectionSpec, GatewaySpec
from stack import mqtt_access, page, postgres, push_key, sign_in, signing, trust
from stack.config import StackConfig
from stack.plant import read_gateways, sites


def simulator_file(config: StackConfig) -> Path:
    """Configuration of the simulated machines."""
    return config.config / "simulator.toml"


def gateway_file(config: StackConfig, gateway_id: str) -> Path:
    """Configuration of one gateway."""
    return config.config / f"gateway-{gateway_id}.toml"


def gateway_admin_port(config: StackConfig, index: int) -> int:
    """Admin port of the gateway at that place in the plant file."""
    return config.ports.gateway_admin + index


def serving_file(config: StackConfig) -> Path:
    """Configuration of the gRPC server."""
    return config.config / "serving.toml"


def jobs_file(config: StackConfig, job: str) -> Path:
    """Configuration of one Flink job."""
    return config.config / f"job-{job}.toml"


def platform_file(config: StackConfig) -> Path:
    """Configuration of the one-shots: topics, migrations, registry."""
    return config.config / "platform.toml"


def maintenance_file(config: StackConfig) -> Path:
    """Configuration of maintenance: the platform's, with a role of its own."""
    return config.config / "maintenance.toml"


def audit_file(config: StackConfig) -> Path:
    """Configuration of the writer of the audit log."""
    return config.config / "audit.toml"


def enrolment_file(config: StackConfig) -> Path:
    """Configuration of the door where gateways enrol."""
    return config.config / "enrolment.toml"


def signer_socket(config: StackConfig) -> Path:
    """Where the door asks the signer."""
    return config.run / "signer.sock"


def ingestion_file(config: StackConfig) -> Path:
    """Configuration of the ingestion service."""
    return config.config / "ingestion.toml"


def notifier_file(config: StackConfig) -> Path:
    """Configuration of the notifier."""
    return config.config / "notifier.toml"


def alarm_routes(config: StackConfig) -> Path:
    """Who is told of alarms: beside the plant's file. Where there is none, nobody is."""
    return config.plant.parent / "alarm-routes.yaml"


def render_all(config: StackConfig, jobs: Sequence[str]) -> None:
    """Write every file."""
    config.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    signing.unsigned_until(config)  # noted before anything else is there: a new instance wants signatures
    gateways = read_gateways(config.plant)
    kafka = {"bootstrap_servers": config.bootstrap_servers}
    write(simulator_file(config), _simulator(config))
    for gateway in gateways:
        mqtt_access.check(gateway)
    signatures = signing.gateway_table(config)
    for index, gateway in trust.gateways_here(config):
        table = _gateway(config, gateway, index) | {"signatures": signatures}
        write(gateway_file(config, gateway.id), table)
    write(enrolment_file(config), _enrolment(config))
    if trust.takes_gateways(config):
        write(ingestion_file(config), ingestion(config) | {"kafka": kafka})
    write(serving_file(config), _serving(config) | {"kafka": kafka})
    if config.sign_in:
        sign_in.prepare(config)
        write(sign_in.file(config), sign_in.issuer(config))
    for job in jobs:
        settings: dict[str, Any] = {"parallelism": config.parallelism.of(job), "kafka": kafka}
        if job in ("telemetry", "commands") and (verifies := signing.jobs_table(config)):
            settings["signatures"] = verifies
        if job == "historian":  # the others need no database
            settings["postgres"] = {"dsn": postgres.dsn(config, role=postgres.HISTORIAN, with_password=False)}
        write(jobs_file(config, job), settings)
    platform = {
        "sites": list(sites(gateways)),
        "kafka": kafka,
        "postgres": {"dsn": postgres.dsn(config, with_password=False)},
        "storage": {"timescaledb": config.timescaledb},
        "metrics": {"host": config.host, "port": config.ports.maintenance_metrics},
        "signing_key": str(signing.key_file(config, signing.REPLAY)) if signing.required(config) else "",
    }
    write(platform_file(config), platform)
    maintenance = {"dsn": postgres.dsn(config, role=postgres.MAINTENANCE, with_password=False)}
    write(maintenance_file(config), platform | {"postgres": maintenance})
    write(audit_file(config), audit(config) | {"kafka": kafka})
    write(notifier_file(config), _notifier(config) | {"kafka": kafka})


def instance_environment(config: StackConfig) -> dict[str, str]:
    """Environment in which `stack.config.load` gives this instance again, for the stack's own helpers."""
    variables = {
        "MILLRACE_STATE": str(config.state),
        "MILLRACE_PLANT": str(config.plant),
        "MILLRACE_SEED": str(config.seed),
        "MILLRACE_TIMESCALEDB": config.timescaledb,
        "MILLRACE_SIGNATURES": config.signatures,
        "MILLRACE_SIGN_IN": str(config.sign_in).lower(),
        "MILLRACE_INGESTION": str(config.ingestion).lower(),
        "MILLRACE_TASKMANAGERS": str(config.taskmanagers),
        "MILLRACE_INSTALLED": config.installed,
        "MILLRACE_PROGRESS_TIMEOUT_S": str(config.progress_timeout_s),
        "MILLRACE_OWNER_PID": str(config.owner_pid),
    }
    nodes: dict[str, Any] = {
        "PORTS": config.ports,
        "MEMORY": config.memory,
        "PARALLELISM": config.parallelism,
        "BACKUP": config.backup,
    }
    for table, node in nodes.items():
        variables |= {
            f"MILLRACE_{table}_{name.upper()}": str(getattr(node, name)) for name in node.__dataclass_fields__
        }
    return variables


def _serving(config: StackConfig) -> dict[str, Any]:
    return {
        "listen": config.serving_address,
        "http": {
            "listen": f"{config.host}:{config.ports.serving_http}",
            "session_key": str(_session_key(config)),
            "push_key": push_key.public_half(config),
            # A checkout whose page was never built has the API alone.
            "page": str(page.DIST) if (page.DIST / "index.html").exists() else "",
        },
        "metrics": {"host": config.host, "port": config.ports.serving_metrics},
        "audit": {"folder": str(audit(config)["folder"])},
        **({"signing": signing.serving_table(config)} if signing.required(config) else {}),
        "postgres": {"dsn": postgres.dsn(config, role=postgres.SERVING, with_password=False)},
        "planner": {"dsn": postgres.dsn(config, role=postgres.SERVING_WORK, with_password=False)},
        **({"oidc": sign_in.serving(config), "privacy": sign_in.privacy(config)} if config.sign_in else {}),
    }


def audit(config: StackConfig) -> dict[str, Any]:
    """`audit.toml`, without how to reach Kafka."""
    return {
        # A log of its own for each instance: after a `reset` it begins anew, and so do the copies.
        "origin": f"{config.instance_id}.millrace.localhost/audit",
        "folder": str(config.data / "audit"),
        "keys": str(config.secrets / "audit"),
        # An installation has this on another machine, on a credential that can only add.
        "copies": str(config.data / "audit-copies"),
        "metrics": {"host": config.host, "port": config.ports.audit_metrics},
    }


def _enrolment(config: StackConfig) -> dict[str, Any]:
    return {
        "listen": f"{config.host}:{config.ports.enrolment}",
        "certificate": str(trust.authority(config).file(trust.ENROLMENT)),
        "signer": str(signer_socket(config)),
    }


def ingestion(config: StackConfig) -> dict[str, Any]:
    """The ingestion service, `[kafka]` apart."""
    issued = trust.book(config)
    own = str(issued.file(trust.INGESTION))
    return {
        "listen": config.ingestion_address,
        "tls": {"cert": own, "key": own, "client_ca": str(issued.root_file)},
        "metrics": {"host": config.host, "port": config.ports.ingestion_metrics},
    }


def _notifier(config: StackConfig) -> dict[str, Any]:
    return {
        "routes": str(alarm_routes(config)),
        "page": config.page_url,
        "push": {"key": f"file:{push_key.private_file(config)}", "contact": "mailto:operator@localhost.localdomain"},
        "metrics": {"host": config.host, "port": config.ports.notifier_metrics},
    }


def _session_key(config: StackConfig) -> Path:
    """Key of the sessions of browsers: made once, so that sessions outlast a restart."""
    path = config.config / "session.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path


def _simulator(config: StackConfig) -> dict[str, Any]:
    return {
        "plant": str(config.plant),
        "journal": str(config.data / "simulator" / "journal.sqlite"),
        "seed": config.seed,
        "opcua": {"url": f"opc.tcp://{config.host}:{config.ports.opcua}"},
        # Nodes are born only while their gateway is online, so what the journal calls sent was heard.
        "sparkplug": {
            "host": config.host,
            "port": config.ports.mosquitto,
            "primary_host": "millrace-{gateway}",
            "ca_file": str(trust.authority(config).root_file),
            "certificate_file": str(trust.authority(config).file("node-{node}")),
        },
        "admin": {"host": config.host, "port": config.ports.simulator_admin},
    }


def _gateway(config: StackConfig, gateway: GatewaySpec, index: int) -> dict[str, Any]:
    return {
        "gateway_id": gateway.id,
        "site": gateway.site,
        "state_dir": str(config.data / "gateways" / gateway.id),
        **_uplink(config, gateway),
        "connections": [_connection(config, gateway, connection) for connection in gateway.connections],
        # Of several on one machine; the default is for a gateway with a disk of its own.
        "buffer": {"max_bytes": 2 << 30},
        "admin": {"host": config.host, "port": gateway_admin_port(config, index)},
    }


def _uplink(config: StackConfig, gateway: GatewaySpec) -> dict[str, Any]:
    """How it reaches the platform."""
    if gateway.uplink == trust.INGESTION:
        return {
            "uplink": {"kind": gateway.uplink},
            "ingestion": trust.ingestion_table(config, gateway.id),
        }
    return {"kafka": trust.kafka_table(config, gateway.id)}


def _connection(config: StackConfig, gateway: GatewaySpec, connection: ConnectionSpec) -> dict[str, Any]:
    return connection_table(config, connection, trust.mqtt_keys(config, mqtt_access.gateway_name(gateway.id)))


def connection_table(config: StackConfig, connection: ConnectionSpec, keys: Mapping[str, str]) -> dict[str, Any]:
    """As the plant file has it; simulated machines are at the stack's own endpoints, where the gateway is known by its certificate.

    `keys`: keys of a connection over MQTT, with the gateway's own files.
    """
    played = {
        "opcua": {"endpoint": f"opc.tcp://{config.host}:{config.ports.opcua}"},
        "sparkplug": {"endpoint": f"mqtts://{config.host}:{config.ports.mosquitto}", **keys},
    }
    settings = dict(connection.settings) | (played.get(connection.protocol, {}) if connection.simulated else {})
    return {"name": connection.name, "protocol": connection.protocol, **settings}


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a TOML file with mode 0600; untouched when the text is the same."""
    text = "# Rendered by `python -m stack`; edits are overwritten.\n" + to_toml(values)
    if path.exists() and path.read_text() == text:
        return
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
