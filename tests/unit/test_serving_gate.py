"""What every call passes first, as its caller sees it: bytes, bounds, tokens, disconnects."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2

from base import errors, logs
from base.ids import uuid7
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from serving import bounds, principals
from serving.caches.plant import Plant
from serving.config import LimitSettings
from serving.gate import Kind
from serving.problems import MAX_DETAIL, problem_of
from serving.rpc import bounded
from serving.rpc.methods import method_of
from serving.tokens import hash_token
from tests.unit.served import FILES, LINE, METHODS, Served, batch, command_stub, eventually, served, state_stub

STATE = "/millrace.v1.StateService/"
ANN = (("authorization", "Bearer ann-secret"),)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """Error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def raw(channel: grpc.aio.Channel, method: str) -> Any:
    """A unary call of bytes."""
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


def trailers(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """Trailing metadata of a status."""
    pairs: Any = error.trailing_metadata() or ()
    return {key: value for key, value in pairs}


def details_of(error: grpc.aio.AioRpcError) -> list[Any]:
    """The `google.rpc` details of a status."""
    packed = trailers(error)["grpc-status-details-bin"]
    found: list[Any] = []
    for part in status_pb2.Status.FromString(packed).details:
        message = getattr(error_details_pb2, part.type_url.rpartition(".")[2])()
        part.Unpack(message)
        found.append(message)
    return found


def tokens(path: Path, *names: str) -> Path:
    """A tokens file in which each name has the token NAME-secret."""
    path.write_text(
        "".join(f'[principals.{name}]\nsha256 = "{hash_token(f"{name}-secret")}"\nallow = ["read"]\n' for name in names)
    )
    return path


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Methods and codes of the access log."""
    lines = [vars(record) for record in caplog.records if record.name == "serving.access" and record.msg == "call"]
    return [(line["method"], line["code"]) for line in lines]


# --- one gate, first -------------------------------------------------------------------------------------------------


async def test_bytes_that_are_no_message_meet_the_gate_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tokens(tmp_path / "tokens.toml", "ann")
    async with served(tokens=str(path)) as running, grpc.aio.insecure_channel(running.address) as channel:
        call = raw(channel, STATE + "GetTag")
        assert (await failure(call(b"\xff\xff\xff"))).code() is grpc.StatusCode.UNAUTHENTICATED
        error = await failure(call(b"\xff\xff\xff", metadata=ANN))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (
            error.details()
            == "these 3 bytes are no request of StateService/GetTag; is your .proto file of another version?"
        )
        any_channel: Any = channel
        stream = any_channel.unary_stream(STATE + "WatchTags")(b"\xff\xff\xff", metadata=ANN)
        assert (await failure(stream.read())).code() is grpc.StatusCode.INVALID_ARGUMENT
        reflection = any_channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(
            metadata=ANN
        )
        await reflection.write(b"\xff\xff\xff")
        assert (await failure(reflection.read())).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert logged(caplog) == [
        ("StateService/GetTag", "UNAUTHENTICATED"),
        ("StateService/GetTag", "INVALID_ARGUMENT"),
        ("StateService/WatchTags", "INVALID_ARGUMENT"),
        ("ServerReflection/ServerReflectionInfo", "INVALID_ARGUMENT"),
    ]
    assert "Traceback" not in caplog.text


@pytest.mark.security("V16.3.3")
async def test_malformed_calls_count_for_the_limits() -> None:
    limits = LimitSettings(requests_per_s=0.001, burst=1)
    async with served(limits=limits) as running, grpc.aio.insecure_channel(running.address) as channel:
        call = raw(channel, STATE + "GetTag")
        assert (await failure(call(b"\xff"))).code() is grpc.StatusCode.INVALID_ARGUMENT
        error = await failure(call(b"\xff"))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert trailers(error)["grpc-retry-pushback-ms"].isdigit()
        assert [type(part).__name__ for part in details_of(error)] == ["ErrorInfo", "RetryInfo"]


@pytest.mark.security("V16.3.3")
async def test_a_method_that_does_not_exist_is_asked_for_its_token_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tokens(tmp_path / "tokens.toml", "ann")
    async with served(tokens=str(path)) as running, grpc.aio.insecure_channel(running.address) as channel:
        call = raw(channel, "/millrace.v1.StateService/" + "Nonsense" * 50)
        assert (await failure(call(b""))).code() is grpc.StatusCode.UNAUTHENTICATED
        error = await failure(call(b"", metadata=ANN))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert len(error.details() or "") < 250
    assert logged(caplog) == [("unknown", "UNAUTHENTICATED"), ("unknown", "UNIMPLEMENTED")]


@pytest.mark.security("V6.3.4", "V8.2.1")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_method_has_its_row(method: Any) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    row = method_of(path, streaming=method.server_streaming)
    assert row is not None, f"{path} is not in serving/rpc/methods.py"
    assert row.needs is not None
    answering = method.output_type.name in {"AlarmAnswer", "AcknowledgeAlarmsResponse"} or method.name in {
        "LabelAnomaly",
        "WithdrawAnomalyLabel",
    }
    assert (row.needs is principals.Permission.ALARM) == answering
    commanding = {"SubmitCommand", "SubmitAndWait", "CancelCommand", "ApproveCommand", "GetCommand", "WatchCommand"}
    assert (row.kind is Kind.CONTROL) == (answering or method.name in commanding)
    entering = method.containing_service.name == "WorkService" and not method.name.startswith("List")
    assert (row.needs is principals.Permission.PLAN) == entering
    changes = (
        entering or answering or method.name in {"SubmitCommand", "SubmitAndWait", "CancelCommand", "ApproveCommand"}
    )
    reading = (
        principals.Permission.AUDIT if method.containing_service.name == "AuditService" else principals.Permission.READ
    )
    assert (row.needs is reading) != changes


# --- bounds ----------------------------------------------------------------------------------------------------------


def requests() -> list[Any]:
    """A message of every method's request."""
    found = {}
    for method in METHODS:
        name = method.input_type.name
        found[name] = next(getattr(file, name) for file in FILES if hasattr(file, name))()
    return list(found.values())


def fields(message: Any) -> list[tuple[list[str], FieldDescriptor]]:
    """Every field that can be reached from a message, with the names that lead there."""
    found = []
    for field in message.DESCRIPTOR.fields:
        found.append(([field.name], field))
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            inner = getattr(message, field.name)
            inner = inner.add() if field.label == FieldDescriptor.LABEL_REPEATED else inner
            found += [([field.name, *names], one) for names, one in fields(inner)]
    return found


@pytest.mark.security("SR 3.5", "V2.2.1")
@pytest.mark.parametrize("message", requests(), ids=lambda message: message.DESCRIPTOR.name)
def test_every_text_list_and_map_of_every_request_has_a_bound(message: Any) -> None:
    for names, field in fields(type(message)()):
        asked = type(message)()
        inner = asked
        for name in names[:-1]:
            within = getattr(inner, name)
            inner = within.add() if hasattr(within, "add") else within
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            entries = getattr(inner, field.name)
            value = next(f for f in field.message_type.fields if f.name == "value")
            for number in range(2_000):
                entries[str(number)] = "x" if value.cpp_type == FieldDescriptor.CPPTYPE_STRING else 1.0
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            long = "a" * 100_000
            if field.label == FieldDescriptor.LABEL_REPEATED:
                getattr(inner, field.name).append(long)
            else:
                setattr(inner, field.name, long)
        elif field.label == FieldDescriptor.LABEL_REPEATED:
            many = getattr(inner, field.name)
            many.extend([many.add() if field.message_type is not None else 1] * 2_000)
        else:
            continue
        with pytest.raises(errors.InvalidRequestError) as caught:
            bounded.check(asked)
        assert caught.value.field.startswith(".".join(names[:-1]))
        assert field.name in caught.value.field
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("method", ["GetTag", "GetDevice", "ListTags", "WatchTags", "WatchAnomalies"])
@pytest.mark.parametrize("path", ["a/" * 100_000, "a/" * 20, "a" * 501, "a\x00b"])
async def test_a_path_without_end_is_refused_before_anything_is_looked_up(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "prefixes" if method == "WatchTags" else "path" if method.startswith("Get") else "prefix"
    request = getattr(state_pb2, f"{method}Request")(**{name: [path] if name == "prefixes" else path})
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        call, reached = getattr(state_stub(channel), method), list[str]()
        for looked_up in ("tag_at", "find_tag_at", "device_at", "tags_under", "devices_under", "covers"):
            monkeypatch.setattr(Plant, looked_up, lambda *_, found=looked_up, **__: reached.append(found))
        error = await failure(call(request).read() if method.startswith("Watch") else call(request))
        assert not reached
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(error.details() or "") < 250
        assert any(isinstance(part, error_details_pb2.BadRequest) for part in details_of(error))


@pytest.mark.security("V1.2.9")
def test_the_search_for_a_path_is_linear_whatever_is_asked() -> None:
    plant = Plant()

    def cost_s(path: str) -> float:
        began_s = time.process_time()
        for find in (plant.tag_at, plant.device_at):
            with pytest.raises(errors.NotFoundError) as caught:
                find(path)
            assert len(str(caught.value)) < 300
        return time.process_time() - began_s

    for head in ("", f"{LINE}/"):
        once, eightfold = (min(cost_s(head + "a/" * length) for _ in range(5)) for length in (50_000, 400_000))
        assert eightfold < 24 * once  # 64 if it were quadratic


async def test_an_unknown_path_is_shown_in_part() -> None:
    path = "/".join(["part" * 20] * 6)
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        error = await failure(state_stub(channel).GetTag(state_pb2.GetTagRequest(path=path)))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert path not in (error.details() or "")
        assert "characters" in (error.details() or "")


@pytest.mark.security("V2.2.1")
async def test_enumerators_that_do_not_exist_are_refused() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        error = await failure(state_stub(channel).ListTags(state_pb2.ListTagsRequest(quality=77)))  # type: ignore[arg-type]
        assert (error.code(), error.details()) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "quality is 77, which Quality does not have",
        )


@pytest.mark.parametrize("command_id", ["00000000-0000-0000-0000-000000000000", "nonsense", "0" * 32])
async def test_an_id_that_is_none_is_refused(command_id: str) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = command_stub(channel)
        submit = commands_pb2.SubmitCommandRequest(command_id=command_id, device_id=11, name="start")
        for call in (
            stub.SubmitCommand(submit),
            stub.GetCommand(commands_pb2.GetCommandRequest(command_id=command_id)),
        ):
            error = await failure(call)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "command_id" in (error.details() or "")
        assert running.requests.records == []


@pytest.mark.security("V1.1.1")
async def test_a_slash_at_the_end_means_the_same_everywhere() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = state_stub(channel)
        device, tag = f"{LINE}/press01", f"{LINE}/press01/temperature"
        assert (await stub.GetDevice(state_pb2.GetDeviceRequest(path=device + "/"))).path == device
        assert (await stub.GetTag(state_pb2.GetTagRequest(path=tag + "/"))).path == tag
        for prefix in (device, device + "/"):
            assert len((await stub.ListTags(state_pb2.ListTagsRequest(prefix=prefix))).tags) == 4
        submit = commands_pb2.SubmitCommandRequest(path=device + "/", name="start")
        assert (await command_stub(channel).SubmitCommand(submit)).device_path == device
        for prefix in ("", "/"):
            assert len((await stub.ListDevices(state_pb2.ListDevicesRequest(prefix=prefix))).devices) == 3


@pytest.mark.security("SR 3.7", "V16.5.1")
def test_an_answer_is_short_whatever_was_asked() -> None:
    problem = problem_of(errors.NotFoundError("x" * 1_000_000))
    assert len(problem.detail) == MAX_DETAIL
    assert len(errors.shown("x" * 1_000_000)) <= 120
    assert errors.shown("short") == "'short'"


@pytest.mark.security("V1.3.3", "V16.4.1")
def test_a_line_of_the_log_is_short_whatever_was_sent() -> None:
    record = logging.makeLogRecord({"msg": "m" * 1_000_000, "reason": "r" * 1_000_000, "parts": ["p" * 1_000_000] * 3})
    try:
        raise ValueError("e" * 1_000_000)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    line = logs.JsonFormatter("t").format(record)
    assert len(line) < 25_000
    assert json.loads(line)["error"].startswith("Traceback")


@pytest.mark.security("V2.2.2")
def test_values_of_other_faces_have_the_same_bounds() -> None:
    bounds.value("parameters", {"speed": 1.0})
    with pytest.raises(errors.InvalidRequestError, match=r"prefixes\[1\] has 501 characters"):
        bounds.value("prefixes", ["a", "a" * 501])
    with pytest.raises(errors.InvalidRequestError, match="parameters has 101 entries, more than 100"):
        bounds.value("parameters", {str(i): 1.0 for i in range(101)})
    with pytest.raises(errors.InvalidRequestError, match="request has 262,145 bytes"):
        bounds.size(bounds.MAX_REQUEST + 1)


# --- tokens, callers, connections ------------------------------------------------------------------------------------


@pytest.mark.security("V4.2.1", "V15.3.7")
async def test_two_authorization_headers_are_refused(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", "ann", "bob")
    async with served(tokens=str(path)) as running, grpc.aio.insecure_channel(running.address) as channel:
        two = (*ANN, ("authorization", "Bearer bob-secret"))
        error = await failure(state_stub(channel).GetTag(state_pb2.GetTagRequest(tag_id=100), metadata=two))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.security("T-SERVING-TOKEN", "SR 2.6", "V7.4.2")
async def test_a_token_that_is_withdrawn_ends_its_open_streams(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", "ann", "bob")
    async with served(tokens=str(path)) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = state_stub(channel)
        hers = stub.WatchTags(state_pb2.WatchTagsRequest(), metadata=ANN)
        his = stub.WatchTags(state_pb2.WatchTagsRequest(), metadata=(("authorization", "Bearer bob-secret"),))
        await eventually(lambda: len(running.server.streams) == 2)
        tokens(path, "bob")
        os.utime(path, ns=(1, 1))
        async with asyncio.timeout(5):
            error = await failure(hers.read())
        assert (error.code(), error.details()) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "this token is not known; it may have been withdrawn",
        )
        running.server.values.apply(batch({100: 1.0}))
        assert (await his.read()).tag_id == 100
        his.cancel()


@pytest.mark.security("SR 1.11", "V1.4.3")
async def test_callers_that_are_not_let_in_leave_no_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)  # pytest itself remembers every line
    path = tokens(tmp_path / "tokens.toml", "ann")
    async with served(tokens=str(path)) as running, grpc.aio.insecure_channel(running.address) as channel:
        call = raw(channel, STATE + "GetTag")

        async def knock(count: int) -> None:
            for number in range(count):
                await failure(
                    call(b"", metadata=(("authorization", f"Bearer {number}"), ("millrace-principal", str(number))))
                )

        await knock(100)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await knock(600)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < 400_000, grown
        assert len(running.server.gate.limits._calls) == 0


@contextlib.asynccontextmanager
async def cable(address: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A connection to a server that can be cut: address to call, and what cuts."""
    host, _, port = address.rpartition(":")
    ends: set[asyncio.StreamWriter] = set()

    async def plug(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        ends.update((writer, far_writer))

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()

        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    def cut() -> None:
        for end in ends:
            end.transport.abort()
        ends.clear()

    server = await asyncio.start_server(plug, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        cut()
        server.close()
        await server.wait_closed()


async def test_a_client_that_disappears_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served() as running, cable(running.address) as (address, cut):
        for round_ in range(10):
            async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
                stub = state_stub(channel)
                calls = [stub.WatchTags(state_pb2.WatchTagsRequest(max_rate_hz=100)) for _ in range(5)]
                await eventually(lambda: len(running.server.streams) == 5)
                # A deadline, as every client should set: gRPC's core may notice a dead connection only when it writes again.
                asked = state_pb2.ListTagsRequest(page_size=1000)
                reads = [asyncio.ensure_future(stub.ListTags(asked, timeout=5)) for _ in range(20)]
                running.server.values.apply(batch({100 + i: round_ for i in range(4)}))
                for _ in range(round_):  # at another moment of the answers each time
                    await asyncio.sleep(0)
                cut()
                running.server.values.apply(batch({100 + i: round_ + 0.5 for i in range(4)}))
                await asyncio.gather(*reads, return_exceptions=True)
                await eventually(lambda: len(running.server.streams) == 0)
                for call in calls:
                    call.cancel()
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_deadline_that_is_over_is_not_begun(caplog: pytest.LogCaptureFixture) -> None:
    from serving.gate import Gate, Method

    def gate_of(running: Served) -> Gate:
        return running.server.gate

    async with served() as running:
        method = Method(name="x", kind=Kind.READ)
        with pytest.raises(errors.DeadlineError), gate_of(running).call(method, headers=(), peer="", remaining_s=0):
            pass
        with gate_of(running).call(method, headers=(), peer="", remaining_s=5) as call:
            left_s = call.remaining_s()
            assert left_s is not None
            assert 4 < left_s <= 5


async def test_reflection_tells_the_comments() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        call: Any = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        stream = call()
        await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="millrace.v1.Tag"))
        files = [
            FileDescriptorProto.FromString(raw)
            for raw in (await stream.read()).file_descriptor_response.file_descriptor_proto
        ]
        comments = [place.leading_comments for file in files for place in file.source_code_info.location]
        assert " Whether a command may write it.\n" in comments
        stream.cancel()


@pytest.mark.security("SR 7.1")
async def test_a_device_is_not_flooded_by_many_and_a_repeated_command_passes() -> None:
    limits = LimitSettings(device_commands_per_s=0.001, device_commands_burst=1, overload_lag_ms=60_000)
    async with served(limits=limits) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = command_stub(channel)
        first = commands_pb2.SubmitCommandRequest(command_id=str(uuid7(1)), device_id=11, name="start")
        await stub.SubmitCommand(first)
        await stub.SubmitCommand(first)
        error = await failure(stub.SubmitCommand(commands_pb2.SubmitCommandRequest(device_id=11, name="stop")))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await stub.SubmitCommand(commands_pb2.SubmitCommandRequest(device_id=12, name="stop"))
