"""Processes of an instance, seen by psutil: who belongs to it, who listens on a port, ending them."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from stack import postgres
from stack.config import MARKER, StackConfig

# Every process of the instance carries it in its environment; `down` looks for leftovers by it.
_GRACE_S = 10.0


def of_instance(config: StackConfig) -> list[psutil.Process]:
    """Live processes that carry the instance's mark, or run in its database folder; not this process and its ancestors."""
    databases = (str(postgres.data_dir(config)), str(postgres.standby_dir(config)))
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in own and _belongs(process, config.instance_id, databases)
    ]


def _belongs(process: psutil.Process, instance_id: str, databases: Iterable[str]) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # PostgreSQL overwrites its environment with the process title, but always sits in its folder.
        return process.environ().get(MARKER) == instance_id or process.cwd() in databases
    except psutil.Error:  # gone meanwhile, or not ours to look at
        return False


def end(processes: Iterable[psutil.Process]) -> None:
    """Ask the processes to end, kill those that have not ended after 10 s."""
    alive = list(processes)
    for act in (psutil.Process.terminate, psutil.Process.kill):
        for process in alive:
            try:
                act(process)
            except psutil.NoSuchProcess:
                continue
        _, alive = psutil.wait_procs(alive, timeout=_GRACE_S)


def kill_tree(pid: int) -> None:
    """Kill -9 of a process and all its descendants, also of stopped ones; nothing when it is gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def listener(port: int) -> str:
    """Process that listens on a TCP port as `name (process id)`, or "a process of another user"."""
    for connection in psutil.net_connections(kind="tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:  # gone meanwhile
                break
    return "a process of another user"
