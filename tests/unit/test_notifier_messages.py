"""What goes out: grouped by cause, bounded by the minute, nothing urgent held; as mail and as Alertmanager's JSON, signed."""

from __future__ import annotations

import dataclasses
import json
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from notifier import grouping, routes_file
from notifier.channels import signature
from notifier.message import Message, Told, alertmanager, mail
from notifier.routes import Email
from schemas.alarms import AlarmState
from schemas.notifications import AlarmNotification, NotificationKind
from schemas.priorities import Priority
from tests.unit.notifying import MINUTE_US, T0_US, alarm, first_told

ROUTES = routes_file.parse("""
targets:
  lead: {email: {host: m, from: "millrace@plant.example", to: [lead@plant.example]}, per_minute: 4, gather_s: 5}
routes: [{name: all, steps: [{tell: [lead]}]}]
""")
LEAD = ROUTES.targets["lead"]
SECOND_US = 1_000_000


def notifications(count: int, created_us: int = T0_US, priority: Priority = Priority.HIGH) -> list[AlarmNotification]:
    found = [first_told(ROUTES, alarm(number, priority=priority))[0] for number in range(1, count + 1)]
    return [dataclasses.replace(one, created_us=created_us) for one in found]


def own_cause(one: AlarmNotification) -> UUID:
    return one.alarm_id


def test_what_follows_from_one_cause_goes_out_together_when_it_has_been_gathered() -> None:
    waiting = notifications(3)
    first = waiting[0].alarm_id
    early = grouping.choose(LEAD, waiting, lambda _: first, [], T0_US + SECOND_US)
    assert early == ([], T0_US + 5 * SECOND_US)
    chosen = grouping.choose(LEAD, waiting, lambda _: first, [], T0_US + 5 * SECOND_US)
    assert {one.notification_id for one in chosen.notifications} == {one.notification_id for one in waiting}


def test_a_flood_is_some_messages_and_a_digest_and_the_next_one_waits() -> None:
    waiting, sent, sizes, now_us = notifications(1000), list[int](), list[int](), T0_US
    while waiting:
        chosen, again_us = grouping.choose(LEAD, waiting, own_cause, sent, now_us)
        if not chosen:
            assert again_us is not None
            assert again_us > now_us
            now_us = again_us
            continue
        sent.append(now_us)
        sizes.append(len(chosen))
        waiting = [one for one in waiting if one not in chosen]
    assert sizes == [1, 1, 1, 200, 1, 1, 1, 200, 1, 1, 1, 200, 1, 1, 1, 200, 1, 1, 1, 185]
    assert now_us - T0_US < 5 * MINUTE_US


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(list(Priority)), st.integers(1, 4)), max_size=60),
    st.integers(1, 8),
    st.integers(0, 20),
)
def test_no_minute_has_more_messages_than_it_may_and_everything_goes_out(
    arrivals: list[tuple[int, Priority, int]], per_minute: int, gather_s: int
) -> None:
    target = dataclasses.replace(LEAD, per_minute=per_minute, gather_us=gather_s * SECOND_US)
    made = [
        dataclasses.replace(first_told(ROUTES, alarm(number, priority=priority))[0], created_us=T0_US + at * SECOND_US)
        for number, (at, priority, _) in enumerate(arrivals, 1)
    ]
    causes = {one.notification_id: UUID(int=cause) for one, (_, _, cause) in zip(made, arrivals, strict=True)}
    coming = sorted((one for one in made if not grouping.urgent(one)), key=lambda one: one.created_us)
    out: dict[UUID, int] = {}
    sent: list[int] = []
    now_us = T0_US
    for _ in range(10_000):
        waiting = [one for one in coming if one.created_us <= now_us and one.notification_id not in out]
        chosen, again_us = grouping.choose(target, waiting, lambda one: causes[one.notification_id], sent, now_us)
        if chosen:
            sent.append(now_us)
            assert not {one.notification_id for one in chosen} & out.keys()
            out |= {one.notification_id: now_us for one in chosen}
            continue
        later = [one.created_us for one in coming if one.created_us > now_us]
        times = [at for at in (again_us, min(later, default=None)) if at is not None]
        if not times:
            break
        now_us = max(now_us + 1, min(times))
    assert out.keys() == {one.notification_id for one in coming}
    for at in sent:
        assert sum(at - MINUTE_US < other <= at for other in sent) <= per_minute
    # Nobody waits longer than gathering and a minute, or two where a message was full.
    assert all(out[one.notification_id] - one.created_us <= target.gather_us + MINUTE_US for one in coming)


