"""The simulated week through the real line: an edge node sends it late, and what SQL answers is what the oracle says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from simulator.week import LINE, make
from stack import instance, lifecycle, postgres
from stack.reporting import Progress
from tests.integration.line import Line
from tests.integration.polling import eventually
from tests.integration.week import load
from tests.integration.week.oracle_work import Oracle
from work.tables import NAMES

pytestmark = [pytest.mark.timeout(1800), pytest.mark.campaign]
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with instance.temporary() as running:
        lifecycle.up(running.config, Progress(sink=log.info))
        yield Line(running.config)


def when(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def test_a_week_that_was_stored_at_the_machines_is_in_the_history_as_if_it_had_been_live(line: Line) -> None:
    sent = line.simulator("POST", "/past", {"days": 7})
    week = make(datetime.fromtimestamp(sent["until_us"] // 1_000_000, UTC))
    eventually(
        lambda: line.simulator("GET", "/status")["past_left"] == 0, timeout_s=900, period_s=1.0, what="the week is sent"
    )
    expected = {f"{path}/{name}": one for path, series in week.samples.items() for name, one in series.items()}
    assert sent["samples"] == sum(len(one.time_us) for one in expected.values())
    ids = {path: line.tags[path].tag_id for path in expected}
    counting = "SELECT count(*) FROM samples WHERE tag_id = ANY(%s) AND time >= %s AND time < %s"
    span = (when(week.start_us), when(week.end_us))
    eventually(
        lambda: line.sql(counting, list(ids.values()), *span)[0][0] >= sent["samples"], timeout_s=600, period_s=2.0,
        what="the week is stored",
    )  # fmt: skip
    assert line.sql(counting, list(ids.values()), *span)[0][0] == sent["samples"]
    for path, series in expected.items():
        rows = line.sql(
            "SELECT (extract(epoch FROM time) * 1000000)::bigint, value, quality_name(quality::integer) FROM samples"
            " WHERE tag_id = %s AND time >= %s AND time < %s ORDER BY time", ids[path], *span,
        )  # fmt: skip
        assert np.array_equal([row[0] for row in rows], series.time_us), path
        assert np.array_equal([row[1] for row in rows], series.value), path
        assert [row[2] != "good" for row in rows] == series.bad.tolist(), path
    streams = line.sql("SELECT stored FROM lane WHERE gateway_id = 'gw-south-1' AND stream = 'BACKFILL'")
    assert sum(stored for (stored,) in streams) == sent["samples"]

    with psycopg.connect(postgres.dsn(line.config), autocommit=True) as connection:
        devices: dict[str, int] = dict(connection.execute("SELECT path, device_id FROM device").fetchall())
        # The example's own calendars and words are others.
        connection.execute(SQL("TRUNCATE {} CASCADE").format(SQL(", ").join(map(Identifier, NAMES))))
        load.enter(connection, week.entries, devices)
    oracle = Oracle(week, LINE, week.start_us, week.end_us).oee("device")
    found = line.sql("SELECT path, pbt_s, apt_s, pq, gq, oee FROM oee_between(%s, %s, %s)", LINE, *span)
    assert len(found) == len(oracle) == 6
    for path, *values in found:
        row = oracle[path, None, None, None, None, None]
        assert values == [pytest.approx(row[name], rel=1e-9) for name in ("pbt_s", "apt_s", "pq", "gq", "oee")], path
