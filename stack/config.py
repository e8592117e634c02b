"""Configuration of one local instance: ports, memory, folders.

Enters: `millrace.toml` in the repository root (optional) and environment variables `MILLRACE_<TABLE>_<KEY>` (`MILLRACE_STATE`,
`MILLRACE_PORTS_POSTGRES`, ...), which win. Leaves: a frozen `StackConfig`; everything else in `stack` is computed from it, so a
second instance is another `StackConfig`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from base import settings
from base.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".millrace"
SETTINGS_FILE = ROOT / "millrace.toml"
PREFIX = "MILLRACE_"
MARKER = "MILLRACE_INSTANCE"
"""Variable in which every process of an instance has its id."""

# Below Linux's ephemeral range (32768), so that no outgoing connection takes one of them, and away from the components'
# standard ports, so that a PostgreSQL of the distribution may go on living on 5432.
_OFFSETS = {
    "serving": 51,
    "serving_metrics": 52,
    "maintenance_metrics": 53,
    "keeper_metrics": 54,
    "watch_metrics": 55,
    "audit_metrics": 56,
    "notifier_metrics": 57,
    "ingestion_metrics": 58,
    "serving_http": 80,
    "flink_rest": 81,
    "issuer": 82,
    "kafka": 92,
    "kafka_controller": 93,
    "kafka_tls": 94,
    "enrolment": 95,
    "ingestion": 96,
    "simulator_admin": 110,
    "flink_rpc": 123,
    "flink_blob": 124,
    "gateway_admin": 200,
    "flink_metrics": 250,
    "postgres": 432,
    "standby": 433,
    "opcua": 840,
    "mosquitto": 883,
}
# Not TMPDIR: whoever looks for a running instance, from another shell perhaps, must look where the first one did.
SHARED_TEMPORARY = Path("/tmp")
# sun_path is 108 bytes; PostgreSQL and supervisord add a name to the folder.
_SOCKET_PATH_LIMIT = 80
# What Flink takes beside the heap, and the heap's first 256 MB (flink-conf/config.yaml).
_TASKMANAGER_LEAST_MB = 896


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Ports on the loopback interface: `base` plus a fixed offset each, unless set (0 means: computed).

    `gateway_admin` and `flink_metrics` are the first of a row: one per gateway, one per Flink process.
    """

    base: int = 29000
    serving: int = 0
    serving_metrics: int = 0
    maintenance_metrics: int = 0
    keeper_metrics: int = 0
    watch_metrics: int = 0
    audit_metrics: int = 0
    notifier_metrics: int = 0
    ingestion_metrics: int = 0
    serving_http: int = 0
    flink_rest: int = 0
    issuer: int = 0
    kafka: int = 0
    kafka_controller: int = 0
    kafka_tls: int = 0
    enrolment: int = 0
    ingestion: int = 0
    simulator_admin: int = 0
    flink_rpc: int = 0
    flink_blob: int = 0
    gateway_admin: int = 0
    flink_metrics: int = 0
    postgres: int = 0
    standby: int = 0
    opcua: int = 0
    mosquitto: int = 0

    def __post_init__(self) -> None:
        for name, offset in _OFFSETS.items():
            port = getattr(self, name) or self.base + offset
            if not 1024 <= port <= 65000:
                msg = f"ports.{name} is {port}, not between 1024 and 65000"
                raise ValueError(msg)
            object.__setattr__(self, name, port)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Sizes in MiB. With four TaskManagers and their Python state the whole stack stays under 8 GB."""

    kafka_heap_mb: int = 640
    jobmanager_mb: int = 1024
    # JVM only: in thread mode Python lives in the same process and its memory comes on top.
    taskmanager_mb: int = 1184
    postgres_shared_buffers_mb: int = 256

    def __post_init__(self) -> None:
        if self.taskmanager_mb < _TASKMANAGER_LEAST_MB:
            msg = f"memory.taskmanager_mb is {self.taskmanager_mb}, not {_TASKMANAGER_LEAST_MB} or more"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parallelism:
    """Slots of each job; every slot is a TaskManager of its own."""

    commands: int = 1
    telemetry: int = 1
    historian: int = 1
    # 0: the job does not run, and its TaskManager's memory is spared.
    alarms: int = 1

    def of(self, job: str) -> int:
        """Slots of the job of that name; others than the platform's have one."""
        return int(getattr(self, job, 1))

    @property
    def total(self) -> int:
        """TaskManagers that the jobs need together."""
        return self.commands + self.telemetry + self.historian + self.alarms


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """Backups of the database by pgBackRest. `repository` empty: beside the database, which helps against everything but a lost disk."""

    repository: str = ""
    # Full backups that are kept, with what was built on them and the write-ahead log since.
    keep_full: int = 2
    processes: int = 2
    # `status` calls the line degraded when the newest backup is older; only once there was one.
    max_age_h: int = 192

    def __post_init__(self) -> None:
        for name in ("keep_full", "processes", "max_age_h"):
            if getattr(self, name) < 1:
                msg = f"backup.{name} is {getattr(self, name)}, not above 0"
                raise ValueError(msg)
        if self.repository and not Path(self.repository).is_absolute():
            msg = f"backup.repository is {self.repository!r}, not an absolute path"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """One instance of the stack."""

    state: Path = TOOLS
    plant: Path = ROOT / "stack" / "plant.yaml"
    host: str = "127.0.0.1"
    seed: int = 1
    # Folder of installed deployables (k8s/images/install.py); empty: everything runs from this checkout.
    installed: str = ""
    # "auto" uses TimescaleDB when PostgreSQL has its files; "off" forces plain PostgreSQL.
    timescaledb: str = "auto"
    # People sign in at an issuer of the stack's own, and no caller is let in without a token.
    sign_in: bool = False
    # "required": gateways sign frames and acknowledgements, serving signs commands, and what is not signed is refused. "off": nothing is.
    # "auto": as the instance has it, and a new one "required" (`stack.signing`).
    signatures: str = "auto"
    # The ingestion service runs for gateways that enrol too; for those of the plant file that go by it, it runs without this.
    ingestion: bool = False
    # 0 means: as many as the jobs need.
    taskmanagers: int = 0
    min_free_disk_gb: int = 5
    # `deploy` goes back when a job has not shown progress on the new code after so long.
    progress_timeout_s: int = 120
    ports: Ports = field(default_factory=Ports)
    memory: Memory = field(default_factory=Memory)
    parallelism: Parallelism = field(default_factory=Parallelism)
    backup: Backup = field(default_factory=Backup)
    # When set, the instance stops as soon as that process is gone: test sessions leave nothing behind.
    owner_pid: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", Path(os.path.abspath(self.state)))
        object.__setattr__(self, "plant", Path(os.path.abspath(self.plant)))
        if self.timescaledb not in ("auto", "off"):
            msg = f"timescaledb is {self.timescaledb!r}, not 'auto' or 'off'"
            raise ValueError(msg)
        if self.signatures not in ("auto", "required", "off"):
            msg = f"signatures is {self.signatures!r}, not 'auto', 'required' or 'off'"
            raise ValueError(msg)
        if not self.taskmanagers:
            object.__setattr__(self, "taskmanagers", self.parallelism.total)
        if self.taskmanagers < 1:
            msg = "taskmanagers is below 1"
            raise ValueError(msg)
        if " " in f"{self.state}{ROOT}":
            msg = f"state is {self.state}: the stack does not work in folders with blanks in their name"
            raise ValueError(msg)

    @cached_property
    def instance_id(self) -> str:
        """Short stable name of the state folder; marks every process of the instance."""
        return hashlib.sha256(str(self.state).encode()).hexdigest()[:12]

    @property
    def data(self) -> Path:
        """What `reset` deletes: broker logs, gateway buffers, checkpoints, savepoints."""
        return self.state / "data"

    @property
    def logs(self) -> Path:
        """One file per service, rotated by supervisord."""
        return self.state / "logs"

    @property
    def config(self) -> Path:
        """Rendered configuration files; private to the user because they hold the database password."""
        return self.state / "config"

    @property
    def secrets(self) -> Path:
        """Generated passwords, mode 0600."""
        return self.state / "secrets"

    @property
    def authority(self) -> Path:
        """The stack's certificate authority (`authority`)."""
        return self.secrets / "authority"

    @cached_property
    def run(self) -> Path:
        """Sockets, locks, process ids: under the state folder unless that makes a socket's path too long."""
        path = self.state / "run"
        if len(str(path)) <= _SOCKET_PATH_LIMIT:
            return path
        return SHARED_TEMPORARY / f"millrace-{self.instance_id}"

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's address for clients."""
        return f"{self.host}:{self.ports.kafka}"

    @property
    def kafka_tls(self) -> str:
        """The address for those who show a certificate."""
        return f"{self.host}:{self.ports.kafka_tls}"

    @property
    def enrolment_url(self) -> str:
        """Where gateways enrol."""
        return f"https://{self.host}:{self.ports.enrolment}"

    @property
    def ingestion_address(self) -> str:
        """The ingestion service, for gateways that may not open Kafka."""
        return f"{self.host}:{self.ports.ingestion}"

    @property
    def flink_url(self) -> str:
        """JobManager's REST address."""
        return f"http://{self.host}:{self.ports.flink_rest}"

    @property
    def serving_address(self) -> str:
        """The gRPC server's address."""
        return f"{self.host}:{self.ports.serving}"

    @property
    def page_url(self) -> str:
        """Where a browser finds the page, and programs the API over HTTP."""
        return f"http://{self.host}:{self.ports.serving_http}"


