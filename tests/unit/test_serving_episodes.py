"""Anomaly episodes: open ones first, repeats ignored, slow readers bounded."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from base.errors import OverloadedError
from serving.caches import episodes as module
from serving.caches.episodes import EpisodeReader, Episodes
from serving.caches.wakeup import Wakeup
from tests.contract import examples


def step(episode: int, revision: int, phase: str = "UPDATE", **fields: Any) -> dict[str, Any]:
    return (
        examples.records()["Anomaly"] | {"episode_id": UUID(int=episode), "revision": revision, "phase": phase} | fields
    )


async def take(reader: EpisodeReader, count: int) -> list[tuple[int, int]]:
    taken: list[tuple[int, int]] = []
    async for found in reader.steps():
        taken.append((found["episode_id"].int, found["revision"]))
        if len(taken) == count:
            break
    return taken


async def test_open_episodes_come_first_then_every_step() -> None:
    known = Episodes()
    known.apply(step(2, 1, "OPEN", start_us=20))
    known.apply(step(1, 1, "OPEN", start_us=10))
    known.apply(step(3, 1, "OPEN"))
    known.apply(step(3, 2, "CLOSE"))
    reader = known.open(Wakeup(), lambda _: True)
    assert await take(reader, 2) == [(1, 1), (2, 1)]
    known.apply(step(1, 2))
    known.apply(step(1, 3, "CLOSE"))
    assert await take(reader, 1) == [(1, 3)]


def test_what_a_restarted_job_repeats_opens_nothing_again() -> None:
    known = Episodes()
    for revision, phase in ((1, "OPEN"), (2, "UPDATE"), (3, "CLOSE"), (1, "OPEN"), (2, "UPDATE"), (3, "CLOSE")):
        known.apply(step(1, revision, phase))
    assert len(known) == 0


async def test_a_reader_gets_only_what_it_asked_for() -> None:
    known = Episodes()
    reader = known.open(Wakeup(), lambda found: found["device_id"] == 5)
    known.apply(step(1, 1, "OPEN", device_id=4))
    known.apply(step(2, 1, "OPEN", device_id=5))
    assert await take(reader, 1) == [(2, 1)]


async def test_a_reader_that_does_not_read_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    known = Episodes()
    reader = known.open(Wakeup(), lambda _: True)
    for episode in range(5):
        known.apply(step(episode, 1, "OPEN"))
    with pytest.raises(OverloadedError, match="read too slowly"):
        await take(reader, 5)
