"""Settings of the notifier: `notifier.toml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from base.secrets import check_reference
from base.settings import EndpointSettings, KafkaSettings

SERVICES = (
    "fcm.googleapis.com",
    ".push.services.mozilla.com",
    ".push.apple.com",
    ".notify.windows.com",
)
"""Push services of the browsers that there are; one that begins with a dot stands for what is below it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PushSettings:
    """Notifications of browsers (Web Push)."""

    # The installation's key (VAPID), a reference to a PEM file; empty: none are sent. `millrace notify key FILE` makes one.
    key: str = ""
    # Whom a push service can ask: mailto: or https:.
    contact: str = "mailto:nobody@example.com"
    # Hosts of push services. A browser names its own, and nothing is sent anywhere else.
    services: tuple[str, ...] = SERVICES

    def __post_init__(self) -> None:
        check_reference("push.key", self.key)
        if not self.contact.startswith(("mailto:", "https:")):
            msg = f"push.contact is {self.contact!r}; it begins with mailto: or https:"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotifierSettings:
    """The whole file."""

    kafka: KafkaSettings
    # Who is told what; without this file nobody is told anything.
    routes: Path
    # Where people answer alarms, for links in what is sent.
    page: str = ""
    push: PushSettings = field(default_factory=PushSettings)
    metrics: EndpointSettings = field(default_factory=EndpointSettings)
