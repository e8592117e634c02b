"""Keys that sign frames, commands and acknowledgements: who has which, as the authority says it. Topic `signing.keys`.

Enters: records of the topic and the authority's certificate. Leaves: for the id of a key, whose it is and whether it counts now. Each
record is signed with the authority's key, so neither the topic nor the broker has to be believed. A key that was revoked once stays
revoked, whatever comes after it. Whether a key counts is asked each time: a signature that was found good is no leave for ever.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from base import p256
from base.errors import ConfigError, UndecodableError, cause_of
from schemas import codec

RECORD = "SigningKey"
SERVING = "serving"
"""Whose keys sign commands."""
REPLAY = "replay"
"""Whose keys sign frames of the stream REPLAY, in the name of any gateway."""
_GATEWAY = "gateway-"
_PURPOSE = b"millrace signing key 1\0"

Find = Callable[[str], "SigningKey | None"]


def gateway_holder(gateway_id: str) -> str:
    """Holder of a gateway's keys: the name of its certificate."""
    return f"{_GATEWAY}{gateway_id}"


def holder_of(key_id: str) -> str:
    """Whose key an id names: it is holder, generation and fingerprint, with dots between."""
    return key_id.rsplit(".", 2)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningKey:
    """One key. `public` is raw Ed25519, 32 bytes. Times are microseconds UTC; it counts until `until_us`, unless it was revoked."""

    key_id: str
    holder: str
    public: bytes
    from_us: int
    until_us: int
    revoked_us: int | None = None

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return self.key_id.encode()

    @property
    def statement(self) -> str:
        """What the authority signs; the same key has the same text."""
        return json.dumps(dataclasses.asdict(self) | {"public": self.public.hex()}, sort_keys=True)

    def encode(self, prove: Callable[[bytes], bytes]) -> bytes:
        """Kafka value; `prove` makes the authority's signature."""
        text = self.statement
        return codec.encode(
            RECORD, {"key_id": self.key_id, "statement": text, "proof": prove(_PURPOSE + text.encode())}
        )

    @classmethod
    def decode(cls, message: bytes, root: ec.EllipticCurvePublicKey) -> Self:
        """Of a Kafka value that the authority has signed; raises UndecodableError or UnknownSchemaError."""
        record = codec.decode(message, RECORD)[1]
        try:
            p256.verify(root, record["proof"], _PURPOSE + record["statement"].encode())
            found = json.loads(record["statement"])
            return cls(**found | {"public": bytes.fromhex(found["public"])})
        except InvalidSignature:
            msg = "the authority has not signed this key"
            raise UndecodableError(msg) from None
        except (ValueError, TypeError, KeyError) as error:
            msg = f"the statement about the key cannot be read: {error}"
            raise UndecodableError(msg) from error

    def problem(self, now_us: int) -> str:
        """Why it does not count now, for people; empty when it does."""
        if self.revoked_us is not None:
            return f"key {self.key_id} was revoked at {_moment(self.revoked_us)}"
        if now_us >= self.until_us:
            return f"key {self.key_id} ended at {_moment(self.until_us)}"
        return ""


class KeyBook:
    """What the topic says, of one authority. Any thread may call."""

    def __init__(self, root: ec.EllipticCurvePublicKey) -> None:
        self._root = root
        self._keys: dict[str, SigningKey] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, certificate: Path | str) -> Self:
        """Of the authority with that certificate, PEM; raises ConfigError."""
        try:
            found = x509.load_pem_x509_certificate(Path(certificate).read_bytes()).public_key()
        except (OSError, ValueError) as error:
            msg = f"{certificate} has no certificate of an authority that can be read: {cause_of(error)}"
            raise ConfigError(msg) from error
        if not p256.is_public(found):
            msg = f"the authority of {certificate} has no key on the curve P-256, so it cannot be believed about signing keys"
            raise ConfigError(msg)
        return cls(found)

    def __len__(self) -> int:
        return len(self._keys)

    def apply(self, message: bytes) -> SigningKey:
        """Take a record in; raises UndecodableError or UnknownSchemaError for what is none, or is not signed by the authority."""
        found = SigningKey.decode(message, self._root)
        with self._lock:  # between the question and the change nobody else may revoke it
            before = self._keys.get(found.key_id)
            if before is None or before.revoked_us is None or found.revoked_us is not None:
                self._keys[found.key_id] = found
            return self._keys[found.key_id]

    def has(self, holder: str, now_us: int) -> bool:
        """Whether a key of that holder counts."""
        with self._lock:
            return any(one.holder == holder and not one.problem(now_us) for one in self._keys.values())

    def find(self, key_id: str) -> SigningKey | None:
        """The key of an id."""
        return self._keys.get(key_id)


def refusal(find: Find, key_id: str | None, holders: tuple[str, ...], now_us: int) -> SigningKey | str:
    """The key of that id, when it is one of these holders' and counts now; else why not, for people."""
    if not key_id:
        return "it names no key"
    # By its name first: who makes up ids of others makes nobody look for them.
    if (named := holder_of(key_id)) not in holders:
        return f"key {key_id} is of {named}, and it would have to be of {' or '.join(holders)}"
    key = find(key_id)
    if key is None:
        return f"key {key_id} is not known"
    if key.holder != named:
        return f"key {key_id} is of {key.holder}"
    return key.problem(now_us) or key


def _moment(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def until_us(moment: str, setting: str = "signatures.unsigned_until") -> int:
    """Microseconds UTC of a setting, 0 when it is empty; raises ValueError."""
    if not moment:
        return 0
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        msg = f"{setting} is {moment!r}, not a moment such as 2027-01-31T00:00:00Z"
        raise ValueError(msg)
    return int(found.timestamp() * 1e6)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureSettings:
    """Whether the jobs ask for signatures.

    `required`: frames and acknowledgements without a good one are refused. `authority`: file with the certificate of the authority whose
    word about keys counts, PEM. `unsigned_until`: what has no signature at all is taken until this moment (ISO 8601, with its offset), by
    the job's clock: for what was written before the upgrade, and for gateways that come after it. A wrong signature is always refused.
    """

    required: bool = False
    authority: str = ""
    unsigned_until: str = ""

    def __post_init__(self) -> None:
        if self.required and not self.authority:
            msg = "signatures.required is set, and signatures.authority is not: whose word about keys counts?"
            raise ValueError(msg)
        until_us(self.unsigned_until)

    @property
    def unsigned_until_us(self) -> int:
        """Microseconds UTC; 0 where nothing unsigned is taken."""
        return until_us(self.unsigned_until)
