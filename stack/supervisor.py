"""supervisord: its configuration, its life, and a typed client of its interface (`supervisor_rpc`).

Enters: the table of services. Every service is a process group of its own, restarted when it dies, its output in a rotated file.
Nothing starts by itself: `lifecycle` starts services in order.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.config import MARKER, StackConfig
from stack.errors import StackError, SupervisorError
from stack.services import Service

# supervisord counts nothing; it logs `exited: NAME (...)` for every end that nobody asked for.
_EXITED = re.compile(r" (?:INFO|WARN) exited: (\S+) ")
_SHUTDOWN = 6  # supervisord's fault codes
_NOT_RUNNING = 70
_ALREADY_STARTED = 60
_BAD_NAME = 10
_ALREADY_ADDED = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessState:
    """What supervisord says of one service."""

    name: str
    state: str
    pid: int
    uptime_s: int
    description: str


def socket_path(config: StackConfig) -> Path:
    """The control socket."""
    return config.run / "supervisor.sock"


def config_file(config: StackConfig) -> Path:
    """Where supervisord's configuration is rendered."""
    return config.config / "supervisord.conf"


def log_file(config: StackConfig, service: str) -> Path:
    """Output of a service."""
    return config.logs / f"{service}.log"


def supervisor_log(config: StackConfig) -> Path:
    """What supervisord itself says: starts, ends, restarts."""
    return config.logs / "supervisord.log"


def restarts(config: StackConfig) -> dict[str, int]:
    """How often each service ended without being asked to, since supervisord started."""
    counts: dict[str, int] = {}
    path = supervisor_log(config)
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        if "supervisord started with pid" in line:
            counts = {}
        elif match := _EXITED.search(line):
            counts[match[1]] = counts.get(match[1], 0) + 1
    return counts


class Supervisor:
    """The supervisord of one instance."""

    def __init__(self, config: StackConfig, *, timeout_s: float = 180) -> None:
        self._config, self._timeout_s = config, timeout_s

    def state(self) -> str:
        """RUNNING, SHUTDOWN while it stops its services, SILENT when it does not answer, DOWN when it is not there."""
        if not socket_path(self._config).exists():
            return "DOWN"
        try:
            return str(self._call("getState")["statename"])
        except SupervisorError as fault:
            if fault.code == _SHUTDOWN:
                return "SHUTDOWN"
            raise
        except TimeoutError:
            return "SILENT"
        except OSError:
            return "DOWN"

    def alive(self) -> bool:
        """Whether supervisord takes orders."""
        return self.state() == "RUNNING"

    def pid(self) -> int:
        """Process id of supervisord."""
        return int(self._call("getPID"))

    def ensure(self, services: Iterable[Service], *, only: Collection[str] = ()) -> None:
        """Render the configuration and start supervisord, or have the running one take up what changed, which stops it.

        With `only` no other service is touched: what changed of those that run, after an update of the code perhaps, waits for `up`.
        """
        services = tuple(services)
        text = render(self._config, services)
        config_file(self._config).write_text(text)
        config_file(self._config).chmod(0o600)
        _wait(lambda: self.state() != "SHUTDOWN", 120, "the previous supervisord did not end")
        if self.alive():
            self._reload(only)
            return
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config_file(self._config))]
        result = subprocess.run(command, env=_environment(self._config), capture_output=True, text=True, check=False)
        failure = f"supervisord did not start: {result.stdout}{result.stderr}; see {supervisor_log(self._config)}"
        if result.returncode:
            raise StackError(failure)
        _wait(self.alive, 20, failure)

    def start(self, name: str) -> bool:
        """Start a service; False when it was running already."""
        try:
            self._call("startProcess", name, False)
        except SupervisorError as fault:
            if fault.code == _ALREADY_STARTED:
                return False
            msg = f"supervisord could not start {name}: {fault.text}"
            raise StackError(msg) from fault
        return True

    def stop(self, name: str, *, wait: bool = True) -> bool:
        """Stop a service; False when it was not running."""
        return self._to_running("stopProcess", name, wait, what=f"stop {name}")

    def signal(self, name: str, signal: str) -> bool:
        """Send a signal to a service; False when it was not running. supervisord starts it again when it ends of it."""
        return self._to_running("signalProcess", name, signal, what=f"send {signal} to {name}")

    def _to_running(self, method: str, *arguments: object, what: str) -> bool:
        try:
            self._call(method, *arguments)
        except SupervisorError as fault:
            if fault.code in (_NOT_RUNNING, _BAD_NAME):
                return False
            msg = f"supervisord could not {what}: {fault.text}"
            raise StackError(msg) from fault
        return True

    def wait_stopped(self, name: str, *, timeout_s: float) -> None:
        """Return when the service's process is gone."""
        failure = f"{name} did not stop within {timeout_s:.0f} s"
        _wait(lambda: not self.states()[name].pid, timeout_s, failure)

    def states(self) -> dict[str, ProcessState]:
        """State of every service supervisord knows; empty when it is down or does not answer."""
        if not self.alive():
            return {}
        try:
            rows = self._call("getAllProcessInfo")
        except OSError:
            return {}
        found = {}
        for info in rows:
            uptime_s = info["now"] - info["start"] if info["pid"] else 0
            found[info["name"]] = ProcessState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                uptime_s=uptime_s,
                description=info["description"],
            )
        return found

    def shutdown(self) -> None:
        """End supervisord itself and wait until it is gone."""
        if not self.alive():
            return
        import psutil

        pid = self.pid()
        self._call("shutdown")
        _wait(lambda: not psutil.pid_exists(pid), 120, f"supervisord (process {pid}) did not end")

    def _call(self, method: str, *arguments: Any) -> Any:
        from stack import supervisor_rpc  # late: where no supervisord is, nobody is called

        return supervisor_rpc.call(socket_path(self._config), self._timeout_s, method, *arguments)

    def _reload(self, only: Collection[str]) -> None:
        (differences,) = self._call("reloadConfig")
        added, changed, removed = ([name for name in names if not only or name in only] for names in differences)
        for name in (*removed, *changed):
            self.stop(name)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            try:
                self._call("addProcessGroup", name)
            except SupervisorError as fault:
                if fault.code != _ALREADY_ADDED:
                    raise


