"""Samples, windows and curves; episodes, events and refused samples."""

from __future__ import annotations

from datetime import datetime

import pytest

from client_conformance.plant import LINE, PRESSES, START_US, Plant, rest, step
from millrace_client import (
    AnomalyPhase,
    Event,
    InvalidRequestError,
    NotFoundError,
    Reject,
    utc,
    uuid7,
)


class HistoryCases:
    """Samples, windows and curves; episodes, events and refused samples."""

    async def test_history_comes_as_columns_by_time(self, plant: Plant) -> None:
        client = plant.client()
        for second in range(5):
            plant.set(100, float(second), time_us=START_US + second * 1_000_000, code=0x4090 if second == 2 else 0)
        plant.set(110, 7.0, time_us=START_US)
        await plant.settle()
        table = await client.history([PRESSES[0], 110], utc(START_US), utc(START_US + 4_000_000))
        temperature = table[f"{PRESSES[0]}/temperature"]
        assert (temperature.tag_id, temperature.unit, len(temperature)) == (100, "Cel", 4)
        assert temperature.time_us.tolist() == [START_US + second * 1_000_000 for second in range(4)]
        assert temperature.value.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert temperature.quality.tolist() == [0, 0, 0x4090, 0]
        assert table[110].value.tolist() == [7.0]
        assert len(table) == 5
        newest = await client.history(100, START_US, limit=2)
        assert newest[100].value.tolist() == [3.0, 4.0]
        good = await client.history(100, START_US, good_only=True)
        assert good[100].value.tolist() == [0.0, 1.0, 3.0, 4.0]

    async def test_history_comes_in_chunks_that_are_the_whole(self, plant: Plant) -> None:
        client = plant.client()
        for second in range(5):
            plant.set(100, float(second), time_us=START_US + second * 1_000_000)
            plant.set(110, float(second), time_us=START_US + second * 1_000_000)
        await plant.settle()
        whole = await client.history(PRESSES[:2], START_US, START_US + 4_000_000)
        async with client.history_chunks(PRESSES[:2], START_US, START_US + 4_000_000) as stream:
            chunks = [chunk async for chunk in stream if len(chunk)]
        assert [chunk.tag_id for chunk in chunks] == sorted(chunk.tag_id for chunk in chunks)
        for tag_id in (100, 110):
            parts = [chunk for chunk in chunks if chunk.tag_id == tag_id]
            assert {(part.path, part.unit) for part in parts} == {(whole[tag_id].path, "Cel")}
            for name in ("time_us", "value", "quality"):
                found = [one for part in parts for one in getattr(part, name).tolist()]
                assert found == getattr(whole[tag_id], name).tolist()
        async with client.history_chunks("no/where", START_US) as stream:
            with pytest.raises(NotFoundError):
                await anext(stream)

    async def test_a_tag_without_samples_has_an_empty_series_or_none(self, plant: Plant) -> None:
        await plant.settle()
        table = await plant.client().history(100, START_US, START_US + 1)
        assert len(table) == 0
        assert [len(series) for series in table] in ([], [0])

    async def test_windows_are_computed_from_good_samples(self, plant: Plant) -> None:
        for second, value in enumerate((1.0, 3.0, 100.0)):
            plant.set(100, value, time_us=START_US + second * 1_000_000, code=0x8000 if value == 100.0 else 0)
        plant.set(100, 5.0, time_us=START_US + 60_000_000)
        plant.close_window(100, START_US, 60)
        plant.close_window(100, START_US + 60_000_000, 60)
        await plant.settle()
        client = plant.client()
        table = await client.aggregates(100, START_US, START_US + 120_000_000, window_s=60)
        series = table[100]
        assert (series.window_s, series.start_us.tolist()) == (60, [START_US, START_US + 60_000_000])
        assert (series.count.tolist(), series.good.tolist()) == ([3, 1], [2, 1])
        assert (series.mean.tolist(), series.min.tolist(), series.max.tolist()) == ([2.0, 5.0], [1.0, 5.0], [3.0, 5.0])
        assert series.stddev.tolist()[0] == pytest.approx(2**0.5)
        assert series.stddev.tolist()[1] != series.stddev.tolist()[1]  # of one sample: NaN

    async def test_a_curve_of_few_samples_is_the_samples(self, plant: Plant) -> None:
        for second in range(10):
            plant.set(100, float(second), time_us=START_US + second * 1_000_000)
        await plant.settle()
        curve = (await plant.client().chart(100, START_US, START_US + 10_000_000, pixels=800))[100]
        assert (curve.source, curve.window_s, len(curve)) == ("samples", 0, 10)
        assert curve.value.tolist() == [float(second) for second in range(10)]
        assert (len(curve.min), len(curve.repaired), len(curve.quality)) == (0, 0, 10)

    async def test_what_makes_no_range_is_refused(self, plant: Plant) -> None:
        client = plant.client()
        with pytest.raises(InvalidRequestError):
            await client.history(100, START_US, START_US)
        with pytest.raises(InvalidRequestError):
            await client.history([], START_US)
        with pytest.raises(InvalidRequestError):
            await client.chart(100, START_US, pixels=5000)
        with pytest.raises(InvalidRequestError, match="no time zone"):
            await client.history(100, datetime(2026, 1, 1))  # noqa: DTZ001 - it has to be refused
        with pytest.raises(NotFoundError):
            await client.history("no/where", START_US)

    async def test_events_and_episodes_are_listed_newest_first(self, plant: Plant) -> None:
        client = plant.client()
        now_us = uuid7().int >> 80  # milliseconds
        death, birth = (
            Event(
                event_id=str(uuid7()),
                kind=kind,
                gateway_id="gw-north-1",
                device_id=11,
                device_path=PRESSES[1],
                time_us=(now_us - age_ms) * 1000,
            )
            for kind, age_ms in (("DEATH", 60_000), ("BIRTH", 30_000))
        )
        plant.tell(death)
        plant.tell(birth)
        plant.publish(step())
        plant.publish(step(phase=AnomalyPhase.CLOSE, end_us=1_700_000_060_000_000))
        await plant.settle()
        assert [event.kind async for event in client.events(LINE)] == ["BIRTH", "DEATH"]
        assert [event.event_id async for event in client.events(kinds="DEATH")] == [death.event_id]
        assert [event.kind async for event in client.events(start=birth.time)] == ["BIRTH"]
        page = await client.events_page(page_size=1)
        assert [event.kind for event in (await client.events_page("", page.next_page_token)).items] == ["DEATH"]
        [episode] = await rest(client.episodes(PRESSES[1]))
        assert (episode.phase, episode.end_us, episode.device_path) == (
            AnomalyPhase.CLOSE,
            1_700_000_060_000_000,
            PRESSES[1],
        )
        assert await rest(client.episodes(open_only=True)) == []
        assert await rest(client.episodes(PRESSES[0])) == []

    async def test_refused_samples_are_listed_and_counted(self, plant: Plant) -> None:
        client = plant.client()
        at_us = (uuid7().int >> 80) * 1000 - 60_000_000
        for number, reason in enumerate(("OUT_OF_RANGE", "OUT_OF_RANGE", "FUTURE")):
            plant.reject(
                Reject(
                    rejected_us=at_us + number,
                    reason=reason,
                    detail="as it is",
                    tag_id=110,
                    path=f"{PRESSES[1]}/temperature",
                    time_us=at_us,
                    value=1e9,
                    gateway_id="gw-north-1",
                )
            )
        await plant.settle()
        found = await rest(client.rejects(PRESSES[1]))
        assert [one.reason for one in found] == ["FUTURE", "OUT_OF_RANGE", "OUT_OF_RANGE"]
        assert (found[0].tag_id, found[0].value, found[0].time_us) == (110, 1e9, at_us)
        assert [one.reason async for one in client.rejects(reasons=["FUTURE"])] == ["FUTURE"]
        counts = await client.count_rejects(LINE)
        assert [(one.reason, one.device_path, one.count) for one in counts] == [
            ("OUT_OF_RANGE", PRESSES[1], 2),
            ("FUTURE", PRESSES[1], 1),
        ]
