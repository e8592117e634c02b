"""Alarms and routes for the tests of the notifier."""

from __future__ import annotations

from typing import Any

from notifier.due import due
from notifier.routes import Routes
from schemas.alarms import Alarm, AlarmState, alarm_id, source_id
from schemas.notifications import AlarmNotification
from schemas.priorities import Priority

T0_US = 1_796_000_000_000_000
MINUTE_US = 60_000_000


def alarm(number: int = 1, **changes: Any) -> Alarm:
    """An alarm that nobody has answered; each number is another device."""
    source = source_id("north", f"oil-hot@{number}")
    usual: dict[str, Any] = {
        "alarm_id": alarm_id(source, T0_US),
        "source_id": source,
        "version": 1,
        "site": "north",
        "rule": "oil-hot",
        "rule_version": 1,
        "device_id": number,
        "gateway_id": "gw-north-1",
        "path": f"acme/north/forming/line-1/press-{number:02}/oil_temperature",
        "priority": Priority.HIGH,
        "state": AlarmState.UNACKNOWLEDGED,
        "active": True,
        "activations": 1,
        "activated_us": T0_US,
        "title": "Hydraulic oil is hot",
        "cause": "The cooler is dirty.",
        "corrective_action": "Check the cooler.",
        "detail": "oil_temperature is 66 Cel, HI is 65",
    }
    return Alarm(**(usual | changes))


def first_told(routes: Routes, about: Alarm, now_us: int = T0_US) -> list[AlarmNotification]:
    """What is due of an alarm at first."""
    since_us = about.activated_us or now_us
    return due(routes, about, since_us, since_us, {}, now_us).notifications
