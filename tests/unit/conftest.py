"""Fixtures that several files of this folder use. What they need is imported by those that ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from tests.unit.opcua_servers import Machine


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opcua_server() -> AsyncIterator[Machine]:
    """An OPC UA server for all tests of a file."""
    from tests.unit.opcua_servers import Machine

    machine = Machine()
    await machine.start()
    yield machine
    await machine.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def machine(opcua_server: Machine) -> AsyncIterator[Machine]:
    """The server, which grants everything until a test says otherwise, without a client."""
    from tests.integration.gateway_support import until

    opcua_server.reset()
    yield opcua_server
    opcua_server.reset()
    await until(lambda: not opcua_server.subscriptions(), timeout_s=60)
