"""The real server, held to the suite that the client's fake plant is held to: what users test against is what they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

import client_conformance as suite
from serving.config import TlsSettings
from tests.unit.real_plant import real_run


@pytest.fixture(params=["threads", "asyncio"])
async def plant(request: pytest.FixtureRequest) -> AsyncIterator[suite.Plant]:
    async with AsyncExitStack() as stack:
        yield await real_run(stack, threads=request.param == "threads")


class TestRealState(suite.StateCases): ...


class TestRealAlarms(suite.AlarmCases): ...


class TestRealCommands(suite.CommandCases): ...


class TestRealCommandLists(suite.CommandListCases): ...


class TestRealOutcomes(suite.OutcomeCases): ...


class TestRealBatches(suite.BatchCases): ...


class TestRealFilters(suite.FilterCases): ...


class TestRealLine(suite.LineCases): ...


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
            yield await real_run(
                stack, threads=request.param == "threads", ca=str(tmp_path / "ca.pem"), tokens=tokens, tls=tls
            )
