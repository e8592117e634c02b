"""A gateway as the process under test of a scenario, with the tags it reads; Kafka and an MQTT broker are all it needs beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from authority.book import Usage
from base.errors import UnavailableError
from base.settings import KafkaSettings
from base.toml import to_toml
from connectors.kafka import admin
from connectors.kafka import client as kafka
from schemas import topics
from schemas.definitions import DataType, Historise, TagDefinition, encode_tag, encode_version
from stack import signing_keys, trust
from stack.config import ROOT, StackConfig
from stack.mqtt_access import gateway_name

START_S = 60.0


def signing(config: StackConfig, gateway_id: str) -> dict[str, Any]:
    """Tables of a gateway that signs; the topic of keys has its key, and serving's where the instance wants signatures."""
    authority, name = trust.authority(config), gateway_name(gateway_id)
    authority.ensure(name, Usage.CLIENT)
    signing_keys.publish(config)
    file = str(authority.file(name))
    files = {
        "ssl_ca_location": str(authority.root_file),
        "ssl_certificate_location": file,
        "ssl_key_location": file,
    }  # the broker's door is the plain one: the key to sign with comes from these files
    return {
        "kafka": {"bootstrap_servers": config.bootstrap_servers, **files},
        "signatures": {"enabled": True},
    }


class Gateway:
    """The process, with a state folder of its own.

    `connections` and `settings` are tables of its configuration, `program` is the module that is run.
    """

    def __init__(
        self,
        config: StackConfig,
        folder: Path,
        *,
        gateway_id: str,
        site: str,
        connections: Sequence[dict[str, Any]],
        program: str = "edge",
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = config.ports.base + 999
        self.log = folder / "gateway.log"
        self._url, self._file = f"http://{config.host}:{port}", folder / "gateway.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self._program = program
        values = {
            "gateway_id": gateway_id,
            "site": site,
            "state_dir": str(folder / "state"),
            "kafka": {"bootstrap_servers": config.bootstrap_servers},
            "admin": {"host": config.host, "port": port},
            "connections": list(connections),
            **settings,
        }
        self._file.write_text(to_toml(values))

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process; `until` waits for what it does."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", self._program, "--config", str(self._file)]
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def status(self) -> dict[str, Any] | None:
        """The status page; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self._url}/status", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return None
        return found

    def until(self, condition: Callable[[dict[str, Any]], bool], what: str, timeout_s: float) -> dict[str, Any]:
        """The status page once it fulfils a condition; raises UnavailableError."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if status is not None and condition(status):
                return status
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                msg = f"the gateway: {what} not within {timeout_s:g} s; {self.log} says why"
                raise UnavailableError(msg)
            time.sleep(0.2)


def connected(status: dict[str, Any]) -> bool:
    """Whether it has its tags and all its connections."""
    return all(one["connected"] for one in status["connectors"]) and bool(status["registry"]["version"])


def publish_tags(config: StackConfig, site: str, tags: Sequence[TagDefinition]) -> KafkaSettings:
    """Make the site's topics and publish the tags as version 1 of a registry; how to reach the broker."""
    settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    admin.apply(settings, [site])
    pairs = [encode_tag(tag) for tag in tags]
    kafka.send(kafka.producer(settings), topics.TAGS.name, [*pairs, encode_version(1, tags=len(pairs), time_us=1)])
    return settings


def tag(tag_id: int, name: str, address: str, *, gateway_id: str, site: str, **changes: Any) -> TagDefinition:
    """A tag as the scenarios need it: nothing is refused, nothing thinned."""
    known: dict[str, Any] = {
        "device_id": 1, "registry_version": 1, "path": f"acme/{site}/a/l/c/d/{name}", "device_class": "bench", "tag_class": "fast",
        "description": "", "data_type": DataType.DOUBLE, "unit": "1", "eu_low": None, "eu_high": None, "limit_low": None,
        "limit_high": None, "max_rate": None, "stuck_after_s": None, "period_ms": 100, "deadband": 0.0, "windows_s": (1, 60),
        "detector": "default", "historise": Historise.ALL, "lane": 0, "writable": False, "retired": False,
    }  # fmt: skip
    return TagDefinition(**{
        **known, **changes, "tag_id": tag_id, "name": name, "address": address, "gateway_id": gateway_id, "site": site,
    })  # fmt: skip
