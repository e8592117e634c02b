"""PostgreSQL of the stack: an own cluster in the state folder, started as an unprivileged user.

Leaves: a `postgres` command for supervisord, the database `millrace` owned by the role `millrace`, and connection strings. Serving has a
role of its own that only reads what people may read, and one for what they enter. Passwords are generated once and kept with mode 0600, a
file for each role; the superuser is reachable only through the unix socket, whose folder only the cluster's owner may enter. Everybody else
comes over TLS (`stack.postgres_access`).
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import subprocess
from pathlib import Path

from authority.book import Book
from stack import postgres_access
from stack.config import StackConfig
from stack.errors import PreflightError, StepError
from stack.health import probes
from stack.health.answer import Health

DATABASE = "millrace"
OWNER = "millrace"
CERTIFICATE = "postgres"
"""Name of the server's certificate, and of its service."""
STANZA = "millrace"
"""Name of the cluster in a repository of pgBackRest."""
STANDBY = "standby"
"""Name of the standby: its service, its slot, its application name."""
SERVING, SERVING_WORK = "millrace_serving", "millrace_serving_work"
"""Roles of serving, which own nothing: what it reads with, and what people's entries into the model of work are written with."""
HISTORIAN, MAINTENANCE = "millrace_historian", "millrace_maintenance"
"""The historian adds history and no more. Maintenance is a member of the owner: only owners may index, vacuum, refresh and drop."""
ANALYST = "millrace_analyst"
"""For people and their tools, who read what people may read."""
WATCH = "millrace_watch"
"""Looks after archive and standby, and sees no data."""
GROUPS = {
    SERVING: "millrace_reader",
    SERVING_WORK: "millrace_planner",
    HISTORIAN: "millrace_writer",
    MAINTENANCE: OWNER,
    ANALYST: "millrace_reader",
    WATCH: "pg_monitor",
}
"""What each is a member of, and all that it may."""
_PASSWORDS = {
    OWNER: "postgres-password",
    SERVING: "postgres-serving-password",
    SERVING_WORK: "postgres-serving-work-password",
    HISTORIAN: "postgres-historian-password",
    MAINTENANCE: "postgres-maintenance-password",
    ANALYST: "postgres-analyst-password",
    WATCH: "postgres-watch-password",
}
ROLES = tuple(_PASSWORDS)
"""All that log in with a password."""
_SUPERUSER = "postgres"
_INSTALL = Path("/usr/lib/postgresql")


def bin_dir() -> Path:
    """Folder of the newest installed server's programs; raises PreflightError when there is none."""
    found = sorted((p.parent for p in _INSTALL.glob("*/bin/postgres")), key=lambda p: float(p.parent.name))
    if not found:
        msg = "PostgreSQL is not installed; `./millrace setup` installs it"
        raise PreflightError(msg)
    return found[-1]


def has_timescaledb() -> bool:
    """Whether the server has the extension's control file and library."""
    version = bin_dir().parent.name
    control = Path("/usr/share/postgresql") / version / "extension" / "timescaledb.control"
    return control.exists() and any((_INSTALL / version / "lib").glob("timescaledb*.so"))


def uses_timescaledb(setting: str) -> bool:
    """Whether an instance with this `timescaledb` setting loads it."""
    return setting == "auto" and has_timescaledb()


def system_user() -> str | None:
    """User to start the server as: PostgreSQL refuses root, so root uses the package's `postgres`; others stay themselves."""
    return "postgres" if os.geteuid() == 0 else None


def data_dir(config: StackConfig) -> Path:
    """Cluster's folder: under the state folder, or under /var/lib when its user cannot get there (a home folder of root)."""
    user = system_user()
    if user and not _reachable(config.state, pwd.getpwnam(user)):
        return Path("/var/lib/millrace") / config.instance_id / "postgres"
    return config.data / "postgres"


def socket_dir(config: StackConfig) -> Path:
    """Folder of the unix socket, private to the server's user."""
    return data_dir(config) / "socket"


