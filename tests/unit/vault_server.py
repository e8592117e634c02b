"""A server that speaks the part of HashiCorp Vault's HTTP API that is used here, as its documentation has it: a transit key."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MOUNT, KEY, TOKEN = "transit", "millrace-people", "hvs.planted-token"


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status, *errors)
        self.status, self.errors = status, errors


@dataclass
class Vault:
    """What it keeps, and how it does. `policy`: what the token may, by the last part of the path."""

    versions: dict[int, bytes] = field(default_factory=lambda: {1: os.urandom(32)})
    least_decryption: int = 1
    least_encryption: int = 0
    token: str = TOKEN
    policy: frozenset[str] = frozenset({"read", "encrypt", "decrypt", "rotate", "config", "trim"})
    sealed: bool = False
    missing: bool = False
    asked: list[str] = field(default_factory=list)
    address: str = ""

    @property
    def reference(self) -> str:
        """Of the key."""
        return f"vault:{self.address}/{MOUNT}/{KEY}"

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Data of an answer; None for one without content. Raises Refused."""
        self.asked.append(f"{method} {path}")
        if self.sealed:
            raise Refused(503, "Vault is sealed")
        verb, work = self._work(method, path)
        if token != self.token or verb not in self.policy:
            raise Refused(403, "permission denied")
        if self.missing:
            raise Refused(404)
        return work(body)

    def _work(self, method: str, path: str) -> tuple[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            f"GET /v1/{MOUNT}/keys/{KEY}": self.read,
            f"POST /v1/{MOUNT}/encrypt/{KEY}": self.encrypt,
            f"POST /v1/{MOUNT}/decrypt/{KEY}": self.decrypt,
            f"POST /v1/{MOUNT}/keys/{KEY}/rotate": self.rotate,
            f"POST /v1/{MOUNT}/keys/{KEY}/config": self.config,
            f"POST /v1/{MOUNT}/keys/{KEY}/trim": self.trim,
        }
        work = known.get(f"{method} {path}")
        if work is None:
            raise Refused(403, "permission denied")
        return work.__name__, work

    def read(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"latest_version": max(self.versions), "min_decryption_version": self.least_decryption, "name": KEY}

    def encrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        version = max(self.versions)
        return {"batch_results": [self._encrypted(one, version) for one in body["batch_input"]]}

    def decrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        found = [self._decrypted(str(one["ciphertext"])) for one in body["batch_input"]]
        failed = [one["error"] for one in found if "error" in one]
        if failed and (len(failed) == len(found) or body.get("partial_failure_response_code") != 200):
            raise Refused(400, *failed[:1])
        return {"batch_results": found}

    def rotate(self, _: dict[str, Any]) -> None:
        self.versions[max(self.versions) + 1] = os.urandom(32)

    def config(self, body: dict[str, Any]) -> None:
        encryption = body.get("min_encryption_version", self.least_encryption)
        decryption = body.get("min_decryption_version", self.least_decryption)
        if max(encryption, decryption) > max(self.versions):
            raise Refused(400, "cannot set a minimum version higher than the latest key version")
        if 0 < encryption < decryption:
            raise Refused(400, "cannot set minimum encryption version lower than minimum decryption version")
        self.least_encryption, self.least_decryption = encryption, decryption

    def trim(self, body: dict[str, Any]) -> None:
        least = body["min_available_version"]
        if not self.least_decryption or not self.least_encryption:
            raise Refused(
                400,
                "minimum available version cannot be set when minimum encryption version or minimum decryption version is zero",
            )
        if least > min(self.least_decryption, self.least_encryption):
            raise Refused(
                400, "minimum available version cannot be higher than minimum encryption or decryption version"
            )
        self.versions = {number: key for number, key in self.versions.items() if number >= least}

    def _encrypted(self, item: dict[str, str], version: int) -> dict[str, Any]:
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(self.versions[version]).encrypt(nonce, base64.b64decode(item["plaintext"]), None)
        return {"ciphertext": f"vault:v{version}:{base64.b64encode(sealed).decode()}", "key_version": version}

    def _decrypted(self, text: str) -> dict[str, str]:
        match = re.fullmatch(r"vault:v(\d+):([A-Za-z0-9+/=]+)", text)
        if match is None:
            return {"error": "invalid ciphertext: no prefix"}
        if int(match[1]) < self.least_decryption or int(match[1]) not in self.versions:
            return {"error": "ciphertext or signature version is disallowed by policy (too old)"}
        sealed = base64.b64decode(match[2])
        try:
            plain = AESGCM(self.versions[int(match[1])]).decrypt(sealed[:12], sealed[12:], None)
        except InvalidTag:
            return {"error": "cipher: message authentication failed"}
        return {"plaintext": base64.b64encode(plain).decode()}


@contextmanager
def vault() -> Iterator[Vault]:
    """One that listens on the loopback interface; ends with the block."""
    kept = Vault()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                token = self.headers.get("x-vault-token", "")
                data = kept.answer(self.command, self.path, token, json.loads(body or b"{}"))
                status, found = (204, b"") if data is None else (200, json.dumps({"data": data}).encode())
            except Refused as error:
                status, found = error.status, json.dumps({"errors": error.errors}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        do_GET = do_POST = answer  # names of the library

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kept.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
