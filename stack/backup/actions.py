"""What is done with backups: the first one turns archiving on; a restore brings the database back, and the historian with it."""

from __future__ import annotations

import json
import re
import shutil
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from historian.recovery import Report
from stack import postgres, postgres_roles, recover, standby
from stack.backup import pgbackrest, state
from stack.config import StackConfig
from stack.errors import StackError
from stack.readiness import wait_ready
from stack.reporting import Progress
from stack.services import select
from stack.supervisor import Supervisor

KINDS = {"full": "full", "incremental": "incr"}
"""Kind of a backup to pgBackRest's name."""
_RECOVERY_TIMEOUT_S = 3600.0
_COUNTED = re.compile(r"(missing|checksum invalid|size invalid|other): (\d+)")
_FUNCTIONS = (
    "pg_backup_start(text, boolean)",
    "pg_backup_stop(boolean)",
    "pg_switch_wal()",
    "pg_create_restore_point(text)",
)


def take(config: StackConfig, kind: str, progress: Progress) -> str:
    """Make a backup (of KINDS); its label. The first turns archiving on, and is full whatever was asked for."""
    with progress.step("write-ahead log") as details:
        details.append(turn_on(config))
    with progress.step(f"{kind} backup") as details:
        pgbackrest.run(config, "backup", f"--type={KINDS[kind]}", say=progress.sink)
        newest = pgbackrest.info(config)["backup"][-1]
        state.remember(config, label=newest["label"], at_s=newest["timestamp"]["stop"])
        details.append(described(newest))
    return str(newest["label"])


def turn_on(config: StackConfig) -> str:
    """Make repository and role when missing, and archive from now on; what was done."""
    pgbackrest.installed()
    known, was_on = (pgbackrest.repository(config) / "backup").exists(), postgres.archives(config)
    try:
        _ensure_role(config)
    except psycopg.OperationalError as error:
        msg = f"PostgreSQL does not answer ({str(error).strip()}); start it with `./millrace up`"
        raise StackError(msg) from error
    pgbackrest.prepare(config, known=known)
    try:
        pgbackrest.run(config, "stanza-create")
        postgres.prepare(config)
        _reload(config)
        pgbackrest.run(config, "check")
    except StackError:
        if not was_on:  # nobody asked for a log that piles up
            turn_off(config)
        raise
    return "is archived" if was_on else f"is archived from now on, in {pgbackrest.repository(config)}"


def turn_off(config: StackConfig) -> None:
    """Archive no more. The backups stay, and end where the archive does."""
    pgbackrest.config_file(config).unlink(missing_ok=True)
    state.forget(config)
    postgres.prepare(config)
    try:
        _reload(config)
    except psycopg.OperationalError:
        return  # it reads its settings when it starts


def listing(config: StackConfig) -> list[dict[str, Any]]:
    """Backups in the repository, oldest first."""
    _require(config)
    return list(pgbackrest.info(config)["backup"])


def verify(config: StackConfig, progress: Progress) -> None:
    """Read every file of the repository and compare its checksum, and send a segment there; raises StackError with what is wrong."""
    _require(config)
    with progress.step("a segment to the archive"):
        pgbackrest.run(config, "check")
    with progress.step("checksums of the repository") as details:
        answer = pgbackrest.run(config, "verify", "--output=text", "--verbose", "--log-level-console=warn")
        if wrong := damage(answer):
            msg = f"the repository is damaged: {'; '.join(wrong)}; make a new full backup, `./millrace backup --full`"
            raise StackError(msg)
        details.append(f"{len(pgbackrest.info(config)['backup'])} backups are whole")


