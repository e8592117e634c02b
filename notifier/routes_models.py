"""What a routes file may say, as models of pydantic: unknown keys are errors."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from base.secrets import check_reference
from notifier import routes
from notifier.calendar import DAY_MINUTES
from schemas.priorities import Priority


def _reference(text: str) -> str:
    check_reference("it", text)
    return text


def _minutes(value: Any) -> int:
    """Minutes of the day; YAML reads 22:00 without quotes as the number of them."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([01]?\d|2[0-4]):([0-5]\d)", value)):
        found = int(match[1]) * 60 + int(match[2])
        if found <= DAY_MINUTES:
            return found
    msg = "it is no time of the day such as 06:00"
    raise ValueError(msg)


def _several(value: Any) -> Any:
    """One name, or a list of them."""
    return [value] if isinstance(value, str) else value


def _address(text: str) -> str:
    if not re.fullmatch(r"[^@\s<>,]+@[^@\s<>,]+", text):
        msg = "it is no address such as shift@example.com"
        raise ValueError(msg)
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        msg = "it is no http or https address without a user name (a secret belongs to `token` or `key`)"
        raise ValueError(msg)
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Reference = Annotated[str, AfterValidator(_reference)]
Minutes = Annotated[int, BeforeValidator(_minutes)]
Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EmailModel(_Model):
    """Mail."""

    host: Text
    port: int = Field(587, ge=1, le=65535)
    security: routes.Security = routes.Security.STARTTLS
    username: str = ""
    password: Reference = ""
    ca_file: str = ""
    sender: Address = Field(alias="from")
    to: list[Address] = Field(min_length=1, max_length=50)


class WebhookModel(_Model):
    """A webhook."""

    url: Annotated[str, AfterValidator(_url)]
    key: Reference = ""
    token: Reference = ""
    ca_file: str = ""


class WebPushModel(_Model):
    """Browsers."""

    people: list[Text] = Field(min_length=1, max_length=200)


class TargetModel(_Model):
    """One of `email`, `webhook`, `mqtt`, `web_push`."""

    email: EmailModel | None = None
    webhook: WebhookModel | None = None
    mqtt: dict[str, Any] | None = None
    web_push: WebPushModel | None = None
    per_minute: int = Field(6, ge=1, le=600)
    gather_s: float = Field(5.0, ge=0, le=300)
    timeout_s: float = Field(15.0, ge=1, le=30)
    give_up_h: float = Field(24.0, gt=0, le=168)
    ended: bool | None = None


class SpanModel(_Model):
    """Times of the week."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = None
    start: Minutes = Field(alias="from")
    end: Minutes = Field(alias="to")


class CalendarModel(_Model):
    """A calendar."""

    zone: str
    times: list[SpanModel] = Field(min_length=1)
    closed: list[date] = []


class DutyModel(_Model):
    """Who, and when."""

    tell: list[Name] = Field(min_length=1)
    during: Name | None = None
    during_shift: Annotated[list[Text], BeforeValidator(_several)] = []
    place: str = ""


class StepModel(_Model):
    """A step."""

    after_min: float = Field(0.0, ge=0, le=1440)
    tell: list[Name] = Field(min_length=1)


class RouteModel(_Model):
    """A route."""

    name: Name
    scope: str = ""
    at_least: Priority = Priority.LOW
    stop_when: list[routes.StopWhen] = [routes.StopWhen.ACKNOWLEDGED]
    steps: list[StepModel] = Field(min_length=1, max_length=20)


class FileModel(_Model):
    """The whole file."""

    targets: dict[Name, TargetModel] = Field(min_length=1)
    calendars: dict[Name, CalendarModel] = {}
    roles: dict[Name, list[DutyModel]] = {}
    routes: list[RouteModel] = Field(min_length=1)
