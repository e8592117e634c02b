"""What a gateway asks of the enrolment's door, and what it is answered. JSON over HTTPS, one request a connection.

    GET  /v1/authority      the authority's certificate, PEM; believed only when the code's pin says so
    POST /v1/enrol          {"body": text, "proof": base64}: body is an `Enrolment`, signed with the key of the code
    POST /v1/renew          the same: body is a `Renewal`, signed with the key of the certificate that the gateway holds

`body` is JSON in a text, and the proof signs this text, so nothing has to be written the same way twice. The proof begins with what it is
for: an enrolment's is none for a renewal. Answers: 200 with a `Grant` in the same form, signed with the authority's key, so that the door
cannot write a gateway's configuration; else {"error": text}.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from base.errors import InvalidRequestError

MAX_BYTES = 16_384
"""Of a request."""
CERTIFICATE, AUTHORITY = "{certificate}", "{authority}"
"""In a grant's connections: the gateway's own file with key and certificate, and the file with the authority's certificate."""
_NAME = re.compile(r"[a-z_]+")
"""Keys of a connection's table."""
T = TypeVar("T", bound="_Body")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Body:
    PURPOSE: ClassVar[bytes] = b""

    def text(self) -> str:
        """JSON, without `signing` where there is none: a signer of 0.2 takes no field that it does not know."""
        return json.dumps(
            {name: value for name, value in dataclasses.asdict(self).items() if value or name != "signing"}
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment(_Body):
    """`handle`: the code's, hexadecimal. `request`: a certificate request (PKCS 10), PEM; its subject counts nothing.

    `signing`: public half of the key that the gateway will sign with, raw Ed25519, hexadecimal; a gateway of a version before has none.
    """

    PURPOSE: ClassVar[bytes] = b"millrace enrol 1\0"

    handle: str
    gateway: str
    site: str
    request: str
    signing: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal(_Body):
    """`certificate`: the one that the gateway holds, PEM. `request`, `signing`: for its next key."""

    PURPOSE: ClassVar[bytes] = b"millrace renew 1\0"

    certificate: str
    request: str
    signing: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a gateway gets. `connections`: tables of its configuration. All but certificate and authority are empty when it renews.

    `kafka`: bootstrap servers; empty for a gateway that the platform wants to go by `ingestion`, the address of the ingestion service; that
    is empty where none runs. `signatures`: whether the platform signs commands, and wants frames and acknowledgements signed.
    `unsigned_until`: commands without a signature are to be taken until then (ISO 8601), while gateways are upgraded; empty: never.
    """

    PURPOSE: ClassVar[bytes] = b"millrace grant 1\0"

    certificate: str
    authority: str
    kafka: str = ""
    ingestion: str = ""
    connections: tuple[Mapping[str, Any], ...] = field(default=())
    signatures: bool = False
    unsigned_until: str = ""

    def as_json(self, prove: Callable[[bytes], bytes]) -> dict[str, str]:
        """For the answer; `prove` makes the signature."""
        text = json.dumps(dataclasses.asdict(self))
        return {"body": text, "proof": base64.b64encode(prove(self.PURPOSE + text.encode())).decode()}

    @classmethod
    def proved(cls, answer: Any, verify: Callable[[bytes, bytes], None]) -> Self:
        """Of an answer; raises InvalidRequestError, and what `verify` raises for a signature and what it is of."""
        try:
            text, proof = _text(answer, "body"), base64.b64decode(_text(answer, "proof"), validate=True)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the answer is no grant: {error}"
            raise InvalidRequestError(msg) from error
        verify(proof, cls.PURPOSE + text.encode())
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Of its body; raises InvalidRequestError."""
        try:
            tables = tuple(_named(one) for one in answer.get("connections", ()))
            texts = {name: _text(answer, name) for name in ("certificate", "authority", "kafka")}
            # An older platform does not have these.
            texts |= {name: _text({name: ""} | answer, name) for name in ("ingestion", "unsigned_until")}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            msg = f"the answer is no grant: {error}"
            raise InvalidRequestError(msg) from error
        return cls(connections=tables, signatures=answer.get("signatures") is True, **texts)


def signed(body: _Body) -> bytes:
    """What the proof signs."""
    return body.PURPOSE + body.text().encode()


def envelope(body: _Body, proof: bytes) -> bytes:
    """The request."""
    return json.dumps({"body": body.text(), "proof": base64.b64encode(proof).decode()}).encode()


def opened(kind: type[T], request: bytes) -> tuple[T, bytes, bytes]:
    """Body, what is signed, and the proof; raises InvalidRequestError, which repeats nothing of the request."""
    msg = f"not a request of kind {kind.__name__}"
    try:
        outer = json.loads(request)
        text, proof = _text(outer, "body"), base64.b64decode(_text(outer, "proof"), validate=True)
        inner = json.loads(text)
        names = {one.name for one in dataclasses.fields(kind)}
        if not names - {"signing"} <= set(inner) <= names:
            raise InvalidRequestError(msg)
        return kind(**{name: _text(inner, name) for name in inner}), kind.PURPOSE + text.encode(), proof
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise InvalidRequestError(msg) from None


def _named(table: Any) -> dict[str, Any]:
    found = dict(table)
    for name in found:
        if not _NAME.fullmatch(name):
            msg = f"a connection has a key {name[:40]!r}"
            raise ValueError(msg)
    return found


def _text(table: Any, name: str) -> str:
    found = table[name]
    if not isinstance(found, str):
        msg = f"{name} is no text"
        raise TypeError(msg)
    return found