def standby_dir(config: StackConfig) -> Path:
    """Folder of the standby's cluster; there is a standby when it is there (`stack.standby`)."""
    return data_dir(config).with_name("postgres-standby")


def tls_dir(config: StackConfig) -> Path:
    """Where the server's user finds key and certificate: outside of the cluster, which is copied and backed up."""
    return data_dir(config).with_name("postgres-tls")


def backup_home(config: StackConfig) -> Path:
    """What pgBackRest keeps: its configuration and, unless a repository is set, the backups. The server's user must get there."""
    return data_dir(config).with_name("backup")


def synchronous_marker(config: StackConfig) -> Path:
    """There while commits wait for the standby."""
    return config.data / "standby-synchronous"


def command(config: StackConfig, *, standby: bool = False) -> tuple[str, ...]:
    """The server in the foreground."""
    return (str(bin_dir() / "postgres"), "-D", str(standby_dir(config) if standby else data_dir(config)))


def dsn(config: StackConfig, *, role: str = OWNER, with_password: bool = True) -> str:
    """Connection string of a role over loopback; without the password, which libpq then reads in a file at each connect.

    So it may stand on a command line, and a program that keeps it knows a password that was replaced.
    """
    host, port, secret = config.host, config.ports.postgres, password(config, role)
    shown = {"host": host, "port": str(port), "dbname": DATABASE, "user": role}
    proven = postgres_access.client(Book(config.authority).root_file)
    if with_password:
        return _conninfo(**shown, password=secret, **proven)
    file = password_file(config, role).with_suffix(".pgpass")
    postgres_access.write_pass_file(file, host=host, port=port, role=role, password=secret)
    return _conninfo(**shown, passfile=str(file), **proven)


def _conninfo(**parts: str) -> str:
    """Keywords and values as libpq reads them (its section 34.1.1.1). By hand: psycopg's own takes as long as the rest of `psql`."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in parts.items())


def _quoted(value: str) -> str:
    if value and not re.search(r"[\s'\\]", value):
        return value
    escaped = re.sub(r"(['\\])", r"\\\1", value)
    return f"'{escaped}'"


def superuser_dsn(config: StackConfig, *, dbname: str = "postgres", standby: bool = False) -> str:
    """Connection string of the superuser over the unix socket."""
    if standby:
        return f"host={standby_dir(config) / 'socket'} port={config.ports.standby} dbname={dbname} user={_SUPERUSER}"
    return f"host={socket_dir(config)} port={config.ports.postgres} dbname={dbname} user={_SUPERUSER}"


def password_file(config: StackConfig, role: str = OWNER) -> Path:
    """Where a role's password is."""
    return config.secrets / _PASSWORDS[role]


def password(config: StackConfig, role: str = OWNER) -> str:
    """A role's password, generated at first use."""
    path = password_file(config, role)
    if not path.exists():
        config.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_password())
    return path.read_text().strip()


def new_password() -> str:
    """One that nobody guesses."""
    return secrets.token_urlsafe(24)


