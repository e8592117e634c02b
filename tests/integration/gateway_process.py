"""A gateway as a real process, its topics, and what it left in them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from base.settings import KafkaSettings
from base.toml import to_toml
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from schemas import events, frame, topics
from schemas.definitions import TagDefinition, encode_tag, encode_version
from schemas.events import DeviceEvent, EventKind, LaneHealth
from schemas.frame import Frame, Stream

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)


def http_json(port: int, path: str) -> Any:
    """Body of an admin page, whatever its status."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


@dataclass
class GatewayProcess:
    """`python -m edge` with a configuration of its own site and gateway id."""

    folder: Path
    settings: KafkaSettings
    port: int
    changes: dict[str, Any] = field(default_factory=dict)
    site: str = field(default_factory=lambda: f"site{os.getpid()}-{next(_numbers)}")
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.gateway_id = f"gw-{self.site}"
        # Tag ids of their own: the registry's topic is shared by all tests of a session.
        self.first_tag = int.from_bytes(os.urandom(3), "big") * 100 + 1

    def make_topics(self) -> None:
        kafka_admin.apply(self.settings, [self.site])

    def register(self, tags: Iterable[TagDefinition], version: int) -> None:
        """Publish definitions and the marker of their version."""
        pairs = [encode_tag(tag) for tag in tags]
        pairs.append(encode_version(version, tags=len(pairs), time_us=1))
        kafka.send(kafka.producer(self.settings), topics.TAGS.name, pairs)

    def start(self) -> None:
        values = {
            "gateway_id": self.gateway_id,
            "site": self.site,
            "state_dir": str(self.folder / "state"),
            "kafka": {"bootstrap_servers": self.settings.bootstrap_servers},
            "admin": {"port": self.port},
            **self.changes,
        }
        config = self.folder / "gateway.toml"
        config.write_text(to_toml(values))
        with (self.folder / "gateway.log").open("ab") as log:
            command = [sys.executable, "-m", "edge", "--config", str(config)]
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    async def terminate(self) -> int:
        """SIGTERM; exit status."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(process.wait, 30)

    def status(self) -> Any:
        return http_json(self.port, "/status")

    async def page(self, path: str) -> Any:
        return await asyncio.to_thread(http_json, self.port, path)

    async def until_status(self, condition: Any, *, timeout_s: float = 30, what: str = "") -> Any:
        """Status page, once it fulfils a condition."""
        deadline = time.monotonic() + timeout_s
        status: Any = None
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log()[-3000:]
            try:
                status = await self.page("/status")
                if condition(status):
                    return status
            except OSError:
                status = status or "not listening"
            assert time.monotonic() < deadline, f"{what}: {status}\n{self.log()[-3000:]}"
            await asyncio.sleep(0.05)

    # --- what it left in Kafka -------------------------------------------------------------------------------------------

    def frames(self) -> list[Frame]:
        found = kafka.read_to_end(self.settings, topics.FRAMES.for_site(self.site))
        return [frame.decode(message.value() or b"") for message in found]

    def events(self, kind: EventKind | None = None) -> list[DeviceEvent]:
        found = kafka.read_to_end(self.settings, topics.EVENTS.for_site(self.site))
        decoded = [events.decode(message.value() or b"") for message in found]
        return [event for event in decoded if kind in {None, event.kind}]


@dataclass
class Ledger:
    """What a consumer knows of frames: distinct identities, and samples."""

    frames: dict[tuple[UUID, int, Stream, int], Frame] = field(default_factory=dict)
    duplicates: int = 0

    @classmethod
    def of(cls, received: Iterable[Frame]) -> Ledger:
        ledger = cls()
        for one in received:
            identity = (one.epoch, one.lane, one.stream, one.sequence)
            if known := ledger.frames.get(identity):
                assert known.checksum == one.checksum, f"identity conflict: {identity}"
                ledger.duplicates += 1
            ledger.frames[identity] = one
            assert one.checksum == one.computed_checksum()
        return ledger

    def samples(self) -> list[tuple[int, int, float, int]]:
        """(tag id, time, value, quality) of all distinct frames."""
        return [
            row
            for one in self.frames.values()
            for row in zip(
                one.tag_id.tolist(), one.time_us.tolist(), one.value.tolist(), one.quality.tolist(), strict=True
            )
        ]

    def assert_matches(self, lanes: Iterable[LaneHealth]) -> None:
        """Produced counters of the gateway are exactly what is there, with no hole in any sequence."""
        for lane in lanes:
            mine = {
                sequence: one
                for (epoch, number, stream, sequence), one in self.frames.items()
                if (epoch, number, stream) == (lane.epoch, lane.lane, lane.stream)
            }
            assert sorted(mine) == list(range(lane.next_sequence))
            assert sum(one.samples for one in mine.values()) == lane.produced_samples
            total = sum(one.checksum for one in mine.values())
            assert (total - lane.produced_checksum) % (1 << 64) == 0
            assert lane.delivered_sequence == lane.next_sequence
            assert (lane.buffered_samples, lane.dropped_samples) == (0, 0)
