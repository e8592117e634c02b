"""What a client may rely on: one suite of cases, run against the fake plant and against the real server, through both clients.

A run gives a `plant` fixture: three presses (see `TAGS`), changed by the case through the `Plant` protocol. Clients are asynchronous; the
client for threads is put behind the same face by `InThreads`, so that every case is written once.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol, Self
from uuid import UUID

import pytest

from millrace_client import (
    Aggregate,
    Anomaly,
    AnomalyPhase,
    AsyncClient,
    Client,
    CommandState,
    ConflictError,
    Contributor,
    DeadlineExceededError,
    DeviceState,
    Effect,
    Event,
    Gateway,
    GatewayConnection,
    GatewayState,
    InvalidRequestError,
    NotFoundError,
    OeeFigures,
    ParameterOutcome,
    PermissionDeniedError,
    PreconditionError,
    Quality,
    Reject,
    StateInterval,
    Stream,
    TagBatch,
    UnavailableError,
    utc,
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

    def set_state(self, device_id: int, *, heard: bool) -> None:
        """A device dies, or is born again."""

    def close_window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        """The stream closes a window of a tag over the samples that were set; returns it."""

    def tell(self, event: Event) -> None:
        """Something happens that is not a sample."""

    def reject(self, reject: Reject) -> None:
        """Validation refuses a sample."""

    def worked(self, figures: OeeFigures) -> None:
        """OEE of a group, as it is to be answered."""

    def was(self, state: StateInterval) -> None:
        """A machine was in a state."""

    def report(self, gateway: Gateway) -> None:
        """A gateway reports."""

    async def settle(self) -> None:
        """Return once history has everything that was set, told and refused."""

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


START_US = 1_699_999_980_000_000
"""A time that is the start of a minute's window, and of no hour's."""


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


async def _snapshot(batches: Any) -> tuple[dict[int, float], TagBatch]:
    """Values by tag of a snapshot, and its last batch."""
    values: dict[int, float] = {}
    while True:
        batch = await anext(batches)
        values |= {update.tag_id: update.value.value for update in batch.updates}
        if batch.snapshot_complete:
            return values, batch


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


class CommandListCases:
    """Lists and watches of commands, waiting for outcomes, and what becomes of each parameter."""

    async def test_commands_are_listed_newest_first_in_pages_and_by_filter(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        first = await ann.submit(10, "start")
        second = await bob.submit(11, "stop")
        third = await ann.submit(11, "write", {"speed_setpoint": 1.0})
        plant.advance(second.command_id, CommandState.SUCCEEDED)

        async def ids(**more: Any) -> list[UUID]:
            return [command.command_id async for command in ann.commands(**more)]

        one, two, three = (command.command_id for command in (first, second, third))
        assert await ids() == [three, two, one]
        assert await ids(prefix=PRESSES[1]) == [three, two]
        assert await ids(submitted_by="local:ann") == [three, one]
        assert await ids(states=CommandState.SUCCEEDED) == [two]
        assert await ids(states=[CommandState.ACCEPTED], prefix=LINE) == [three, one]
        assert await ids(since=third.submitted_us) == [three]
        assert await ids(until=second.submitted) == [one]
        assert await ids(since=timedelta(minutes=1)) == [three, two, one]
        page = await ann.commands_page(page_size=2)
        rest = await ann.commands_page("", page.next_page_token, page_size=2)
        assert [command.command_id for command in (*page.items, *rest.items)] == [three, two, one]
        assert rest.next_page_token == ""
        assert rest.items[0].site == "north"
        for wrong in ({"since": 5, "until": 5}, {"since": datetime(2026, 1, 1)}):  # noqa: DTZ001 - it has to be refused
            with pytest.raises(InvalidRequestError):
                await ids(**wrong)

    async def test_a_watch_of_commands_begins_with_those_under_way(self, plant: Plant) -> None:
        client = plant.client()
        ended = await client.submit(11, "start")
        plant.advance(ended.command_id, CommandState.SUCCEEDED)
        known = await client.submit(11, "stop")
        async with client.watch_commands(PRESSES[1]) as commands:
            assert (await anext(commands)).command_id == known.command_id
            await client.submit(12, "start")
            new = await client.submit(11, "hold")
            assert (await anext(commands)).command_id == new.command_id
            plant.advance(new.command_id, CommandState.FAILED, detail="it would not move")
            last = await anext(commands)
            assert (last.command_id, last.state, last.detail) == (
                new.command_id,
                CommandState.FAILED,
                "it would not move",
            )
        with pytest.raises(NotFoundError):
            await anext(client.watch_commands("no/where"))

    async def test_submit_and_wait_returns_with_the_outcome(self, plant: Plant) -> None:
        client, command_id = plant.client(), uuid7()
        waiting = asyncio.create_task(client.submit_and_wait(11, "start", command_id=command_id))
        while command_id not in plant.submitted:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.005)
        plant.advance(command_id, CommandState.SUCCEEDED, provisional=True)
        plant.advance(command_id, CommandState.SUCCEEDED, detail="done")
        command = await waiting
        assert (command.command_id, command.succeeded, command.detail) == (command_id, True, "done")
        assert await client.submit_and_wait(11, "start", command_id=command_id) == command

    async def test_submit_and_wait_returns_at_its_deadline_with_the_command_as_it_stands(self, plant: Plant) -> None:
        command = await plant.client().submit_and_wait(11, "start", deadline_s=0.5)
        assert (command.state, command.final) == (CommandState.ACCEPTED, False)

    async def test_cancel_and_approve_answer_with_the_state_after(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        command = await ann.submit(11, "start", requires_approval=True)
        found = await bob.approve(command, "looks right")
        assert (found.state, found.provisional, found.approved_by) == (CommandState.ACCEPTED, True, "local:bob")
        assert found.detail == "approved by local:bob: looks right"
        other = await ann.submit(11, "stop")
        found = await ann.cancel(other, "no need")
        assert (found.state, found.provisional) == (CommandState.ACCEPTED, True)
        assert found.detail == "cancellation requested by local:ann: no need"

    async def test_a_reason_has_a_length(self, plant: Plant) -> None:
        client = plant.client()
        with pytest.raises(InvalidRequestError, match="reason"):
            await client.submit(11, "start", reason="x" * 501)
        command = await client.submit(11, "start", reason="x" * 500)
        with pytest.raises(InvalidRequestError, match="reason"):
            await client.cancel(command, "x" * 501)


class OutcomeCases:
    """What became of each parameter of a command."""

    async def test_a_failure_says_which_parameters_took_effect(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "write", {"speed_setpoint": 12.5, "running": 1.0}, reason="a try")
        outcomes = (
            ParameterOutcome(name="running", effect=Effect.REFUSED, detail="BadUserAccessDenied"),
            ParameterOutcome(name="speed_setpoint", effect=Effect.APPLIED, readback=12.5),
        )
        plant.advance(command.command_id, CommandState.FAILED, detail="running was refused", outcomes=outcomes)
        found = await client.outcome(command)
        assert (found.state, found.reason) == (CommandState.FAILED, "a try")
        assert tuple(sorted(found.outcomes, key=lambda one: one.name)) == outcomes


class BatchCases:
    """Watches in batches."""

    async def test_a_snapshot_ends_with_a_mark_and_changes_follow(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        plant.set(110, 2.0)
        async with client.watch_batches(LINE, min_interval_ms=10) as batches:
            updates, first = await _snapshot(batches)
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
            await _snapshot(batches)
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
            _, last = await _snapshot(batches)
        plant.set(110, 3.0)
        async with client.watch_batches(LINE, min_interval_ms=10, resume_position=last.position) as batches:
            assert (await _snapshot(batches))[0] == {110: 3.0}
        async with client.watch_batches(LINE, min_interval_ms=10, resume_position="of-another-server") as batches:
            assert (await _snapshot(batches))[0] == {100: 1.0, 110: 3.0}

    async def test_silence_is_told(self, plant: Plant) -> None:
        plant.set(100, 1.0)
        async with plant.client().watch_batches(PRESSES[0], min_interval_ms=10, heartbeat_ms=1000) as batches:
            _, first = await _snapshot(batches)
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
            await _snapshot(batches)
            await plant.stop()
            await plant.start()
            plant.set(100, 2.0)
            seen: list[float] = []
            while 2.0 not in seen:
                seen += [one.value.value for one in (await anext(batches)).updates]


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
        [episode] = await _rest(client.episodes(PRESSES[1]))
        assert (episode.phase, episode.end_us, episode.device_path) == (
            AnomalyPhase.CLOSE,
            1_700_000_060_000_000,
            PRESSES[1],
        )
        assert await _rest(client.episodes(open_only=True)) == []
        assert await _rest(client.episodes(PRESSES[0])) == []

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
        found = await _rest(client.rejects(PRESSES[1]))
        assert [one.reason for one in found] == ["FUTURE", "OUT_OF_RANGE", "OUT_OF_RANGE"]
        assert (found[0].tag_id, found[0].value, found[0].time_us) == (110, 1e9, at_us)
        assert [one.reason async for one in client.rejects(reasons=["FUTURE"])] == ["FUTURE"]
        counts = await client.count_rejects(LINE)
        assert [(one.reason, one.device_path, one.count) for one in counts] == [
            ("OUT_OF_RANGE", PRESSES[1], 2),
            ("FUTURE", PRESSES[1], 1),
        ]

    async def test_oee_is_by_group_and_states_by_machine(self, plant: Plant) -> None:
        client = plant.client()
        at_us = (uuid7().int >> 80) * 1000 - 60_000_000
        whole = OeeFigures(
            pbt_s=28_800.0, apt_s=20_000.0, pq=900.0, gq=880.0, ideal_s=18_000.0, oee=0.61, shift="early"
        )
        plant.worked(whole)
        plant.worked(replace(whole, path=PRESSES[1], ideal_s=None, oee=None))
        plant.was(
            StateInterval(
                device_id=11, device_path=PRESSES[1], packml_state="EXECUTE", start_us=at_us - 9, end_us=at_us
            )
        )
        await plant.settle()
        assert await client.oee(LINE) == (whole,)
        (press,) = await client.oee(LINE, by=["device", "shift"])
        assert (press.path, press.shift, press.oee, press.start) == (PRESSES[1], "early", None, None)
        (state,) = await client.states(LINE)
        assert (state.packml_state, state.end_us - state.start_us) == ("EXECUTE", 9)


class LineCases:
    """Gateways and events as they come."""

    async def test_gateways_are_listed_and_watched(self, plant: Plant) -> None:
        client = plant.client()
        report = Gateway(
            gateway_id="gw-north-1",
            site="north",
            state=GatewayState.DEGRADED,
            reported_us=(uuid7().int >> 80) * 1000,
            connections=(GatewayConnection(name="press-opc", connected=False, detail="refused"),),
            buffered_bytes=10,
            buffered_samples=2,
        )
        plant.report(report)
        [found] = await client.gateways("north")
        assert (found.gateway_id, found.state, found.buffered_samples) == ("gw-north-1", GatewayState.DEGRADED, 2)
        assert [(one.name, one.connected) for one in found.connections] == [("press-opc", False)]
        assert await client.gateways("south") == ()
        async with client.watch_gateways() as gateways:
            assert (await anext(gateways)).state is GatewayState.DEGRADED
            plant.report(replace(report, state=GatewayState.ONLINE, connections=(), reported_us=report.reported_us + 1))
            assert (await anext(gateways)).state is GatewayState.ONLINE

    async def test_events_are_watched_from_now_on(self, plant: Plant) -> None:
        client = plant.client()
        async with client.watch_events(PRESSES[1], kinds="STATE") as events:
            reading = asyncio.create_task(anext(events))
            await asyncio.wait([reading], timeout=0.2)
            for device, kind in ((10, "STATE"), (11, "BIRTH"), (11, "STATE")):
                plant.tell(
                    Event(
                        event_id=str(uuid7()),
                        kind=kind,
                        gateway_id="gw-north-1",
                        device_id=device,
                        device_path=PRESSES[device - 10],
                        time_us=(uuid7().int >> 80) * 1000,
                    )
                )
            event = await reading
            assert (event.kind, event.device_path) == ("STATE", PRESSES[1])

    async def test_health_and_accounting_are_told(self, plant: Plant) -> None:
        client = plant.client()
        health = await client.line_health()
        assert {stage.name for stage in health.stages} >= {"gateways", "telemetry", "historian", "commands", "database"}
        assert health.observed_us > START_US


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
        async with client.watch(PRESSES[0], deadline_s=2.0) as updates:
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
