"""A streaming standby of the database, off by default: made, dropped, promoted.

It is a second cluster beside the first, on a port of its own, that follows it through a replication slot of bounded size. A takeover
moves the standby to the primary's place and port, so nothing else of the line has to be told: first the old primary is stopped and its
folder renamed (fenced: nothing can start it again by itself), then the standby is promoted and started in its place, then the historian
reads again from what the new primary has. Every step may be done again; where a takeover stands is in the folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from historian.recovery import Report
from stack import postgres, postgres_access, recover
from stack.config import StackConfig
from stack.errors import StackError
from stack.readiness import wait_ready
from stack.reporting import Progress
from stack.services import all_services, select
from stack.supervisor import Supervisor

Connection = psycopg.Connection[Any]
ROLE = "millrace_replication"
_PROMOTE_S = 60


def exists(config: StackConfig) -> bool:
    """Whether there is one."""
    return postgres.standby_dir(config).exists()


def create(config: StackConfig, progress: Progress, *, synchronous: bool = False) -> None:
    """Copy the primary and let the copy follow it; one that is there is made anew. `synchronous`: commits wait for it."""
    supervisor = Supervisor(config)
    if not supervisor.alive():
        msg = "the stack does not run; start it with `./millrace up`"
        raise StackError(msg)
    if exists(config):
        with progress.step("the standby before: deleted"):
            drop(config)
    try:
        _primary(config, _ensure_role, forget_recovery, _make_slot)
    except psycopg.OperationalError as error:
        msg = f"the primary does not answer ({str(error).strip()}); start it with `./millrace up postgres`"
        raise StackError(msg) from error
    directory, user = postgres.standby_dir(config), postgres.system_user()
    with progress.step("copy of the primary") as details:
        _copy(config, directory.with_name("postgres-standby.new"), user)
        directory.with_name("postgres-standby.new").rename(directory)
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        details.append(f"{size / 1e6:,.0f} MB")
    postgres_access.write_settings(directory, postgres.settings(config, standby=True), user)
    with progress.step("standby") as details:
        supervisor.ensure(all_services(config), only=(postgres.STANDBY,))
        (service,) = select(config, (postgres.STANDBY,))
        supervisor.start(postgres.STANDBY)
        wait_ready(config, service)
        details.append(f"follows, on {service.address}")
    if synchronous:
        postgres.synchronous_marker(config).touch()
    postgres.prepare(config)
    postgres.reload(config)


def drop(config: StackConfig) -> None:
    """End the standby and delete it; the primary, when it runs, no longer holds its log for it."""
    supervisor = Supervisor(config)
    if supervisor.alive():
        supervisor.stop(postgres.STANDBY)
    postgres.synchronous_marker(config).unlink(missing_ok=True)
    shutil.rmtree(postgres.standby_dir(config), ignore_errors=True)
    if supervisor.alive():
        supervisor.ensure(all_services(config), only=(postgres.STANDBY,))
    if postgres.data_dir(config).exists():
        postgres.prepare(config)
        try:
            postgres.reload(config)
            _primary(config, _drop_slot)
        except psycopg.OperationalError:
            return  # it reads its settings when it starts; the slot is dropped when the next standby is made


def promote(config: StackConfig, progress: Progress) -> Report:
    """Let the standby take over. The old primary's folder stays, under another name, until somebody has looked at it and deletes it."""
    supervisor, primary, copy = Supervisor(config), postgres.data_dir(config), postgres.standby_dir(config)
    if not supervisor.alive():
        msg = "the stack does not run; start it with `./millrace up`"
        raise StackError(msg)
    if exists(config):
        with progress.step("old primary") as details:
            supervisor.stop("postgres")
            details.append(f"fenced as {_fence(primary)}" if primary.exists() else "is not there")
        with progress.step("standby: promoted") as details:
            details.append(_promote(config, supervisor))
        with progress.step("the line is pointed at it"):
            supervisor.stop(postgres.STANDBY)
            postgres.synchronous_marker(config).unlink(missing_ok=True)
            copy.rename(primary)
            supervisor.ensure(all_services(config), only=(postgres.STANDBY,))
    elif _is_known(config):
        msg = "there is no standby; `./millrace standby create` makes one"
        raise StackError(msg)
    with progress.step("postgres") as details:
        postgres.prepare(config)
        (service,) = select(config, ("postgres",))
        supervisor.start("postgres")
        wait_ready(config, service)
        details.append(f"ready on {service.address}")
    return recover.recover(config, progress)


def forget_recovery(connection: Connection) -> None:
    """Take away where a restore was to end, as a superuser: a copy of the database has it too, and would end there and promote itself."""
    names = connection.execute(
        "SELECT DISTINCT name FROM pg_file_settings WHERE name ~ '^(recovery_|restore_command$)'"
    ).fetchall()
    for (name,) in names:
        connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))


def _fence(primary: Path) -> str:
    """Another name for its folder, so that nothing starts it."""
    fenced = primary.with_name(f"postgres.fenced-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    primary.rename(fenced)
    return fenced.name


def _promote(config: StackConfig, supervisor: Supervisor) -> str:
    (service,) = select(config, (postgres.STANDBY,))
    supervisor.start(postgres.STANDBY)
    wait_ready(config, service)
    with psycopg.connect(postgres.superuser_dsn(config, standby=True), autocommit=True) as connection:
        row = connection.execute("SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()").fetchone()
        assert row is not None
        if row[0]:
            done = connection.execute("SELECT pg_promote(true, %s)", (_PROMOTE_S,)).fetchone()
            if done is None or not done[0]:
                msg = f"the standby was not promoted within {_PROMOTE_S} s: see `./millrace logs {postgres.STANDBY}`, then do this again"
                raise StackError(msg)
    return f"its newest transaction is of {row[1]}"


def _is_known(config: StackConfig) -> bool:
    """Whether no takeover waits for its last step."""
    try:
        with psycopg.connect(postgres.dsn(config), connect_timeout=5) as connection:
            row = connection.execute("SELECT timeline = database_timeline() FROM recovery_state").fetchone()
    except psycopg.Error:
        return False
    return row is not None and bool(row[0])


def _copy(config: StackConfig, target: Path, user: str | None) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    if user:
        shutil.chown(target, user, postgres.group_of(user))
    conninfo = f"host={postgres.socket_dir(config)} port={config.ports.postgres} user={ROLE} application_name={postgres.STANDBY}"
    command = [
        str(postgres.bin_dir() / "pg_basebackup"),
        *("--pgdata", str(target), "--dbname", conninfo, "--checkpoint", "fast"),
        *("--wal-method", "stream", "--slot", postgres.STANDBY, "--write-recovery-conf"),
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    done = subprocess.run(
        command,
        user=user,
        group=postgres.group_of(user),
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"the primary could not be copied: {done.stderr.strip()}"
        raise StackError(msg)


def _primary(config: StackConfig, *acts: Callable[[Connection], None]) -> None:
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        for act in acts:
            act(connection)


def _ensure_role(connection: Connection) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN REPLICATION").format(sql.Identifier(ROLE)))


def _make_slot(connection: Connection) -> None:
    _drop_slot(connection)
    connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (postgres.STANDBY,))


def _drop_slot(connection: Connection) -> None:
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (postgres.STANDBY,)
    )
