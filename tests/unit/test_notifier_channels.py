"""What goes over a wire: what is said about it, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from base.errors import ConfigError, MillraceError
from base.ids import now_us
from notifier import channels, routes_file
from notifier.book import Book
from notifier.channels import FailedError, RefusedError
from notifier.message import Message, Told
from notifier.outlet import Outlet
from notifier.routes import Target
from schemas.notifications import AlarmNotification, NotificationState
from tests.integration.gateway_support import free_port, until
from tests.unit.notifying import alarm, first_told


def target(settings: str) -> Target:
    """A target with these settings."""
    text = f"targets:\n  it: {{{settings}}}\nroutes: [{{name: all, steps: [{{tell: [it]}}]}}]\n"
    return routes_file.parse(text).targets["it"]


def message(to: Target) -> Message:
    about = alarm()
    routes = dataclasses.replace(
        routes_file.parse(
            "targets: {it: {webhook: {url: 'https://t.example'}}}\nroutes: [{name: a, steps: [{tell: [it]}]}]"
        ),
        targets={"it": to},
    )
    (told,) = first_told(routes, about)
    return Message(message_id=uuid4(), target="it", told=(Told(notification=told, alarm=about),))


@pytest.mark.security("T-NOTIFY-LEAK")
@pytest.mark.parametrize("token", ["hunter2 ", " hunter2", "hunter2\nx", "hünter2", ""])
async def test_a_token_that_no_header_takes_is_not_told(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    hook = target(f"webhook: {{url: 'http://127.0.0.1:9/x', token: 'file:{file}'}}")
    with pytest.raises(ConfigError) as caught:
        await channels.send(hook, message(hook))
    assert f"secret file:{file} is no token" in str(caught.value)
    assert "nter2" not in str(caught.value)


class Server:
    """A mail server without TLS; what it says to whom."""

    def __init__(self, *, to: dict[str, str] | None = None, sender: str = "", data: str = "250 taken") -> None:
        self.to, self.sender, self.data = to or {}, sender, data
        self.taken: list[str] = []

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        """The sender."""
        envelope.mail_from = address
        return self.sender or "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        """An address."""
        if address in self.to:
            return self.to[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        """The mail."""
        if self.data.startswith("250"):
            self.taken += envelope.rcpt_tos
        return self.data


@contextlib.contextmanager
def mail_to(server: Server) -> Iterator[Target]:
    """A target with two addresses there."""
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield target(
            f"email: {{host: 127.0.0.1, port: {controller.port}, security: none, from: m@p.example, to: [a@p.example, b@p.example]}}"
        )
    finally:
        controller.stop()


@pytest.mark.security("T-NOTIFY-FORGE", "V1.3.11")
async def test_who_was_put_off_gets_the_mail_later_and_who_has_it_does_not_get_it_again() -> None:
    server = Server(to={"b@p.example": "451 greylisted"})
    with mail_to(server) as target:
        about = alarm()
        routes = routes_file.parse(
            "targets: {it: {webhook: {url: 'https://t.example'}, gather_s: 0}}\nroutes: [{name: a, steps: [{tell: [it]}]}]"
        )
        (told,) = first_told(routes, about)
        book, states = Book(routes), list[NotificationState]()
        book.take_alarm(about, now_us())
        book.take(dataclasses.replace(told, created_us=now_us()))

        async def record(notifications: Sequence[AlarmNotification]) -> None:
            for one in notifications:
                book.take(one)
                states.append(one.state)

        async def send(to: Target, what: Message) -> str:
            try:
                return await channels.send(to, what)
            finally:
                server.to = {}

        made = Outlet(target, book, record, send, clock=now_us)
        running = asyncio.create_task(made.run())
        await until(lambda: NotificationState.SENT in states)
        running.cancel()
        await made.stop()
    assert server.taken == ["a@p.example", "b@p.example"]


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (Server(to={"a@p.example": "550 none", "b@p.example": "550 none"}), RefusedError),
        (Server(to={"a@p.example": "550 none", "b@p.example": "451 later"}), FailedError),
        (Server(to={"a@p.example": "530 log in first", "b@p.example": "554 no"}), FailedError),
        (Server(sender="550 who are you"), FailedError),
        (Server(data="554 no"), FailedError),
        (Server(data="552 too large"), RefusedError),
    ],
)
async def test_what_is_about_settings_or_a_mood_may_pass(server: Server, error: type[Exception]) -> None:
    with mail_to(server) as target, pytest.raises(error):
        await channels.send(target, message(target))


@pytest.mark.parametrize(("status", "error"), [(400, FailedError), (401, FailedError), (413, RefusedError)])
async def test_a_webhook_that_says_400_is_asked_again(status: int, error: type[Exception]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        hook = target(f"webhook: {{url: 'http://127.0.0.1:{port}/x'}}")
        with pytest.raises(MillraceError) as caught:
            await channels.send(hook, message(hook))
        assert type(caught.value) is error
