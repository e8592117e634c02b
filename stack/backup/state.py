"""How backups and standby stand, asked now: age of the newest backup, how far the archive is behind, how far the standby is behind.

Called by the watch every few seconds, by `status`, and turned into reasons of the line's state. It asks the database, not the
repository: the newest backup is in a small file that `backup` writes.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stack import postgres
from stack.config import StackConfig

ARCHIVE_LATE_S = 300.0
"""The write-ahead log may wait so long for the archive: the recovery point that is promised for what is not made from Kafka."""
_QUERY = """
SELECT r.waiting, r.waiting_s,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false), coalesce(a.last_failed_wal, ''),
       s.active, s.wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)
FROM pg_stat_archiver a
CROSS JOIN (SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(modification)) AS waiting_s
            FROM pg_ls_archive_statusdir() WHERE right(name, 6) = '.ready') r
LEFT JOIN pg_replication_slots s ON s.slot_name = %s"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Safety:
    """What is known. `waiting_s` is the age of the oldest segment that is not archived; None where nothing applies or is known."""

    archives: bool
    label: str = ""
    backup_age_s: float | None = None
    waiting: int | None = None
    waiting_s: float | None = None
    failing: str = ""
    standby: bool = False
    synchronous: bool = False
    standby_connected: bool | None = None
    standby_behind_bytes: int | None = None
    standby_lost: bool = False
    problem: str = ""

    def reasons(self, max_age_h: int, *, answers: bool) -> tuple[str, ...]:
        """Why the line is not as safe as it was told to be. `answers`: the database does, so that it is a fault when it cannot be asked."""
        found = []
        if self.problem and answers:
            found.append(f"how archive and standby stand is not known, `./millrace up` may mend it: {self.problem}")
        if self.backup_age_s is not None and self.backup_age_s > max_age_h * 3600:
            found.append(f"the newest backup is {self.backup_age_s / 3600:.0f} h old: `./millrace backup` makes one")
        if self.failing or (self.waiting_s or 0.0) > ARCHIVE_LATE_S:
            what = f"fails at {self.failing}" if self.failing else f"is {self.waiting_s:.0f} s behind"
            found.append(
                f"the archive of the write-ahead log {what}: see `./millrace logs postgres` and `./millrace backup verify`"
            )
        if self.standby_lost:
            found.append("the standby has lost its place: `./millrace standby create` makes it anew")
        elif self.standby_connected is False:
            held = ", and commits wait for it" if self.synchronous else ""
            found.append(f"the standby does not follow{held}: see `./millrace logs {postgres.STANDBY}`")
        return tuple(found)

    def text(self) -> str:
        """For people, in a line or two."""
        if not self.archives:
            backup = "backup: none; `./millrace backup` makes the first"
        else:
            age = "none yet" if self.backup_age_s is None else f"{self.label}, {_duration(self.backup_age_s)} old"
            behind = (
                "not known"
                if self.waiting is None
                else f"{self.waiting} segments wait, {_duration(self.waiting_s or 0.0)}"
            )
            backup = f"backup: {age}; archive: {behind}"
        if not self.standby:
            return backup
        follows = {None: "not known", True: "follows", False: "does not follow"}[self.standby_connected]
        mode = "synchronous" if self.synchronous else "asynchronous"
        return f"{backup}\nstandby ({mode}): {follows}, {(self.standby_behind_bytes or 0) / 1e6:,.1f} MB behind"


def find(config: StackConfig, *, timeout_s: int = 3) -> Safety:
    """Ask the database; never raises because it is away."""
    archives, has_standby = postgres.archives(config), postgres.standby_dir(config).exists()
    synchronous = postgres.synchronous_marker(config).exists()
    label, at_s = _remembered(config) if archives else ("", None)
    age_s = None if at_s is None else max(0.0, time.time() - at_s)
    if not archives and not has_standby:
        return Safety(archives=False)
    import psycopg

    try:
        dsn = postgres.dsn(config, role=postgres.WATCH)
        with psycopg.connect(dsn, connect_timeout=timeout_s, autocommit=True) as connection:
            row = connection.execute(_QUERY, (postgres.STANDBY,)).fetchone()
    except psycopg.Error as error:
        return Safety(
            archives=archives,
            label=label,
            backup_age_s=age_s,
            standby=has_standby,
            synchronous=synchronous,
            problem=" ".join(str(error).split()),
        )
    assert row is not None
    waiting, waiting_s, failing, wal, active, wal_status, behind = row
    return Safety(
        archives=archives,
        label=label,
        backup_age_s=age_s,
        waiting=int(waiting) if archives else None,
        waiting_s=float(waiting_s or 0.0) if archives else None,
        failing=wal if archives and failing and waiting else "",
        standby=has_standby,
        synchronous=synchronous,
        standby_connected=bool(active) if has_standby else None,
        standby_behind_bytes=None if behind is None or not has_standby else int(behind),
        standby_lost=has_standby and wal_status == "lost",
    )


def remember(config: StackConfig, *, label: str, at_s: float) -> None:
    """Write the newest backup down."""
    _file(config).write_text(json.dumps({"label": label, "at_s": at_s}))


def forget(config: StackConfig) -> None:
    """There is none any more that counts."""
    _file(config).unlink(missing_ok=True)


def as_row(found: Safety) -> dict[str, object]:
    """Plain values for `status --json`."""
    row = {name: getattr(found, name) for name in found.__dataclass_fields__}
    if found.backup_age_s is not None:
        at = datetime.fromtimestamp(time.time() - found.backup_age_s, UTC)
        row["backup_at"] = at.isoformat(timespec="seconds")
    return row


def _remembered(config: StackConfig) -> tuple[str, float | None]:
    try:
        row = json.loads(_file(config).read_text())
        return str(row["label"]), float(row["at_s"])
    except FileNotFoundError:
        return "", None
    except (ValueError, KeyError, TypeError):  # torn by a crash: the next backup writes it again
        return "not known", None


def _file(config: StackConfig) -> Path:
    return config.data / "newest-backup.json"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
