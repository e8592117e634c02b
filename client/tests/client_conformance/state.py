"""Devices, tags and their watches; filters, the tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from client_conformance.plant import LINE, PRESSES, START_US, TAGS, Plant, rest, step
from millrace_client import (
    AnomalyPhase,
    AnomalyVerdict,
    ConflictError,
    DeviceState,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Quality,
    uuid7,
)


class StateCases:
    """Reads, watches and anomalies."""

    async def test_devices_are_listed_by_path_without_tags(self, plant: Plant) -> None:
        found = await rest(plant.client().devices())
        assert [device.path for device in found] == PRESSES
        assert [device.device_id for device in found] == [10, 11, 12]
        assert {device.tags for device in found} == {()}
        assert {(device.device_class, device.site, device.gateway_id) for device in found} == {
            ("press", "north", "gw-north-1")
        }

    @pytest.mark.parametrize(
        ("prefix", "devices", "tags"),
        [
            ("", 3, 12),
            ("acme", 3, 12),
            (LINE, 3, 12),
            (LINE + "/", 3, 12),
            (f"{LINE}/press0", 0, 0),
            (f"{LINE}/press0*", 3, 12),
            (PRESSES[0], 1, 4),
            (f"{PRESSES[0]}/running", 0, 1),
            ("acme/south", 0, 0),
        ],
    )
    async def test_a_prefix_is_a_path_or_the_beginning_of_one(
        self, plant: Plant, prefix: str, devices: int, tags: int
    ) -> None:
        client = plant.client()
        assert len(await rest(client.devices(prefix))) == devices
        assert len(await rest(client.tags(prefix))) == tags

    async def test_lists_come_in_pages(self, plant: Plant) -> None:
        client = plant.client()
        token, sizes, paths = "", [], []
        while True:
            page = await client.tags_page(LINE, token, page_size=5)
            sizes.append(len(page.items))
            paths += [tag.path for tag in page.items]
            if not (token := page.next_page_token):
                break
        assert sizes == [5, 5, 2]
        assert paths == sorted(f"{press}/{name}" for press in PRESSES for name, _, _ in TAGS)
        first = await client.devices_page(page_size=2)
        rest = await client.devices_page("", first.next_page_token, page_size=2)
        assert [device.path for device in first.items + rest.items] == PRESSES

    async def test_a_device_has_its_tags_with_values_and_their_age(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 71.25, code=0x4090, time_us=1_700_000_000_123_456)
        device = await client.device(PRESSES[0])
        assert [tag.name for tag in device.tags] == sorted(name for name, _, _ in TAGS)
        tags = {tag.name: tag for tag in device.tags}
        last = tags["temperature"].last
        assert (last.value, last.time_us) == (71.25, 1_700_000_000_123_456)
        assert (last.quality, last.quality_code) == (Quality.UNCERTAIN, 0x4090)
        assert last.age_us > 1_000_000
        assert last.time.isoformat() == "2023-11-14T22:13:20.123456+00:00"
        assert tags["speed_setpoint"].last is None
        assert (tags["running"].data_type, tags["running"].writable) == ("BOOLEAN", True)
        assert (await client.device(10)).path == device.path == (await client.device(device)).path

    async def test_a_tag_is_found_by_id_and_by_path(self, plant: Plant) -> None:
        client = plant.client()
        tag = await client.tag(100)
        assert (tag.path, tag.unit, tag.eu_low, tag.eu_high) == (f"{PRESSES[0]}/temperature", "Cel", 0.0, 150.0)
        assert await client.tag(tag.path) == tag == await client.tag(tag)

    async def test_what_does_not_exist_is_named_with_what_does(self, plant: Plant) -> None:
        client = plant.client()
        with pytest.raises(NotFoundError, match="there are: press00, press01, press02"):
            await client.device(f"{LINE}/press9")
        with pytest.raises(NotFoundError, match="no tag 'no/where'; paths start with acme"):
            await client.tag("no/where")
        with pytest.raises(NotFoundError, match="no tag 999"):
            await client.tag(999)
        with pytest.raises(NotFoundError, match="no device 99"):
            await client.device(99)
        with pytest.raises(NotFoundError, match="no/where"):
            await anext(client.watch("no/where"))
        with pytest.raises(NotFoundError, match="no/where"):
            await anext(client.anomalies("no/where"))

    async def test_malformed_requests_are_refused(self, plant: Plant) -> None:
        client = plant.client()
        calls: list[Callable[[], Any]] = [
            lambda: client.tag(""),
            lambda: client.device(0),
            lambda: client.tag(2**40),
            lambda: client.tags_page(page_size=5000),
            lambda: client.devices_page(page_size=-1),
            lambda: client.tags_page("", "x"),
            lambda: anext(client.watch(max_rate_hz=-1.0)),
            lambda: client.command("not-an-id"),
        ]
        for call in calls:
            with pytest.raises(InvalidRequestError):
                await call()

    async def test_a_watch_begins_with_what_is_known_and_goes_on_with_changes(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        plant.set(110, 2.0, code=0x8000)
        plant.set(120, 3.0)
        async with client.watch([PRESSES[0], f"{PRESSES[1]}/temperature"], max_rate_hz=100) as updates:
            first = {update.path: update.value for update in [await anext(updates), await anext(updates)]}
            assert {path: value.value for path, value in first.items()} == {
                f"{PRESSES[0]}/temperature": 1.0,
                f"{PRESSES[1]}/temperature": 2.0,
            }
            assert first[f"{PRESSES[1]}/temperature"].quality is Quality.BAD
            plant.set(120, 4.0)
            plant.set(101, 5.0)
            update = await anext(updates)
            assert (update.tag_id, update.path, update.value.value) == (101, f"{PRESSES[0]}/speed_setpoint", 5.0)

    async def test_an_older_value_never_replaces_a_newer_one(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0, time_us=2_000_000)
        async with client.watch(PRESSES[0], max_rate_hz=100) as updates:
            assert (await anext(updates)).value.value == 1.0
            plant.set(100, 2.0, time_us=1_000_000)
            plant.set(100, 3.0, time_us=3_000_000)
            assert (await anext(updates)).value.value == 3.0
        assert (await client.tag(100)).last.value == 3.0

    async def test_a_reader_gets_the_newest_value_not_every_value(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 0.0)
        async with client.watch(PRESSES[0], max_rate_hz=4) as updates:
            assert (await anext(updates)).value.value == 0.0
            for value in range(1, 6):
                plant.set(100, float(value))
            assert (await anext(updates)).value.value == 5.0

    async def test_a_tag_that_the_registry_gains_joins_a_watch(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        async with client.watch(LINE) as updates:
            await anext(updates)
            plant.define(f"{LINE}/press90/x", tag_id=900, device_id=90)
            plant.set(900, 5.0)
            assert (await anext(updates)).path == f"{LINE}/press90/x"

    async def test_anomalies_begin_with_those_open_now(self, plant: Plant) -> None:
        client = plant.client()
        other = step(episode_id="01890a5d-ac96-774b-bcce-b302099a8058", device_id=10, device_path=PRESSES[0])
        plant.publish(step())
        plant.publish(other)
        async with client.anomalies(PRESSES[1]) as steps:
            assert await anext(steps) == step()
            closed = step(phase=AnomalyPhase.CLOSE, end_us=1_700_000_060_000_000)
            plant.publish(closed)
            found = await anext(steps)
            assert found == closed
            assert (found.end - found.start).total_seconds() == 60
        async with client.anomalies() as steps:
            assert await anext(steps) == other

    async def test_a_label_is_given_once_seen_by_watchers_and_taken_back(self, plant: Plant) -> None:
        client, found = plant.client("ann"), step()
        plant.publish(found)
        async with client.anomalies(PRESSES[1]) as steps:
            assert (await anext(steps)).labels == ()
            with pytest.raises(PermissionDeniedError, match="say why"):
                await client.label_anomaly(found, AnomalyVerdict.NOT_A_FAULT, " ")
            label_id = uuid7()
            for _ in range(2):
                said = await client.label_anomaly(found, AnomalyVerdict.NOT_A_FAULT, "warm-up", label_id=label_id)
            (label,) = said.labels
            assert (label.label_id, label.verdict, label.reason) == (label_id, AnomalyVerdict.NOT_A_FAULT, "warm-up")
            assert said.label == label
            assert label.by
            assert await anext(steps) == said
            with pytest.raises(ConflictError):
                await client.label_anomaly(found, AnomalyVerdict.FAULT, "no", label_id=label_id)
            with pytest.raises(PreconditionError, match=str(label_id)):
                await client.label_anomaly(found, AnomalyVerdict.FAULT, "it broke")
            for _ in range(2):
                gone = await client.withdraw_anomaly_label(label, "it was one")
            assert gone.label is None
            assert gone.labels[0].withdrawn_reason == "it was one"
            assert await anext(steps) == gone
            again = await client.label_anomaly(found.episode_id, AnomalyVerdict.FAULT, "it broke")
            assert [one.verdict for one in again.labels] == [AnomalyVerdict.NOT_A_FAULT, AnomalyVerdict.FAULT]
        with pytest.raises(NotFoundError):
            await client.withdraw_anomaly_label(uuid7())


class FilterCases:
    """Lists by what things are, several tags in one call, the tree, and devices that are not heard."""

    async def test_tags_are_listed_by_what_they_are(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        plant.set(110, 2.0, code=0x8000)

        async def ids(**more: Any) -> list[int]:
            return [tag.tag_id async for tag in client.tags(**more)]

        assert await ids(quality=Quality.BAD) == [110]
        assert await ids(quality=Quality.GOOD, text="TEMPERATURE") == [100]
        assert sorted(await ids(prefix=PRESSES[0], writable=True)) == [101, 102, 103]
        assert sorted(await ids(text="press02/", writable=False)) == [120]
        assert await ids(device_class="lathe") == []
        assert len(await ids(device_class="press")) == 12
        plant.set_state(11, heard=False)
        assert 110 in await ids(stale=True)
        assert 100 in await ids(stale=False)

    async def test_devices_are_listed_by_what_they_are(self, plant: Plant) -> None:
        client = plant.client()

        async def ids(**more: Any) -> list[int]:
            return [device.device_id async for device in client.devices(**more)]

        assert await ids(text="PRESS01") == [11]
        assert await ids(text="gw-north") == [10, 11, 12]
        assert await ids(device_class="lathe") == []
        plant.set_state(10, heard=True)
        plant.set_state(11, heard=False)
        assert await ids(state=DeviceState.OFFLINE) == [11]
        assert 11 not in await ids(state=DeviceState.ONLINE)

    async def test_a_device_that_is_not_heard_is_stale(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(110, 2.0)
        plant.set_state(11, heard=False)
        device = await client.device(11)
        tag = next(tag for tag in device.tags if tag.name == "temperature")
        assert (device.state, tag.stale, tag.last.value, tag.last.quality) == (
            DeviceState.OFFLINE,
            True,
            2.0,
            Quality.BAD,
        )
        plant.set_state(11, heard=True)
        assert (await client.device(11)).state is DeviceState.ONLINE

    async def test_a_device_says_which_commands_it_takes(self, plant: Plant) -> None:
        commands = {command.name: command for command in (await plant.client().device(11)).commands}
        assert {"write", "start", "stop", "reset"} <= set(commands)
        parameters = {one.name: one for one in commands["write"].parameters}
        assert set(parameters) == {"speed_setpoint", "packml_command", "running"}
        speed = parameters["speed_setpoint"]
        assert (speed.data_type, speed.unit, speed.low, speed.high) == ("DOUBLE", "Cel", 0.0, 150.0)

    async def test_several_tags_come_in_one_call_and_what_is_missing_is_named(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        found = await client.find_tags([110, f"{PRESSES[0]}/temperature", 999, "no/where", 101])
        assert [tag.tag_id for tag in found.tags] == [110, 101, 100]
        assert found.tags[2].last.value == 1.0
        assert (found.unknown_tag_ids, found.unknown_paths) == ((999,), ("no/where",))
        with pytest.raises(InvalidRequestError):
            await client.find_tags(list(range(1, 1002)))

    async def test_the_tree_tells_what_is_wrong_below(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(110, 2.0)
        plant.publish(step())
        plant.set_state(10, heard=True)
        plant.set_state(11, heard=False)
        top = {node.path: node for node in await client.plant_nodes()}
        assert (top["acme"].level, top["acme"].name) == ("enterprise", "acme")
        nodes = await client.plant_nodes("acme", 5)
        assert [node.path for node in nodes] == sorted(node.path for node in nodes)
        by_path = {node.path: node for node in nodes}
        cell, press = by_path[LINE], by_path[PRESSES[1]]
        assert (cell.devices, cell.tags, cell.devices_offline, cell.open_anomalies) == (3, 12, 1, 1)
        assert (press.level, press.device_id, press.device_class, press.open_anomalies) == ("device", 11, "press", 1)
        with pytest.raises(NotFoundError):
            await client.plant_nodes("no/where")
        with pytest.raises(InvalidRequestError):
            await client.plant_nodes("acme", 7)

    async def test_windows_are_watched_as_they_close(self, plant: Plant) -> None:
        plant.set(100, 1.0, time_us=START_US)
        plant.set(100, 2.0, time_us=START_US + 500_000)
        async with plant.client().watch_aggregates(PRESSES[0], window_s=60) as windows:
            reading = asyncio.create_task(anext(windows))
            await asyncio.wait([reading], timeout=0.2)
            window = plant.close_window(100, START_US, 60)
            assert await reading == window
            assert (window.count, window.good, window.mean, window.start_us) == (2, 2, 1.5, START_US)
