"""Notifications of browsers against a push service that checks and opens them: its answers, sign-outs, each once whatever is killed."""

from __future__ import annotations

import dataclasses
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.ids import now_us
from base.toml import to_toml
from connectors.kafka import client as kafka
from notifier import command
from schemas import topics
from schemas.notifications import NotificationState
from schemas.priorities import Priority
from schemas.push import LIFE_US, PushSubscription
from schemas.sign_outs import SignOut
from tests.integration.receivers import HookServer, MailServer, PushServer
from tests.integration.test_notifier import Site, eventually, told


@pytest.fixture
def push() -> Iterator[PushServer]:
    server = PushServer()
    server.open()
    yield server
    server.close()


@pytest.fixture
def site(kafka: str, tmp_path: Path, push: PushServer, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    made = Site(kafka, tmp_path, MailServer(tmp_path), HookServer())
    assert command.main(["key", str(tmp_path / "push.pem")]) == 0
    push.public_key = capsys.readouterr().out.strip()
    # It is made once.
    assert command.main(["key", str(tmp_path / "push.pem")]) == 0
    assert capsys.readouterr().out.strip() == push.public_key
    made.config.write_text(
        to_toml(
            {
                "routes": str(made.routes),
                "kafka": {"bootstrap_servers": kafka},
                "push": {
                    "key": f"file:{tmp_path / 'push.pem'}",
                    "contact": "mailto:it@plant.example",
                    "services": ["127.0.0.1"],
                },
            }
        )
    )
    plain = {"gather_s": 0.2, "per_minute": 600, "timeout_s": 30}
    made.document["targets"] = {
        "people": plain | {"web_push": {"people": [who(made, "ann"), who(made, "bob")]}},
        "nobody": plain | {"web_push": {"people": [who(made, "zoe")]}},
    }
    route = {"name": "all", "scope": f"acme/{made.name}", "steps": [{"tell": ["people", "nobody"]}]}
    made.document["routes"] = [route]
    made.write_routes()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def who(site: Site, name: str) -> str:
    """A person of this test alone: the topics are of all."""
    return f"{name}@{site.name}"


def entered(site: Site, *subscriptions: PushSubscription) -> None:
    records = [(one.key, one.encode()) for one in subscriptions]
    kafka.send(kafka.producer(site.kafka), topics.ALARM_SUBSCRIPTIONS.name, records)


def signed_out(site: Site, name: str) -> None:
    made = SignOut(subject=who(site, name), before_us=now_us(), by="root")
    kafka.send(kafka.producer(site.kafka), topics.SIGN_OUTS.name, [(made.key, made.encode())])


def path_of(one: PushSubscription) -> str:
    return "/" + one.endpoint.rpartition("/")[2]


def ended(site: Site, one: PushSubscription) -> bool:
    """Whether the topic has its tombstone."""
    records = kafka.read_to_end(site.kafka, topics.ALARM_SUBSCRIPTIONS.name)
    found = [record.value() for record in records if record.key() == one.key]
    return bool(found) and found[-1] is None


def got(push: PushServer, one: PushSubscription) -> list[str]:
    own = [document for path, document, _ in push.documents if path == path_of(one)]
    return [number for document in own for number in document["notifications"]]


def test_each_browser_gets_each_once_by_its_id_whatever_the_push_service_says(site: Site, push: PushServer) -> None:
    now = now_us()
    ann, bob = who(site, "ann"), who(site, "bob")
    good, slow, gone, lost, old, elsewhere = (push.browser(ann, session_us=now, renewed_us=now) for _ in range(6))
    bobs, over, strangers = (push.browser(one, session_us=now, renewed_us=now) for one in (bob, bob, who(site, "eve")))
    old = dataclasses.replace(old, renewed_us=now - LIFE_US - 1)
    over = dataclasses.replace(over, session_us=now - 10_000_000)
    elsewhere = dataclasses.replace(elsewhere, endpoint=elsewhere.endpoint.replace("127.0.0.1", "localhost"))
    push.answers = {path_of(slow): [429, 500, 503, 201], path_of(gone): [410], path_of(lost): [404]}
    signed_out(site, "bob")
    bobs = dataclasses.replace(bobs, session_us=now_us() + 1)
    entered(site, good, slow, gone, lost, old, elsewhere, bobs, over, strangers)
    first = site.raised(1, priority=Priority.CRITICAL)
    wanted = told(first, "people")
    site.start()
    for one in (good, slow, bobs):
        eventually(lambda: set(got(push, one)) == wanted, what=site.log())  # noqa: B023
    for one in (gone, lost):
        eventually(lambda: ended(site, one), what=site.log())  # noqa: B023

    def settled() -> bool:
        return {one.target: one.state for one in site.outbox().values()} == {
            "people": NotificationState.SENT,
            "nobody": NotificationState.FAILED,
        }

    eventually(settled, what=site.log())
    # Who has it does not get it again, because another browser was put off.
    assert Counter(push.asked) == {path_of(one): 4 if one is slow else 1 for one in (good, slow, gone, lost, bobs)}
    ((_, document, headers),) = [one for one in push.documents if one[0] == path_of(good)]
    assert document["title"] == "[CRITICAL] Hydraulic oil is hot at forming/press-1"
    assert document["alarm"] == str(first[0].alarm_id)
    assert document["body"] == "oil_temperature is 66 Cel, HI is 65\nCheck the cooler."
    assert document["urgent"] is True
    assert (headers["urgency"], headers["ttl"], headers["content-encoding"]) == ("high", "86400", "aes128gcm")
    assert len(headers["topic"]) == 22
    # Nobody takes what is for zoe: the next step does not wait for her.
    (refused,) = [one for one in site.outbox().values() if one.target == "nobody"]
    assert f"no browser of {who(site, 'zoe')} takes notifications" in refused.detail

    # Signed out everywhere, and turned off: from then on there is nobody left but one.
    signed_out(site, "bob")
    kafka.send(kafka.producer(site.kafka), topics.ALARM_SUBSCRIPTIONS.name, [(slow.key, None)])

    def only_one_is_left() -> bool:
        """Until both have been heard of, each browser may get some."""
        made = told(site.raised(1), "people")
        eventually(lambda: made <= set(got(push, good)), what=site.log())
        eventually(lambda: site.outbox()[min(made)].state is NotificationState.SENT, what=site.log())
        return {path for path, one, _ in push.documents if made & set(one["notifications"])} == {path_of(good)}

    eventually(only_one_is_left, what=site.log())
    # One record that cannot be read keeps nobody from theirs.
    for topic in (topics.ALARM_SUBSCRIPTIONS, topics.SIGN_OUTS):
        kafka.send(kafka.producer(site.kafka), topic.name, [(b"k", b"before")])
    assert command.main(["test", "people", "--file", str(site.routes), "--config", str(site.config)]) == 0
    site.end(signal.SIGTERM)


def test_what_is_killed_comes_again_as_the_same_message_or_not_at_all(site: Site, push: PushServer) -> None:
    now = now_us()
    one = push.browser(who(site, "ann"), session_us=now, renewed_us=now)
    entered(site, one)
    push.received.slow_s = 0.1
    alarms = site.raised(30)
    site.start()
    for _ in range(2):
        count = len(push.documents)
        eventually(lambda: len(push.documents) > count + 2, what=site.log())  # noqa: B023
        site.end(signal.SIGKILL)
        alarms += site.raised(5)
        site.start()
    eventually(lambda: set(got(push, one)) >= told(alarms, "people"), what=site.log())
    site.end(signal.SIGTERM)
    assert set(got(push, one)) == told(alarms, "people")
    again = push.received.repeats()
    assert all(after_s >= 1 for _, after_s in again), again
    of_message: dict[str, tuple[set[str], str]] = {}
    for _, document, headers in push.documents:
        same = (set(document["notifications"]), headers["topic"])
        assert of_message.setdefault(document["id"], same) == same, "the same tag and topic: shown once"
    assert max(Counter(got(push, one)).values()) <= 1 + len(again)
