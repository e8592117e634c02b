"""The gateway's side of the enrolment's door: ask, and believe nobody but the authority that the code, or a file, names."""

from __future__ import annotations

import dataclasses
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from base import p256, signing_key
from base.errors import ConfigError, InvalidRequestError, PermissionDeniedError, UnavailableError
from connectors.enrolment import keys, messages
from connectors.enrolment.code import Code
from connectors.enrolment.messages import Enrolment, Grant, Renewal

_ANSWER_S = 70.0
_MAX_ANSWER = 1 << 20


class _MalformedError(ConfigError):
    """The signer cannot read the request, or refuses what it says."""


def check_server(server: str) -> None:
    """Raise ValueError unless it is an `https://host:port`."""
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        msg = f"server is {server[:100]!r}, not https://host:port"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Client:
    """Of one door, `https://host:port`. All methods block."""

    server: str

    def authority(self, code: Code) -> str:
        """The authority's certificate, PEM, which the code knows; raises UnavailableError, PermissionDeniedError."""
        # Nobody is believed yet: what comes is compared with the code.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        text = self._open(urllib.request.Request(f"{self.server}/v1/authority"), context).decode("ascii", "replace")
        try:
            found = x509.load_pem_x509_certificate(text.encode())
        except ValueError:
            found = None
        if found is None or not code.is_of(found.public_bytes(Encoding.DER)):
            msg = (
                f"{self.server} is not the platform that made this code: its authority is another. Check the address; when it is right,"
                " somebody stands between, or the platform has another authority since: have another code made"
            )
            raise PermissionDeniedError(msg)
        return found.public_bytes(Encoding.PEM).decode()

    def enrol(self, code: Code, authority: str, key: ec.EllipticCurvePrivateKey, *, gateway: str, site: str) -> Grant:
        """A certificate for a key; raises UnavailableError, PermissionDeniedError, InvalidRequestError."""
        request = keys.request_pem(key, f"gateway-{gateway}")
        signing = signing_key.public_of(signing_key.derived(key)).hex()
        body = Enrolment(handle=code.handle.hex(), gateway=gateway, site=site, request=request, signing=signing)
        return self._ask("enrol", body, code.key.sign, authority, key)

    def renew(
        self, held: ec.EllipticCurvePrivateKey, certificate: str, authority: str, key: ec.EllipticCurvePrivateKey
    ) -> Grant:
        """A certificate for the next key, for the holder of `certificate`; raises as `enrol`."""
        signing = signing_key.public_of(signing_key.derived(key)).hex()
        body = Renewal(certificate=certificate, request=keys.request_pem(key, "renewal"), signing=signing)
        return self._ask("renew", body, lambda text: p256.sign(held, text), authority, key)

    def _ask(
        self,
        what: str,
        body: Enrolment | Renewal,
        prove: Callable[[bytes], bytes],
        authority: str,
        key: ec.EllipticCurvePrivateKey,
    ) -> Grant:
        context = ssl.create_default_context(cadata=authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_3

        def send(asked: Enrolment | Renewal) -> bytes:
            request = messages.envelope(asked, prove(messages.signed(asked)))
            headers = {"content-type": "application/json"}
            return self._open(urllib.request.Request(f"{self.server}/v1/{what}", request, headers), context)

        try:
            answer = send(body)
        except _MalformedError:
            # A signer of 0.2 takes exactly the fields that it knows. The certificate matters more than the signing key.
            answer = send(dataclasses.replace(body, signing=""))
        try:
            root = x509.load_pem_x509_certificate(authority.encode())
            grant = Grant.proved(json.loads(answer), lambda proof, text: p256.verify(root.public_key(), proof, text))
            found = x509.load_pem_x509_certificate(grant.certificate.encode())
            of_key = found.public_key()
            found.verify_directly_issued_by(root)
        except (ValueError, TypeError, RecursionError, InvalidSignature, UnsupportedAlgorithm, ssl.SSLError) as error:
            msg = f"{self.server} answered with something that its authority has not signed"
            raise InvalidRequestError(msg) from error
        if of_key != key.public_key():
            msg = f"{self.server} answered with a certificate for another key"
            raise InvalidRequestError(msg)
        return grant

    def _open(self, request: urllib.request.Request, context: ssl.SSLContext) -> bytes:
        handlers = (urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({}))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=_ANSWER_S) as answer:
                body: bytes = answer.read(_MAX_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                cause = _cause(error)
            if error.code == http.client.FORBIDDEN:
                raise PermissionDeniedError(cause) from None
            if error.code == http.client.BAD_REQUEST:
                raise _MalformedError(cause) from None
            if 400 <= error.code < 500:
                raise ConfigError(cause) from None
            raise UnavailableError(cause) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            msg = f"{self.server} cannot be reached: {error}; check the address, and that this machine may open connections to it"
            raise UnavailableError(msg) from error
        return body


def _cause(error: urllib.error.HTTPError) -> str:
    try:
        found: Any = json.loads(error.read(_MAX_ANSWER))
        return str(found["error"])[:1000]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return f"the platform answers {error.code}"
