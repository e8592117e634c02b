"""The HTTP face of a real server on a free port, and clients of it, for the tests of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from serving.config import HttpSettings, LimitSettings
from serving.tokens import hash_token
from tests.unit.served import Served, served

API = "/api/v1"


@dataclass
class Web:
    """A running server, and a browser's client of it."""

    served: Served
    client: httpx.AsyncClient

    @property
    def port(self) -> int:
        """Where HTTP listens."""
        assert self.served.server.http is not None
        return self.served.server.http.port

    @property
    def origin(self) -> str:
        """What a page of this server sends."""
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str, status: int = 200, **more: Any) -> Any:
        """JSON of an address of the API."""
        answer = await self.client.get(API + path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 201, **more: Any) -> Any:
        """JSON of what an address of the API answers to a body."""
        answer = await self.client.post(API + path, json=body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def socket(self, **more: Any) -> Any:
        """A WebSocket connection, as a context manager."""
        return connect(f"ws://127.0.0.1:{self.port}{API}/ws", **{"origin": self.origin} | more)


@asynccontextmanager
async def web(*, http: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Web]:
    """A server with both faces; ends with the block."""
    listening = HttpSettings(**{"listen": "127.0.0.1:0"} | (http or {}))
    # A machine that is busy with other tests is late, which is no business of most of these.
    limits = settings.pop("limits", LimitSettings(overload_lag_ms=60_000.0))
    async with served(http=listening, limits=limits, **settings) as running:
        assert running.server.http is not None
        address = f"http://127.0.0.1:{running.server.http.port}"
        async with httpx.AsyncClient(base_url=address, timeout=5.0, trust_env=False) as client:
            yield Web(running, client)


async def said(connection: ClientConnection) -> dict[str, Any]:
    """The next message of a WebSocket."""
    found: dict[str, Any] = json.loads(await connection.recv())
    return found


def tokens(path: Path, **allow: list[str]) -> Path:
    """A tokens file in which each name has the token NAME-secret."""
    path.write_text(
        "".join(
            f'[principals.{name}]\nsha256 = "{hash_token(f"{name}-secret")}"\nallow = {json.dumps(may)}\n'
            for name, may in allow.items()
        )
    )
    return path