def _wait(condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(failure)
        time.sleep(0.05)


def _environment(config: StackConfig) -> dict[str, str]:
    """What every service inherits: the caller's environment, our interpreter first, nothing that changes a Python or a JVM."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JVM_ARGS"}
    inherited = {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("COV_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '/usr/bin:/bin')}"
    return inherited | {MARKER: config.instance_id, "PATH": path, "PYTHONUNBUFFERED": "1"}


def render(config: StackConfig, services: Iterable[Service]) -> str:
    """Text of supervisord's configuration."""
    run_as = "user = root\n" if os.geteuid() == 0 else ""
    head = f"""; Rendered by `python -m stack`; edits are overwritten.
[supervisord]
logfile = {supervisor_log(config)}
pidfile = {config.run / "supervisord.pid"}
childlogdir = {config.logs}
minfds = {_file_limit()}
{run_as}
[unix_http_server]
file = {socket_path(config)}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(_program(config, service) for service in services)


def _file_limit() -> int:
    """Open files a service may have: a broker needs more than the usual soft limit of 1024, and no more than is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 32768 if hard == resource.RLIM_INFINITY else min(32768, hard // 2)


def _program(config: StackConfig, service: Service) -> str:
    command = (*(("nice", "-n", str(service.nice)) if service.nice else ()), *service.command)
    rows: dict[str, Any] = {
        "command": " ".join(_quote(part) for part in command),
        "directory": service.directory,
        "environment": ",".join(f"{key}={_quote(value)}" for key, value in sorted(service.environment.items())),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 1,
        # Never give up: a service that cannot start (its broker is away) tries again with growing pauses.
        "startretries": 1000,
        "stopsignal": service.stop_signal,
        "stopwaitsecs": service.stop_wait_s,
        # The postmaster ends its own children; a signal to its whole group would look like a crash to it.
        "stopasgroup": "false" if service.stop_signal == "INT" else "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": log_file(config, service.name),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 3,
    }
    if service.user:
        rows["user"] = service.user
    body = "".join(f"{key} = {value}\n" for key, value in rows.items() if value != "")
    return f"\n[program:{service.name}]\n{body}"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
