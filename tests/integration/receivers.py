"""Who gets notifications in tests: the receivers of the benchmark, and a push service; slow, failing, or down."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from benchmarks.alarms.receivers import PASSWORD, HookServer, MailServer, Received
from schemas.push import PushSubscription, subscription_id

__all__ = ["PASSWORD", "HookServer", "MailServer", "PushServer", "Received", "opened"]


class PushServer:
    """A push service (RFC 8030) with the browsers that it delivers to: it checks who sends (RFC 8292) and opens what came (RFC 8291).

    `answers`: by path, what it answers next, one after another; 201 when there is none left.
    """

    def __init__(self) -> None:
        self.received = Received()
        self.documents: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        """Path of the browser, the message, headers of the request."""
        self.answers: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.public_key = ""
        """Whose signature it wants, Base64 for URLs."""
        self.port = 0
        self._browsers: dict[str, tuple[ec.EllipticCurvePrivateKey, bytes]] = {}

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def browser(self, principal: str, *, session_us: int, renewed_us: int) -> PushSubscription:
        """A new browser of somebody."""
        key, secret = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        path = f"/{os.urandom(8).hex()}"
        self._browsers[path] = key, secret
        endpoint = f"{self.origin}{path}"
        return PushSubscription(
            subscription_id=subscription_id(endpoint),
            principal=principal,
            endpoint=endpoint,
            p256dh=_text(_point(key.public_key())),
            auth=_text(secret),
            session_us=session_us,
            renewed_us=renewed_us,
        )

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """One request; the status of the answer."""
        self.asked.append(path)
        if self.received.failing():
            return 503
        if answers := self.answers.get(path):
            status = answers.pop(0)
            if status != 201:
                return status
        if not self._signed(headers["authorization"]):
            return 403
        key, secret = self._browsers[path]
        document = json.loads(opened(body, key, secret))
        self.documents.append((path, document, headers))
        self.received.take(f"{path} {document['id']}", document["notifications"])
        return 201

    def _signed(self, authorization: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        parts = dict(one.split("=", 1) for one in rest.replace(" ", "").split(","))
        head, claims, signature = parts["t"].split(".")
        raw = _data(signature)
        der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        known = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _data(parts["k"]))
        known.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        said = json.loads(_data(claims))
        good = said["aud"] == self.origin and time.time() < said["exp"] < time.time() + 86_400 and "@" in said["sub"]
        return scheme == "vapid" and parts["k"] == self.public_key and good

    def open(self) -> None:
        """Listen."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = outer.take(self.path, headers, body)
                self.send_response(status)
                self.send_header("content-length", "0")
                if status == 429:
                    self.send_header("retry-after", "1")
                self.end_headers()

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Go away."""
        self._server.shutdown()
        self._server.server_close()


def opened(body: bytes, key: ec.EllipticCurvePrivateKey, secret: bytes) -> bytes:
    """What a browser makes of a message: RFC 8291 and RFC 8188, one record, by hand."""
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    sender, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(sealed) <= size
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    info = b"WebPush: info\0" + _point(key.public_key()) + sender
    material = HKDF(hashes.SHA256(), 32, secret, info).derive(shared)
    content = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(material)
    nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(material)
    plain = AESGCM(content).decrypt(nonce, sealed, None).rstrip(b"\0")
    assert plain.endswith(b"\2"), "the last record says that it is"
    return plain[:-1]


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
