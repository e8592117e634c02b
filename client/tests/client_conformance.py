"""What a client may rely on: one suite of cases, run against the fake plant and against the real server, through both clients.

A run gives a `plant` fixture: three presses (see `TAGS`), changed by the case through the `Plant` protocol. Clients are asynchronous; the
client for threads is put behind the same face by `InThreads`, so that every case is written once.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Protocol, Self
from uuid import UUID

import pytest

from millrace_client import (
    Anomaly,
    AnomalyPhase,
    AsyncClient,
    Client,
    CommandState,
    ConflictError,
    Contributor,
    DeadlineExceededError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Quality,
    Stream,
    UnavailableError,
    uuid7,
)

LINE = "acme/north/press/line1/cell1"
PRESSES = [f"{LINE}/press{number:02}" for number in range(3)]
TAGS = (
    ("temperature", "DOUBLE", False),
    ("speed_setpoint", "DOUBLE", True),
    ("packml_command", "INTEGER", True),
    ("running", "BOOLEAN", True),
)
"""Tags of each press: name, type, writable. Device ids count from 10, tag ids from 100, ten a device; unit Cel, range 0 to 150."""
EVERYTHING = ("read", "command", "approve")


class Plant(Protocol):
    """What a case does to the plant, and how it gets clients of it."""

    def client(self, name: str = "", *, allow: Collection[str] = EVERYTHING, **options: Any) -> Any:
        """A client that is called `name` and may do what `allow` says. It is closed after the case."""

    def define(self, path: str, *, tag_id: int, device_id: int) -> object:
        """The registry gains a tag."""

    def set(self, tag_id: int, value: float, *, code: int = 0, time_us: int | None = None) -> None:
        """A tag has a new value."""

    def publish(self, step: Anomaly) -> None:
        """An anomaly episode goes on."""

    def advance(self, command_id: UUID, state: CommandState, *, provisional: bool = False, **more: Any) -> None:
        """A command goes on: `detail` and `readback` as `more`."""

    @property
    def submitted(self) -> list[UUID]:
        """Commands that were written, each once."""

    @property
    def controls(self) -> list[tuple[str, UUID, str, str]]:
        """Cancellations and approvals: action, command, by whom, reason."""

    async def stop(self) -> None:
        """The server goes away."""

    async def start(self) -> None:
        """It comes back, at the same address, and knows what it knew."""


class InThreads:
    """A `Client` behind the face of an `AsyncClient`: its calls run in threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        kind = inspect.signature(method).return_annotation
        if kind.startswith("Iterator"):
            return lambda *args, **more: _each(method(*args, **more))
        if kind.startswith("Stream"):
            return lambda *args, **more: _StreamInThreads(method(*args, **more))
        return lambda *args, **more: asyncio.to_thread(method, *args, **more)


_END = object()


async def _each(items: Any) -> AsyncIterator[Any]:
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield item


class _StreamInThreads:
    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._stream, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        await asyncio.to_thread(self._stream.close)


def face(client: Client | AsyncClient) -> Any:
    """The asynchronous face of a client."""
    return InThreads(client) if isinstance(client, Client) else client


def step(**changes: Any) -> Anomaly:
    """A step of an anomaly episode of the second press."""
    fields: dict[str, Any] = {
        "episode_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "device_id": 11,
        "device_path": PRESSES[1],
        "phase": AnomalyPhase.OPEN,
        "start_us": 1_700_000_000_000_000,
        "score": 0.75,
        "peak_score": 0.875,
        "threshold": 0.5,
        "contributors": (
            Contributor(tag_id=110, path=f"{PRESSES[1]}/temperature", score=0.5, value=91.5, expected_low=60.0),
        ),
        "detector": "robust",
        "detector_version": 3,
    }
    return Anomaly(**fields | changes)


async def _rest(items: Any) -> list[Any]:
    return [item async for item in items]


class StateCases:
    """Reads, watches and anomalies."""

    async def test_devices_are_listed_by_path_without_tags(self, plant: Plant) -> None:
        found = await _rest(plant.client().devices())
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
        assert len(await _rest(client.devices(prefix))) == devices
        assert len(await _rest(client.tags(prefix))) == tags

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


