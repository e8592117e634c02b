"""The standalone Flink cluster of the stack: configuration, private lib folder, process command lines.

Leaves: a configuration folder (`flink-conf/config.yaml` merged with what depends on the machine), a lib folder with the wheel's
jars, flink-python and the connectors (one class path for JobManager, TaskManagers and client), and the environment in which they
must run. `stack.flink_jvm` has the options of `java`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stack import bounded, flink_jvm, java, roots
from stack.config import ROOT, TOOLS, StackConfig
from stack.errors import PreflightError
from stack.flink_jvm import Role
from stack.flink_rest import FlinkRest, FlinkUnavailableError
from stack.health import probes
from stack.health.answer import READY, Health, silent, unknown
from stack.programs import program

_CONF = ROOT / "flink-conf"
_LIB = TOOLS / "flink-lib"
_PATH = os.pathsep.join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"))
# Beats come every half second; one that is older than ten seconds makes Flink forget the TaskManager.
_HEARTBEAT_MAX_AGE_S = 6.0
# One that has just been installed writes the archive of its classes too, and a JobManager that has just started loads what it needs.
_CLIENT_TIMEOUT_S = 300.0
# The link is resolved once: a process keeps its root, whatever the link says later.
_WITH_ROOT = 'PYTHONPATH=$(readlink -e "$0") && export PYTHONPATH && exec "$@"'


@cache
def home() -> Path:
    """The wheel's folder, found without importing pyflink."""
    spec = importlib.util.find_spec("pyflink")
    if spec is None or spec.origin is None:
        msg = "apache-flink is not installed in this environment; `./millrace setup` installs it"
        raise PreflightError(msg)
    return Path(spec.origin).parent


def python(config: StackConfig) -> str:
    """The interpreter of the jobs: this environment's, or the installed deployable's."""
    return program(config, "jobs").python


def conf_dir(config: StackConfig) -> Path:
    """Rendered configuration folder (FLINK_CONF_DIR)."""
    return config.config / "flink"


def lib_dir() -> Path:
    """Private lib folder (FLINK_LIB_DIR) of JobManager, TaskManagers, clients and mini-clusters, brought up to date."""
    _LIB.mkdir(parents=True, exist_ok=True)
    jars = (
        *(home() / "lib").glob("*.jar"),
        *(home() / "opt").glob("flink-python-*.jar"),
        *(TOOLS / "jars" / "flink").glob("*.jar"),
    )
    wanted = {jar.name: jar.resolve() for jar in jars}
    for link in _LIB.iterdir():
        if wanted.get(link.name) != link.resolve():
            link.unlink(missing_ok=True)
    for name, jar in wanted.items():
        with suppress(FileExistsError):  # there already, or another process was faster
            (_LIB / name).symlink_to(jar)
    return _LIB


def checkpoint_dir(config: StackConfig) -> Path:
    """Where checkpoints of all jobs go, by job id."""
    return config.data / "flink" / "checkpoints"


def savepoint_dir(config: StackConfig) -> Path:
    """Where savepoints of `down` and `deploy` go."""
    return config.data / "flink" / "savepoints"


def jobmanager_command(config: StackConfig) -> tuple[str, ...]:
    """The JobManager in the foreground."""
    return flink_jvm.command(
        conf_dir(config),
        Role.JOBMANAGER,
        *_dynamic({"metrics.reporter.prom.port": config.ports.flink_metrics}),
        first=True,
    )


def taskmanager_id(index: int) -> str:
    """Name of a TaskManager, for the supervisor and for Flink (REST answers name it); the first is 1."""
    return f"taskmanager-{index}"


def taskmanager_command(config: StackConfig, index: int) -> tuple[str, ...]:
    """A TaskManager in the foreground, on the code root that is active when it starts."""
    options = {
        "taskmanager.resource-id": taskmanager_id(index),
        "metrics.reporter.prom.port": config.ports.flink_metrics + index,
    }
    started = flink_jvm.command(conf_dir(config), Role.TASKMANAGER, *_dynamic(options), first=index == 1)
    return ("sh", "-c", _WITH_ROOT, str(roots.link(config)), *started)


def client_command(config: StackConfig, *arguments: str) -> tuple[str, ...]:
    """Flink's command line, as `bin/flink` runs it."""
    return flink_jvm.client_command(conf_dir(config), lib_dir(), config.instance_id, *arguments)


