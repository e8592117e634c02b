"""A real Keycloak for tests: fetched and built once into the state folder, started with nothing, and given the realm that we ship.

Maven fetches the distribution, whose checksum is pinned here. Nothing of it is in the repository, and nothing of Millrace itself uses it.
It listens on the loopback interface only, keeps everything in memory, and talks to no other Keycloak.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack import java
from stack import node as toolbox
from stack.config import ROOT

VERSION = "26.7.3"
"""The newest that runs on Java 17."""
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
REALM = ROOT / "k8s" / "keycloak" / "realm.json"
_FETCH_S, _BUILD_S, _START_S, _ANSWER_S, _STOP_S = 900.0, 900.0, 1_200.0, 600.0, 60.0
# What a server of months gains from a second compiler, a test of seconds only pays for.
_JAVA = "-XX:TieredStopAtLevel=1"
_LOCAL = ("--db=dev-mem",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Keycloak:
    """A running one, and what its administrator does."""

    origin: str
    admin: str

    @property
    def issuer(self) -> str:
        """Of the realm that we ship."""
        return f"{self.origin}/realms/plant"

    def make_realm(self, redirect: str, people: Sequence[Mapping[str, Any]]) -> None:
        """The realm's file, with the page's address in the place of the example, and people."""
        realm = json.loads(REALM.read_text())
        for client in realm["clients"]:
            client["redirectUris"] = [redirect for _ in client["redirectUris"]]
        realm["users"] = list(people)
        with httpx.Client(base_url=self.origin, timeout=_ANSWER_S, trust_env=False) as http:
            form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": self.admin}
            token = http.post("/realms/master/protocol/openid-connect/token", data=form).json()["access_token"]
            made = http.post("/admin/realms", json=realm, headers={"authorization": f"Bearer {token}"})
            assert made.status_code == 201, made.text


def person(name: str, group: str, password: str, totp: str = "") -> dict[str, Any]:
    """Somebody of a group; `totp` is the secret of one-time passwords in Base32, empty for somebody who has none."""
    shown: list[dict[str, Any]] = [{"type": "password", "value": password}]
    if totp:
        kind = {
            "subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1",
            "secretEncoding": "BASE32",
        }  # fmt: skip
        shown.append({"type": "otp", "secretData": json.dumps({"value": totp}), "credentialData": json.dumps(kind)})
    return {
        "username": name,
        "enabled": True,
        "firstName": name,
        "lastName": "Example",
        "email": f"{name}@example.com",
        "emailVerified": True,
        "groups": [group],
        "credentials": shown,
    }


@contextmanager
def running(port: int, folder: Path) -> Iterator[Keycloak]:
    """A Keycloak on a port of 127.0.0.1, with a log in `folder`. Skips the test when the distribution cannot be had."""
    home = distribution()
    admin = secrets.token_urlsafe(16)
    origin = f"http://127.0.0.1:{port}"
    options = (
        "--http-enabled=true",
        "--http-host=127.0.0.1",
        f"--http-port={port}",
        f"--hostname={origin}",
        "--cache=local",
    )
    environment = _environment() | {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": admin}
    log = folder / "keycloak.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", str(home / "bin" / "kc.sh"), "start", "--optimized", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the script does not hand signals on to its Java
        )
        try:
            _answers(origin, process, log)
            yield Keycloak(origin=origin, admin=admin)
        finally:
            _end(process)


def distribution() -> Path:
    """Keycloak's folder, built for a database in memory; fetches it once."""
    folder = ROOT / ".millrace" / "keycloak"
    home, stamp = folder / f"keycloak-{VERSION}", folder / f"built-{VERSION}"
    wanted = f"{SHA256} {_LOCAL}\n"
    with toolbox.alone(folder / "install.lock"):
        if stamp.exists() and stamp.read_text() == wanted:
            return home
        stamp.unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        archive = _fetched(folder)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        archive.unlink()
        build = ["bash", str(home / "bin" / "kc.sh"), "build", *_LOCAL]
        subprocess.run(build, env=_environment(), check=True, capture_output=True, timeout=_BUILD_S)
        stamp.write_text(wanted)
    return home


def _fetched(folder: Path) -> Path:
    """The archive, with the pinned checksum."""
    archive = folder / f"keycloak-quarkus-dist-{VERSION}.zip"
    artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    command = ["mvn", "-B", "-q", goal, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_FETCH_S)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stdout", None) or str(error)).strip().splitlines()
        pytest.skip(f"Maven cannot fetch {artifact}: {said[0] if said else error!r}")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    assert found == SHA256, f"{archive} has the checksum {found}, not the pinned one; nothing of it was started"
    return archive


def _environment() -> dict[str, str]:
    return os.environ | {"JAVA_HOME": str(java.home()), "JAVA_OPTS_APPEND": _JAVA}


def _answers(origin: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    with httpx.Client(timeout=10.0, trust_env=False) as http:
        while True:
            over = process.poll() is not None or time.monotonic() > deadline
            assert not over, f"Keycloak does not answer: {log.read_text(errors='replace')[-3_000:]}"
            try:
                if http.get(f"{origin}/realms/master").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # not yet
            time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                continue
