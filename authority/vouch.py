"""`python -m authority.vouch --config vouch.toml`: vouches for signing keys where something else issues the certificates (cert-manager).

Enters: a folder with a file for each signer (key and certificate, PEM, as `stack.signing` has them), names of revoked generations, key and
certificate of an authority that issues nothing else. Leaves: records of `signing.keys`. The topic is the only record: the process keeps
nothing. It looks every ten seconds whether something has changed. A file that cannot be used is an error in the log and in the metrics;
the others count. SIGTERM and SIGINT end it.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import Gauge

from authority import telling
from authority.signing_keys import AFTER
from base import endpoint, heartbeat, logs, p256, signals
from base.errors import ConfigError, MillraceError, cause_of
from base.ids import now_us
from base.settings import EndpointSettings, KafkaSettings, load
from base.signing_key import Signer
from schemas.signing_keys import REPLAY, SERVING, SigningKey, gateway_holder, holder_of

log = logging.getLogger(__name__)

_EVERY_S, _AGAIN_S = 10.0, 600.0
"""How often it looks at the files, and at the topic though no file has changed."""
_PATIENCE_S = 60.0
_REVOKED = re.compile(r"(.+)\.[1-9][0-9]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthoritySettings:
    """Certificate and key, PEM, whose word about keys counts."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class VouchSettings:
    """The whole file; read again at each look."""

    kafka: KafkaSettings
    authority: AuthoritySettings
    # Folder of files NAME.pem.
    signers: Path
    # Name and generation, like gateway-gw-north-1.1: all keys of it count no more. What was revoked stays so when it leaves this list.
    revoked: tuple[str, ...] = ()
    metrics: EndpointSettings = field(default_factory=EndpointSettings)

    def __post_init__(self) -> None:
        for one in self.revoked:
            if not (found := _REVOKED.fullmatch(one)) or not _may_sign(found[1]):
                msg = f"revoked has {one!r}; it is a signer and its generation, like {gateway_holder('gw-north-1')}.1"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A signer of the folder, and until when its key counts."""

    signer: Signer
    until_us: int


class Voucher:
    """One process's work. `look` is called again and again, from one thread."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._stamp: tuple[bytes, ...] = ()
        self._again_s = 0.0
        self.keys, self.refused = 0, list[str]()
        """How many keys it vouches for; files that it does not, since the newest look."""

    def look(self) -> int:
        """Tell what is new; how many keys. It asks the broker only when something has changed. Raises MillraceError, OSError."""
        # Its text first: what changes meanwhile is seen as a change, above all another key that is revoked.
        config, settings = self._config.read_bytes(), load_settings(self._config)
        files = sorted(settings.signers.glob("*.pem"))
        texts = {file.name: file.read_bytes() for file in files}
        own = (settings.authority.certificate, settings.authority.key)
        stamp = (config, *(one.read_bytes() for one in own), *texts.values())
        if stamp == self._stamp and time.monotonic() < self._again_s:
            return 0
        root, prove = authority_of(settings.authority)
        vouched = self.signers(texts, root)
        said = telling.told(settings.kafka, settings.authority.certificate)
        new = telling.tell(settings.kafka, prove, said, wanted(vouched, frozenset(settings.revoked), said, now_us()))
        self._stamp, self._again_s, self.keys = stamp, time.monotonic() + _AGAIN_S, len(vouched)
        if new:
            log.info("told", extra={"keys": new})
        return new

    def signers(self, texts: Mapping[str, bytes], root: x509.Certificate) -> list[Vouched]:
        """Of the folder's files, by name; those that do not count are in `refused`."""
        found, self.refused = list[Vouched](), list[str]()
        for name, text in texts.items():
            try:
                found.append(_vouched(text, root))
            except ValueError as error:
                self.refused.append(name)
                log.error("nobody vouches for a key", extra={"file": name, "cause": str(error)})
        return found


