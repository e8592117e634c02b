"""The real server, held to the suite that the client's fake plant is held to: what users test against is what they get."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trustme

import client_conformance as suite
from base.ids import now_us
from millrace_client import Aggregate, Anomaly, AsyncClient, Client, CommandState, Connection, Event, Gateway, Reject
from schemas import commands
from schemas.commands import CommandAck, CommandRequest
from schemas.definitions import DataType, TagDefinition
from serving.access import hash_token
from serving.config import LimitSettings, TlsSettings
from serving.server import COMMAND_SERVICE, STATE_SERVICE, Server, build
from tests.contract import examples
from tests.unit.served import Served, batch, definition, served

PRESSES = [
    definition(
        tag_id=100 + 10 * number + place,
        device_id=10 + number,
        path=f"{press}/{name}",
        name=name,
        unit="Cel",
        data_type=DataType(kind),
        writable=writable,
        eu_low=0.0,
        eu_high=150.0,
        limit_low=None,
        limit_high=None,
    )
    for number, press in enumerate(suite.PRESSES)
    for place, (name, kind, writable) in enumerate(suite.TAGS)
]


class RealRun:
    """A real server as the suite wants it. What is put into its caches is put again into those of a server that follows."""

    def __init__(self, running: Served, *, threads: bool, ca: str, tokens: Path | None) -> None:
        self.clients: list[Any] = []
        self._running = running
        self._threads = threads
        self._ca = ca
        self._tokens = tokens
        self._registry: dict[int, TagDefinition] = {}
        self._history: list[Callable[[Server], None]] = []
        self._versions: Counter[UUID] = Counter()
        self._revisions: Counter[str] = Counter()
        self._know(PRESSES)

    def client(self, name: str = "", *, allow: Collection[str] = suite.EVERYTHING, **options: Any) -> Any:
        token = ""
        if self._tokens is not None:
            token = f"token-of-{name}"
            allowed = ", ".join(f'"{one}"' for one in allow)
            with self._tokens.open("a") as file:
                file.write(f'[principals.{name}]\nsha256 = "{hash_token(token)}"\nallow = [{allowed}]\n')
        connection = Connection(
            self._running.address, ca=self._ca, token=token, name=name if self._tokens is None else ""
        )
        make = Client if self._threads else AsyncClient
        self.clients.append(suite.face(make(connection, **options)))
        return self.clients[-1]

    def define(self, path: str, *, tag_id: int, device_id: int) -> object:
        self._know([definition(tag_id=tag_id, device_id=device_id, path=path, name=path.rpartition("/")[2])])
        return None

    def set(self, tag_id: int, value: float, *, code: int = 0, time_us: int | None = None) -> None:
        record = batch({tag_id: value}, time_us=time_us, quality=code, lane=tag_id)
        self._apply(lambda server: server.values.apply(record))

    def publish(self, step: Anomaly) -> None:
        self._revisions[step.episode_id] += 1
        fields = dataclasses.asdict(step) | {
            "episode_id": UUID(step.episode_id),
            "phase": str(step.phase),
            "revision": self._revisions[step.episode_id],
            "contributors": [
                {name: value for name, value in dataclasses.asdict(part).items() if name != "path"}
                for part in step.contributors
            ],
        }
        record = {name: fields.get(name, value) for name, value in examples.records()["Anomaly"].items()}
        self._apply(lambda server: server.episodes.apply(record))

    def set_state(self, device_id: int, *, heard: bool) -> None:
        raise NotImplementedError

    def close_window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        raise NotImplementedError

    def tell(self, event: Event) -> None:
        raise NotImplementedError

    def reject(self, reject: Reject) -> None:
        raise NotImplementedError

    def report(self, gateway: Gateway) -> None:
        raise NotImplementedError

    async def settle(self) -> None:
        raise NotImplementedError

    def advance(self, command_id: UUID, state: CommandState, *, provisional: bool = False, **more: Any) -> None:
        request = next(one for one in self._requests() if one.command_id == command_id)
        if provisional:
            ack = CommandAck(
                command_id=command_id,
                attempt=1,
                device_id=request.device_id,
                gateway_id=request.gateway_id,
                state=commands.CommandState(state),
                time_us=now_us(),
                **more,
            )
            self._apply(lambda server: server.book.apply_ack(ack))
            return
        self._versions[command_id] += 1
        version = self._versions[command_id]
        self._apply(lambda _: self._running.record(request, commands.CommandState(state), version, **more))

    @property
    def submitted(self) -> list[UUID]:
        return [request.command_id for request in self._requests()]

    @property
    def controls(self) -> list[tuple[str, UUID, str, str]]:
        return [
            (record["action"], record["command_id"], record["by"], record["reason"])
            for name, record in self._running.requests.decoded
            if name == "CommandControl"
        ]

    async def stop(self) -> None:
        await self._running.server.stop()

    async def start(self) -> None:
        config = dataclasses.replace(self._running.server.config, listen=self._running.address)
        server = self._running.server = build(config, self._running.requests)
        for request in self._requests():
            server.book.apply_request(request)
        for change in self._history:
            change(server)
        await server.start()
        await server.set_ready(STATE_SERVICE)
        await server.set_ready(COMMAND_SERVICE)

    def _requests(self) -> list[CommandRequest]:
        decoded = self._running.requests.decoded
        return [CommandRequest.from_record(record) for name, record in decoded if name == "CommandRequest"]

    def _know(self, tags: list[TagDefinition]) -> None:
        self._registry |= {tag.tag_id: tag for tag in tags}
        known, version = list(self._registry.values()), 100 + len(self._history)
        self._apply(lambda _: self._running.know(known, version))

    def _apply(self, change: Callable[[Server], None]) -> None:
        self._history.append(change)
        change(self._running.server)


async def _run(
    stack: AsyncExitStack, *, threads: bool, ca: str = "", tokens: Path | None = None, **more: Any
) -> RealRun:
    limits = LimitSettings(requests_per_s=10_000, burst=10_000, commands_per_s=1_000, commands_burst=1_000)
    running = await stack.enter_async_context(
        served(limits=limits, drain_s=0.1, ca=ca, tokens="" if tokens is None else str(tokens), **more)
    )
    run = RealRun(running, threads=threads, ca=ca, tokens=tokens)

    async def close() -> None:
        await asyncio.gather(*(client.close() for client in run.clients))

    stack.push_async_callback(close)
    return run


@pytest.fixture(params=["threads", "asyncio"])
async def plant(request: pytest.FixtureRequest) -> AsyncIterator[suite.Plant]:
    async with AsyncExitStack() as stack:
        yield await _run(stack, threads=request.param == "threads")


class TestRealState(suite.StateCases): ...


class TestRealCommands(suite.CommandCases): ...


class TestRealCommandLists(suite.CommandListCases): ...


class TestRealRestarts(suite.RestartCases): ...


class TestRealAccess(suite.AccessCases):
    @pytest.fixture(params=["threads", "asyncio"])
    async def plant(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[suite.Plant]:
        """Over TLS, and with tokens: that is how the server knows what a caller may do."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        pair = authority.issue_cert("127.0.0.1")
        pair.private_key_pem.write_to_path(tmp_path / "key.pem")
        pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        tokens = tmp_path / "tokens.toml"
        tokens.write_text("")
        tls = TlsSettings(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
        async with AsyncExitStack() as stack:
            yield await _run(
                stack, threads=request.param == "threads", ca=str(tmp_path / "ca.pem"), tokens=tokens, tls=tls
            )
