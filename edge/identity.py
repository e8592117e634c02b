"""The gateway's key and certificate of the platform: made by `enrol`, renewed by the gateway itself while it runs.

    identity.pem      key and certificate in one file, mode 0600: they change together
    authority.pem     whom the gateway believes
    signatures.toml   whether the platform wants signatures, as it said with the certificate
    .next-key.pem     a key whose certificate has not come yet, or whose enrolment is not through; the next attempt asks for the same one

The key is made here and never leaves the folder. A renewal asks for a new key and proves the old one. Kafka's clients read the file when
they are made, so they are made anew after it (`edge.gateway`); connections over MQTT read it at each connect.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from base import files, p256, settings
from base.errors import ConfigError, MillraceError, cause_of
from base.toml import to_toml
from connectors.enrolment.client import Client
from connectors.enrolment.messages import Grant
from edge.signing import SignatureSettings

log = logging.getLogger(__name__)

LOOK_S = 60.0
AGAIN_S = 600.0
"""After an attempt that failed, give or take a third: gateways that lost their platform together do not come back together."""
_PART = 3
"""A certificate is renewed when this part of its life is left."""


@dataclass(frozen=True, slots=True)
class Identity:
    """In a folder, under a name."""

    file: Path
    authority_file: Path

    @classmethod
    def of(cls, folder: Path) -> Identity:
        """As `enrol` makes it."""
        return cls(folder / "identity.pem", folder / "authority.pem")

    def next_key(self) -> ec.EllipticCurvePrivateKey:
        """The key to ask for, the same one until its certificate has come."""
        try:
            return p256.read_or_make(self._next_file)
        except ValueError as error:
            msg = f"{self._next_file} is no key: delete it, and another is made"
            raise ConfigError(msg) from error

    def take(self, key: ec.EllipticCurvePrivateKey, grant: Grant) -> None:
        """From now on this key and certificate, and what the platform says of signatures.

        The next key stays until `settle`: what was interrupted asks with it again.
        """
        said = {"enabled": grant.signatures, "unsigned_until": grant.unsigned_until}
        files.replace_durably(self._signatures_file, to_toml(said))
        if not self.authority_file.exists() or self.authority_file.read_text() != grant.authority:
            files.replace_durably(self.authority_file, grant.authority)
        files.replace_durably(self.file, p256.key_pem(key) + grant.certificate, mode=files.OWNERS)

    def signatures(self, own: SignatureSettings) -> SignatureSettings:
        """What the platform said with the certificate; what the gateway's configuration has (`own`) where that has not asked for any.

        Raises ConfigError.
        """
        if not self._signatures_file.exists():
            return own
        said = settings.load(SignatureSettings, self._signatures_file, environ={})
        return said if said.enabled else own

    def settle(self) -> None:
        """A next key whose certificate has come is none any more; raises ConfigError."""
        if not self._next_file.exists() or not self.file.exists():
            return
        if self.next_key().public_key() == self.certificate().public_key():
            self._next_file.unlink()

    def certificate_pem(self) -> str:
        """The one that is held, as text; raises ConfigError."""
        return self.certificate().public_bytes(Encoding.PEM).decode()

    def certificate(self) -> x509.Certificate:
        """The one that is held; raises ConfigError."""
        try:
            return x509.load_pem_x509_certificate(self.file.read_bytes())
        except (OSError, ValueError) as error:
            msg = f"{self.file} has no certificate that can be read: {cause_of(error)}; enrol again (`python -m edge enrol`)"
            raise ConfigError(msg) from error

    def renew(self, server: str) -> Grant:
        """Get a certificate for another key; what was granted. Raises MillraceError, OSError."""
        held, text = self.file.read_bytes(), self.certificate_pem()
        self.settle()
        try:
            own = p256.read_key(held)
        except ValueError as error:
            msg = f"{self.file} has no key that can be read; enrol again (`python -m edge enrol`)"
            raise ConfigError(msg) from error
        key = self.next_key()
        # Whom it believes changes by enrolling alone: an answer cannot bring another authority.
        authority = self.authority_file.read_text()
        grant = Client(server).renew(own, text, authority, key)
        self.take(key, dataclasses.replace(grant, authority=authority))
        self.settle()
        return grant

    @property
    def _signatures_file(self) -> Path:
        return self.file.with_name("signatures.toml")

    @property
    def _next_file(self) -> Path:
        return self.file.with_name(".next-key.pem")


def due(certificate: x509.Certificate) -> datetime:
    """When a certificate is to be renewed."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - life / _PART


class Renewal:
    """Renews while the gateway runs. `changed` is called in the event loop when the file has another certificate, whoever wrote it.

    `wanted`: whether another certificate is needed before that is due: the platform was not told of the key to sign with when this one was
    issued (by a version before, or to one), or has switched signatures on since. That is tried once, a while after the start.
    """

    def __init__(
        self,
        identity: Identity,
        server: str,
        *,
        changed: Callable[[], None],
        say: Callable[[str], None],
        wanted: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity, self._server, self._clock, self._clock_s = identity, server, clock, clock_s
        self._changed, self._say, self._wanted = changed, say, wanted
        self._serial: int | None = None
        # Not by the clock of the machine: one that was years ahead would stop renewing for years.
        self._not_before_s = float("-inf")
        self.problem = ""
        self.expires: datetime | None = None

    def status(self) -> dict[str, Any]:
        """For people."""
        return {
            "expires": self.expires and self.expires.isoformat(),
            "renewed_at": self._server,
            "problem": self.problem,
        }

    async def run(self) -> None:
        """Look every minute, until cancelled. Whatever fails is said and tried again: the gateway goes on with what it has."""
        self._look()  # with what it begins: a certificate that is due at once is another one soon, and its key is another one too
        while True:
            try:
                await asyncio.to_thread(self._renew_when_due)
            except Exception as error:  # noqa: BLE001 - said, with its cause; collecting does not need a certificate
                self._failed(error)
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - said, with its cause; collecting does not need a certificate
                self._failed(error)
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        try:
            found = self._identity.certificate()
        except ConfigError:
            return  # said by the renewal
        self.expires = found.not_valid_after_utc
        if self._serial is not None and found.serial_number != self._serial:
            log.info("the gateway uses another certificate", extra={"expires": self.expires.isoformat()})
            self._changed()
        self._serial = found.serial_number

    def _renew_when_due(self) -> None:
        if self._clock_s() < self._not_before_s:
            return
        early = self._wanted()
        if early or self._clock() >= due(self._identity.certificate()):
            self._identity.renew(self._server)
        if early:
            self._wanted = lambda: False
        self._identity.settle()
        self._not_before_s, self.problem = float("-inf"), ""

    def _failed(self, error: Exception) -> None:
        self._not_before_s = self._clock_s() + AGAIN_S * random.uniform(2 / 3, 4 / 3)
        if self.problem != (cause := cause_of(error)):
            foreseen = isinstance(error, (MillraceError, OSError))
            log.error(
                "the gateway's certificate was not renewed",
                extra={"cause": cause},
                exc_info=None if foreseen else error,
            )
            self._say(f"the gateway's certificate was not renewed: {cause}")
        self.problem = cause
