"""Watches in batches: snapshot, positions, silence, restarts."""

from __future__ import annotations

from typing import Any

import pytest

from client_conformance.plant import LINE, PRESSES, Plant, snapshot
from millrace_client import (
    InvalidRequestError,
    NotFoundError,
)


class BatchCases:
    """Watches in batches."""

    async def test_a_snapshot_ends_with_a_mark_and_changes_follow(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        plant.set(110, 2.0)
        async with client.watch_batches(LINE, min_interval_ms=10) as batches:
            updates, first = await snapshot(batches)
            assert updates == {100: 1.0, 110: 2.0}
            assert first.sequence >= 1
            assert first.interval_ms >= 10  # more while the server is busy
            assert first.position
            plant.set(110, 3.0)
            following = await anext(batches)
            assert [(one.tag_id, one.path, one.value.value) for one in following.updates] == [
                (110, f"{PRESSES[1]}/temperature", 3.0)
            ]
            assert following.sequence == first.sequence + 1
            assert following.sent_us >= following.updates[0].value.time_us

    async def test_a_batch_holds_the_newest_value_of_each_tag(self, plant: Plant) -> None:
        plant.set(100, 0.0)
        async with plant.client().watch_batches(PRESSES[0], min_interval_ms=250) as batches:
            await snapshot(batches)
            for value in range(1, 6):
                plant.set(100, float(value))
                plant.set(101, float(value))
            seen: list[Any] = []
            while len(seen) < 2:
                seen += (await anext(batches)).updates
            assert {one.tag_id: one.value.value for one in seen} == {100: 5.0, 101: 5.0}

    async def test_a_position_leaves_out_what_was_seen(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        plant.set(110, 2.0)
        async with client.watch_batches(LINE, min_interval_ms=10) as batches:
            _, last = await snapshot(batches)
        plant.set(110, 3.0)
        async with client.watch_batches(LINE, min_interval_ms=10, resume_position=last.position) as batches:
            assert (await snapshot(batches))[0] == {110: 3.0}
        async with client.watch_batches(LINE, min_interval_ms=10, resume_position="of-another-server") as batches:
            assert (await snapshot(batches))[0] == {100: 1.0, 110: 3.0}

    async def test_silence_is_told(self, plant: Plant) -> None:
        plant.set(100, 1.0)
        async with plant.client().watch_batches(PRESSES[0], min_interval_ms=10, heartbeat_ms=1000) as batches:
            _, first = await snapshot(batches)
            following = await anext(batches)
            assert (following.updates, following.sequence) == ((), first.sequence + 1)
            assert following.sent_us - first.sent_us > 900_000

    async def test_paths_can_be_left_out(self, plant: Plant) -> None:
        plant.set(100, 1.0)
        async with plant.client().watch_batches(PRESSES[0], min_interval_ms=10, omit_paths=True) as batches:
            first = await anext(batches)
            assert [one.path for one in first.updates] == [f"{PRESSES[0]}/temperature"]
            while not first.snapshot_complete:
                first = await anext(batches)
            plant.set(100, 2.0)
            assert [(one.tag_id, one.path) for one in (await anext(batches)).updates] == [(100, "")]

    async def test_limits_are_told(self, plant: Plant) -> None:
        client = plant.client()
        for wrong in ({"min_interval_ms": 5}, {"min_interval_ms": -1}, {"heartbeat_ms": 10}):
            with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
                await anext(client.watch_batches(LINE, **wrong))
        with pytest.raises(NotFoundError, match="no/where"):
            await anext(client.watch_batches("no/where"))

    async def test_a_batch_watch_goes_on_after_a_restart(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        async with client.watch_batches(PRESSES[0], min_interval_ms=10) as batches:
            await snapshot(batches)
            await plant.stop()
            await plant.start()
            plant.set(100, 2.0)
            seen: list[float] = []
            while 2.0 not in seen:
                seen += [one.value.value for one in (await anext(batches)).updates]