def run_client(
    config: StackConfig, code: Path, program: str, arguments: Sequence[str], *, late: str, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """`flink run` of a module, or of a script by its path, with the packages of a code root; whatever it ends with.

    `options` are of `flink run`. StepError when it is not done in time; `late` is the message's beginning.
    """
    interpreter = python(config)
    kind = "-py" if program.endswith(".py") else "-pym"
    chosen = ("-d", *options, kind, program, "-pyexec", interpreter, "-pyclientexec", interpreter)
    return bounded.run(
        client_command(config, "run", *chosen, *arguments),
        timeout_s=_CLIENT_TIMEOUT_S,
        late=late,
        env=os.environ | environment(config) | {"PYTHONPATH": str(code)},
        cwd=tmp_dir(config),
        close_fds=False,  # the right to submit goes with it; no other descriptor of ours is inheritable
    )


def _dynamic(settings: dict[str, Any]) -> list[str]:
    return [part for key, value in settings.items() for part in ("-D", f"{key}={value}")]


def environment(config: StackConfig) -> dict[str, str]:
    """Environment of a Java process of Flink."""
    return {
        "FLINK_CONF_DIR": str(conf_dir(config)),
        "FLINK_LIB_DIR": str(lib_dir()),
        "FLINK_OPT_DIR": str(home() / "opt"),
        "FLINK_PLUGINS_DIR": str(home() / "plugins"),
        "JAVA_HOME": str(java.home()),
        # Thread mode runs the first `python` of PATH to find its libraries. Nothing of the caller's: it is the same service for everybody.
        "PATH": f"{Path(python(config)).parent}{os.pathsep}{_PATH}",
        "TMPDIR": str(tmp_dir(config)),
        # Two arenas: glibc otherwise reserves eight per core in a JVM with many threads.
        "MALLOC_ARENA_MAX": "2",
    }


def tmp_dir(config: StackConfig) -> Path:
    """Scratch folder of Flink's processes and clients."""
    return config.state / "tmp"


def prepare(config: StackConfig, settings: Mapping[str, Any] | None = None) -> None:
    """Write the configuration folder, the argument files of `java` included; `settings` are beside those of flink-conf, for benchmarks."""
    for folder in (checkpoint_dir(config), savepoint_dir(config), tmp_dir(config), conf_dir(config)):
        folder.mkdir(parents=True, exist_ok=True)
    merged = yaml.safe_load((_CONF / "config.yaml").read_text()) | _machine_settings(config) | dict(settings or {})
    header = "# Rendered by `python -m stack` from flink-conf/config.yaml; edits are overwritten.\n"
    (conf_dir(config) / "config.yaml").write_text(header + yaml.safe_dump(merged, width=10_000))
    for source in _CONF.glob("log4j*.properties"):
        (conf_dir(config) / source.name).write_text(source.read_text())
    flink_jvm.prepare(conf_dir(config), merged, home=home(), lib_dir=lib_dir(), instance=config.instance_id)


def jobmanager_health(config: StackConfig) -> Health:
    """Whether the JobManager answers; 503 while its dispatcher starts."""
    return probes.http_health(config.host, config.ports.flink_rest, "/overview")


def taskmanager_health(config: StackConfig, index: int) -> Health:
    """Whether the JobManager hears of the TaskManager; it is not told by the TaskManager itself, whose page of metrics costs a second."""
    try:
        ages_s = FlinkRest(config.flink_url, timeout_s=probes.TIMEOUT_S).heartbeat_ages_s(time.time())
    except FlinkUnavailableError:
        return unknown("the JobManager does not answer")
    age_s = ages_s.get(taskmanager_id(index))
    if age_s is None:
        return silent("not registered at the JobManager")
    return READY if age_s <= _HEARTBEAT_MAX_AGE_S else silent(f"last heartbeat at the JobManager {age_s:.0f} s ago")


def _machine_settings(config: StackConfig) -> dict[str, Any]:
    return {
        "python.executable": python(config),
        "python.client.executable": python(config),
        "jobmanager.rpc.address": config.host,
        "jobmanager.rpc.port": config.ports.flink_rpc,
        "jobmanager.bind-host": config.host,
        "jobmanager.memory.process.size": f"{config.memory.jobmanager_mb}m",
        "blob.server.port": str(config.ports.flink_blob),
        "blob.storage.directory": str(tmp_dir(config)),
        "rest.address": config.host,
        "rest.bind-address": config.host,
        "rest.port": config.ports.flink_rest,
        "rest.bind-port": str(config.ports.flink_rest),
        "taskmanager.host": config.host,
        "taskmanager.bind-host": config.host,
        "taskmanager.memory.process.size": f"{config.memory.taskmanager_mb}m",
        "io.tmp.dirs": str(tmp_dir(config)),
        "execution.checkpointing.dir": checkpoint_dir(config).as_uri(),
        "execution.checkpointing.savepoint-dir": savepoint_dir(config).as_uri(),
    }
