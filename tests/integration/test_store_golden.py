"""The golden cases into SQL: whatever the order in which their records come, and however often, the tables say what the files say."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import psycopg
import pytest

from historian.store import HistorianStore
from schemas import codec, topics
from schemas.verdicts import REJECT_FROM, Verdict
from tests.golden.runner import CASES, outputs_of
from tests.golden.support import BASE_US, singly
from tests.integration.fix_history import plain_history
from tests.integration.history import Record

__all__ = ["plain_history"]

WINDOW = ("count", "good", "mean", "m2", "min", "max", "first", "last")


@pytest.mark.parametrize("name", CASES.names())
def test_case(plain_history: str, name: str) -> None:
    chance = random.Random(name)
    # Progress and last values are told apart by time, and all of a case have the same.
    told = (topics.VALIDATED.name, topics.REJECTED.name, topics.AGGREGATES.name)
    records = [
        Record(one.topic, 0, number, one.key, one.value)
        for number, one in enumerate(outputs_of(name))
        if one.topic in told
    ]
    records += chance.sample(records, len(records) // 2)
    chance.shuffle(records)
    store = HistorianStore(plain_history)
    try:
        while records:
            size = chance.randint(1, 6)
            assert store.write(records[:size]).poisoned == []
            records = records[size:]
    finally:
        store.close()
    with psycopg.connect(plain_history, autocommit=True) as sql:
        assert windows(sql, name) == wanted_windows(name)
        assert verdicts(sql) == wanted_verdicts(name)
        assert rejects(sql) == Counter(
            (each["reason"], each["positions"] and tuple(each["positions"])) for each in wanted_rejects(name)
        )


def windows(sql: psycopg.Connection[Any], name: str) -> dict[tuple[int, int, float], tuple[Any, ...]]:
    rows = sql.execute(
        f"""SELECT tag_id, window_s, (extract(epoch FROM start) * 1000000)::bigint, {", ".join(WINDOW)}
            FROM aggregates"""
    ).fetchall()
    found = {(tag, size, (start - BASE_US) / 1e6): tuple(map(_rounded, row)) for tag, size, start, *row in rows}
    return {key: row for key, row in found.items() if key not in ties(name)}


def wanted_windows(name: str) -> dict[tuple[int, int, float], tuple[Any, ...]]:
    rows = {(each["tag"], each["size_s"], each["start_s"]): each for each in CASES.expected(name)["windows"]}
    for each in rows.values():
        each["m2"] = each["m2"] if each["good"] else None  # nothing to deviate: SQL says null
    return {key: tuple(each[field] for field in WINDOW) for key, each in rows.items() if key not in ties(name)}


def ties(name: str) -> set[tuple[int, int, float]]:
    """Windows of which two lanes told the same number of samples: the repair settles those."""
    if name != "tag_moved":
        return set()
    return {(2, 1, 0.0)}


def _rounded(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


def verdicts(sql: psycopg.Connection[Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (counts,) in sql.execute("SELECT verdict_counts FROM ledger"):
        found.update({Verdict(code).name: n for code, n in enumerate(counts) if n})
    stored = sum(n for verdict, n in found.items() if Verdict[verdict] < REJECT_FROM)
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == (stored,)
    return found


def wanted_verdicts(name: str) -> Counter[str]:
    frames: dict[bytes, list[str]] = {}
    for one in singly(outputs_of(name)):
        if one.topic == topics.VALIDATED.name:
            judged = codec.decode(one.value)[1]
            identity = repr([judged[part] for part in ("gateway_id", "lane", "epoch", "stream", "sequence")]).encode()
            frames.setdefault(identity, [Verdict(code & 0x7F).name for code in judged["verdict"].tolist()])
    return Counter(verdict for names in frames.values() for verdict in names)


def rejects(sql: psycopg.Connection[Any]) -> Counter[tuple[str, tuple[int, ...] | None]]:
    rows = sql.execute("SELECT reason, positions FROM rejects").fetchall()
    return Counter((reason, positions and tuple(positions)) for reason, positions in rows)


def wanted_rejects(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = CASES.expected(name)["rejected"]
    return found
