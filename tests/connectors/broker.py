"""A Mosquitto of a test's own, which can be stopped, started and made to ask for certificates and passwords."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from tests.integration.gateway_support import free_port


class Broker:
    """Mosquitto in a folder, on a port of its own, without persistence unless `keeps` says so."""

    def __init__(self, folder: Path, *, keeps: bool = False, options: tuple[str, ...] = ()) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program, "mosquitto is not installed; ./millrace setup installs it"
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        access = options or ("allow_anonymous true",)
        kept = (
            ("persistence true", f"persistence_location {folder}/", "autosave_interval 1")
            if keeps
            else ("persistence false",)
        )
        # Started by root it would become another user, who may not read the folder.
        me = f"user {getpass.getuser()}"
        self._config.write_text("\n".join((me, f"listener {self.port} 127.0.0.1", *access, *kept)) + "\n")
        self._command = (program, "-c", str(self._config))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Endpoint of a connection without TLS."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Run it, and wait until it takes connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "mosquitto does not listen"
                assert self._process.poll() is None, "mosquitto has ended"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """End it; everybody's connections break."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@contextmanager
def secured(folder: Path) -> Iterator[tuple[Broker, dict[str, Any]]]:
    """A broker with TLS that asks for a client certificate and a password; settings of a connection that it takes.

    In the folder lies `stranger.pem` too, an authority that the broker's certificate does not come from.
    """
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "stranger.pem"))
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("gw1")
    server.private_key_pem.write_to_path(str(folder / "server.key"))
    server.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(folder / "users"), "gw1", "secret"], check=True)
    (folder / "password").write_text("secret\n")
    options = (
        "allow_anonymous false", f"password_file {folder}/users", f"cafile {folder}/ca.pem", "require_certificate true",
        f"certfile {folder}/server.pem", f"keyfile {folder}/server.key",
    )  # fmt: skip
    broker = Broker(folder, options=options)
    broker.start()
    settings: dict[str, Any] = {
        "endpoint": f"mqtts://127.0.0.1:{broker.port}", "ca_file": str(folder / "ca.pem"), "username": "gw1",
        "password": f"file:{folder}/password", "certificate_file": str(folder / "client.pem"),
        "key_file": str(folder / "client.pem"),
    }  # fmt: skip
    try:
        yield broker, settings
    finally:
        broker.stop()