def load(environ: Mapping[str, str] | None = None, path: Path = SETTINGS_FILE) -> StackConfig:
    """Settings in force; raises ConfigError naming the key and where it was found."""
    environ = os.environ if environ is None else environ
    # Tables that the file leaves out are named all the same: the environment is looked up only inside tables that are there.
    tables: dict[str, Any] = {"ports": {}, "memory": {}, "parallelism": {}, "backup": {}}
    return settings.parse(StackConfig, tables | _read(path), where=path.name, prefix=PREFIX, environ=environ)


def origins(
    config: StackConfig, environ: Mapping[str, str] | None = None, path: Path = SETTINGS_FILE
) -> list[tuple[str, Any, str]]:
    """Every setting as (key, value, where it came from), for `./millrace settings`."""
    environ = os.environ if environ is None else environ
    return list(_origins(config, _read(path), PREFIX, "", environ, path.name))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not valid TOML: {error}"
        raise ConfigError(msg) from error


def _origins(node: Any, data: Mapping[str, Any], prefix: str, table: str, environ: Mapping[str, str], file: str) -> Any:
    for spec in dataclasses.fields(node):
        value, variable = getattr(node, spec.name), f"{prefix}{spec.name}".upper()
        if dataclasses.is_dataclass(value):
            yield from _origins(value, data.get(spec.name, {}), f"{variable}_", f"{table}{spec.name}.", environ, file)
        else:
            origin = variable if variable in environ else file if spec.name in data else "default"
            yield f"{table}{spec.name}", value, origin
