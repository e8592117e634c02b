"""What the client promises of history and work, held by the real server on a real database: the suite that the fake plant is held to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest

import client_conformance as suite
from base.ids import now_us
from base.settings import PostgresSettings
from historian.store import HistorianStore
from millrace_client import Aggregate, Anomaly, Event, Reject
from registry.load import load_plant
from registry.plant_file import parse_plant
from tests.integration.fix_history import copy_of, history, store, variant
from tests.integration.history import CONNECTIONS, Record, make_frame, record, tag, validated
from tests.unit.real_plant import GATEWAY, PRESSES, RealRun, real_run

__all__ = ["copy_of", "history", "store", "variant"]

EPOCH = UUID(int=7)


class StoredRun(RealRun):
    """A real server whose database has, once the case has settled, what was set, told and refused: by the historian's own store."""

    def __init__(self, *arguments: Any, store: HistorianStore, dsn: str, **options: Any) -> None:
        self._store, self._dsn = store, dsn
        self._samples: list[tuple[int, int, float, int]] = []
        self._records: list[Record] = []
        self._frames = 0
        super().__init__(*arguments, **options)

    def set(self, tag_id: int, value: float, *, code: int = 0, time_us: int | None = None) -> None:
        at_us = now_us() if time_us is None else time_us
        super().set(tag_id, value, code=code, time_us=at_us)
        self._samples.append((tag_id, at_us, value, code))

    def close_window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        window = super().close_window(tag_id, start_us, window_s)
        deviations = (window.stddev or 0.0) ** 2 * max(window.good - 1, 0)
        columns = {name: np.array([getattr(window, name)]) for name in ("mean", "min", "max", "first", "last")}
        columns |= {f"{name}_time_us": np.array([start_us]) for name in ("min", "max", "first", "last")}
        counts = {name: np.array([getattr(window, name)], np.int32) for name in ("tag_id", "count", "good")}
        own: dict[str, Any] = {
            "gateway_id": GATEWAY,
            "lane": 1,
            "window_s": window_s,
            "closed_time_us": start_us,
            "lineage": 1,
        }
        self._records.append(
            record(
                "AggregateBatch", **own, **columns, **counts, start_us=np.array([start_us]), m2=np.array([deviations])
            )
        )
        return window

    def anomaly(self, step: Anomaly) -> dict[str, Any]:
        found = super().anomaly(step)
        self._records.append(record("Anomaly", **found))
        return found

    def tell(self, event: Event) -> None:
        super().tell(event)
        told = self.event(event)
        self._records.append(Record("device.events.north", 0, len(self._records), told.key, told.encode()))

    def reject(self, reject: Reject) -> None:
        assert reject.time_us is not None
        self._records.append(
            record(
                "Rejected", reason=reject.reason, detail=reject.detail, rejected_time_us=reject.rejected_us,
                source_topic="telemetry.frames.north", source_partition=0, source_offset=len(self._records),
                gateway_id=reject.gateway_id, lane=1, epoch=EPOCH, stream="LIVE", sequence=len(self._records), samples=1,
                position=np.zeros(1, np.int32), tag_id=np.array([reject.tag_id], np.int32), time_us=np.array([reject.time_us]),
                value=np.array([reject.value]), quality=np.zeros(1, np.uint16),
            )
        )  # fmt: skip

    def know_work(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as sql:
            for statement in (
                "INSERT INTO material_definitions (material) VALUES ('cap'), ('coil')",
                "INSERT INTO downtime_reasons (reason, planned) VALUES ('jam', false), ('setup', true)",
                "INSERT INTO scrap_reasons (reason) VALUES ('crack')",
                "INSERT INTO recipes (recipe, version, material) VALUES ('brew', '2', 'cap')",
                "INSERT INTO recipe_phases (recipe, version, phase, ordinal, nominal_s) VALUES ('brew', '2', 'heat', 1, 600)",
            ):
                sql.execute(statement)

    async def settle(self) -> None:
        items = list(self._records)
        if self._samples:
            tag_ids, times, values, codes = zip(*self._samples, strict=True)
            own: dict[str, Any] = {"gateway_id": GATEWAY, "lane": 1, "epoch": EPOCH, "sequence": self._frames}
            items.append(validated(make_frame(tag_ids, times, values, quality=codes, **own)))
            self._frames += 1
        self._samples, self._records = [], []
        assert not self._store.write(items).poisoned


def register(dsn: str) -> None:
    """The suite's presses, with the suite's ids."""
    tags = {name: tag(data_type=kind, unit="Cel", writable=writable) for name, kind, writable in suite.TAGS}
    names = [press.rpartition("/")[2] for press in suite.PRESSES]
    devices = [{"name": name, "class": "press", "gateway": GATEWAY, "connection": "opcua"} for name in names]
    line = {"name": "line1", "cells": [{"name": "cell1", "devices": devices}]}
    plant = {
        "enterprise": "acme",
        "tag_classes": {"fast": {"windows_s": [1, 60]}},
        "device_classes": {"press": {"detector": "default", "tags": tags}},
        "sites": [
            {
                "name": "north",
                "gateways": [{"id": GATEWAY, "connections": CONNECTIONS}],
                "areas": [{"name": "press", "lines": [line]}],
            }
        ],
    }
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT setval('registry_id', 1000)")  # out of the way of those that the suite wants
        load_plant(connection, parse_plant(plant))
        allocated = {
            path: ids
            for path, *ids in connection.execute("SELECT path, tag_id, device_id FROM tag_definition").fetchall()
        }
        connection.execute("SET session_replication_role = replica")
        for one in PRESSES:
            tag_id, device_id = allocated[one.path]
            connection.execute(
                "UPDATE tags SET tag_id = %s, device_id = %s WHERE tag_id = %s", (one.tag_id, one.device_id, tag_id)
            )
            for table in ("tag_history", "tag_periods"):
                connection.execute(f"UPDATE {table} SET tag_id = %s WHERE tag_id = %s", (one.tag_id, tag_id))
            connection.execute("UPDATE tag_periods SET device_id = %s WHERE device_id = %s", (one.device_id, device_id))
            for table in ("devices", "device_paths"):
                connection.execute(
                    f"UPDATE {table} SET device_id = %s WHERE device_id = %s", (one.device_id, device_id)
                )


@pytest.fixture(params=["threads", "asyncio"])
async def plant(request: pytest.FixtureRequest, history: str, store: HistorianStore) -> AsyncIterator[suite.Plant]:
    register(history)
    async with AsyncExitStack() as stack:
        yield await real_run(
            stack,
            threads=request.param == "threads",
            make=lambda *arguments, **options: StoredRun(*arguments, store=store, dsn=history, **options),
            postgres=PostgresSettings(dsn=history),
        )


class TestStoredHistory(suite.HistoryCases): ...


class TestStoredWork(suite.WorkCases): ...
