"""Renders the configuration files of our own services; tables of values, one function per file.

Enters: `StackConfig` and the plant file. Leaves: TOML files in the state folder, mode 0600 because some hold the database password.
Who reads them: `edge`, `simulator`, `serving`, `jobs`, and the one-shots of `connectors`.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.plant import ConnectionSpec, GatewaySpec
from stack import page, postgres, sign_in
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


def render_all(config: StackConfig, jobs: Sequence[str]) -> None:
    """Write every file."""
    config.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    gateways = read_gateways(config.plant)
    kafka = {"bootstrap_servers": config.bootstrap_servers}
    write(simulator_file(config), _simulator(config))
    for index, gateway in enumerate(gateways):
        write(gateway_file(config, gateway.id), _gateway(config, gateway, index))
    write(serving_file(config), _serving(config) | {"kafka": kafka})
    if config.sign_in:
        sign_in.prepare(config)
        write(sign_in.file(config), sign_in.issuer(config))
    for job in jobs:
        settings: dict[str, Any] = {"parallelism": config.parallelism.of(job), "kafka": kafka}
        if job == "historian":  # the others need no database
            settings["postgres"] = {"dsn": postgres.dsn(config, role=postgres.HISTORIAN)}
        write(jobs_file(config, job), settings)
    platform = {
        "sites": list(sites(gateways)),
        "kafka": kafka,
        "postgres": {"dsn": postgres.dsn(config)},
        "storage": {"timescaledb": config.timescaledb},
        "metrics": {"host": config.host, "port": config.ports.maintenance_metrics},
    }
    write(platform_file(config), platform)
    maintenance = {"dsn": postgres.dsn(config, role=postgres.MAINTENANCE)}
    write(maintenance_file(config), platform | {"postgres": maintenance})
    write(audit_file(config), audit(config) | {"kafka": kafka})


def instance_environment(config: StackConfig) -> dict[str, str]:
    """Environment in which `stack.config.load` gives this instance again, for the stack's own helpers."""
    variables = {
        "MILLRACE_STATE": str(config.state),
        "MILLRACE_PLANT": str(config.plant),
        "MILLRACE_SEED": str(config.seed),
        "MILLRACE_TIMESCALEDB": config.timescaledb,
        "MILLRACE_SIGN_IN": str(config.sign_in).lower(),
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
            # A checkout whose page was never built has the API alone.
            "page": str(page.DIST) if (page.DIST / "index.html").exists() else "",
        },
        "metrics": {"host": config.host, "port": config.ports.serving_metrics},
        "audit": {"folder": str(audit(config)["folder"])},
        "postgres": {"dsn": postgres.dsn(config, role=postgres.SERVING)},
        "planner": {"dsn": postgres.dsn(config, role=postgres.SERVING_WORK)},
        **({"oidc": sign_in.serving(config)} if config.sign_in else {}),
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
        "sparkplug": {"host": config.host, "port": config.ports.mosquitto, "primary_host": "millrace-{gateway}"},
        "admin": {"host": config.host, "port": config.ports.simulator_admin},
    }


def _gateway(config: StackConfig, gateway: GatewaySpec, index: int) -> dict[str, Any]:
    return {
        "gateway_id": gateway.id,
        "site": gateway.site,
        "state_dir": str(config.data / "gateways" / gateway.id),
        "kafka": {"bootstrap_servers": config.bootstrap_servers},
        "connections": [_connection(config, connection) for connection in gateway.connections],
        # Of several on one machine; the default is for a gateway with a disk of its own.
        "buffer": {"max_bytes": 2 << 30},
        "admin": {"host": config.host, "port": gateway_admin_port(config, index)},
    }


def _connection(config: StackConfig, connection: ConnectionSpec) -> dict[str, Any]:
    """As the plant file has it; simulated machines are at the stack's own endpoints."""
    played = {
        "opcua": f"opc.tcp://{config.host}:{config.ports.opcua}",
        "sparkplug": f"mqtt://{config.host}:{config.ports.mosquitto}",
    }
    settings = dict(connection.settings)
    if connection.simulated:
        settings["endpoint"] = played.get(connection.protocol, settings["endpoint"])
    return {"name": connection.name, "protocol": connection.protocol, **settings}


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a TOML file with mode 0600; untouched when the text is the same."""
    text = "# Rendered by `python -m stack`; edits are overwritten.\n" + to_toml(values)
    if path.exists() and path.read_text() == text:
        return
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def to_toml(values: Mapping[str, Any]) -> str:
    """TOML text of plain values, lists of plain values, tables and arrays of tables, one level deep."""
    plain = [
        f"{key} = {_value(value)}" for key, value in values.items() if not _is_table(value) and not _is_tables(value)
    ]
    tables = [f"\n[{key}]\n{to_toml(value)}" for key, value in values.items() if _is_table(value)]
    arrays = [f"\n[[{key}]]\n{to_toml(item)}" for key, value in values.items() if _is_tables(value) for item in value]
    return "\n".join(plain) + ("\n" if plain else "") + "".join(tables) + "".join(arrays)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _value(value: Any) -> str:
    # JSON's strings, numbers, booleans and arrays of them are TOML's too.
    return json.dumps(value, ensure_ascii=False)
