"""A gateway's OPC UA connection and its buffer as a process that can be killed; says what it has appended, some times a second.

    python -m tests.integration.opcua_child FOLDER ENDPOINT NODE_ID...

Kafka is away the whole time: what the buffer holds is what a gateway would send.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from base.ids import now_us
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.connector import OpcUaConnector
from connectors.opcua.settings import OpcUaSettings
from edge.normalise import TagTable
from edge.pipeline import Pipeline
from schemas.definitions import TagDefinition
from tests.integration.gateway_support import tag
from tests.unit.test_gateway_pipeline import MemoryUplink, open_pipeline


def tags(node_ids: list[str]) -> list[TagDefinition]:
    return [tag(number, f"ua:{node_id}") for number, node_id in enumerate(node_ids, start=1)]


async def _say(pipeline: Pipeline, connector: OpcUaConnector, wanted: list[TagDefinition]) -> None:
    while True:
        seen = {one.name: pipeline.last_seen(one.tag_id).time_us for one in wanted}
        sys.stdout.write(json.dumps({"seen": seen, "open": connector.status()["open_gaps"]}) + "\n")
        sys.stdout.flush()
        await asyncio.sleep(0.05)


async def main(folder: Path, endpoint: str, node_ids: list[str]) -> None:
    uplink, wanted = MemoryUplink(live=False), tags(node_ids)
    pipeline = open_pipeline(folder / "buffer", uplink)
    pipeline.use(TagTable(1, wanted))
    connector = OpcUaConnector(
        OpcUaSettings(endpoint=endpoint, publishing_interval_ms=20, reconnect_min_s=0.1, reconnect_max_s=0.2),
        name="ua",
        sink=pipeline,
        clock=now_us,
        certificates=CertificateStore(folder / "pki", "gw1"),
        state_dir=folder / "ua",
    )
    connector.update({one.address: one for one in wanted}, frozenset())
    await asyncio.gather(pipeline.run(uplink), connector.run(), _say(pipeline, connector, wanted))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