def restore(config: StackConfig, progress: Progress, *, to: datetime | None = None) -> Report:
    """Bring the database back to the end of the archive, or to a time, and the historian with it; everything newer in it is gone.

    Other services wait for the database meanwhile. Every step may be done again.
    """
    pgbackrest.prepare(config, known=True)
    target = [] if to is None else ["--type=time", f"--target={to.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f+00}"]
    directory, supervisor = postgres.data_dir(config), Supervisor(config)
    if not supervisor.alive():
        msg = "the stack does not run; `./millrace up kafka postgres` starts what a restore needs"
        raise StackError(msg)
    with progress.step("postgres: stop") as details:
        details.append("stopped" if supervisor.stop("postgres") else "did not run")
    if standby.exists(config):
        with progress.step("standby: deleted, it follows a database that is no more"):
            standby.drop(config)
    with progress.step("restore") as details:
        whole = (directory / "PG_VERSION").exists()
        if not whole:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(mode=0o700, parents=True)
            if user := postgres.system_user():
                shutil.chown(directory, user, postgres.group_of(user))
        options = [*target, "--target-action=promote"] if target else []
        pgbackrest.run(config, "restore", *(["--delta"] if whole else []), *options, say=progress.sink)
        postgres.prepare(config)
        details.append("what differs" if whole else "everything")
    with progress.step("postgres: recovery") as details:
        (service,) = select(config, ("postgres",))
        supervisor.start("postgres")
        wait_ready(config, service)
        details.append(f"ends at {_wait_recovered(config)}")
        with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
            standby.forget_recovery(connection)
    with progress.step("roles of services") as details:  # a backup of an older version lacks some
        details.append(postgres_roles.create_service_roles(config))
    return recover.recover(config, progress)


def described(backup: dict[str, Any]) -> str:
    """A backup in one line."""
    sizes = backup["info"]["repository"]["delta"], backup["info"]["size"]
    stop = datetime.fromtimestamp(backup["timestamp"]["stop"], UTC)
    took_s = backup["timestamp"]["stop"] - backup["timestamp"]["start"]
    names = {short: kind for kind, short in KINDS.items()}
    kind = names.get(backup["type"], backup["type"])
    return f"{backup['label']:<36}{kind:<12} {stop:%Y-%m-%d %H:%M:%S} UTC {took_s:>6} s  {_mb(sizes[0])} of a database of {_mb(sizes[1])}"


def damage(verified: str) -> list[str]:
    """What `pgbackrest verify` found wrong, by archive and backup; it ends with status 0 all the same."""
    counted, said, of = list[str](), list[str](), "repository"
    for line in verified.splitlines():
        of = match[1] if (match := re.match(r"\s*((?:archiveId|backup): [^,]+),", line)) else of
        if wrong := [f"{number} {what}" for what, number in _COUNTED.findall(line) if int(number)]:
            counted.append(f"{of}: {', '.join(wrong)}")
        elif "status: error" in line or "status: invalid" in line:
            said.append(line.strip())
    return counted or said


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _require(config: StackConfig) -> None:
    if not postgres.archives(config):
        msg = (
            "there is no backup yet: `./millrace backup` makes the first, and archives the write-ahead log from then on"
        )
        raise StackError(msg)


def _ensure_role(config: StackConfig) -> None:
    role = sql.Identifier(pgbackrest.ROLE)
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (pgbackrest.ROLE,)).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("GRANT pg_read_all_settings TO {}").format(role))
        for function in _FUNCTIONS:
            connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), role))


def _reload(config: StackConfig) -> None:
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")


def _wait_recovered(config: StackConfig) -> str:
    """Wait until the log is replayed and the database is one of its own; time of its last transaction."""
    deadline = time.monotonic() + _RECOVERY_TIMEOUT_S
    last = ""
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(postgres.superuser_dsn(config), connect_timeout=5) as connection:
                row = connection.execute("SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()").fetchone()
        except psycopg.OperationalError as error:
            last = str(error).strip()
        else:
            assert row is not None
            if not row[0]:
                return f"{row[1].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if row[1] else "the backup itself"
            last = f"replayed up to {row[1]}"
        time.sleep(0.2)
    msg = f"PostgreSQL was not recovered after {_RECOVERY_TIMEOUT_S:.0f} s: {last}; see `./millrace logs postgres`"
    raise StackError(msg)


def as_json(backups: list[dict[str, Any]]) -> str:
    """Backups for programs, as pgBackRest describes them."""
    return json.dumps(backups, indent=2)