def prepare(config: StackConfig) -> None:
    """Create the cluster when there is none, and write its configuration; its certificate was issued."""
    directory, user = data_dir(config), system_user()
    if not directory.exists() and (standby_dir(config) / "PG_VERSION").exists():
        msg = "a takeover by the standby was interrupted: `./millrace standby promote` finishes it"
        raise StepError(msg)
    if not (directory / "PG_VERSION").exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(directory, ignore_errors=True)  # a half-made cluster has no PG_VERSION
        directory.mkdir(mode=0o700)
        if user:
            shutil.chown(directory, user)
        arguments = [
            "-D",
            str(directory),
            "-U",
            _SUPERUSER,
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            # Until its pg_hba.conf is written, below.
            "--auth=reject",
        ]
        result = subprocess.run(
            [bin_dir() / "initdb", *arguments],
            user=user,
            group=group_of(user),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            msg = f"initdb failed:\n{result.stdout}{result.stderr}"
            raise StepError(msg)
    install_certificate(config)
    postgres_access.write_settings(directory, settings(config), user)
    if (standby_dir(config) / "PG_VERSION").exists():
        postgres_access.write_settings(standby_dir(config), settings(config, standby=True), user)


def install_certificate(config: StackConfig) -> bool:
    """Give the server what was issued to it last, unless it has it; whether it did not. It takes it with `reload`, or when it starts."""
    issued = Book(config.authority).file(CERTIFICATE)
    if not issued.exists():
        msg = f"PostgreSQL has no certificate in {issued.parent}; `./millrace up` issues it"
        raise StepError(msg)
    return postgres_access.install(issued, tls_dir(config), system_user())


def installed_certificate(config: StackConfig) -> Path:
    """The copy that the server reads."""
    return postgres_access.installed(tls_dir(config))


def reload(config: StackConfig, *, standby: bool = False) -> None:
    """Let a server that runs read its settings, `pg_hba.conf` and certificate again; raises psycopg.Error."""
    import psycopg  # late: most of who asks here asks for paths, names or a connection string

    with psycopg.connect(superuser_dsn(config, standby=standby), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")


def health(config: StackConfig, *, standby: bool = False) -> Health:
    """Whether the server answers a query."""
    return probes.postgres_health(superuser_dsn(config, standby=standby))


def settings(config: StackConfig, *, standby: bool = False) -> str:
    """Text of the primary's configuration, or of the standby's."""
    directory = standby_dir(config) if standby else data_dir(config)
    timescale = uses_timescaledb(config.timescaledb)
    rows = {
        "listen_addresses": f"'{config.host}'",
        "port": config.ports.standby if standby else config.ports.postgres,
        "unix_socket_directories": f"'{directory / 'socket'}'",
        **postgres_access.rows(tls_dir(config)),
        "shared_preload_libraries": "'timescaledb'" if timescale else "''",
        "shared_buffers": f"{config.memory.postgres_shared_buffers_mb}MB",
        "max_connections": 60,
        # Durability is the product's promise: fsync and synchronous_commit stay on, also on a laptop.
        "fsync": "on",
        "synchronous_commit": "on",
        # COPY writes much WAL: rarer checkpoints and compressed full-page images.
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        # A new segment is not written twice; the disk is watched anyway, and full either way means the same.
        "wal_init_zero": "off",
        # On from the start, so that the first backup needs no restart; until then segments are let go.
        "archive_mode": "on",
        "archive_command": f"'{_archive_command(config)}'",
        "archive_timeout": "60s" if archives(config) else "0",
        # A standby that is away may hold so much of the log; beyond it the standby has to be made anew, and the disk stays free.
        "max_slot_wal_keep_size": "4GB",
        "synchronous_standby_names": f"'{STANDBY}'" if synchronous_marker(config).exists() and not standby else "''",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_min_duration_statement": "'5s'",
        "log_line_prefix": "'%m [%p] %q%u@%d '",
    }
    if timescale:
        rows |= {"timescaledb.telemetry_level": "off", "max_worker_processes": 24}
    return "# Rendered by `python -m stack`; edits are overwritten.\n" + "".join(
        f"{key} = {value}\n" for key, value in rows.items()
    )


def archives(config: StackConfig) -> bool:
    """Whether the write-ahead log goes to a repository: from the first backup on."""
    return (backup_home(config) / "pgbackrest.conf").exists()


def _archive_command(config: StackConfig) -> str:
    if not archives(config):
        return "/bin/true"
    return f"pgbackrest --config={backup_home(config) / 'pgbackrest.conf'} --stanza={STANZA} archive-push %p"


def group_of(user: str | None) -> int | None:
    """Group to start a program of the server's user with."""
    return pwd.getpwnam(user).pw_gid if user else None


def _reachable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether `user` may enter every folder down to `path`, as far as it exists."""
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        info = folder.stat()
        bit = 0o100 if info.st_uid == user.pw_uid else 0o010 if info.st_gid == user.pw_gid else 0o001
        if not info.st_mode & bit:
            return False
    return True
