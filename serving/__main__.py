"""Entry point: `python -m serving --config serving.toml`. SIGTERM and SIGINT drain and stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from base import latency, logs
from base.errors import MillraceError
from base.settings import local_config
from connectors.kafka.client import AsyncProducer
from serving import config as configuration
from serving.caches import alarm_job, feeds
from serving.config import ServingConfig
from serving.server import ALARM_SERVICE, COMMAND_SERVICE, STATE_SERVICE, Server, build

log = logging.getLogger(__name__)


async def run(config: ServingConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # A command is a single small record that somebody waits for: no linger; and nobody waits two minutes for the broker.
    producer = AsyncProducer(config.kafka, linger_ms=0, delivery_timeout_ms=5_000)
    # Events are many and nobody waits for one long: they go out in batches, and a broker that is away gets them when it is back.
    events = AsyncProducer(config.kafka, linger_ms=5, delivery_timeout_ms=60_000)
    try:
        server = build(config, producer, events)
        await server.start()
        try:
            await _serve(server, stopping)
        finally:
            await server.stop()
    finally:
        # The trail has waited for its events, and told of those that it gave up.
        lost, silent = await producer.close(), await events.close(timeout_s=1.0)
        log.info("stopped", extra={"unconfirmed_commands": lost, "unconfirmed_events": silent})


async def _serve(server: Server, stopping: asyncio.Event) -> None:
    """Follow the topics; returns when stopping, raises when a follower cannot go on."""
    table = server.feeds()
    followers = {feed.topic.name: feeds.follower(server.config.kafka, feed) for feed in table}

    async def announce(service: str) -> None:
        await feeds.caught_up(followers, table, service)
        await server.set_ready(service)

    tasks = [asyncio.create_task(feeds.follow(followers, feed)) for feed in table]
    tasks += [asyncio.create_task(announce(service)) for service in (STATE_SERVICE, COMMAND_SERVICE, ALARM_SERVICE)]
    tasks.append(asyncio.create_task(alarm_job.follow(server.config.kafka, server.alarms.job)))
    stop = asyncio.create_task(stopping.wait())
    try:
        waiting: set[asyncio.Task[object]] = {stop, *tasks}
        while not stop.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await server.stop()  # streams end while the caches are still current
    finally:
        for task in (stop, *tasks):
            task.cancel()
        await asyncio.gather(stop, *tasks, return_exceptions=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, serve."""
    parser = argparse.ArgumentParser(prog="python -m serving", description="gRPC server for state and commands.")
    parser.add_argument("--config", type=Path, default=None, help="serving.toml (default: the local stack's)")
    args = parser.parse_args(argv)
    logs.configure("serving")
    latency.prefer_latency()
    try:
        asyncio.run(run(configuration.load(args.config or local_config("serving.toml"))))
    except MillraceError as error:
        log.error("serving failed", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