def wanted(
    vouched: Iterable[Vouched], revoked: frozenset[str], said: Mapping[str, SigningKey], at_us: int
) -> list[SigningKey]:
    """What the topic is to say, of what it says. Keys that no file has any more stay as they are, until they end or are revoked."""
    found = dict(said)
    for one in vouched:
        signer, before = one.signer, said.get(one.signer.id)
        found[signer.id] = SigningKey(
            key_id=signer.id,
            holder=holder_of(signer.id),
            public=signer.public,
            from_us=before.from_us if before else at_us,
            until_us=max(one.until_us, before.until_us if before else 0),
            revoked_us=before.revoked_us if before else None,
        )
    for key_id, key in found.items():
        if key_id.rpartition(".")[0] in revoked and key.revoked_us is None:
            found[key_id] = dataclasses.replace(key, revoked_us=at_us)
    return list(found.values())


def _vouched(text: bytes, root: x509.Certificate) -> Vouched:
    """Of a file; raises ValueError, which says what is wrong with it."""
    signer, certificate = Signer.of(text), x509.load_pem_x509_certificate(text)
    if p256.read_key(text).public_key() != certificate.public_key():
        msg = "the key is not that of the certificate"
        raise ValueError(msg)
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        msg = "the certificate is not of the authority that vouches"
        raise ValueError(msg) from None
    if not _may_sign(name := holder_of(signer.id)):
        msg = f"{name} signs nothing: there are {SERVING}, {REPLAY} and {gateway_holder('ID')}"
        raise ValueError(msg)
    return Vouched(signer, telling.us(certificate.not_valid_after_utc + AFTER))


def _may_sign(name: str) -> bool:
    return name in (SERVING, REPLAY) or (name.startswith(gateway_holder("")) and name != gateway_holder(""))


def authority_of(settings: AuthoritySettings) -> tuple[x509.Certificate, telling.Prove]:
    """Certificate, and what makes its signatures. Raises ConfigError, OSError."""
    try:
        root = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
        key: ec.EllipticCurvePrivateKey = p256.read_key(settings.key.read_bytes())
    except ValueError as error:
        msg = f"[authority] has no certificate and key on the curve P-256 that can be read: {cause_of(error)}"
        raise ConfigError(msg) from error
    if root.public_key() != key.public_key():
        msg = "authority.key is not the key of authority.certificate"
        raise ConfigError(msg)
    return root, lambda data: p256.sign(key, data)


def load_settings(config: Path) -> VouchSettings:
    """The file, with what the environment replaces; raises ConfigError."""
    return load(VouchSettings, config, service="vouch")


def run(config: Path, stop: threading.Event) -> None:
    """Look until `stop`. What fails is tried again at the next look. Raises ConfigError when it cannot begin."""
    registry = endpoint.new_registry()
    keys = Gauge("millrace_vouch_keys", "Signing keys that it vouches for.", registry=registry)
    refused = Gauge("millrace_vouch_refused_files", "Files of signers that cannot be used.", registry=registry)
    failing = Gauge("millrace_vouch_failing", "1 while new keys cannot be told.", registry=registry)
    beat, voucher = heartbeat.from_environment(patience_s=_PATIENCE_S), Voucher(config)
    listening = endpoint.start(load_settings(config).metrics, registry)
    try:
        while not stop.is_set():
            beat.tick()
            try:
                voucher.look()
                failing.set(0)
            except (MillraceError, OSError) as error:
                failing.set(1)
                log.error("what is new about keys is not told; it is tried again", extra={"cause": str(error)})
            keys.set(voucher.keys)
            refused.set(len(voucher.refused))
            stop.wait(_EVERY_S)
    finally:
        if listening is not None:
            listening.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m authority.vouch", description="Tell the topic signing.keys whose key is whose."
    )
    parser.add_argument("--config", type=Path, required=True, help="vouch.toml")
    parser.add_argument("--once", action="store_true", help="look once; the exit status says whether all is told")
    options = parser.parse_args(arguments)
    logs.configure("vouch")
    try:
        if options.once:
            voucher = Voucher(options.config)
            voucher.look()
            return 1 if voucher.refused else 0
        run(options.config, signals.stop_event())
    except (MillraceError, OSError) as error:
        log.error("it cannot vouch", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
