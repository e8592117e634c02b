"""Checks before anything starts: ports free, memory and disk enough, programs and jars there. Every message says what to change."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from pathlib import Path

import psutil

from stack import java, postgres, processes
from stack.config import ROOT, TOOLS, StackConfig
from stack.errors import PreflightError
from stack.plant import read_gateways

# Beside the configured sizes: Python state in the TaskManagers, gateways, simulator, serving, page cache to breathe.
_OTHER_MB = 1500
_MB = 1 << 20


def check(config: StackConfig, *, running: bool, flink: bool) -> None:
    """Raise PreflightError for the first thing that would go wrong; a running instance holds its own ports and memory."""
    check_host(config)
    check_run(config.run)
    _jars(flink=flink)
    java.home()
    postgres.bin_dir()
    if flink:
        check_slots(config)
    check_disk(config)
    if not running:
        check_memory(config, flink=flink)
        check_ports(config)


def check_host(config: StackConfig) -> None:
    """Nobody else reaches the doors that ask for nothing: callers of the broker's plain listener are its super users."""
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(config.host, None)}
    except OSError as error:
        msg = f"host {config.host} is no address: {error}; leave out host in millrace.toml, or MILLRACE_HOST in the environment"
        raise PreflightError(msg) from error
    if open_to_others := sorted(one for one in found if not ipaddress.ip_address(one).is_loopback):
        cure = "set host in millrace.toml (MILLRACE_HOST in the environment) to a loopback address, or leave it out"
        why = "which other machines reach; Kafka's plain listener, Flink and others ask nobody there who they are"
        msg = f"host {config.host} is {', '.join(open_to_others)}, {why}: {cure}"
        raise PreflightError(msg)


def check_run(folder: Path) -> None:
    """The folder of the sockets is ours: it may lie where everybody can make folders."""
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.geteuid()):
        cure = "delete it, or move the state folder (MILLRACE_STATE) to a shorter path"
        msg = f"{folder}, where the sockets of this instance lie, belongs to somebody else or is a link: {cure}"
        raise PreflightError(msg)


def check_slots(config: StackConfig) -> None:
    """Every slot that a job needs is a TaskManager."""
    needed = config.parallelism.total
    if config.taskmanagers < needed:
        msg = f"taskmanagers is {config.taskmanagers}, but the jobs need {needed} slots (parallelism.*), one TaskManager each"
        raise PreflightError(msg)


def used_ports(config: StackConfig) -> dict[str, int]:
    """Every port of the instance by the setting that moves it."""
    names = [name for name in config.ports.__dataclass_fields__ if name != "base"]
    found = {f"ports.{name}": getattr(config.ports, name) for name in names}
    for index in range(1, len(read_gateways(config.plant))):
        found[f"ports.gateway_admin (+{index})"] = config.ports.gateway_admin + index
    for index in range(1, config.taskmanagers + 1):
        found[f"ports.flink_metrics (+{index})"] = config.ports.flink_metrics + index
    return found


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def check_ports(config: StackConfig) -> None:
    """Every port can be listened on."""
    for key, port in used_ports(config).items():
        if not is_free(config.host, port):
            variable = "MILLRACE_" + key.split()[0].replace(".", "_").upper()
            msg = (
                f"port {port} ({key}) is taken by {processes.listener(port)}; stop it, or set {key.split()[0]} in millrace.toml"
                f" or {variable} in the environment (ports.base moves the whole block)"
            )
            raise PreflightError(msg)


def check_memory(config: StackConfig, *, flink: bool) -> None:
    """The configured sizes and what comes with them fit."""
    memory = config.memory
    needed = memory.kafka_heap_mb + memory.postgres_shared_buffers_mb + _OTHER_MB // (1 if flink else 3)
    if flink:
        needed += memory.jobmanager_mb + config.taskmanagers * memory.taskmanager_mb
    free = available_mb()
    if free < needed:
        cure = "end other programs, or lower memory.* and taskmanagers in millrace.toml"
        msg = f"{free} MB of memory are free and {needed} MB are needed; {cure}"
        raise PreflightError(msg)


def available_mb() -> int:
    """Memory that can be had: the machine's, or less inside a control group."""
    free = int(psutil.virtual_memory().available) // _MB
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, (int(text) - int(used.read_text())) // _MB)
    return free


def check_disk(config: StackConfig) -> None:
    """The state folder has room."""
    config.state.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(config.state).free // (1 << 30)
    if free < config.min_free_disk_gb:
        cure = "set state or min_free_disk_gb in millrace.toml"
        msg = f"{free} GB are free for {config.state} and {config.min_free_disk_gb} are wanted; {cure}"
        raise PreflightError(msg)


def _jars(*, flink: bool) -> None:
    for folder in ("kafka", "flink") if flink else ("kafka",):
        if not any((TOOLS / "jars" / folder).glob("*.jar")):
            msg = f"jars are missing in {(TOOLS / 'jars' / folder).relative_to(ROOT)}; `./millrace setup` fetches them"
            raise PreflightError(msg)
