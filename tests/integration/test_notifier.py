"""The notifier as a process on a real broker, killed and ended while receivers are slow, fail and are down: each gets each, by its id.

What is sent and killed before it is recorded is sent again, as the same message with the same id, a second later at the earliest; after a
normal end nothing is.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import hmac
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from base.ids import now_us
from base.settings import KafkaSettings
from base.toml import to_toml
from connectors.kafka import admin
from connectors.kafka import client as kafka
from notifier import command
from schemas import codec, topics
from schemas.alarms import Alarm, AlarmState, alarm_id, source_id
from schemas.notifications import AlarmNotification, NotificationState, raised_id
from schemas.priorities import Priority
from schemas.shifts import PlannedTime, ShiftCalendar, ShiftTime
from stack.config import ROOT
from tests.integration import polling
from tests.integration.receivers import PASSWORD, HookServer, MailServer
from tests.unit.notifying import alarm

eventually = functools.partial(polling.eventually, timeout_s=120)
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Site:
    """A site of its own on the broker that all tests share, and a notifier of its own for it."""

    def __init__(self, bootstrap_servers: str, folder: Path, mail: MailServer, hook: HookServer) -> None:
        self.kafka, self.folder = KafkaSettings(bootstrap_servers=bootstrap_servers), folder
        self.name = f"site-{uuid4().hex[:8]}"
        admin.apply(self.kafka, [])
        (folder / "password").write_text(PASSWORD)
        (folder / "key").write_text(KEY)
        self.routes = folder / "alarm-routes.yaml"
        plain = {"gather_s": 0.2, "per_minute": 600, "timeout_s": 30}
        document = {
            "targets": {
                "mail": plain
                | {
                    "email": {
                        "host": "127.0.0.1",
                        "port": mail.port,
                        "username": "millrace",
                        "password": f"file:{folder / 'password'}",
                        "ca_file": str(mail.ca_file),
                        "from": "millrace@plant.example",
                        "to": ["room@plant.example"],
                    }
                },
                "hook": plain
                | {"webhook": {"url": f"http://127.0.0.1:{hook.port}/x", "key": f"file:{folder / 'key'}"}},
                "later": plain | {"webhook": {"url": f"http://127.0.0.1:{hook.port}/y"}},
            },
            "routes": [{"name": "all", "scope": f"acme/{self.name}", "steps": [{"tell": ["mail", "hook"]}]}],
        }
        self.document = document
        self.write_routes()
        self.config = folder / "notifier.toml"
        self.config.write_text(to_toml({"routes": str(self.routes), "kafka": {"bootstrap_servers": bootstrap_servers}}))
        self.process: subprocess.Popen[bytes] | None = None
        self.number = 0

    def write_routes(self) -> None:
        scratch = self.folder / "routes.new"
        scratch.write_text(yaml.safe_dump(self.document))
        scratch.replace(self.routes)

    def start(self) -> None:
        with (self.folder / "notifier.log").open("ab") as log:
            arguments = [sys.executable, "-m", "notifier", "--config", str(self.config)]
            self.process = subprocess.Popen(arguments, cwd=ROOT, env=dict(os.environ), stderr=log)

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        assert self.process.wait(90) == (0 if number is signal.SIGTERM else -number)

    def raised(self, count: int, **changes: object) -> list[Alarm]:
        """New alarms, on the topic."""
        made = []
        for _ in range(count):
            self.number += 1
            source, at_us = source_id(self.name, str(self.number)), now_us()
            about = {
                "source_id": source,
                "alarm_id": alarm_id(source, at_us),
                "site": self.name,
                "path": f"acme/{self.name}/forming/press-{self.number}",
                "activated_us": at_us,
            }
            made.append(alarm(self.number, **(about | changes)))
        self.publish(made)
        return made

    def publish(self, alarms: list[Alarm]) -> None:
        kafka.send(kafka.producer(self.kafka), topics.ALARMS.name, [(one.key, one.encode()) for one in alarms])

    def outbox(self) -> dict[str, AlarmNotification]:
        found = {}
        for record in kafka.read_to_end(self.kafka, topics.ALARM_NOTIFICATIONS.name):
            value = record.value() or b""
            if not value.startswith(codec.MARKER):
                continue  # of a test that writes anything to every topic of the broker that all share
            one = AlarmNotification.decode(value)
            if one.site == self.name:
                found[str(one.notification_id)] = one
        return found

    def log(self) -> str:
        return (self.folder / "notifier.log").read_text()[-3000:]


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path)
    server.open()
    yield server
    server.close()


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    server.open()
    yield server
    server.close()


@pytest.fixture
def site(kafka: str, tmp_path: Path, mail: MailServer, hook: HookServer) -> Iterator[Site]:
    made = Site(kafka, tmp_path, mail, hook)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def told(alarms: list[Alarm], target: str) -> set[str]:
    """Ids of what a target has to be told of these at first."""
    return {str(raised_id(one.alarm_id, one.activations, 0, target)) for one in alarms}


def test_each_is_told_once_by_its_id_whatever_is_killed(
    site: Site, mail: MailServer, hook: HookServer, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = site.raised(5)
    site.publish([dataclasses.replace(one, version=2, state=AlarmState.ACKNOWLEDGED) for one in answered])
    mail.close()  # down
    hook.received.slow_s, hook.received.fail = 0.05, 2
    alarms = site.raised(40)
    site.start()
    # The mail server that is down holds nobody else; and what is critical goes out alone and at once.
    eventually(lambda: len(set(hook.received.notifications)) >= 10, what=site.log())
    site.end(signal.SIGKILL)
    alarms += site.raised(3, priority=Priority.CRITICAL) + site.raised(40)
    site.start()
    eventually(lambda: len(set(hook.received.notifications)) >= 60, what=site.log())
    site.end(signal.SIGKILL)
    mail.open()
    mail.received.slow_s, mail.received.fail = 0.05, 1
    site.start()
    eventually(lambda: len(set(mail.received.notifications)) >= 20, what=site.log())
    site.end(signal.SIGKILL)
    site.start()

    for server, target in ((hook, "hook"), (mail, "mail")):
        wanted = told(alarms, target)
        eventually(lambda: set(server.received.notifications) >= wanted, what=site.log())  # noqa: B023
        assert set(server.received.notifications) == wanted
        # What a kill left open was the same message again; never within a second.
        again = server.received.repeats()
        assert len(again) <= 3 * 2
        assert all(after_s >= 1 for _, after_s in again), again
        of_message: dict[str, set[str]] = {}
        for _, message_id, notifications in server.received.messages:
            assert of_message.setdefault(message_id, set(notifications)) == set(notifications)
        assert max(Counter(server.received.notifications).values()) <= 1 + len(again)
    critical = told([one for one in alarms if one.priority is Priority.CRITICAL], "hook")
    assert critical <= {one for _, _, found in hook.received.messages if len(found) == 1 for one in found}

    def settled() -> bool:
        return {one.state for one in site.outbox().values()} == {NotificationState.SENT}

    eventually(settled, what=site.log())
    assert set(site.outbox()) == told(alarms, "hook") | told(alarms, "mail")

    # A normal end lets arrive what is on its way: nothing comes twice, and nothing that came is told again.
    before = {server: len(server.received.repeats()) for server in (hook, mail)}
    hook.received.slow_s = mail.received.slow_s = 0.3
    more = site.raised(12)
    for _ in range(3):
        count = len(hook.received.messages)
        eventually(lambda: len(hook.received.messages) > count, what=site.log())  # noqa: B023
        site.end(signal.SIGTERM)
        site.start()
    hook.received.slow_s = mail.received.slow_s = 0
    for server, target in ((hook, "hook"), (mail, "mail")):
        wanted = told(alarms + more, target)
        eventually(lambda: set(server.received.notifications) >= wanted, what=site.log())  # noqa: B023
        assert len(server.received.repeats()) == before[server]

    headers, body = hook.headers[-1]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"

    # Who is told can change while it runs; a file that is wrong is not taken over.
    site.routes.write_text("routes: [")
    eventually(lambda: "not taken over" in site.log())
    site.document["routes"][0]["steps"] = [{"tell": ["later"]}]  # type: ignore[index]
    site.write_routes()
    eventually(lambda: '"telling"' in site.log().partition("the routes file has changed")[2], what=site.log())
    last = site.raised(1)
    eventually(lambda: told(last, "later") <= set(hook.received.notifications), what=site.log())
    site.end(signal.SIGTERM)

    assert command.main(["deliveries", "--config", str(site.config), "--target", "later"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if site.name in one]
    assert "SENT" in line
    assert "200" in line


def test_who_has_the_shift_of_the_plant_is_told(
    site: Site, hook: HookServer, capsys: pytest.CaptureFixture[str]
) -> None:
    site.document["roles"] = {
        "lead": [{"tell": ["hook"], "during_shift": "day"}, {"tell": ["later"], "during_shift": "night"}]
    }
    site.document["routes"] = [{"name": "all", "scope": f"acme/{site.name}", "steps": [{"tell": ["lead"]}]}]
    site.write_routes()
    day_us, now = 86_400_000_000, now_us()
    scope = f"acme/{site.name}"

    def tell(shift: str) -> None:
        known = ShiftCalendar(
            scope=scope,
            from_us=now - day_us,
            until_us=now + day_us,
            planned=(PlannedTime(now - day_us, now + day_us),),
            shifts=(ShiftTime(shift, now - day_us, now + day_us),),
            names=("day", "night"),
        )
        kafka.send(kafka.producer(site.kafka), topics.WORK_SHIFTS.name, [(known.key, known.encode())])

    tell("night")
    site.start()
    alarms = site.raised(2)
    eventually(lambda: set(hook.received.notifications) >= told(alarms, "later"), what=site.log())
    assert set(hook.received.notifications) == told(alarms, "later")
    assert command.main(["check", str(site.routes), "--config", str(site.config), "--of", f"{scope}/x"]) == 0
    assert "now: later\n" in capsys.readouterr().out
    # The plant changes its shifts: the notifier hears of it, without a database.
    tell("day")
    eventually(lambda: command.main(["check", str(site.routes), "--config", str(site.config)]) == 0)
    assert "now: hook\n" in capsys.readouterr().out
    # A read barrier: what is raised from here on is behind the calendar for whoever reads both.
    last: list[Alarm] = []

    def by_day() -> bool:
        last.extend(site.raised(1))
        return bool(told(last, "hook") & set(hook.received.notifications))

    eventually(by_day, what=site.log())
    # It is taken back: nobody knows who has the shift, so both are told.
    kafka.send(kafka.producer(site.kafka), topics.WORK_SHIFTS.name, [(scope.encode(), None)])
    both: list[Alarm] = []

    def to_both() -> bool:
        both.extend(site.raised(1))
        found = set(hook.received.notifications)
        return any(told([one], "hook") | told([one], "later") <= found for one in both)

    eventually(to_both, what=site.log())
    site.end(signal.SIGTERM)
    assert command.main(["check", str(site.routes), "--config", str(site.config)]) == 0
    said = capsys.readouterr().out
    assert "now: hook, later\n" in said
    assert "hook count as on duty: whether day is on is not known" in said
