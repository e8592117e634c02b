"""The whole line for end-to-end tests: an instance of the stack with the example plant, and words to steer and question it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from registry import command as registry_tool
from schemas import codec, topics
from schemas.definitions import TagDefinition, tag_from_record
from simulator.journal_reader import Emitted, JournalReader
from stack import postgres, status
from stack.config import StackConfig
from stack.flink_rest import FlinkRest
from stack.jobs import flink_name
from stack.supervisor import Supervisor
from tests.integration.polling import eventually

QUIET_TIMEOUT_S = 120
LATE_S = 10
"""Longer than a gateway and the line need for a sample."""
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Line:
    """A running line."""

    config: StackConfig
    after_up: Set[str] = frozenset()
    """Conditions of the jobs when `up` came back."""

    # --- the machines ------------------------------------------------------------------------------------------------

    def simulator(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the simulator's admin interface."""
        url = f"http://{self.config.host}:{self.config.ports.simulator_admin}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def metrics(self, port: int) -> dict[str, float]:
        """What a service tells Prometheus: value by name and labels as they are written."""
        with urllib.request.urlopen(f"http://{self.config.host}:{port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            f"{one.name}{{{','.join(f'{name}={value}' for name, value in sorted(one.labels.items()))}}}": one.value
            for family in families
            for one in family.samples
        }

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Machines that say nothing."""
        self.simulator("POST", "/pause")
        try:
            yield
        finally:
            self.simulator("POST", "/resume")

    @property
    def journal_file(self) -> Path:
        """What the machines emitted and what was done to them."""
        return self.config.data / "simulator" / "journal.sqlite"

    def emitted(self, *, after_seq: int = 0) -> Emitted:
        """Samples a subscriber could have seen, in the registry's tag ids."""
        with JournalReader(self.journal_file) as journal:
            return journal.emitted({tag.path: tag.tag_id for tag in self.tags.values()}, after_seq=after_seq)

    def journal_seq(self) -> int:
        """Newest sample of the journal."""
        self.simulator("POST", "/flush")
        with JournalReader(self.journal_file) as journal:
            return journal.last_seq()

    # --- the far end -------------------------------------------------------------------------------------------------

    @cached_property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker."""
        return KafkaSettings(bootstrap_servers=self.config.bootstrap_servers)

    @cached_property
    def tags(self) -> dict[str, TagDefinition]:
        """Definitions by path."""
        found: dict[str, TagDefinition] = {}
        for message in kafka.read_to_end(self.kafka, topics.TAGS.name):
            if message.key() != topics.REGISTRY_VERSION_KEY:
                tag = tag_from_record(codec.decode(message.value() or b"")[1])
                found[tag.path] = tag
        return found

    def tag(self, ending: str) -> TagDefinition:
        """The one tag whose path ends so."""
        (tag,) = (tag for path, tag in self.tags.items() if path.endswith(ending))
        return tag

    def registry(self, *arguments: str) -> None:
        """Change the registry, and publish the change."""
        file = str(self.config.config / "platform.toml")
        assert registry_tool.main([*arguments, "--config", file]) == 0
        assert registry_tool.main(["publish", "--config", file]) == 0

    def replay_rejected(self, *arguments: str, kill_at_first_claim: bool = False) -> None:
        """`./millrace replay-rejected`; or killed as soon as it has claimed something, which may be before or after it sent it."""
        file = str(self.config.config / "platform.toml")
        command = [sys.executable, "-m", "historian.replay", *arguments, "--config", file]
        if not kill_at_first_claim:
            subprocess.run(command, check=True, cwd=ROOT)
            return
        count = "SELECT count(*) FROM replays"
        before = self.sql(count)
        with subprocess.Popen(command, cwd=ROOT) as tool:
            eventually(
                lambda: self.sql(count) != before or tool.poll() is not None,
                period_s=0.001,
                what="something is claimed",
            )
            tool.kill()

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with psycopg.connect(postgres.dsn(self.config), autocommit=True) as connection:
            return connection.execute(query, parameters).fetchall()

    def accounting(self) -> dict[str, Any]:
        """What `status --json` says of the samples."""
        return status.measure_accounting(self.config)

    def settle(self) -> dict[str, Any]:
        """Accounting once nothing is under way any more; the machines must be quiet.

        A line closes between any two frames. So what the machines said last is waited for too; where gaps took some of it, until nothing
        has come for `LATE_S`.
        """
        self.journal_seq()  # writes down what was said
        emitted = len(self.emitted().tag_id)
        produced, since_s = -1, 0.0

        def quiet() -> dict[str, Any] | None:
            nonlocal produced, since_s
            found = self.accounting()
            if found["produced"] != produced:
                produced, since_s = found["produced"], time.monotonic()
            if produced < emitted and time.monotonic() - since_s < LATE_S:
                return None
            return found if found["closed"] and found["in_flight"] == found["held"] == 0 else None

        return eventually(quiet, timeout_s=QUIET_TIMEOUT_S, period_s=0.5, what="accounting closes")

    # --- accidents ---------------------------------------------------------------------------------------------------

    def kill(self, service: str) -> None:
        """Kill -9, and wait until the supervisor has put another in its place."""
        supervisor = Supervisor(self.config)
        pid = supervisor.states()[service].pid
        os.kill(pid, signal.SIGKILL)
        eventually(
            lambda: supervisor.states()[service].pid not in (0, pid), timeout_s=60, what=f"{service} is started again"
        )

    def restarts(self, job: str) -> int:
        """How often Flink restarted a job."""
        rest = FlinkRest(self.config.flink_url)
        live = rest.live_job(flink_name(job))
        assert live is not None, f"job {job} is not running"
        return rest.restarts(live.id)


def assert_closed(line: Line) -> dict[str, Any]:
    """Count and checksum close, per lane and in total."""
    found = line.settle()
    for one in [*found["lanes"], found]:
        assert one["produced"] + one["calculated"] == one["stored"] + one["rejected"] + one["suppressed"], one
        assert one["checksums_differing"] == 0, one
    assert found["checksums_compared"] == len(found["lanes"])
    return found
