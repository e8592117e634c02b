"""The code of an enrolment: what people copy from the platform to the plant, and the key that is made of it.

40 bytes, written as 64 letters and digits: a handle (6, by which the platform finds it, no secret), two of a checksum (a slip of the pen
is noticed before anything is sent), a secret (16), and the first half of the SHA-256 of the authority's certificate (16), so that a gateway
which knows nothing yet knows whom to believe.

The code is never sent. Both sides make the same Ed25519 key of its secret; the gateway signs its request with it, and the platform keeps
the public half alone: who reads what the platform stores, or what is on the wire, cannot enrol, and who stands between cannot put another
request in its place. 128 random bits are out of reach of guessing, so the plain hash is enough to make the key.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from base.errors import ConfigError

_HANDLE, _CHECK, _SECRET, _PIN = 6, 2, 16, 16
_GROUP = 8
_PURPOSE = b"millrace enrolment code 1\0"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Code:
    """One code. Its secret is in no text but `text`."""

    handle: bytes
    secret: bytes
    pin: bytes

    @classmethod
    def new(cls, root_der: bytes) -> Self:
        """A code of an authority, by its certificate."""
        return cls(handle=os.urandom(_HANDLE), secret=os.urandom(_SECRET), pin=pin(root_der))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The code that somebody typed; blanks, dashes and case do not count. Raises ConfigError, which does not show it."""
        plain = "".join(text.split()).replace("-", "").upper()
        try:
            data = base64.b32decode(plain)
        except ValueError:
            data = b""
        if len(data) != _HANDLE + _CHECK + _SECRET + _PIN:
            msg = (
                f"that is no enrolment code: it has 64 letters and digits, and this one has {len(plain)};"
                " copy it whole from `./millrace gateway enrol SITE`"
            )
            raise ConfigError(msg)
        handle, rest = data[:_HANDLE], data[_HANDLE + _CHECK :]
        if data[_HANDLE : _HANDLE + _CHECK] != _checksum(handle + rest):
            msg = "the enrolment code has a slip of the pen in it: copy it whole from `./millrace gateway enrol SITE`"
            raise ConfigError(msg)
        return cls(handle=handle, secret=rest[:_SECRET], pin=rest[_SECRET:])

    @property
    def text(self) -> str:
        """As people copy it: eight groups of eight."""
        rest = self.secret + self.pin
        plain = base64.b32encode(self.handle + _checksum(self.handle + rest) + rest).decode()
        return "-".join(plain[at : at + _GROUP] for at in range(0, len(plain), _GROUP))

    @property
    def key(self) -> Ed25519PrivateKey:
        """Signs the request."""
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_PURPOSE + self.handle + self.secret).digest())

    @property
    def verifier(self) -> bytes:
        """What the platform keeps: the public half, 32 bytes."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def is_of(self, root_der: bytes) -> bool:
        """Whether an authority's certificate is the one that the code means."""
        return pin(root_der) == self.pin


def pin(root_der: bytes) -> bytes:
    """What a code says of an authority's certificate."""
    return hashlib.sha256(root_der).digest()[:_PIN]


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK]
