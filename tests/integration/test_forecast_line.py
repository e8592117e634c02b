"""A machine that wears: from its frames through the telemetry logic to SQL and gRPC, on a real database and a real server.

Kafka and Flink are left out: the messages are those of their topics, handed on as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import psycopg

from historian.store import HistorianStore
from schemas import topics
from schemas.proto.millrace.v1 import history_pb2, state_pb2
from stages.config import DetectionConfig, ForecastConfig, TelemetryConfig
from tests.golden.support import Driver, make_frame, tag, us
from tests.integration.fix_history import copy_of, history, sql, store, variant
from tests.integration.history import Record, register
from tests.integration.test_serving_history import DEVICE, reading

__all__ = ["copy_of", "history", "sql", "store", "variant"]

CONFIG = TelemetryConfig(
    detection=DetectionConfig(enabled=False),
    forecast=ForecastConfig(enabled=True, step_s=60.0, rhythm_s=1_200.0),
)
STORED = {topics.VALIDATED.name, topics.AGGREGATES.name, topics.LANES.name, topics.ANOMALIES.name}
FAILS_S = 5_000
"""The level goes from 50 at second 0 to its limit, 100."""


async def test_a_forecast_is_seen_in_sql_and_grpc_from_the_first_word_to_the_limit(
    history: str, store: HistorianStore, sql: psycopg.Connection[Any]
) -> None:
    power = register(history)["power"]
    (device,) = sql.execute("SELECT device_id FROM devices").fetchone() or (0,)
    worn = tag(power, device_id=device, path=f"{DEVICE}/power", eu_low=0.0, eu_high=100.0, windows_s=(10,))
    driver, offsets, chance = Driver([worn], CONFIG), count(), np.random.default_rng(1)

    def run(from_s: int, to_s: int) -> None:
        """Frames of every ten seconds, and all that follows from them into the database."""
        driver.outputs.clear()
        for second in range(from_s, to_s, 10):
            value = 50.0 + 50.0 * second / FAILS_S + float(chance.normal(0.0, 0.3))
            driver.frame(make_frame([(power, second, value)], second // 10))
        said = [each for each in driver.outputs if each.topic in STORED]
        written = store.write([Record(each.topic, 0, next(offsets), each.key, each.value) for each in said])
        assert written.poisoned == []

    run(0, 4_000)
    (row,) = sql.execute(
        "SELECT detector, statistic, forecast_limit, end_time, forecast_earliest, forecast_latest, device_path FROM anomaly"
    ).fetchall()
    fails = datetime.fromtimestamp(us(FAILS_S) / 1e6, UTC)
    assert row[:4] == ("forecast", "forecast", 100.0, None)
    assert row[4] < fails < row[5]
    assert row[6] == DEVICE
    async with reading(history, {"power": power}) as running:
        ask = history_pb2.ListAnomaliesRequest
        (standing,) = (await running.history.ListAnomalies(ask(open_only=True))).anomalies
        one = standing.contributors[0]
        assert (standing.detector, one.tag_id, one.limit) == ("forecast", power, 100.0)
        assert one.earliest_us < us(FAILS_S) < one.latest_us
        assert 0.5 < standing.score < 1.0

        run(4_000, 5_400)
        (over,) = (await running.history.ListAnomalies(ask())).anomalies
        assert (over.episode_id, over.phase, over.score) == (standing.episode_id, state_pb2.ANOMALY_PHASE_CLOSE, 1.0)
        assert abs(over.end_us - us(FAILS_S)) < 300 * 1_000_000
    assert sql.execute("SELECT phase, end_time IS NOT NULL FROM anomaly").fetchall() == [("CLOSE", True)]
    assert sql.execute("SELECT count(*) FROM samples WHERE tag_id = %s", (power,)).fetchone() == (540,)
