"""The routes file: what is wrong is named, what it says is what holds; local times are those of the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from base.errors import ConfigError
from notifier import command, routes_file
from notifier.calendar import DAYS, Calendar, Span
from notifier.routes import Email, Security, Webhook

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "alarm-routes.yaml"
LEAST = """
targets:
  room: {email: {host: mail.example.com, from: a@example.com, to: [room@example.com]}}
routes:
  - name: all
    steps: [{tell: [room]}]
"""


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def test_the_least_file_has_safe_defaults() -> None:
    found = routes_file.parse(LEAST)
    room = found.targets["room"]
    assert isinstance(room.channel, Email)
    assert (room.channel.port, room.channel.security) == (587, Security.STARTTLS)
    assert not room.ended
    assert found.routes[0].steps[0].on_duty(0) == ["room"]
    assert list(routes_file.warnings(found)) == []


def test_the_example_is_right_and_its_people_are_on_duty_all_week() -> None:
    found = routes_file.read(EXAMPLE)
    assert {name for name in found.targets} == {"control-room", "maintenance-lead", "incidents", "andon"}
    # Secrets of the example are not on this machine, and nothing else is unwise.
    assert all("secret" in warning for warning in routes_file.warnings(found))
    second = found.routes[0].steps[1]
    assert second.on_duty(at("2026-11-30T08:00")) == ["maintenance-lead"]
    assert second.on_duty(at("2026-11-30T20:00")) == ["incidents"]
    assert second.on_duty(at("2026-12-05T08:00")) == ["incidents"]
    # A closed day is no day shift.
    assert second.on_duty(at("2026-12-25T08:00")) == []


def test_the_file_of_kubernetes_is_right() -> None:
    import yaml

    config, deployment = yaml.safe_load_all((ROOT / "k8s" / "notifier.yaml").read_text())
    found = routes_file.parse(config["data"]["alarm-routes.yaml"])
    assert isinstance(found.targets["incidents"].channel, Webhook)
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.security("T-NOTIFY-LEAK")
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("tell: [room]", "tell: [rome]", "routes.all: there is no role or target 'rome'; there are room"),
        ("name: all", "name: all\n    at_most: HIGH", "routes.0.at_most: Extra inputs are not permitted"),
        ("to: [room@example.com]", "to: [room]", "it is no address such as shift@example.com"),
        ("to: [room@example.com]", "to: [a@b.c], password: hunter2", "write file:PATH or env:NAME"),
        (
            "to: [room@example.com]",
            "to: [a@b.c], security: none, password: env:P",
            "targets.room.email: a password goes over TLS only",
        ),
        (
            "email: {",
            "mqtt: {endpoint: 'mqtt://b:1', topic: t}, email: {",
            "exactly one of email, webhook, mqtt and web_push",
        ),
        ("steps: [{", "steps: [{after_min: -1, ", "greater than or equal to 0"),
        (
            "routes:",
            "roles: {lead: [{tell: [room], during: night}]}\nroutes:",
            "roles.lead: there is no calendar 'night'",
        ),
        (
            "routes:",
            "calendars: {day: {zone: Mars/Olympus, times: [{from: '06:00', to: '14:00'}]}}\nroutes:",
            "calendars.day: 'Mars/Olympus' is no time zone",
        ),
        (
            "routes:",
            "calendars: {day: {zone: UTC, times: [{from: '25:00', to: '14:00'}]}}\nroutes:",
            "it is no time of the day",
        ),
        ("routes:\n", "routes:\n  - {name: all, steps: [{tell: [room]}]}\n", "routes.all is there twice"),
        ("targets:", "targets: [", "not valid YAML"),
        *(
            ("routes:", f"calendars: {{day: {{closed: [{wrong}]}}}}\nroutes:", "not valid YAML")
            for wrong in ("2026-02-30", "!!timestamp x", "!!bool x", "!!int ''", "2026-01-01T00:00:00+99:99")
        ),
        (
            "targets:\n",
            "targets:\n  hook: {webhook: {url: 'http://t.example/x', token: env:T}}\n",
            "targets.hook.webhook: a token goes over https only",
        ),
        (
            "targets:\n",
            "targets:\n  lamp: {mqtt: {endpoint: 'mqtt://b', topic: t, username: u, password: env:P}}\n",
            "targets.lamp.mqtt: a password goes over mqtts:// only",
        ),
    ],
)
def test_what_is_wrong_is_named(before: str, after: str, message: str) -> None:
    assert before in LEAST
    with pytest.raises(ConfigError) as caught:
        routes_file.parse(LEAST.replace(before, after, 1))
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_hardly_meant_is_a_warning() -> None:
    text = LEAST.replace("name: all", "name: all\n    scope: acme/north") + (
        "  - name: weekdays\n    steps: [{tell: [someone]}]\n"
    )
    text = text.replace("routes:", "roles: {someone: [{tell: [hook], during: day}]}\nroutes:", 1)
    text = text.replace(
        "targets:\n",
        "targets:\n  hook: {webhook: {url: 'http://t.example/x'}}\n  spare: {mqtt: {endpoint: 'mqtt://b', topic: t}}\n",
    )
    text += "calendars: {day: {zone: UTC, times: [{days: [mon], from: '06:00', to: 18:00}]}}\n"
    warnings = list(routes_file.warnings(routes_file.parse(text)))
    assert "targets.spare: no route leads there" in warnings
    assert "routes.weekdays: nobody is on duty in 156 of the 168 hours of a week, in any step" in warnings
    assert "targets.hook: http can be read and changed on its way" in warnings
    assert "targets.hook: without a key the receiver cannot tell who sends it" in warnings
    assert not any("no scope" in warning for warning in warnings)


def test_a_night_shift_begins_on_its_day_and_ends_on_the_next() -> None:
    from zoneinfo import ZoneInfo

    night = Calendar(
        zone=ZoneInfo("Europe/Berlin"), spans=(Span(days=frozenset({DAYS.index("fri")}), start=22 * 60, end=6 * 60),)
    )
    covered = ["2026-12-04T21:00", "2026-12-05T04:59"]
    outside = ["2026-12-04T20:59", "2026-12-05T05:00", "2026-12-05T21:00", "2026-12-03T22:00"]
    assert all(night.covers(at(one)) for one in covered)
    assert not any(night.covers(at(one)) for one in outside)
    # The night in which summer ends has an hour twice, and it is in both.
    late = Calendar(zone=night.zone, spans=(Span(days=frozenset(range(7)), start=120, end=180),))
    assert all(late.covers(at(one)) for one in ("2026-10-25T00:30", "2026-10-25T01:30"))
    assert not late.covers(at("2026-10-25T02:00"))


def test_check_says_who_is_told_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(LEAST)
    assert command.main(["check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "mail to room@example.com through mail.example.com:587" in out
    assert "all: all alarms everywhere" in out
    assert "at once" in out
    assert "now: room" in out
    file.write_text(LEAST.replace("[room]", "[rome]"))
    assert command.main(["check", str(file)]) == 1
    assert "no role or target 'rome'" in capsys.readouterr().err
    assert command.main(["check", str(tmp_path / "none.yaml")]) == 1


def test_a_test_to_a_target_that_is_down_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(
        LEAST.replace(
            "{email: {host: mail.example.com, from: a@example.com, to: [room@example.com]}}",
            "{webhook: {url: 'http://127.0.0.1:9/x'}}",
        )
    )
    assert command.main(["test", "room", "--file", str(file)]) == 3
    assert "room did not take it: ConnectError" in capsys.readouterr().err
    assert command.main(["test", "lead", "--file", str(file)]) == 2
    assert "no target 'lead'; there are room" in capsys.readouterr().err
