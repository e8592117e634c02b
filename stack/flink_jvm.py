"""Command lines of Flink's Java processes, without the wheel's start scripts.

At every start those scripts run three more Java virtual machines and some hundred `grep` and `sed`, to read the configuration twice and to
divide the memory: more processor time than Flink itself takes until it is ready. Here both happen once per configuration.

Enters: the rendered configuration. Leaves: one argument file of `java` per role beside it (`prepare`), and commands that name it. An
argument file has what the scripts come to: JVM options, log settings, class path, main class, and Flink's own division of the memory.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from stack import bounded, class_archives, java
from stack.config import TOOLS
from stack.errors import StepError

_MAIN = "org.apache.flink.runtime."
_UTILITY = f"{_MAIN}util.bash.BashJavaUtils"
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"
_UTILITY_TIMEOUT_S = 120.0
# A client is short-lived: it needs no optimised code, and no more heap than its planner.
_CLIENT_OPTIONS = ("-Xmx384m",)


class Role(StrEnum):
    """A kind of Java process; the value is its name in `env.java.opts.*`."""

    JOBMANAGER = "jobmanager"
    TASKMANAGER = "taskmanager"
    CLIENT = "client"


_MAINS = {
    Role.JOBMANAGER: f"{_MAIN}entrypoint.StandaloneSessionClusterEntrypoint",
    Role.TASKMANAGER: f"{_MAIN}taskexecutor.TaskManagerRunner",
    Role.CLIENT: "org.apache.flink.client.cli.CliFrontend",
}
_DIVISIONS = {Role.JOBMANAGER: "GET_JM_RESOURCE_PARAMS", Role.TASKMANAGER: "GET_TM_RESOURCE_PARAMS"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """Flink's division of a process's memory: options of the JVM, and settings for Flink (`-D`, `key=value`, ...)."""

    jvm: tuple[str, ...] = ()
    flink: tuple[str, ...] = ()


def command(conf_dir: Path, role: Role, *arguments: str, first: bool = False) -> tuple[str, ...]:
    """A service of that role; `arguments` are those of its main class. `prepare` has to run before the process.

    `first`: of the processes of that role that run at once, the one that may write the archive of their classes.
    """
    return (
        str(java.executable()),
        f"@{_classes(conf_dir, role, first=first)}",
        f"@{_file(conf_dir, role)}",
        *arguments,
    )


def client_command(conf_dir: Path, lib_dir: Path, instance: str, *arguments: str) -> tuple[str, ...]:
    """A client. Clients follow each other: each looks for the archive of classes that the one before may have written."""
    archive = class_archives.options(Role.CLIENT, class_path(lib_dir), instance).first
    return (str(java.executable()), *archive, f"@{_file(conf_dir, Role.CLIENT)}", *arguments)


def prepare(conf_dir: Path, settings: Mapping[str, Any], *, home: Path, lib_dir: Path, instance: str) -> None:
    """Write the argument files. `settings` are those of `config.yaml`, `home` is the wheel's folder.

    StepError when Flink refuses the sizes.
    """
    jars = class_path(lib_dir)
    for role in Role:
        division = _divide(role, settings, utility=home / "bin" / "bash-java-utils.jar", dist=jars[-1])
        _write(_file(conf_dir, role), _arguments(conf_dir, role, settings, division, jars))
        if role is not Role.CLIENT:
            options = class_archives.options(role, jars, instance)
            _write(_classes(conf_dir, role, first=True), options.first)
            _write(_classes(conf_dir, role, first=False), options.others)


def _write(file: Path, arguments: Iterable[str]) -> None:
    text = "".join(f"{_quoted(argument)}\n" for argument in arguments)
    file.write_text(f"# Written by `python -m stack`; edits are overwritten.\n{text}")


def class_path(lib_dir: Path) -> list[Path]:
    """Jars in Flink's order: by name, Flink's own at the end. StepError without it."""
    jars = sorted(lib_dir.glob("*.jar"), key=lambda jar: (jar.name.startswith("flink-dist"), jar.name))
    if not jars or not jars[-1].name.startswith("flink-dist"):
        msg = f"no flink-dist jar in {lib_dir}; `./millrace setup` brings it"
        raise StepError(msg)
    return jars


def _file(conf_dir: Path, role: Role) -> Path:
    return conf_dir / f"{role}.args"


def _classes(conf_dir: Path, role: Role, *, first: bool) -> Path:
    return conf_dir / f"{role}-classes{'-first' if first else ''}.args"


def _arguments(
    conf_dir: Path, role: Role, settings: Mapping[str, Any], division: Division, jars: list[Path]
) -> list[str]:
    options = [text for key in ("all", role) for text in shlex.split(str(settings.get(f"env.java.opts.{key}", "")))]
    log = "log4j-cli.properties" if role is Role.CLIENT else "log4j-console.properties"
    found = [*(_CLIENT_OPTIONS if role is Role.CLIENT else division.jvm), "-XX:+IgnoreUnrecognizedVMOptions", *options]
    found += [f"-Dlog4j.configurationFile=file:{conf_dir / log}", f"-Djava.io.tmpdir={settings['io.tmp.dirs']}"]
    found += ["-classpath", ":".join(map(str, jars)), _MAINS[role]]
    return found if role is Role.CLIENT else [*found, "--configDir", str(conf_dir), *division.flink]


def _quoted(argument: str) -> str:
    """An argument as `java` reads it from a file."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _divide(role: Role, settings: Mapping[str, Any], *, utility: Path, dist: Path) -> Division:
    """What Flink makes of the memory settings, computed once per settings and version on this machine."""
    if role not in _DIVISIONS:
        return Division()
    sizes = {key: value for key, value in settings.items() if key.startswith(f"{role}.") and _divides(key)}
    digest = sha256(json.dumps([role, dist.resolve().name, sizes], sort_keys=True).encode()).hexdigest()[:16]
    known = TOOLS / "flink-memory" / f"{role}-{digest}.json"
    if known.exists():
        return Division(**{name: tuple(values) for name, values in json.loads(known.read_text()).items()})
    division = _ask(_DIVISIONS[role], sizes, f"{utility}:{dist}")
    known.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=known.parent, delete=False) as scratch:
        json.dump(asdict(division), scratch)
    Path(scratch.name).replace(known)
    return division


def _divides(key: str) -> bool:
    """Whether a setting has a part in the division."""
    return ".memory." in key or key in ("taskmanager.numberOfTaskSlots", "taskmanager.cpu.cores")


def _ask(question: str, sizes: Mapping[str, Any], path: str) -> Division:
    """Ask Flink's own utility, the one that the scripts ask."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(dict(sizes)))
        line = [str(java.executable()), "-XX:TieredStopAtLevel=1", "-classpath", path, _UTILITY, question]
        found = bounded.run(
            [*line, "--configDir", folder],
            timeout_s=_UTILITY_TIMEOUT_S,
            late="Flink's utility that divides the memory did not answer",
        )
    answers = [text.removeprefix(_RESULT) for text in found.stdout.splitlines() if text.startswith(_RESULT)]
    if found.returncode or len(answers) != 2:
        msg = f"Flink cannot divide the memory {dict(sizes)}:\n{(found.stdout + found.stderr)[-2000:]}"
        raise StepError(msg)
    return Division(jvm=tuple(answers[0].split()), flink=tuple(answers[1].split()))
