"""Who gets notifications in tests and trials: a mail server with STARTTLS and a password, a webhook; slow, failing, or down."""

from __future__ import annotations

import asyncio
import email
import json
import logging
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

PASSWORD = "correct horse"
# The library warns of an attribute of its own that it sets itself, once for each sign-in.
logging.getLogger("mail.log").setLevel(logging.ERROR)


@dataclass
class Received:
    """What came, in order: when, in which message, which notifications. The next `fail` messages are not taken; each takes `slow_s`."""

    messages: list[tuple[float, str, list[str]]] = field(default_factory=list)
    fail: int = 0
    slow_s: float = 0.0

    def failing(self) -> bool:
        """Whether this message is not to be taken."""
        time.sleep(self.slow_s)
        self.fail -= 1
        return self.fail >= 0

    def take(self, message_id: str, notifications: list[str]) -> None:
        """It has been taken."""
        self.messages.append((time.monotonic(), message_id, notifications))

    @property
    def notifications(self) -> list[str]:
        """Ids, as often as they came."""
        return [one for _, _, found in self.messages for one in found]

    def repeats(self) -> list[tuple[str, float]]:
        """Messages that came again, and how many seconds later."""
        first: dict[str, float] = {}
        found = []
        for at, message_id, _ in self.messages:
            if message_id in first:
                found.append((message_id, at - first[message_id]))
            first[message_id] = at
        return found


class MailServer:
    """SMTP on a port of its own; `close` it and `open` it again for an outage."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = folder / "mail-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._context)
        self.received = Received()
        self.port = _free_port()

    def open(self) -> None:
        """Listen."""
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=self._context,
            require_starttls=True,
            authenticator=_authenticated,
            auth_required=True,
            auth_require_tls=True,
        )
        self._controller.start()

    def close(self) -> None:
        """Go away."""
        self._controller.stop()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        """A mail."""
        if await asyncio.to_thread(self.received.failing):
            return "451 not now"
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content)
        self.received.take(mail["Message-ID"], mail.get_all("Millrace-Notification") or [])
        return "250 taken"


def _authenticated(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=good)


class HookServer:
    """A webhook on a port of its own."""

    def __init__(self) -> None:
        self.received = Received()
        self.headers: list[tuple[dict[str, str], bytes]] = []
        self.port = 0

    def open(self) -> None:
        """Listen."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.received.failing():
                    self.send_error(503)
                    return
                outer.headers.append(({name.lower(): text for name, text in self.headers.items()}, body))
                outer.received.take(self.headers["webhook-id"], json.loads(body)["notificationIds"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_arguments: Any) -> None:
                """The caller was killed."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Go away."""
        self._server.shutdown()
        self._server.server_close()


def _free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
