"""A small plant for tests of the simulator: two sites, each protocol, every kind of signal."""

from __future__ import annotations

from typing import Any

from simulator.plant import Device, Tag, parse_devices

START_US = 1_795_000_000_000_000


def tag(kind: str, data_type: str = "DOUBLE", *, period_ms: int = 500, **simulate: Any) -> dict[str, Any]:
    return {
        "tag_class": "process", "data_type": data_type, "unit": "1", "description": kind, "eu": [0, 100], "limits": [-50, 200],
        "period_ms": period_ms, "writable": kind in {"command", "setpoint"}, "simulate": {"kind": kind, **simulate},
    }  # fmt: skip


CLASSES: dict[str, Any] = {
    "press": {
        "tags": {
            "packml_state": tag("state", "INTEGER"),
            "packml_command": {**tag("command", "INTEGER", period_ms=1000), "eu": [0, 9], "limits": [0, 9]},
            "speed_setpoint": {**tag("setpoint", period_ms=1000, initial=24), "eu": [0, 60], "limits": [0, 60]},
            "cycle_count": tag("cycles", "INTEGER", per_minute=60),
            "scrap_count": tag("scrap", "INTEGER", probability=0.2),
            "power": tag("power", period_ms=100, idle=4, running=45, tau_s=0.5, noise=0.4),
            "energy": tag("energy", period_ms=10_000, of="power"),
            "vibration": tag("vibration", period_ms=100, idle=0.3, running=3.2, tau_s=1, noise=0.04),
            "temperature": tag("thermal", idle=20, running=60, tau_s=120, noise=0.05),
            "force": tag("analog", idle=2, running=80, tau_s=2, noise=0.3),
            "speed": tag("speed", tau_s=2, noise=0.1),
            "closed": tag("boolean", "BOOLEAN", duty=0.4, period_s=6),
            "watchdog": tag("heartbeat", "INTEGER", modulus=65536),
        }
    }
}


CONNECTIONS: list[dict[str, Any]] = [
    {
        "name": "opcua", "protocol": "opcua", "endpoint": "opc.tcp://127.0.0.1:4840", "simulated": True,
        "address": "ns=2;s={site}.{device}.{tag}",
    },
    {
        "name": "sparkplug", "protocol": "sparkplug", "endpoint": "mqtt://127.0.0.1", "simulated": True,
        "address": "{site}/sim-{site}/{device}/{tag}",
    },
]  # fmt: skip


def plant(devices: dict[str, str] | None = None) -> dict[str, Any]:
    """Plant file with devices of class press: name to protocol, at site north (names that begin with s: south)."""
    devices = devices or {"press-01": "opcua", "press-02": "sparkplug"}
    sites: dict[str, list[dict[str, str]]] = {}
    for name, protocol in devices.items():
        site = "south" if name.startswith("s") else "north"
        sites.setdefault(site, []).append(
            {"name": name, "class": "press", "gateway": f"gw-{site}", "connection": protocol}
        )
    return {
        "enterprise": "acme",
        "tag_classes": {"process": {"windows_s": [150]}},
        "device_classes": CLASSES,
        "sites": [
            {
                "name": site,
                "gateways": [{"id": f"gw-{site}", "connections": CONNECTIONS}],
                "areas": [{"name": "a", "lines": [{"name": "l", "cells": [{"name": "c", "devices": those}]}]}],
            }
            for site, those in sites.items()
        ],
    }


def devices(protocols: dict[str, str] | None = None) -> tuple[Device, ...]:
    return parse_devices(plant(protocols))


def tag_of(device: Device, name: str) -> Tag:
    return next(tag for tag in device.tags if tag.name == name)
