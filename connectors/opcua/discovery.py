"""Finds out what an OPC UA server has: its endpoints, and by a walk its nodes with their values. Reads only.

Who calls: `browse.command`. Raises what the connection raises: OSError, TimeoutError, ua.UaError.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asyncua import Client, ua

from connectors.opcua.certificates import CertificateStore
from connectors.opcua.security import Security
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.space import Endpoint, Space
from connectors.opcua.walk import Bounds, Walker

ERRORS = (OSError, TimeoutError, ua.UaError)
_REQUEST_TIMEOUT_S = 20.0
_MODES = {1: "None", 2: "Sign", 3: "SignAndEncrypt"}
_TOKENS = {0: "Anonymous", 1: "UserName", 2: "Certificate", 3: "IssuedToken"}

# What it warns of comes back as an error or does not matter here.
logging.getLogger("asyncua").setLevel(logging.ERROR)


async def endpoints(url: str, timeout_s: float = _REQUEST_TIMEOUT_S) -> list[Endpoint]:
    """Endpoints of a server, the safest first. Needs no right at the server."""
    client = Client(url, timeout=timeout_s)
    async with asyncio.timeout(timeout_s):
        found = await client.connect_and_get_server_endpoints()
    listed = [
        Endpoint(
            url=one.EndpointUrl or url,
            policy=(one.SecurityPolicyUri or "").rpartition("#")[2] or "None",
            mode=_MODES.get(int(one.SecurityMode), str(one.SecurityMode)),
            user_tokens=tuple(
                sorted({_TOKENS.get(int(token.TokenType), "?") for token in one.UserIdentityTokens or ()})
            ),
            level=int(one.SecurityLevel),
        )
        for one in found
        if (one.TransportProfileUri or "").endswith("uatcp-uasc-uabinary")
    ]
    return sorted(listed, key=lambda one: -one.level)


async def walk(
    settings: OpcUaSettings,
    certificates: CertificateStore,
    root: str,
    bounds: Bounds,
    progress: Callable[[int, int], None],
) -> Space:
    """The nodes below `root` (a node id as text, by index), over a session like the gateway's; raises ConfigError too."""
    client = Client(settings.endpoint, timeout=settings.request_timeout_s)
    await Security(settings, certificates).prepare(client)
    await client.connect()
    try:
        return await Walker(client.uaclient.session, bounds, progress).walk(ua.NodeId.from_string(root))
    finally:
        await client.disconnect()
