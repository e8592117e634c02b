"""One message to one target as a mail, and as Alertmanager's JSON. Pure: what is known of the alarms goes in, text comes out.

A target's own copy of a message has one id, in `Message-ID` or `webhook-id` and in the JSON, and the ids of its notifications: whoever got
a message twice, after a crash, sees that by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from base.moments import written_ms
from notifier.routes import Email
from schemas.alarms import Alarm
from schemas.notifications import AlarmNotification, NotificationKind

_NEVER = "0001-01-01T00:00:00Z"
_SEVERITIES = {"CRITICAL": "critical", "HIGH": "error", "MEDIUM": "warning", "LOW": "info"}
_TITLE = 150
_WHOLE = 10
"""Alarms that a mail tells of at length; of more it has a line each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A notification, with the alarm as it is known now."""

    notification: AlarmNotification
    alarm: Alarm

    @property
    def ended(self) -> bool:
        """Whether it says that the alarm is over."""
        return self.notification.kind is NotificationKind.ENDED


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What goes out at once. `page` is where people answer alarms, or empty."""

    message_id: UUID
    target: str
    told: tuple[Told, ...]
    page: str = ""

    @property
    def notification_ids(self) -> list[str]:
        """Ids of what is in it."""
        return [str(one.notification.notification_id) for one in self.told]


def subject(told: Sequence[Told]) -> str:
    """One line: the most urgent, and how many more."""
    first, *others = told
    what = (first.alarm.title or first.alarm.rule)[:_TITLE]
    step = f", step {first.notification.step + 1}" if first.notification.step else ""
    word = "over" if first.ended else first.alarm.priority
    more = f" and {len(others)} more" if others else ""
    # No line end: it would begin another header.
    return " ".join(f"[{word}{step}] {what} at {_short(first.alarm.path)}{more}".split())


def mail(message: Message, settings: Email, now_us: int) -> EmailMessage:
    """The message as plain text."""
    made = EmailMessage()
    domain = settings.sender.rpartition("@")[2]
    made["From"], made["To"], made["Subject"] = settings.sender, ", ".join(settings.to), subject(message.told)
    made["Date"] = format_datetime(datetime.fromtimestamp(now_us / 1e6, UTC))
    made["Message-ID"] = f"<{message.message_id}@{domain}>"
    # Mails of one alarm are one conversation.
    made["References"] = f"<{message.told[0].alarm.alarm_id}@{domain}>"
    made["Auto-Submitted"] = "auto-generated"
    for number in message.notification_ids:
        made["Millrace-Notification"] = number
    parts = [_paragraph(one) for one in message.told]
    if len(message.told) > _WHOLE:
        parts = [f"{len(message.told)} alarms.", "\n".join(map(_line, message.told))]
    if message.page:
        parts.append(f"Answer at {message.page}")
    made.set_content("\n\n".join(parts) + "\n")
    return made


def alertmanager(message: Message) -> bytes:
    """The message as Alertmanager's webhook has it (version 4), with our ids beside."""
    alerts = [_alert(one, message.page) for one in message.told]
    document = {
        "version": "4",
        "groupKey": str(message.message_id),
        "truncatedAlerts": 0,
        "status": "resolved" if all(one.ended for one in message.told) else "firing",
        "receiver": message.target,
        "groupLabels": {},
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": message.page,
        "alerts": alerts,
        "messageId": str(message.message_id),
        "notificationIds": message.notification_ids,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _alert(one: Told, page: str) -> dict[str, Any]:
    alarm = one.alarm
    labels = {
        "alertname": alarm.rule,
        "severity": _SEVERITIES[alarm.priority],
        "priority": str(alarm.priority),
        "site": alarm.site,
        "path": alarm.path,
        "gateway": alarm.gateway_id,
    }
    annotations = {
        "summary": alarm.title or alarm.rule,
        "description": alarm.detail,
        "cause": alarm.cause,
        "consequence": alarm.consequence,
        "corrective_action": alarm.corrective_action,
        "alarm_id": str(alarm.alarm_id),
        "step": str(one.notification.step + 1),
        "notification_id": str(one.notification.notification_id),
    }
    return {
        "status": "resolved" if one.ended else "firing",
        "labels": labels,
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": _iso(alarm.activated_us or alarm.start_us),
        "endsAt": _iso(alarm.returned_us) if one.ended else _NEVER,
        "generatorURL": page,
        # The same for every activation of an alarm: a tool updates what it has.
        "fingerprint": alarm.alarm_id.hex[:16],
    }


def _paragraph(one: Told) -> str:
    alarm = one.alarm
    head = f"{'OVER' if one.ended else alarm.priority}: {alarm.title or alarm.rule}"
    lines = [
        head,
        f"  where        {alarm.path}",
        f"  since        {_iso(alarm.activated_us or alarm.start_us)}",
        f"  what         {alarm.detail}" if alarm.detail else "",
        f"  what to do   {alarm.corrective_action}" if alarm.corrective_action and not one.ended else "",
        f"  usual cause  {alarm.cause}" if alarm.cause and not one.ended else "",
        f"  otherwise    {alarm.consequence}" if alarm.consequence and not one.ended else "",
        f"  nobody has answered; this is step {one.notification.step + 1}"
        if one.notification.step and not one.ended
        else "",
        f"  alarm        {alarm.alarm_id}",
    ]
    return "\n".join(line for line in lines if line)


def _line(one: Told) -> str:
    alarm = one.alarm
    word = "OVER" if one.ended else str(alarm.priority)
    return f"{word:<9} {_iso(alarm.activated_us or alarm.start_us)}  {alarm.title or alarm.rule}  {alarm.path}"


def _common(tables: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = tables
    return {name: text for name, text in first.items() if all(one.get(name) == text for one in others)}


def _iso(time_us: int | None) -> str:
    if time_us is None:
        return _NEVER
    return written_ms(time_us)


def _short(path: str) -> str:
    return "/".join(path.split("/")[-2:])
