"""The client library against a real server: reconnecting streams, retries, errors that name cause and fix."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from base.errors import (
    ConfigError,
    InvalidRequestError,
    MillraceError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from base.settings import KafkaSettings
from client import Client, Connection, failures, local_connection
from client.find import find_device, find_paths
from client.service_config import SERVICE_CONFIG
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from serving.config import ServingConfig
from serving.server import COMMAND_SERVICE, STATE_SERVICE, build
from tests.unit.served import LINE, RequestList, batch, definition, served


async def test_a_watch_comes_back_after_the_server_did() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.0}))
        async with aclosing(running.client.watch([LINE])) as updates:
            assert (await anext(updates)).value.value == 1.0
            await running.server.stop()
            config = ServingConfig(listen=running.address, kafka=KafkaSettings(bootstrap_servers="unused"), drain_s=0.1)
            second = build(config, RequestList())
            await second.start()
            second.plant = running.server.plant
            second.state.plant = running.server.plant
            await second.set_ready(STATE_SERVICE)
            await second.set_ready(COMMAND_SERVICE)
            second.values.apply(batch({100: 2.0}))
            async with asyncio.timeout(10):
                assert (await anext(updates)).value.value == 2.0
            await second.stop()


async def test_a_read_is_tried_again_while_the_server_is_starting() -> None:
    async with served(ready=False) as running:
        call = asyncio.create_task(running.client.tag(100))
        await asyncio.sleep(0.05)
        assert not call.done()
        await running.server.set_ready(STATE_SERVICE)
        assert (await call).tag_id == 100


async def test_what_cannot_be_reached_is_named_at_once() -> None:
    async with Client(Connection(address="127.0.0.1:1"), deadline_s=10) as client:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1: .*check that the server runs"):
            await client.tag(1)
        with pytest.raises(UnavailableError):
            await anext(client.watch())


async def test_errors_keep_the_servers_words() -> None:
    async with served() as running:
        with pytest.raises(NotFoundError, match="there are: press00, press01, press02"):
            await running.client.device(f"{LINE}/press9")
        with pytest.raises(InvalidRequestError, match="writable there"):
            await running.client.submit(10, "write", {"temperature": 1.0})


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, PermissionDeniedError, "MILLRACE_TOKEN"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, UnavailableError, "give more time"),
        (grpc.StatusCode.UNIMPLEMENTED, MillraceError, "no Millrace server"),
        (grpc.StatusCode.INTERNAL, MillraceError, "words"),
    ],
)
def test_every_status_has_its_exception(code: grpc.StatusCode, kind: type[MillraceError], hint: str) -> None:
    raised = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "words", None)
    error = failures.translate(raised, "host:1")
    assert type(error) is kind
    assert hint in str(error)


def test_only_unavailable_is_tried_again_and_every_method_is_in_the_table() -> None:
    [config] = json.loads(SERVICE_CONFIG)["methodConfig"]
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    services = (state_pb2.DESCRIPTOR.services_by_name, commands_pb2.DESCRIPTOR.services_by_name)
    methods = {(s.full_name, m.name) for table in services for s in table.values() for m in s.methods}
    assert {(name["service"], name["method"]) for name in config["name"]} == methods


async def test_people_may_type_ids_paths_and_names() -> None:
    async with served() as running:
        client = running.client
        assert await find_device(client, "12") == 12
        assert await find_device(client, f"{LINE}/press01") == f"{LINE}/press01"
        assert await find_device(client, "press01") == f"{LINE}/press01"
        assert await find_paths(client, ["acme", "press02", "acme/n*"]) == ["acme", f"{LINE}/press02", "acme/n*"]
        with pytest.raises(NotFoundError, match="no device named 'press77'"):
            await find_device(client, "press77")
        running.know([definition(tag_id=900, device_id=90, path="acme/south/a/l/c/press01/x", name="x")], version=9)
        with pytest.raises(InvalidRequestError, match="the name of 2 devices"):
            await find_device(client, "press01")


def test_the_address_is_given_or_in_the_environment_or_the_stacks(tmp_path: Path) -> None:
    environ = {"MILLRACE_STATE": str(tmp_path)}
    with pytest.raises(ConfigError, match="give --address, set MILLRACE_GRPC, or start the stack"):
        local_connection(environ=environ)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "serving.toml").write_text('listen = "127.0.0.1:7001"\n')
    assert local_connection(environ=environ).address == "127.0.0.1:7001"
    environ["MILLRACE_GRPC"] = "host:2"
    assert local_connection(environ=environ).address == "host:2"
    assert local_connection(environ=environ, address="host:3").address == "host:3"


def test_a_token_never_travels_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="only sent over TLS"):
        Connection(address="127.0.0.1:1", token="secret").channel()