class CommandCases:
    """Submitting, watching and steering commands; the case moves them on."""

    async def test_a_command_is_provisional_until_the_record_has_it(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(PRESSES[1], "write", {"speed_setpoint": 12.5})
        assert (command.state, command.provisional, command.version) == (CommandState.ACCEPTED, True, 0)
        assert (command.device_id, command.device_path, command.name) == (11, PRESSES[1], "write")
        assert command.parameters == {"speed_setpoint": 12.5}
        assert command.expires_us - command.submitted_us == 30_000_000
        assert command.submitted_by == "local"
        assert command.command_id.version == 7
        assert plant.submitted == [command.command_id]
        assert await client.command(command) == await client.command(str(command.command_id)) == command

    async def test_a_watched_command_ends_with_its_outcome(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start", expires_ms=5_000)
        done: dict[str, Any] = {"detail": "done", "readback": {"packml_command": 2.0}}
        async with client.watch_command(command) as states:
            seen = [await anext(states)]
            plant.advance(command.command_id, CommandState.EXECUTING)
            seen.append(await anext(states))
            plant.advance(command.command_id, CommandState.SUCCEEDED, **done)
            seen += await _rest(states)
        assert seen[0] == command
        assert [state.state for state in seen] == ["ACCEPTED", "EXECUTING", "SUCCEEDED"]
        assert [state.final for state in seen] == [False, False, True]
        assert {"detail": seen[-1].detail, "readback": seen[-1].readback} == done
        assert await client.outcome(command) == seen[-1] == await client.command(command.command_id)
        assert seen[-1].succeeded

    async def test_what_the_gateway_says_is_provisional(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start")
        plant.advance(command.command_id, CommandState.SUCCEEDED, provisional=True)
        waiting = asyncio.create_task(client.outcome(command))
        async with client.watch_command(command) as states:
            first = await anext(states)
            assert (first.state, first.provisional, first.final) == (CommandState.SUCCEEDED, True, False)
            assert not waiting.done()
            plant.advance(command.command_id, CommandState.FAILED, detail="the record knows better")
            last = await anext(states)
            assert (last.state, last.final, last.succeeded) == (CommandState.FAILED, True, False)
        assert await waiting == last

    async def test_an_outcome_that_does_not_come_is_a_deadline(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start")
        with pytest.raises(DeadlineExceededError):
            await client.outcome(command, deadline_s=0.2)

    async def test_the_same_id_is_the_same_command_and_never_another(self, plant: Plant) -> None:
        client, command_id = plant.client(), uuid7()
        first = await client.submit(11, "write", {"speed_setpoint": 1.0}, command_id=command_id)
        again = await client.submit(PRESSES[1], "write", {"speed_setpoint": 1.0}, command_id=command_id)
        assert first == again
        assert plant.submitted == [command_id]
        with pytest.raises(ConflictError, match="other parameters"):
            await client.submit(11, "write", {"speed_setpoint": 2.0}, command_id=command_id)
        with pytest.raises(ConflictError, match="other device"):
            await client.submit(12, "write", {"speed_setpoint": 1.0}, command_id=command_id)
        with pytest.raises(ConflictError, match="other submitter"):
            await plant.client("ann").submit(11, "write", {"speed_setpoint": 1.0}, command_id=command_id)

    @pytest.mark.parametrize(
        ("name", "parameters", "complaint"),
        [
            ("write", {}, "writable there: packml_command, running, speed_setpoint"),
            ("write", {"pressure": 1.0}, "has no tag 'pressure'; writable there"),
            ("write", {"temperature": 1.0}, "temperature is not writable"),
            ("write", {"speed_setpoint": float("nan")}, "speed_setpoint is nan, not a finite number"),
            ("write", {"speed_setpoint": 1e6}, "outside its range 0 to 150"),
            ("write", {"packml_command": 1.5}, "not an integer"),
            ("write", {"running": 2.0}, "a boolean is 0 or 1"),
            ("start", {"speed_setpoint": 1.0}, "start takes no parameters"),
            ("explode", {}, "no command 'explode'; there are write, reset, start"),
        ],
    )
    async def test_a_command_that_cannot_be_right_is_refused(
        self, plant: Plant, name: str, parameters: dict[str, float], complaint: str
    ) -> None:
        with pytest.raises(InvalidRequestError, match=complaint):
            await plant.client().submit(11, name, parameters)
        assert plant.submitted == []

    async def test_expiry_has_bounds_and_what_is_named_must_exist(self, plant: Plant) -> None:
        client = plant.client()
        for expires_ms in (-1, 10**9):
            with pytest.raises(InvalidRequestError, match="expires_after_ms"):
                await client.submit(11, "start", expires_ms=expires_ms)
        with pytest.raises(InvalidRequestError):
            await client.submit(11, "start", expires_ms=2**40)
        with pytest.raises(NotFoundError):
            await client.submit(77, "start")
        with pytest.raises(NotFoundError, match="no command"):
            await client.command(uuid7())
        with pytest.raises(NotFoundError, match="no command"):
            await anext(client.watch_command(uuid7()))

    async def test_approval_is_somebody_elses(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        command = await ann.submit(11, "start", requires_approval=True)
        assert (command.state, command.submitted_by) == (CommandState.PENDING_APPROVAL, "local:ann")
        with pytest.raises(PermissionDeniedError, match="somebody else has to approve"):
            await ann.approve(command)
        await bob.approve(command, "looks right")
        assert plant.controls == [("APPROVE", command.command_id, "local:bob", "looks right")]
        plant.advance(command.command_id, CommandState.ACCEPTED)
        with pytest.raises(PreconditionError, match="does not wait for approval"):
            await bob.approve(command)

    async def test_only_what_was_not_carried_out_can_be_cancelled(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start")
        await client.cancel(command, "changed my mind")
        assert plant.controls == [("CANCEL", command.command_id, "local", "changed my mind")]
        plant.advance(command.command_id, CommandState.CANCELLED)
        assert (await client.cancel(command)).state is CommandState.CANCELLED
        assert len(plant.controls) == 1
        other = await client.submit(11, "stop")
        plant.advance(other.command_id, CommandState.SUCCEEDED)
        with pytest.raises(PreconditionError, match="is SUCCEEDED"):
            await client.cancel(other)


class RestartCases:
    """A server that goes away and comes back; deadlines; closing."""

    async def test_calls_outlast_a_restart(self, plant: Plant) -> None:
        client, command_id = plant.client(), uuid7()
        await client.tag(100)
        await plant.stop()
        reading = asyncio.create_task(client.tag(101))
        writing = asyncio.create_task(client.submit(11, "start", command_id=command_id))
        done, _ = await asyncio.wait([reading, writing], timeout=0.3)
        assert not done
        await plant.start()
        assert (await reading).tag_id == 101
        assert (await writing).command_id == command_id
        assert plant.submitted == [command_id]

    async def test_watches_outlast_a_restart(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        command = await client.submit(11, "start")
        async with client.watch(PRESSES[0]) as updates, client.watch_command(command) as states:
            assert (await anext(updates)).value.value == 1.0
            assert await anext(states) == command
            await plant.stop()
            await plant.start()
            plant.set(100, 2.0)
            plant.advance(command.command_id, CommandState.SUCCEEDED)
            while (await anext(updates)).value.value != 2.0:
                pass  # what the first server had sent, and what the second one knew at first
            assert [state.state for state in await _rest(states)] == ["SUCCEEDED"]

    async def test_an_approval_is_not_said_twice(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        command = await ann.submit(11, "start", requires_approval=True)
        await bob.tag(100)
        await plant.stop()
        with pytest.raises(UnavailableError):
            await bob.approve(command)
        await plant.start()
        await bob.tag(100)
        await bob.approve(command)
        assert len(plant.controls) == 1

    async def test_a_deadline_bounds_the_retries(self, plant: Plant) -> None:
        client = plant.client()
        await client.tag(100)
        await plant.stop()
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError):
            await client.tag(100, deadline_s=0.5)
        assert asyncio.get_running_loop().time() - began_s < 5
        await plant.start()

    async def test_a_stream_ends_at_its_deadline(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        async with client.watch(PRESSES[0], deadline_s=0.5) as updates:
            await anext(updates)
            with pytest.raises(DeadlineExceededError):
                await anext(updates)

    async def test_closing_a_stream_ends_its_reader(self, plant: Plant) -> None:
        updates = plant.client().watch(PRESSES[0])
        reading = asyncio.create_task(_rest(updates))
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done
        await updates.aclose()
        assert await reading == []

    async def test_closing_a_client_ends_its_streams(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        updates = client.watch(PRESSES[0])
        assert (await anext(updates)).value.value == 1.0
        reading = asyncio.create_task(_rest(updates))
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done
        await client.close()
        assert await reading == []


class AccessCases:
    """Who may do what."""

    async def test_a_caller_does_what_it_is_allowed(self, plant: Plant) -> None:
        reader = plant.client("reader", allow=("read",))
        assert (await reader.tag(100)).tag_id == 100
        with pytest.raises(PermissionDeniedError, match="may not command"):
            await reader.submit(11, "start")
        commander = plant.client("commander", allow=("read", "command"))
        command = await commander.submit(11, "start", requires_approval=True)
        with pytest.raises(PermissionDeniedError, match="may not approve"):
            await commander.approve(command)
        assert plant.submitted == [command.command_id]
