"""The gRPC server as its callers see it: a real server on a free port, its caches fed by hand."""

from __future__ import annotations

import asyncio
import functools
import logging
import operator
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from base.errors import ConfigError, UnavailableError
from base.settings import KafkaSettings
from millrace_client import (
    AnomalyPhase,
    AsyncClient,
    Connection,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Quality,
)
from schemas.commands import CommandState
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from serving.config import LimitSettings, ServingConfig
from serving.server import STATE_SERVICE, build
from serving.tokens import hash_token
from tests.contract import examples
from tests.unit.served import (
    LINE,
    RequestList,
    batch,
    command_stub,
    definition,
    eventually,
    presses,
    served,
    state_stub,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def failure(call: object) -> grpc.aio.AioRpcError:
    """Error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


# --- state -----------------------------------------------------------------------------------------------------------


async def test_devices_and_tags_come_in_pages() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = state_stub(channel)
        token, pages = "", []
        while True:
            page = await stub.ListTags(state_pb2.ListTagsRequest(prefix=LINE, page_size=5, page_token=token))
            pages.append([tag.path for tag in page.tags])
            if not (token := page.next_page_token):
                break
        assert [len(page) for page in pages] == [5, 5, 2]
        assert functools.reduce(operator.iadd, pages, []) == sorted(tag.path for tag in presses())
        assert [device.path async for device in running.client.devices()] == [f"{LINE}/press0{i}" for i in range(3)]


async def test_a_device_shows_its_tags_with_values_and_their_age() -> None:
    async with served() as running:
        at_us = time.time_ns() // 1000 - 60_000_000
        running.server.values.apply(batch({100: 71.25}, time_us=at_us, quality=0x4090))
        device = await running.client.device(f"{LINE}/press00")
        tags = {tag.name: tag for tag in device.tags}
        last = tags["temperature"].last
        assert last is not None
        assert (last.value, last.time_us, last.quality, last.quality_code) == (
            71.25,
            at_us,
            Quality.UNCERTAIN,
            0x4090,
        )
        assert 60_000_000 <= last.age_us < 70_000_000
        assert tags["speed_setpoint"].last is None
        assert (await running.client.device(10)).path == device.path
        assert (await running.client.tag(100)).unit == "Cel"


async def test_a_watch_starts_with_a_snapshot_and_pushes_changes_at_once() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.0, 110: 2.0}))
        async with aclosing(
            running.client.watch([f"{LINE}/press00", f"{LINE}/press01/temperature"], max_rate_hz=100)
        ) as updates:
            first = {(await anext(updates)).path for _ in range(2)}
            assert first == {f"{LINE}/press00/temperature", f"{LINE}/press01/temperature"}
            delays_s = []
            for i in range(50):
                await asyncio.sleep(0.012)  # spaced wider than the rate, so that only the push is measured
                running.server.values.apply(batch({100: float(i), 120: 9.0}))
                pushed_s = time.monotonic()
                assert (await anext(updates)).value.value == i
                delays_s.append(time.monotonic() - pushed_s)
            assert sorted(delays_s)[25] < 0.2


async def test_a_tag_that_the_registry_gains_joins_an_open_watch() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.0, 900: 5.0}))
        async with aclosing(running.client.watch([LINE])) as updates:
            await anext(updates)
            running.know([definition(tag_id=900, device_id=90, path=f"{LINE}/press90/x", name="x")], version=9)
            assert (await anext(updates)).path == f"{LINE}/press90/x"


async def test_one_reader_that_does_not_read_delays_nobody() -> None:
    tags = 2000
    plant = [
        definition(tag_id=i, device_id=1 + i // 50, path=f"acme/south/a/l/c/d{i // 50}/t{i}", name=f"t{i}")
        for i in range(1, tags + 1)
    ]
    async with served() as running, grpc.aio.insecure_channel(running.address) as stuck_channel:
        running.know(plant, version=9)
        stuck = state_stub(stuck_channel).WatchTags(
            state_pb2.WatchTagsRequest(prefixes=["acme/south"], max_rate_hz=100)
        )
        async with aclosing(running.client.watch(["acme/south/a/l/c/d0/t1"], max_rate_hz=100)) as updates:
            running.server.values.apply(batch({i: 0.0 for i in range(1, tags + 1)}))
            await anext(updates)
            await eventually(lambda: len(running.server.streams) == 2)
            # What goes before this reader is counted in messages: seconds depend on the machine.
            passed = []
            for round_ in range(1, 51):
                await asyncio.sleep(0.011)
                before = running.server.gate.load.turns
                running.server.values.apply(batch({i: float(round_) for i in range(1, tags + 1)}))
                assert (await anext(updates)).value.value == round_
                passed.append(running.server.gate.load.turns - before)
        assert max(passed) < 50, passed
        # The stuck reader's stream holds one bit a tag; once read, it comes to the newest values soon.
        newest: dict[int, float] = {}
        read = 0
        while any(newest.get(i) != 50.0 for i in range(1, tags + 1)):
            update = await stuck.read()
            newest[update.tag_id] = update.value.value
            read += 1
        assert read < 50 * tags / 2
        stuck.cancel()


async def test_a_deadline_ends_a_watch() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        call = state_stub(channel).WatchTags(state_pb2.WatchTagsRequest(), timeout=0.2)
        error = await failure(call.read())
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: len(running.server.streams) == 0)


async def test_anomalies_carry_paths_and_can_be_narrowed() -> None:
    anomaly = examples.records()["Anomaly"] | {"device_id": 11, "phase": "OPEN", "end_us": None}
    anomaly["contributors"] = [part | {"tag_id": 110} for part in anomaly["contributors"][:1]]
    async with served() as running:
        running.server.episodes.apply(anomaly)
        async with aclosing(running.client.anomalies(f"{LINE}/press01")) as steps:
            found = await anext(steps)
            assert found.device_path == f"{LINE}/press01"
            assert found.contributors[0].path == f"{LINE}/press01/temperature"
            assert found.end_us is None
            running.server.episodes.apply(anomaly | {"revision": 4, "phase": "CLOSE", "end_us": 99})
            found = await anext(steps)
            assert (found.phase, found.end_us) == (AnomalyPhase.CLOSE, 99)


# --- commands --------------------------------------------------------------------------------------------------------


async def test_a_command_is_returned_once_it_is_durable() -> None:
    async with served() as running:
        command = await running.client.submit(f"{LINE}/press01", "write", {"speed_setpoint": 12.5})
        [(topic, key, _)] = running.requests.records
        assert (topic, key) == ("command.requests.north", b"11")
        request = running.request()
        assert (request.gateway_id, request.site, request.parameters) == (
            "gw-north-1",
            "north",
            {"speed_setpoint": 12.5},
        )
        assert request.expires_us - request.submitted_us == 30_000_000
        assert (command.state, command.provisional, command.version) == ("ACCEPTED", True, 0)
        assert command.device_path == f"{LINE}/press01"


async def test_the_same_id_is_the_same_command_and_never_another() -> None:
    async with served() as running:
        device = f"{LINE}/press01"
        first = await running.client.submit(device, "write", {"speed_setpoint": 1.0})
        command_id = first.command_id
        again = await asyncio.gather(
            *(running.client.submit(device, "write", {"speed_setpoint": 1.0}, command_id=command_id) for _ in range(3))
        )
        assert {one.command_id for one in again} == {first.command_id}
        assert len(running.requests.records) == 1
        other = commands_pb2.SubmitCommandRequest(
            command_id=str(command_id), path=device, name="write", parameters={"speed_setpoint": 2.0}
        )
        async with grpc.aio.insecure_channel(running.address) as channel:
            error = await failure(command_stub(channel).SubmitCommand(other))
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS
        assert "other parameters" in (error.details() or "")


@pytest.mark.security("V2.3.4")
async def test_two_submits_of_one_new_id_at_once_write_it_once() -> None:
    async with served() as running:
        written = asyncio.Event()
        original = running.requests.send

        async def slow(topic: str, key: bytes, value: bytes | None) -> object:
            await written.wait()
            return await original(topic, key, value)

        running.requests.send = slow  # type: ignore[method-assign]
        calls = [asyncio.create_task(running.client.submit(11, "start", command_id=examples.COMMAND)) for _ in range(2)]
        await eventually(lambda: running.server.commands._sending)
        written.set()
        assert len({(await call).command_id for call in calls}) == 1
        assert len(running.requests.records) == 1


@pytest.mark.security("V2.3.3")
async def test_a_command_that_cannot_be_written_is_unavailable_and_not_remembered() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        running.requests.failure = UnavailableError("the broker is away")
        stub = command_stub(channel)
        request = commands_pb2.SubmitCommandRequest(command_id=str(examples.COMMAND), device_id=11, name="start")
        error = await failure(stub.SubmitCommand(request))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the broker is away")
        running.requests.failure = None
        assert (await stub.SubmitCommand(request)).provisional


@pytest.mark.security("V2.2.2")
@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        (
            "write",
            {},
            "write needs parameters: tag names and values; writable there: packml_command, running, speed_setpoint",
        ),
        ("write", {"pressure": 1.0}, "has no tag 'pressure'; writable there"),
        ("write", {"temperature": 1.0}, "temperature is not writable"),
        ("write", {"speed_setpoint": float("nan")}, "speed_setpoint is nan, not a finite number"),
        ("write", {"speed_setpoint": 1e6}, "outside its limits -40 to 150"),
        ("write", {"packml_command": 1.5}, "not an integer"),
        ("write", {"running": 2.0}, "a boolean is 0 or 1"),
        ("start", {"speed_setpoint": 1.0}, "start takes no parameters"),
        ("explode", {}, "no command 'explode'; there are write, reset, start"),
    ],
)
async def test_a_command_that_cannot_be_right_is_refused_by_name(
    name: str, parameters: dict[str, float], complaint: str
) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = command_stub(channel)
        error = await failure(
            stub.SubmitCommand(commands_pb2.SubmitCommandRequest(device_id=11, name=name, parameters=parameters))
        )
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert complaint in (error.details() or "")
        assert running.requests.records == []


async def test_a_watched_command_ends_with_the_outcome_of_the_record() -> None:
    async with served() as running:
        command = await running.client.submit(11, "start")
        request = running.request()
        states = running.client.watch_command(request.command_id)
        seen = [(await anext(states)).state]
        running.record(request, CommandState.EXECUTING, 2)
        seen.append((await anext(states)).state)
        running.record(request, CommandState.SUCCEEDED, 3, readback={"packml_command": 2.0})
        rest = [state async for state in states]
        assert [str(state) for state in [*seen, *(one.state for one in rest)]] == ["ACCEPTED", "EXECUTING", "SUCCEEDED"]
        assert dict(rest[-1].readback) == {"packml_command": 2.0}
        assert (await running.client.command(command)).version == 3


@pytest.mark.security("T-SERVING-RIGHT", "V8.3.1")
async def test_approval_is_somebody_elses() -> None:
    async with served(name="ann") as running, AsyncClient(Connection(running.address, name="bob")) as bob:
        command = await running.client.submit(11, "start", requires_approval=True)
        assert command.state == "PENDING_APPROVAL"
        assert command.submitted_by == "local:ann"
        with pytest.raises(PermissionDeniedError, match="somebody else has to approve"):
            await running.client.approve(command)
        await bob.approve(command, "looks right")
        name, control = running.requests.decoded[-1]
        assert (name, control["action"], control["by"], control["reason"]) == (
            "CommandControl",
            "APPROVE",
            "local:bob",
            "looks right",
        )
        assert running.requests.records[0][:2] == running.requests.records[1][:2]
        other = await running.client.submit(11, "stop")
        with pytest.raises(PreconditionError, match="does not wait for approval"):
            await bob.approve(other)


@pytest.mark.security("V2.3.1")
async def test_only_what_was_not_carried_out_can_be_cancelled() -> None:
    async with served() as running:
        await running.client.submit(11, "start")
        request = running.request()
        await running.client.cancel(request.command_id, "changed my mind")
        assert running.requests.decoded[-1][1]["action"] == "CANCEL"
        running.record(request, CommandState.SUCCEEDED, 2)
        with pytest.raises(PreconditionError, match="is SUCCEEDED"):
            await running.client.cancel(request.command_id)
        with pytest.raises(NotFoundError, match="older ones are in SQL"):
            await running.client.cancel(examples.EPISODE)


# --- the server ------------------------------------------------------------------------------------------------------


async def test_health_follows_the_caches() -> None:
    async with served(ready=False) as running, grpc.aio.insecure_channel(running.address) as channel:
        checks = health_pb2_grpc.HealthStub(channel)
        error = await failure(state_stub(channel).GetTag(state_pb2.GetTagRequest(tag_id=100)))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        watched = checks.Watch(health_pb2.HealthCheckRequest(service=STATE_SERVICE))
        assert (await watched.read()).status == NOT_SERVING
        await running.server.set_ready(STATE_SERVICE)
        assert (await watched.read()).status == SERVING
        assert (await checks.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
        await state_stub(channel).GetTag(state_pb2.GetTagRequest(tag_id=100))
        watched.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services(version: str) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        call = ask(
            iter(
                [
                    reflection_pb2.ServerReflectionRequest(list_services=""),
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol=STATE_SERVICE),
                ]
            )
        )
        listed, described = [answer async for answer in call]
        names = {service.name for service in listed.list_services_response.service}
        assert {
            STATE_SERVICE,
            "millrace.v1.CommandService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        } <= names
        assert described.file_descriptor_response.file_descriptor_proto


@pytest.mark.security("V2.4.1")
async def test_too_many_calls_are_pushed_back_with_a_time() -> None:
    async with (
        served(limits=LimitSettings(requests_per_s=2, burst=3)) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        stub = state_stub(channel)
        for _ in range(3):
            await stub.GetTag(state_pb2.GetTagRequest(tag_id=100))
        error = await failure(stub.GetTag(state_pb2.GetTagRequest(tag_id=100)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing: Any = error.trailing_metadata()
        [pushback] = [value for key, value in trailing if key == "grpc-retry-pushback-ms"]
        assert 0 < int(pushback) <= 500


@pytest.mark.security("SR 2.7")
async def test_open_streams_are_limited() -> None:
    async with (
        served(limits=LimitSettings(open_streams=1)) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        stub = state_stub(channel)
        first = stub.WatchTags(state_pb2.WatchTagsRequest())
        await eventually(lambda: len(running.server.streams) == 1)
        error = await failure(stub.WatchTags(state_pb2.WatchTagsRequest()).read())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
        await eventually(lambda: len(running.server.streams) == 0)


@pytest.mark.parametrize(
    ("request_", "method", "code"),
    [
        (state_pb2.GetTagRequest(), "GetTag", grpc.StatusCode.INVALID_ARGUMENT),
        (state_pb2.GetTagRequest(path="no/where"), "GetTag", grpc.StatusCode.NOT_FOUND),
        (state_pb2.ListTagsRequest(page_size=-1), "ListTags", grpc.StatusCode.INVALID_ARGUMENT),
        (state_pb2.ListTagsRequest(page_size=5000), "ListTags", grpc.StatusCode.INVALID_ARGUMENT),
        (state_pb2.ListTagsRequest(page_token="x"), "ListTags", grpc.StatusCode.INVALID_ARGUMENT),
        (state_pb2.GetDeviceRequest(device_id=77), "GetDevice", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_is_wrong_with_a_request_becomes_a_status(
    request_: object, method: str, code: grpc.StatusCode
) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        error = await failure(getattr(state_stub(channel), method)(request_))
        assert error.code() is code
        assert error.details()


@pytest.mark.security("V2.2.3")
@pytest.mark.parametrize(
    "request_", [state_pb2.WatchTagsRequest(max_rate_hz=-1), state_pb2.WatchTagsRequest(prefixes=["no/where"])]
)
async def test_a_watch_that_makes_no_sense_is_refused(request_: state_pb2.WatchTagsRequest) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        error = await failure(state_stub(channel).WatchTags(request_).read())
        assert error.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


@pytest.mark.security("T-SERVING-SEE", "SR 3.7", "V13.4.2", "V16.3.4", "V16.5.1")
async def test_a_fault_of_the_server_tells_the_log_and_not_the_caller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        monkeypatch.setattr(running.server.values, "last", lambda _: 1 / 0)
        error = await failure(state_stub(channel).GetTag(state_pb2.GetTagRequest(tag_id=100)))
        assert (error.code(), error.details()) == (
            grpc.StatusCode.INTERNAL,
            "internal error; the server's log has the cause",
        )
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.security("V16.2.4")
async def test_every_call_is_in_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.access")
    async with served(name="ann") as running:
        await running.client.tag(100)
        async with aclosing(running.client.watch()) as updates:
            running.server.values.apply(batch({100: 1.0}))
            await anext(updates)
        await eventually(lambda: len([r for r in caplog.records if r.name == "serving.access"]) >= 2)
        logged = [vars(record) for record in caplog.records if record.name == "serving.access"]
        calls = [(each["method"].rpartition("/")[2], each["principal"], each["code"]) for each in logged]
        assert calls == [("GetTag", "local:ann", "OK"), ("WatchTagBatches", "local:ann", "CANCELLED")]


async def test_stopping_ends_streams_with_a_reason_and_says_so_in_health() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        call = state_stub(channel).WatchTags(state_pb2.WatchTagsRequest())
        await eventually(lambda: len(running.server.streams) == 1)
        stopping = asyncio.create_task(running.server.stop())
        error = await failure(call.read())
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the server is stopping; connect again")
        await stopping


async def test_a_port_in_use_is_refused_by_name() -> None:
    async with served() as running:
        config = ServingConfig(listen=running.address, kafka=KafkaSettings(bootstrap_servers="unused"))
        second = build(config, RequestList(), RequestList())
        with pytest.raises(ConfigError, match="is another server running there"):
            await second.start()
        await second.grpc.stop(None)


@pytest.mark.security("V8.2.1")
async def test_tokens_are_asked_for_by_the_server(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'[principals.ann]\nsha256 = "{hash_token("secret")}"\nallow = ["read"]\n')
    async with served(tokens=str(path)) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = state_stub(channel)
        request = state_pb2.GetTagRequest(tag_id=100)
        assert (await failure(stub.GetTag(request))).code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = (("authorization", "Bearer secret"),)
        assert (await stub.GetTag(request, metadata=metadata)).tag_id == 100
        start = commands_pb2.SubmitCommandRequest(device_id=11, name="start")
        error = await failure(command_stub(channel).SubmitCommand(start, metadata=metadata))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == SERVING
