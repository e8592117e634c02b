"""pgBackRest of one instance: its configuration, its calls, what it says.

It runs as the server's own user, because it reads the cluster's files; it connects through the unix socket as `millrace_backup`, a role
that may start and stop a backup and nothing else. The repository is encrypted; the passphrase is made once and kept with mode 0600, and the
configuration, which holds it too, has the same mode.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stack import postgres
from stack.config import StackConfig
from stack.errors import StackError

ROLE = "millrace_backup"
_MESSAGE = re.compile(r"(?:^|\s)P\d\d\s+(INFO|WARN|ERROR|DETAIL|DEBUG): (.*)$")
_PERCENT = re.compile(r", ([\d.]+)%\)")
_STEP_PERCENT = 10
_MISMATCH = "do not match the database"


def config_file(config: StackConfig) -> Path:
    """Its configuration; archiving is on while it is there."""
    return postgres.backup_home(config) / "pgbackrest.conf"


def repository(config: StackConfig) -> Path:
    """Where backups and the archived log are."""
    return Path(config.backup.repository) if config.backup.repository else postgres.backup_home(config) / "repository"


def passphrase_file(config: StackConfig) -> Path:
    """The repository's passphrase. Without it no backup can be read: keep a copy elsewhere."""
    return config.secrets / "backup-passphrase"


def installed() -> str:
    """Path of the program; raises StackError without it."""
    found = shutil.which("pgbackrest")
    if found is None:
        msg = "pgBackRest is not installed; `./millrace setup` installs it"
        raise StackError(msg)
    return found


def prepare(config: StackConfig, *, known: bool = False) -> None:
    """Folders and configuration. `known`: the repository exists, so its passphrase must too."""
    installed()
    user, home = postgres.system_user(), postgres.backup_home(config)
    folders = [home, repository(config), *(home / name for name in ("log", "lock", "spool"))]
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"the folder {folder} cannot be made: {error.strerror}; set backup.repository in millrace.toml to one that can"
            raise StackError(msg) from error
        if user and not any(folder.iterdir()):
            shutil.chown(folder, user, postgres.group_of(user))
    _write_private(config_file(config), _text(config, _passphrase(config, known=known)), user)


def run(config: StackConfig, *arguments: str, say: Callable[[str], None] | None = None) -> str:
    """Run a command; its standard output. `say` gets its progress, in tenths. Raises StackError with cause and hint."""
    user = postgres.system_user()
    command = [installed(), f"--config={config_file(config)}", f"--stanza={postgres.STANZA}", *arguments]
    if say is not None:
        command.append("--log-level-console=detail")
    output: list[str] = []
    problems: list[str] = []
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    with subprocess.Popen(
        command,
        user=user,
        group=postgres.group_of(user),
        cwd="/",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        done = 0
        for line in process.stdout:
            output.append(line)
            found = _MESSAGE.search(line.rstrip())
            if found and found[1] == "ERROR":
                problems.append(found[2])
            elif problems and not found and line.startswith(" "):
                problems.append(line.strip())
            if say is not None and (percent := _PERCENT.search(line)) and float(percent[1]) >= done + _STEP_PERCENT:
                done = int(float(percent[1]) // _STEP_PERCENT * _STEP_PERCENT)
                say(f"    {arguments[0]}: {done} %")
    if process.returncode:
        cause = "; ".join(problems) or "".join(output[-5:]).strip() or f"exit status {process.returncode}"
        if _MISMATCH in cause:
            cause += (
                f"; the repository {repository(config)} belongs to another database:"
                " set backup.repository in millrace.toml to an empty folder, or delete that one"
            )
        msg = f"pgbackrest {arguments[0]}: {cause} (log: {postgres.backup_home(config) / 'log'})"
        raise StackError(msg)
    return "".join(output)


def info(config: StackConfig) -> dict[str, Any]:
    """What the repository holds of this cluster: `backup`, `archive`, `status` as in `pgbackrest info --output=json`."""
    found = json.loads(run(config, "info", "--output=json", "--log-level-console=off"))
    return dict(found[0]) if found else {"backup": [], "archive": [], "status": {"code": 1, "message": "no stanza"}}


def _text(config: StackConfig, passphrase: str) -> str:
    home = postgres.backup_home(config)
    rows = {
        "global": {
            "repo1-path": repository(config),
            "repo1-cipher-type": "aes-256-cbc",
            "repo1-cipher-pass": passphrase,
            "repo1-retention-full": config.backup.keep_full,
            "repo1-bundle": "y",
            # Rows of numbers: a low level takes most of what there is to gain.
            "compress-type": "zst",
            "compress-level": 1,
            "process-max": config.backup.processes,
            "start-fast": "y",
            # A segment a time would fall behind a line that is under load.
            "archive-async": "y",
            "spool-path": home / "spool",
            "lock-path": home / "lock",
            "log-path": home / "log",
        },
        postgres.STANZA: {
            "pg1-path": postgres.data_dir(config),
            "pg1-port": config.ports.postgres,
            "pg1-socket-path": postgres.socket_dir(config),
            "pg1-user": ROLE,
            "pg1-database": "postgres",
        },
    }
    sections = [
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in pairs.items()) for name, pairs in rows.items()
    ]
    return "# Rendered by `python -m stack`; edits are overwritten.\n" + "\n".join(sections)


def _passphrase(config: StackConfig, *, known: bool) -> str:
    path = passphrase_file(config)
    if not path.exists():
        if known:
            msg = (
                f"the repository's passphrase is not in {path}: put the copy that was kept elsewhere there (mode 0600)"
            )
            raise StackError(msg)
        config.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(path, secrets.token_urlsafe(32) + "\n", None)
    return path.read_text().strip()


def _write_private(path: Path, text: str, user: str | None) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if user:
        shutil.chown(path, user, postgres.group_of(user))
