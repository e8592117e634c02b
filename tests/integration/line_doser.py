"""A machine of another maker that joins a line while it runs: an OPC UA server of asyncua with methods, and no values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from base.toml import to_toml
from benchmarks.foreign import plan
from benchmarks.foreign.process import ASYNCUA, Foreign
from edge.remote import Remote
from stack import render
from tests.integration.gateway_support import free_port
from tests.integration.line import Line
from tests.integration.polling import eventually

GATEWAY, CONNECTION = "gw-north-1", "doser"
DEVICE = "acme/north/forming/line-1/blanking/doser-01"
_TAGS = {
    "amount": ("DOUBLE", "Dose", "#.Amount"),
    "valve": ("INTEGER", "Dose", "#.Valve"),
    "hang": ("BOOLEAN", "Hang", ""),
}


@asynccontextmanager
async def joined(line: Line, folder: Path) -> AsyncIterator[Path]:
    """Inside, the device is in the registry and the first gateway connected to it: the journal of its methods."""
    server, port, journal = Foreign(ASYNCUA, folder), free_port(), folder / "journal.jsonl"
    connection = {"name": CONNECTION, "protocol": "opcua", "endpoint": f"opc.tcp://127.0.0.1:{port}"}
    changed = folder / "plant.yaml"
    changed.write_text(yaml.safe_dump(_with_doser(yaml.safe_load(line.config.plant.read_text()), connection)))
    gateway = Remote(f"http://{line.config.host}:{line.config.ports.gateway_admin}")
    file = render.gateway_file(line.config, GATEWAY)
    before = file.read_text()
    await server.start(plan.ServerPlan(port=port, journal=str(journal), items=(), methods=True).dumps())
    try:
        line.registry("load", str(changed), "--why", "a doser")
        file.write_text(before + "\n[[connections]]\n" + to_toml(connection))
        assert gateway.reload()["error"] == ""
        eventually(lambda: _ready(gateway), timeout_s=60, what="the gateway knows the methods")
        yield journal
    finally:
        file.write_text(before)
        gateway.reload()
        line.registry("load", str(line.config.plant), "--why", "the doser is gone")
        await server.kill()


def _ready(gateway: Remote) -> bool:
    (one,) = (one for one in gateway.page("/status")["connectors"] if one["name"] == CONNECTION)
    return bool(one["connected"] and one["methods"] == len({method for _, method, _ in _TAGS.values()}))


def _with_doser(plant: dict[str, Any], connection: dict[str, str]) -> dict[str, Any]:
    shared = {
        "tag_class": "discrete", "unit": "1", "limits": [0, 20], "period_ms": 1000, "historise": "NONE", "writable": True,
    }  # fmt: skip
    plant["device_classes"]["doser"] = {
        "tags": {
            name: shared
            | {
                "data_type": kind,
                "description": name,
                "address": f"call({plan.METHODS},{plan.METHODS}.{method}){argument}",
            }
            for name, (kind, method, argument) in _TAGS.items()
        }
    }
    (site,) = (site for site in plant["sites"] if any(gateway["id"] == GATEWAY for gateway in site["gateways"]))
    (gateway,) = (gateway for gateway in site["gateways"] if gateway["id"] == GATEWAY)
    gateway["connections"].append(connection)
    cell = site["areas"][0]["lines"][0]["cells"][0]
    cell["devices"].append(
        {"name": "doser-01", "class": "doser", "gateway": GATEWAY, "connection": CONNECTION, "lane": 0}
    )
    return plant
