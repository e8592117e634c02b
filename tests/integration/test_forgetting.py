"""Forgetting a person on a running stack: name and address are in no file, record, log or export, and the audit verifies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import psycopg
import pytest

from audit.tiles import Readable
from base.ids import now_us
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from issuer import people as issued
from privacy.person import is_subject
from schemas import topics
from stack import instance, lifecycle, postgres, render, sign_in
from stack.config import StackConfig
from stack.reporting import Progress
from tests.integration.planted import Planted, printed
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(1_800)
NAME, ADDRESS, LOGIN = "Adelheid Wanzenried-Oltramare", "a.wanzenried@planted.example", "planted-login-awo"
SERVICES = ("kafka", "postgres", "issuer", "serving", "audit")


@pytest.fixture
def config() -> Iterator[StackConfig]:
    with instance.temporary(sign_in=True) as running:
        made = running.config
        made.secrets.mkdir(mode=0o700, parents=True)
        found = json.loads(issued.seed({LOGIN: ("administrator",), "bob": ("administrator",)}))
        found[LOGIN] |= {"full_name": NAME, "email": ADDRESS}
        sign_in.people_file(made).touch(mode=0o600)
        sign_in.people_file(made).write_text(json.dumps(found))
        lifecycle.up(made, Progress(sink=lambda _: None), names=SERVICES)
        yield made


@pytest.fixture
def browsers() -> Iterator[ExitStack]:
    with ExitStack() as open_ones:
        yield open_ones


class Browser:
    """Somebody at the page."""

    def __init__(self, stack: ExitStack, config: StackConfig, login: str) -> None:
        self.api = f"{config.page_url}/api/v1"
        self.http = stack.enter_context(httpx.Client(timeout=30, trust_env=False))
        begun = self.http.get(f"{self.api}/sign-in?to=/")
        page = self.http.get(begun.headers["location"])
        form = {
            "form": re.search(r'name="form" value="([^"]+)"', page.text)[1],  # type: ignore[index]
            "name": login,
            "password": json.loads(sign_in.people_file(config).read_text())[login]["password"],
            "one_time": "",
        }
        back = self.http.post(begun.headers["location"], data=form)
        assert back.status_code == 303, back.text
        done = self.http.get(urljoin(self.api, back.headers["location"]))
        assert done.status_code == 200, done.text
        self.me: dict[str, Any] = self.http.get(f"{self.api}/me").json()
        self.headers = {"x-csrf-token": self.me["csrf"], "origin": config.page_url}

    def get(self, path: str) -> Any:
        answer = self.http.get(f"{self.api}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.http.post(f"{self.api}/{path}", json=body, headers=self.headers)


@pytest.mark.security("T-PEOPLE-PRIVACY", "T-AUDIT-LEAK")
def test_a_forgotten_person_is_in_no_file_record_log_or_export_and_the_audit_verifies(
    config: StackConfig, browsers: ExitStack, tmp_path: Path
) -> None:
    planted = Planted({"name": NAME, "address": ADDRESS, "login": LOGIN})
    ann, bob = Browser(browsers, config, LOGIN), Browser(browsers, config, "bob")
    subject = ann.me["name"]
    planted.secrets["issuer's subject"] = json.loads(sign_in.people_file(config).read_text())[LOGIN]["subject"]
    assert is_subject(subject)
    assert ann.me["shown"] == NAME

    # What people leave: a command, an entry of work, a sign-in, a sign-out.
    writable = next(one for one in bob.get("tags")["tags"] if one["writable"] and not one["name"].startswith("packml"))
    command = {
        "path": writable["device_path"],
        "name": "write",
        "parameters": {writable["name"]: 1.0},
        "reason": "a try",
    }
    assert ann.post("commands", command).json()["submitted_by"] == subject
    material = bob.get("work/materials")["materials"][0]["material"]
    scope = writable["device_path"].split("/")[0]
    planned = {"planned_start_us": now_us(), "planned_end_us": now_us() + 3_600_000_000}
    order = {"material": material, "quantity": 1, "scope": scope, "why": "a try"} | planned
    entered = ann.http.put(f"{ann.api}/work/job-orders/JO-1", json=order, headers=ann.headers)
    assert entered.status_code == 200, entered.text
    out = ann.http.delete(f"{ann.api}/sessions", headers=ann.headers)
    assert out.status_code == 204, out.text
    audited(config, subject, 2)

    shown = bob.http.get(f"{bob.api}/people", params={"id": subject}).json()
    assert shown == {"people": [{"id": subject, "name": NAME}]}
    exported = json.loads(tool(config, "privacy", "export", LOGIN, "--reason", "asked for it, ticket 1"))
    assert exported["person"]["email"] == ADDRESS
    assert {one["where"] for one in exported["records"]} >= {"audit log", "work_changes"}

    again = Browser(browsers, config, LOGIN)
    forgotten = json.loads(tool(config, "privacy", "forget", LOGIN, "--yes", "--json", "--reason", "left, ticket 2"))
    assert forgotten == {"subject": subject, "rewrapped": 1}

    # Out at once, at every door, and shown as forgotten.
    eventually(lambda: again.http.get(f"{again.api}/me").status_code == 401, what="the session is over")
    eventually(
        lambda: bob.http.get(f"{bob.api}/people", params={"id": subject}).json()["people"][0]["name"] is None,
        what="nobody knows the name",
    )
    assert bob.http.get(f"{bob.api}/me").json()["shown"] == "bob"
    assert "answers to this name" in printed(config, "privacy", "show", LOGIN)
    audited(config, subject, 4)

    # The id is where people are in records, the name nowhere.
    with psycopg.connect(postgres.superuser_dsn(config, dbname="millrace"), autocommit=True) as connection:
        connection.execute("CHECKPOINT")  # the heap has what the WAL has
    cluster = postgres.data_dir(config)
    folders = {
        "Kafka": config.data / "kafka",
        "heap": cluster / "base",
        "WAL": cluster / "pg_wal",
        "audit": config.data / "audit",
        "logs": config.logs,
    }
    for what, folder in folders.items():
        assert Planted({"subject": subject}).in_files(folder, (), tmp_path), f"{what} has no trace of the person at all"
    exports = tmp_path / "exports"
    exports.mkdir()
    for kind in ("ocsf", "cef"):
        tool(config, "audit", "export", kind, str(exports / kind))
    outputs = {
        " ".join(words): printed(config, *words)
        for words in (("audit", "list"), ("logs", "-n", "5000"), ("status", "--json"))
    }
    found = {
        "files": planted.in_files(config.state, (config.secrets,), tmp_path),
        "exports": planted.in_files(exports, (), tmp_path),
        "printed": {name: which for name, text in outputs.items() if (which := planted.in_text(text))},
        "records": in_records(config, planted),
    }
    assert {place: what for place, what in found.items() if what} == {}
    assert Planted({"subject": subject}).in_files(exports, (), tmp_path)

    keys = tmp_path / "keys"
    keys.write_text(tool(config, "audit", "keys"))
    verified = subprocess.run(
        [sys.executable, "-m", "millrace_verify", "log", str(config.data / "audit"), "--keys", str(keys)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def audited(config: StackConfig, subject: str, least: int) -> None:
    """Wait until so many entries of the log are about somebody."""

    def enough() -> bool:
        log = Readable(config.data / "audit")
        return sum(subject.encode() in entry for _, entry in log.oldest_first(0)) >= least

    eventually(enough, what=f"{least} entries about the person")


def in_records(config: StackConfig, planted: Planted) -> list[str]:
    """Topics with records, however they are compressed, that hold something planted."""
    settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    found = set()
    for topic in topics.TOPICS:
        name = topic.for_site("north")
        for message in kafka.read_to_end(settings, name):
            text = b" ".join(part for part in (message.key(), message.value()) if part).decode(errors="replace")
            found |= {f"{name}: {what}" for what in planted.in_text(text)}
    return sorted(found)


def tool(config: StackConfig, *words: str) -> str:
    """What a command says on standard output; it ends well."""
    environment = os.environ | render.instance_environment(config)
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words], check=False, capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
