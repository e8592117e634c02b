"""Gateways, events as they come, health and accounting."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from client_conformance.plant import PRESSES, START_US, Plant
from millrace_client import (
    Event,
    Gateway,
    GatewayConnection,
    GatewayState,
    uuid7,
)


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
        assert {stage.name for stage in health.stages} >= {
            "gateways",
            "telemetry",
            "historian",
            "commands",
            "alarms",
            "database",
        }
        assert health.observed_us > START_US
