"""A serving process for `bench history`: the real server on a database, its registry made here in the place of Kafka's.

`python -m benchmarks.history_server DSN FIRST_TAG TAGS` prints its ports, gRPC's and HTTP's, and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from base.ids import now_us
from base.settings import KafkaSettings, PostgresSettings
from schemas import definitions
from schemas.definitions import DataType, Historise, TagDefinition
from serving.config import HttpSettings, LimitSettings, ServingConfig
from serving.server import COMMAND_SERVICE, STATE_SERVICE, build


def tag(tag_id: int) -> TagDefinition:
    """A tag of 10 samples a second."""
    name = f"tag-{tag_id}"
    return TagDefinition(
        tag_id=tag_id, device_id=1, registry_version=1, path=f"acme/north/area/line/cell/device/{name}", name=name, site="north",
        device_class="bench", tag_class="fast", description="", data_type=DataType.DOUBLE, unit="1", eu_low=None, eu_high=None,
        limit_low=None, limit_high=None, max_rate=None, stuck_after_s=None, period_ms=100, deadband=0.0, windows_s=(1, 60),
        detector="", historise=Historise.ALL, gateway_id="gw", lane=0, address=name, writable=False, retired=False,
    )  # fmt: skip


class NoLog:
    """Takes no commands."""

    async def send(self, topic: str, key: bytes, value: bytes | None) -> object:
        """Refuse."""
        raise NotImplementedError


class Discarded:
    """Takes audit events, and keeps none."""

    async def send(self, *_record: object) -> object:
        """Drop."""
        return None


async def main(dsn: str, first: int, tags: int) -> None:
    """Serve until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    kafka = KafkaSettings(bootstrap_servers="unused")
    config = ServingConfig(
        listen="127.0.0.1:0",
        kafka=kafka,
        postgres=PostgresSettings(dsn=dsn),
        http=HttpSettings(listen="127.0.0.1:0"),
        # One reader is measured: that a busy server refuses bulk reads is another matter.
        limits=LimitSettings(overload_lag_ms=60_000.0),
    )
    server = build(config, NoLog(), Discarded())
    for tag_id in range(first, first + tags):
        server.plant.apply(definitions.encode_tag(tag(tag_id))[1])
    server.plant.apply(definitions.encode_version(1, tags=tags, time_us=now_us())[1])
    await server.start()
    for service in (STATE_SERVICE, COMMAND_SERVICE):
        await server.set_ready(service)
    assert server.http is not None
    print(server.port, server.http.port, flush=True)
    await stopping.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