def test_only_a_critical_alarm_that_is_raised_is_urgent() -> None:
    (critical,) = notifications(1, priority=Priority.CRITICAL)
    assert grouping.urgent(critical)
    assert not grouping.urgent(dataclasses.replace(critical, kind=NotificationKind.ENDED))
    assert not grouping.urgent(notifications(1)[0])


def test_a_message_has_the_id_of_what_is_in_it() -> None:
    first, second = notifications(2)
    assert grouping.message_id([first]) == first.notification_id
    assert grouping.message_id([first, second]) == grouping.message_id([second, first]) != first.notification_id


def message(count: int, **changes: object) -> Message:
    found = notifications(count)
    told = tuple(Told(notification=one, alarm=alarm(number, **changes)) for number, one in enumerate(found, 1))
    return Message(message_id=grouping.message_id(found), target="lead", told=told, page="https://plant.example")


def test_a_mail_says_what_to_do_and_has_its_ids() -> None:
    assert isinstance(LEAD.channel, Email)
    made = mail(message(1), LEAD.channel, T0_US)
    assert made["Subject"] == "[HIGH] Hydraulic oil is hot at press-01/oil_temperature"
    assert made["Message-ID"] == f"<{message(1).message_id}@plant.example>"
    assert made.get_all("Millrace-Notification") == message(1).notification_ids
    text = made.get_content()
    for part in ("Check the cooler.", "oil_temperature is 66 Cel", "press-01", "https://plant.example"):
        assert part in text
    assert made.as_bytes()


def test_a_title_cannot_make_a_header() -> None:
    assert isinstance(LEAD.channel, Email)
    made = mail(message(1, title="hot\r\nBcc: everybody@example.com", path="a/b\r\nX: y"), LEAD.channel, T0_US)
    assert made["Bcc"] is None
    assert made["X"] is None
    assert "\n" not in str(made["Subject"])


def test_a_digest_is_a_line_an_alarm() -> None:
    assert isinstance(LEAD.channel, Email)
    made = mail(message(40), LEAD.channel, T0_US)
    assert made["Subject"].endswith("and 39 more")
    assert made.get_content().count("Hydraulic oil is hot") == 40
    assert len(made.get_content().splitlines()) < 50


def test_the_json_is_alertmanagers() -> None:
    found = json.loads(alertmanager(message(2)))
    assert (found["version"], found["status"], found["receiver"], found["truncatedAlerts"]) == (
        "4",
        "firing",
        "lead",
        0,
    )
    first = found["alerts"][0]
    assert first["labels"]["alertname"] == "oil-hot"
    assert first["labels"]["path"].endswith("press-01/oil_temperature")
    assert (first["status"], first["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
    assert first["startsAt"].startswith("2026-")
    assert "path" not in found["commonLabels"]
    assert found["commonLabels"]["site"] == "north"
    assert found["notificationIds"] == [one["annotations"]["notification_id"] for one in found["alerts"]]
    # An activation later it is the same alert to the tool.
    assert first["fingerprint"] == json.loads(alertmanager(message(2, activations=2)))["alerts"][0]["fingerprint"]


def test_the_end_is_resolved() -> None:
    about = alarm(state=AlarmState.NORMAL, returned_us=T0_US + MINUTE_US)
    told = dataclasses.replace(notifications(1)[0], kind=NotificationKind.ENDED)
    found = json.loads(
        alertmanager(Message(message_id=told.notification_id, target="t", told=(Told(notification=told, alarm=about),)))
    )
    assert found["status"] == found["alerts"][0]["status"] == "resolved"
    assert found["alerts"][0]["endsAt"] != "0001-01-01T00:00:00Z"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature("plain", "a", 1, b"x") != signature("plain", "a", 2, b"x")
