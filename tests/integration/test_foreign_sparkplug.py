"""The Sparkplug connector and a node of another maker (MQTT.js, the npm payload encoder): values, losses, deaths, rebirth, commands."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from base.ids import now_us
from benchmarks.foreign import verdict
from benchmarks.foreign.process import SPARKPLUG, Foreign
from benchmarks.foreign.recorder import Recorder
from browse.listen import listen
from connectors.catalogue import Connection
from connectors.mqtt_transport.settings import MqttSettings
from connectors.protocol import Context
from connectors.readings import Connector, Write, WriteStatus
from schemas.events import EventKind
from tests.integration.conftest import Address
from tests.integration.gateway_support import tag, until

TYPES = ("Boolean", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double")
GROUP, NODE, DEVICE = "foreign", "kühl 1", "press 1"
PERIOD_MS = 200


def plan(broker: Address, journal: Path) -> str:
    metrics = [{"key": key, "name": f"Antrieb/{kind} {key}", "type": kind} for key, kind in enumerate(TYPES)]
    return json.dumps(
        {
            "broker": f"mqtt://{broker.host}:{broker.port}", "group": GROUP, "node": NODE, "device": DEVICE,
            "metrics": metrics, "period_ms": PERIOD_MS, "journal": str(journal),
        }
    )  # fmt: skip


TAGS = {
    key: tag(
        key, f"spb:{GROUP}/{NODE}/{DEVICE}/Antrieb/{kind} {key}", name=f"Antrieb/{kind} {key}", period_ms=PERIOD_MS,
        writable=True,
    )
    for key, kind in enumerate(TYPES)
}  # fmt: skip


@contextlib.asynccontextmanager
async def connected(broker: Address, recorder: Recorder, folder: Path) -> AsyncIterator[Connector]:
    table = {
        "name": "spb", "protocol": "sparkplug", "endpoint": f"mqtt://{broker.host}:{broker.port}", "group_id": GROUP,
        "rebirth_interval_s": 0.5,
    }  # fmt: skip
    given = {field.name: folder / field.name for field in dataclasses.fields(Context) if field.name.endswith("_dir")}
    context = Context(gateway_id="gw-foreign", sink=recorder, clock=now_us, **given)
    connector = Connection.from_table(table, where="connections").make(context)
    connector.update({one.address: one for one in TAGS.values()}, frozenset())
    task = asyncio.create_task(connector.run())
    try:
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclasses.dataclass
class Away:
    """When the device or its node was dead: no birth keeps a beat, so the silence is a gap although the node set nothing meanwhile."""

    spans: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    @contextlib.asynccontextmanager
    async def until_heard(self, recorder: Recorder) -> AsyncIterator[None]:
        since = now_us()
        yield
        await heard(recorder)
        self.spans.append((since, now_us()))


async def heard(recorder: Recorder) -> None:
    since = time.monotonic()
    await until(lambda: not recorder.silent_since(since), what="all metrics are heard")


async def test_a_foreign_node_is_read_to_the_last_value_and_every_loss_is_named(
    mosquitto: Address, tmp_path: Path
) -> None:
    recorder, node, away = Recorder(TAGS), Foreign(SPARKPLUG, tmp_path), Away()
    journal = tmp_path / "journal.jsonl"
    async with connected(mosquitto, recorder, tmp_path) as connector:
        await node.start(plan(mosquitto, journal))
        try:
            await heard(recorder)
            await node.order("skip")
            await until(lambda: recorder.of(EventKind.GAP), what="the lost message is a gap")
            await heard(recorder)
            deaths = recorder.of(EventKind.DEATH)
            async with away.until_heard(recorder):
                await node.order("death")
                await until(lambda: recorder.of(EventKind.DEATH) > deaths, what="the device's death is told")
                await node.order("birth")
            done = await connector.write([Write(TAGS[10], 7.5)], 5.0)
            assert done.status is WriteStatus.DONE, done
            settings = MqttSettings(endpoint=f"mqtt://{mosquitto.host}:{mosquitto.port}")
            found = await listen(settings, f"spBv1.0/{GROUP}/#", 2.0, rebirth=True, progress=lambda *_: None)
            candidates = {one.address: one for device in found.sparkplug() for one in device.tags}
            assert set(candidates) == {one.address.removeprefix("spb:") for one in TAGS.values()}
            deaths = recorder.of(EventKind.DEATH)
            async with away.until_heard(recorder):
                await node.kill()
                await until(lambda: recorder.of(EventKind.DEATH) > deaths, what="the will is the node's death")
                await node.start(plan(mosquitto, journal))
            await node.order("pause")
            rows = -1
            while rows != recorder.count():
                rows = recorder.count()
                await asyncio.sleep(0.5)
        finally:
            await node.kill()
    with journal.open() as lines:
        judged = verdict.judge(verdict.read_journal(lines), recorder.rows, recorder.gaps, verdict.Line(away=away.spans))
    assert judged.examples == []
    assert judged.good
    assert judged.exact >= len(TAGS)
