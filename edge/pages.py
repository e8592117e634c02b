"""What a gateway says of itself: health events, `/health`, `/status`, and the numbers behind `/metrics`.

Who asks: the gateway once a second, threads of the admin endpoint (answered in the event loop).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from base import endpoint
from base.endpoint import Answer
from base.ids import Clock
from edge.at_rest import PLAIN, AtRest
from edge.command_feed import CommandFeed
from edge.commands import Commands
from edge.config import GatewayConfig
from edge.connections import Connections
from edge.identity import Renewal
from edge.local_policies import LocalPolicies
from edge.metrics import GatewayCollector, GatewayNumbers
from edge.pipeline import Pipeline
from edge.registry_cache import RegistryCache
from edge.reload import Reloads
from edge.signing import Signing
from edge.uplink import Uplink
from schemas.events import CONNECTED, DEAD_DEVICES, PROBLEM, DeviceEvent, EventKind, device_ranges

_LISTED = 20
_PROBLEM_CHARACTERS = 300
"""Of a connection's problem in the health event, which goes out every second."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The parts of one gateway, looked at."""

    config: GatewayConfig
    clock: Clock
    pipeline: Pipeline
    uplink: Uplink
    connections: Connections
    commands: Commands
    feed: CommandFeed
    registry: RegistryCache
    reloads: Reloads
    policies: LocalPolicies
    keys: AtRest = PLAIN
    """Of data at rest."""
    renewal: Renewal | None = None
    signing: Signing | None = None
    """Of a gateway that enrolled."""
    started_us: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "started_us", self.clock())

    async def health_event(self) -> bytes:
        """The gateway's counters as a DeviceEvent message."""
        status = await self.pipeline.status()
        now = self.clock()
        attributes = {
            "epoch": status["epoch"],
            "registry_version": str(self.registry.view.version),
            "deadbanded": str(status["deadbanded"]),
            "buffer_bytes": str(status["buffer_bytes"]),
            "disk_full": str(status["disk_full"]).lower(),
            "oldest_age_ms": str((now - status["oldest_us"]) // 1000 if status["oldest_us"] else 0),
            "live": str(self.uplink.is_live()).lower(),
            "clock": self.pipeline.clock_status.value,
            "started_us": str(self.started_us),
            DEAD_DEVICES: device_ranges(self.pipeline.dead_devices),
        }
        for connection in self.connections.status():
            attributes[f"{CONNECTED}{connection['name']}"] = str(connection["connected"]).lower()
            if problem := connection["problem"] or ("" if connection["connected"] else connection["last_error"]):
                attributes[f"{PROBLEM}{connection['name']}"] = problem[:_PROBLEM_CHARACTERS]
        event = DeviceEvent(
            kind=EventKind.GATEWAY_HEALTH,
            gateway_id=self.config.gateway_id,
            device_id=0,
            time_us=now,
            attributes=attributes,
            lanes=await self.pipeline.health(),
        )
        return event.encode()

    def serve(self) -> endpoint.Endpoint:
        """Health, status and metrics; asked in threads of the endpoint, answered in the event loop."""
        loop, registry = asyncio.get_running_loop(), endpoint.new_registry()
        registry.register(GatewayCollector(partial(endpoint.from_loop, loop, self._numbers)))
        pages = {
            "/health": partial(endpoint.from_loop, loop, self._health_page),
            "/status": partial(endpoint.from_loop, loop, self._status_page),
        }
        return endpoint.serve(self.config.admin.host, self.config.admin.port, registry, pages)

    async def _problems(self) -> list[str]:
        status = await self.pipeline.status()
        problems = [f"{one['name']}: {one['problem']}" for one in self.connections.status() if one["problem"]]
        if not self.uplink.is_live():
            problems.append(f"{self.config.uplink.kind} does not take frames")
        if self.signing is not None and (trouble := self.signing.trouble):
            problems.append(f"nothing can be signed, and frames wait in the buffer: {trouble}"[:500])
        if status["disk_full"]:
            problems.append("the disk is full")
        if not self.registry.view.version:
            problems.append("no registry yet")
        return problems

    def _warnings(self) -> list[str]:
        """What is not as it should be, while everything else works."""
        found = []
        for one in self.connections.status():
            refused = one.get("refused")
            if isinstance(refused, dict) and refused:
                address, cause = next(iter(refused.items()))
                found.append(
                    f"{one['name']}: {_count(one, refused)} addresses are refused, the first: {address}: {cause}"[:500]
                )
            if limited := one.get("limited"):
                found.append(f"{one['name']}: {limited}"[:500])
            found += [f"{one['name']}: {text}"[:500] for text in one.get("warnings", ())]
            if one["last_error"] and not one["problem"]:
                found.append(f"{one['name']}: {one['restarts']} restarts; last error: {one['last_error']}")
        found += [f"policy: {name}: {error}" for name, error in self.policies.status()["errors"].items()]
        if self.reloads.error:
            found.append(f"the last reload was refused: {self.reloads.error}")
        if self.renewal is not None and self.renewal.problem:
            found.append(f"the certificate was not renewed: {self.renewal.problem}")
        if self.signing is not None and (unread := self.signing.unread):
            found.append(f"signing keys are not read: {unread}"[:500])
        if self.registry.failure:
            found.append(f"the registry is not read: {self.registry.failure}"[:500])
        if self.feed.failure:
            found.append(f"commands are not read: {self.feed.failure}"[:500])
        if problem := self.keys.status()["problem"]:
            found.append(f"keys of data at rest: {problem}"[:500])
        if unserved := self.connections.unserved():
            found.append(f"{len(unserved)} addresses that no connection serves, the first: {unserved[0]}")
        return found

    async def _health_page(self) -> Answer:
        problems, warnings = await self._problems(), self._warnings()
        if refused := (await self.pipeline.status())["refused_segments"]:
            warnings.append(
                f"{refused} segments of the buffer are not encrypted, though the buffer is, and were not taken (*.refused): they are true"
                " data that an older version wrote after a downgrade, or somebody has put them there; look into them before you delete them"
                " (docs/security.md, data at rest)"
            )
        code = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return Answer({"healthy": not problems, "problems": problems, "warnings": warnings}, code)

    async def _numbers(self) -> GatewayNumbers:
        buffer, uplink, commands = await self.pipeline.status(), self.uplink.status(), self.commands.status()
        oldest_us, policies = buffer["oldest_us"], self.policies.status()
        return GatewayNumbers(
            gateway_id=self.config.gateway_id,
            healthy=not await self._problems(),
            lanes=await self.pipeline.health(),
            suppressed=buffer["deadbanded"],
            buffer_bytes=buffer["buffer_bytes"],
            oldest_age_s=max(0, self.clock() - oldest_us) / 1e6 if oldest_us else 0.0,
            disk_full=buffer["disk_full"],
            live=self.uplink.is_live(),
            outstanding_bytes=uplink["outstanding_bytes"],
            registry_version=self.registry.view.version,
            tags=len(self.registry.view.tags),
            connections=self.connections.status(),
            reloads={"applied": self.reloads.applied, "refused": self.reloads.refused},
            refusals=commands["interlocked"],
            rules_fired=policies["fired"],
            commands_waiting=commands["waiting"],
            commands_damaged=commands["damaged"],
            outcomes=commands["outcomes"],
            refused_segments=buffer["refused_segments"],
        )

    async def _status_page(self) -> Answer:
        lanes = [
            {
                "lane": one.lane,
                "epoch": str(one.epoch),
                "stream": one.stream.name,
                "next_sequence": one.next_sequence,
                "produced_samples": one.produced_samples,
                "produced_checksum": one.produced_checksum,
                "delivered_sequence": one.delivered_sequence,
                "buffered_samples": one.buffered_samples,
                "dropped_samples": one.dropped_samples,
            }
            for one in await self.pipeline.health()
        ]
        return Answer(
            {
                "gateway_id": self.config.gateway_id,
                "site": self.config.site,
                "started_us": self.started_us,
                "pid": os.getpid(),
                "reload": self.reloads.status(),
                "clock": self.pipeline.clock_status.value,
                "registry": {
                    "version": self.registry.view.version,
                    "tags": len(self.registry.view.tags),
                    "problem": self.registry.failure,
                },
                "buffer": await self.pipeline.status(),
                "at_rest": self.keys.status(),
                "lanes": lanes,
                "uplink": {"kind": self.config.uplink.kind, **self.uplink.status()},
                "connectors": self.connections.status(),
                "policies": self.policies.status(),
                "certificate": self.renewal and self.renewal.status(),
                "signatures": self.signing and self.signing.status(),
                "commands": {"problem": self.feed.problem, **self.commands.status()},
            }
        )


def _count(connection: Mapping[str, Any], refused: Mapping[str, Any]) -> str:
    """How many addresses are refused; a connector lists some of them."""
    count = connection.get("refused_count")
    return str(count) if count is not None else f"{len(refused)}{' or more' if len(refused) >= _LISTED else ''}"
