"""What `top` looks at: supervisord, Flink, Kafka, SQL. Each on its own, so that one that is down blanks its own part only.

Leaves: a `Snapshot` of counters; rates come from two of them (`rates`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from base.errors import MillraceError
from base.settings import KafkaSettings
from connectors.kafka.offsets import OffsetReader, lag
from schemas import topics
from stack import postgres, status
from stack.config import StackConfig
from stack.errors import StackError
from stack.supervisor import Supervisor

GROUPS = ("millrace-telemetry", "millrace-historian", "millrace-commands", "millrace-alarms")

_SQL = """
WITH recent AS (SELECT DISTINCT ON (command_id) state FROM commands WHERE submitted_at > now() - interval '1 day'
                ORDER BY command_id, version DESC)
SELECT (SELECT coalesce(sum(produced_samples), 0)::bigint FROM gateway_health) AS produced,
       (SELECT coalesce(sum(buffered_samples), 0)::bigint FROM gateway_health) AS buffered,
       l.stored, l.rejected, l.suppressed, l.late,
       (extract(epoch FROM now() - l.newest) * 1000)::bigint AS newest_age_ms,
       (SELECT count(*) FROM anomalies WHERE phase <> 'CLOSE') AS open_anomalies,
       (SELECT coalesce(json_object_agg(state, n), '{}') FROM (SELECT state, count(*) AS n FROM recent GROUP BY state) c) AS commands
FROM (SELECT coalesce(sum(stored), 0)::bigint AS stored,
             coalesce(sum(CASE WHEN stream = 2 THEN -stored - suppressed ELSE rejected END), 0)::bigint AS rejected,
             coalesce(sum(suppressed), 0)::bigint AS suppressed, coalesce(sum(late), 0)::bigint AS late,
             max(newest_time) AS newest FROM ledger) l
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Counters at one moment. `problems`: what could not be asked, by source."""

    at_s: float
    line: Mapping[str, Any] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    accounting: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, int] = field(default_factory=dict)
    lag: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sql: Mapping[str, Any] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


class Sources:
    """Connections to everything `top` asks, kept between snapshots."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._offsets = OffsetReader(KafkaSettings(bootstrap_servers=config.bootstrap_servers), GROUPS)
        self._database: psycopg.Connection[dict[str, Any]] | None = None
        self._status: Future[dict[str, Any]] | None = None
        self._known: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="top")

    def close(self) -> None:
        """Let go of everything."""
        self._pool.shutdown(cancel_futures=True)
        self._offsets.close()
        if self._database is not None:
            self._database.close()

    def snapshot(self) -> Snapshot:
        """Ask Kafka, SQL and supervisord now; the accounting takes seconds, so it is the newest one that is finished."""
        asked: dict[str, Callable[[], dict[str, Any]]] = {"kafka": self._kafka, "sql": self._sql, "stack": self._stack}
        at_s = time.monotonic()  # when the counters are read; waiting for the rest must not stretch the rates
        running = {name: self._pool.submit(ask) for name, ask in asked.items()}
        found: dict[str, dict[str, Any]] = {}
        problems: dict[str, str] = {}
        for name, future in running.items():
            try:
                found[name] = future.result()
            except (MillraceError, StackError, OSError, psycopg.Error) as error:
                found[name], problems[name] = {}, (str(error).strip() or repr(error)).splitlines()[0]
        return Snapshot(
            at_s=at_s,
            line=found["stack"].get("line", {}),
            services=found["stack"].get("services", []),
            jobs=found["stack"].get("jobs", []),
            accounting=found["stack"].get("accounting", {}),
            records=found["kafka"].get("records", {}),
            lag=found["kafka"].get("lag", {}),
            sql=found["sql"],
            problems=problems,
        )

    def _stack(self) -> dict[str, Any]:
        if self._status is None or self._status.done():
            if self._status is not None:
                self._known = self._status.result()
            self._status = self._pool.submit(status.collect, self._config)
        if not self._known:
            self._known = self._status.result()
        live = Supervisor(self._config).states()
        rows = [
            row | {"state": live[row["name"]].state if row["name"] in live else "STOPPED"}
            for row in self._known["services"]
        ]
        line = status.watched_line(self._config, datetime.now(UTC)) if live else None
        return self._known | {"services": rows, "line": line or self._known["line"]}

    def _kafka(self) -> dict[str, Any]:
        ends = self._offsets.ends()
        committed = self._offsets.committed(ends)
        records: dict[str, int] = {}
        for (topic, _), offset in ends.items():
            records[stage_of(topic)] = records.get(stage_of(topic), 0) + offset
        return {"records": records, "lag": {group: lag(ends, at) for group, at in committed.items()}}

    def _sql(self) -> dict[str, Any]:
        if self._database is None or self._database.closed:
            options = {"connect_timeout": 2, "autocommit": True}
            dsn = postgres.dsn(self._config)
            self._database = psycopg.connect(dsn, row_factory=dict_row, **options)  # type: ignore[arg-type]
        try:
            row = self._database.execute(_SQL).fetchone()
        except psycopg.OperationalError:
            self._database.close()
            raise
        return dict(row or {})


def stage_of(topic: str) -> str:
    """Topic without its site, so that all sites are one stage; other topics as they are."""
    try:
        return topics.find(topic).name
    except KeyError:
        return topic


def rates(before: Snapshot, now: Snapshot) -> dict[str, float]:
    """Per second, between two snapshots: records of each topic, and samples produced, stored, rejected and suppressed."""
    elapsed_s = max(now.at_s - before.at_s, 1e-3)
    found = {
        name: (count - before.records[name]) / elapsed_s
        for name, count in now.records.items()
        if name in before.records
    }
    for name in ("produced", "stored", "rejected", "suppressed"):
        if name in now.sql and name in before.sql:
            found[name] = (now.sql[name] - before.sql[name]) / elapsed_s
    return found
