"""The signer: decides about requests and issues certificates. It has the authority's key; the network does not reach it.

Enters: requests as the door hands them on, byte for byte. Leaves: a status and an answer. Everything that decides is proved by the caller
itself (the signature with the code's key, or with the key of a certificate that is good), so nothing has to be believed of the door but the
address that it names in events.

Who proves that it has the code is told what is wrong with it. Who does not is told the same whatever is wrong.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from authority import signing_keys
from authority.authority import Authority
from authority.book import Entry, Usage
from base import p256, signing_key
from base.errors import InvalidRequestError, MillraceError, PermissionDeniedError, UnavailableError
from connectors.enrolment import keys, messages
from connectors.enrolment.messages import Enrolment, Grant, Renewal
from enrolment.ledger import CodeState, Ledger, StoredCode
from enrolment.outbox import Outbox, Refusals
from schemas.audit import AuditEvent, Outcome

log = logging.getLogger(__name__)

SERVICE = "enrolment"
PREFIX = "gateway-"
"""How names of gateways' certificates begin."""
_STATUS = {InvalidRequestError: 400, PermissionDeniedError: 403, UnavailableError: 503}
_CODE_REFUSED = (
    "the enrolment code is not taken here: it may have been used, ended, withdrawn or mistyped. Have another one made with"
    " `./millrace gateway enrol SITE` on the platform; its audit log says why this one was refused"
)
_CERTIFICATE_REFUSED = (
    "the certificate is not taken for a renewal: it may be revoked, replaced or over, or is not of this platform. Have a code made with"
    " `./millrace gateway enrol SITE` on the platform and enrol again; its audit log says why this one was refused"
)
_WRONG = {
    CodeState.USED: "the enrolment code was used at {used:%Y-%m-%d %H:%M} UTC by another key; if that was not you, revoke the gateway at"
    " once: `./millrace gateway revoke {gateway}`",
    CodeState.ENDED: "the enrolment code ended at {expires:%Y-%m-%d %H:%M} UTC",
    CodeState.WITHDRAWN: "the enrolment code was withdrawn: another was made for this gateway, or it was revoked",
    CodeState.SPENT: "the enrolment code was tried too often with something wrong",
}
_ANOTHER = "; `./millrace gateway enrol {site} --name {gateway}` on the platform makes another one"


class _RefusedError(PermissionDeniedError):
    """A refusal; `cause` is for the audit log, `kind` one of few."""

    def __init__(self, message: str, *, kind: str, gateway: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.kind, self.gateway, self.cause = kind, gateway, cause or message


class Admit(Protocol):
    """See `Platform`."""

    def __call__(self, *, replaced: bool) -> None:
        """Let the brokers know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What the signer asks the rest for.

    `admit`: give the gateway's principal its rights, and the one before none, which may have connections open (`replaced`); raises
    UnavailableError. `kafka`: the brokers' address for gateways. `ingestion`: that of the ingestion service, empty without one;
    `by_ingestion`: whether a gateway is to go by it. `connections`: tables of a gateway's configuration, as a grant has them.
    `place`: the path of a site. `signatures`, `unsigned_until`: see `Grant`.
    """

    admit: Admit
    kafka: str
    ingestion: str = ""
    by_ingestion: Callable[[str], bool] = lambda _: False
    connections: Callable[[str], tuple[Mapping[str, Any], ...]]
    place: Callable[[str], str] = str
    signatures: bool = False
    unsigned_until: Callable[[], str] = str


class Signer:
    """Of one authority. One object is for one thread."""

    def __init__(
        self,
        ledger: Ledger[Authority],
        platform: Platform,
        refusals: Refusals,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger, self._authority, self._platform = ledger, ledger.authority, platform
        # Of the same object of the authority: it is written to while that one's lock is held.
        self._outbox, self._refusals, self._clock = Outbox(ledger.authority), refusals, clock

    def answer(self, what: str, request: bytes, peer: str) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of the answer to `enrol`, `renew` or `authority`."""
        try:
            if what == "authority":
                return 200, {"authority": self._authority.root_file.read_text()}
            if what == "enrol":
                return 200, self._enrol(request, peer).as_json(self._authority.prove)
            if what == "renew":
                return 200, self._renew(request, peer).as_json(self._authority.prove)
            msg = "there are enrol, renew and authority"
            raise InvalidRequestError(msg)
        except _RefusedError as error:
            self._refused(what, error, peer)
            return 403, {"error": str(error)}
        except MillraceError as error:
            status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
            if status >= 500:
                log.warning("a request was not carried out", extra={"what": what, "cause": str(error)})
            return status, {"error": str(error) if status < 500 or status == 503 else "the signer cannot do this now"}

    # --- enrolling -------------------------------------------------------------------------------------------------------

    def _enrol(self, request: bytes, peer: str) -> Grant:
        asked, text, proof = messages.opened(Enrolment, request)
        with self._authority.held():
            code = self._proved(asked, text, proof)
            key, signing = keys.requested_key(asked.request), _signing_key(asked.signing)
            key_text = keys.key_bytes(key).hex()
            self._judge(code, asked, key_text)
            replaced = False
            if code.used is None:
                code, replaced = self._issue(code, key, key_text, signing, peer)
        # Not under the lock: who tells the brokers takes it, and tells them what counts then.
        try:
            self._platform.admit(replaced=replaced)
        except UnavailableError as error:
            log.warning("the brokers were not told of a gateway", extra={"gateway": code.gateway, "cause": str(error)})
            msg = "a broker of the platform does not answer, so nothing would be open yet; try again with the same code in a minute"
            raise UnavailableError(msg) from error
        return Grant(
            certificate=code.certificate,
            authority=self._authority.root_file.read_text(),
            kafka="" if self._platform.by_ingestion(code.gateway) else self._platform.kafka,
            ingestion=self._platform.ingestion,
            connections=self._platform.connections(code.gateway),
            signatures=self._platform.signatures,
            unsigned_until=self._platform.unsigned_until(),
        )

    def _proved(self, asked: Enrolment, text: bytes, proof: bytes) -> StoredCode:
        """The code that the caller has."""
        code = self._ledger.read().codes.get(asked.handle)
        if code is None:
            raise _RefusedError(_CODE_REFUSED, kind="no code", cause="no such code, or it ended more than a week ago")
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(code.verifier)).verify(proof, text)
        except InvalidSignature:
            if code.state(self._clock()) is CodeState.OPEN:
                self._ledger.change(dataclasses.replace(code, tries=code.tries + 1))
            cause = f"no proof of the code; try {code.tries + 1}"
            raise _RefusedError(_CODE_REFUSED, kind="no proof", gateway=code.gateway, cause=cause) from None
        return code

    def _judge(self, code: StoredCode, asked: Enrolment, key_text: str) -> None:
        """Raise _RefusedError unless the code is good for what is asked."""
        state, another = code.state(self._clock()), _ANOTHER.format(site=code.site, gateway=code.gateway)
        if (asked.gateway, asked.site) != (code.gateway, code.site):
            if state is CodeState.OPEN:
                self._ledger.change(dataclasses.replace(code, tries=code.tries + 1))
            msg = (
                f"the enrolment code is for gateway {code.gateway} of site {code.site}, and not for the one that was named:"
                " name that one, or have a code made for the other"
            )
            raise _RefusedError(msg, kind="another gateway", gateway=code.gateway)
        # The same key again: its answer was lost on the way.
        again = state is CodeState.USED and code.key == key_text and self._clock() < code.expires
        if again and self._authority.is_good(x509.load_pem_x509_certificate(code.certificate.encode())) is not None:
            return
        if state is CodeState.USED and code.key == key_text:
            over = (
                "the code has ended since"
                if self._clock() >= code.expires
                else "its certificate was revoked or replaced since"
            )
            msg = f"the enrolment code was used at {code.used:%Y-%m-%d %H:%M} UTC by this gateway itself, and {over}{another}"
            raise _RefusedError(msg, kind="used by itself", gateway=code.gateway)
        if state is not CodeState.OPEN:
            msg = _WRONG[state].format(used=code.used, expires=code.expires, gateway=code.gateway) + another
            raise _RefusedError(msg, kind=state.value, gateway=code.gateway)

    def _issue(
        self, code: StoredCode, key: ec.EllipticCurvePublicKey, key_text: str, signing: bytes, peer: str
    ) -> tuple[StoredCode, bool]:
        """The next generation: whoever held a certificate of this name before is somebody else, and is out."""
        name = f"{PREFIX}{code.gateway}"
        before = self._authority.newest(name)
        if before is not None and before.revoked is None:
            before = self._authority.revoke(name)
        entry, certificate = self._authority.sign(name, Usage.CLIENT, key)
        self._signs_with(entry, signing)
        made = dataclasses.replace(code, used=self._clock(), key=key_text, certificate=certificate)
        self._note("gateway:enrol", entry, code.site, peer, before=before.subject if before else "")
        self._ledger.change(made)
        self._ledger.seen(code.gateway)
        log.info("a gateway has enrolled", extra={"gateway": code.gateway, "site": code.site, "subject": entry.subject})
        return made, before is not None

    # --- renewing --------------------------------------------------------------------------------------------------------

    def _renew(self, request: bytes, peer: str) -> Grant:
        asked, text, proof = messages.opened(Renewal, request)
        with self._authority.held():
            entry = self._holder(asked, text, proof)
            gateway = entry.name.removeprefix(PREFIX)
            known = self._ledger.read().gateways.get(gateway)
            if known is None:
                cause = "this gateway does not enrol; the stack renews its certificate"
                raise _RefusedError(_CERTIFICATE_REFUSED, kind="does not enrol", gateway=gateway, cause=cause)
            key, signing = keys.requested_key(asked.request), _signing_key(asked.signing)
            renewed, certificate = self._authority.sign(entry.name, Usage.CLIENT, key)
            self._signs_with(renewed, signing)
            self._note("gateway:renew", renewed, known.site, peer, before=entry.subject)
            self._ledger.seen(gateway)
        log.info("a gateway has renewed its certificate", extra={"gateway": gateway, "site": known.site})
        return Grant(
            certificate=certificate,
            authority=self._authority.root_file.read_text(),
            signatures=self._platform.signatures,
            unsigned_until=self._platform.unsigned_until(),
        )

    def _holder(self, asked: Renewal, text: bytes, proof: bytes) -> Entry:
        """Whose certificate it is, proved with its key."""
        try:
            certificate = x509.load_pem_x509_certificate(asked.certificate.encode())
            entry = self._authority.is_good(certificate)
            gateway = "" if entry is None else entry.name.removeprefix(PREFIX)
            if entry is None or not entry.name.startswith(PREFIX):
                cause = f"{certificate.subject.rfc4514_string()} is not good"
                raise _RefusedError(_CERTIFICATE_REFUSED, kind="no certificate", gateway=gateway, cause=cause)
            p256.verify(certificate.public_key(), proof, text)
        except (ValueError, InvalidSignature, UnsupportedAlgorithm):
            raise _RefusedError(_CERTIFICATE_REFUSED, kind="no proof of a key", cause="no proof of the key") from None
        return entry

    def _signs_with(self, entry: Entry, signing: bytes) -> None:
        """Who reads `signing.keys` is told by the process around this one, which has the broker."""
        if signing:
            signing_keys.note(self._authority, entry, signing, self._clock())

    # --- events ----------------------------------------------------------------------------------------------------------

    def _note(self, action: str, entry: Entry, site: str, peer: str, *, before: str) -> None:
        self._outbox.put(
            AuditEvent(
                service=SERVICE,
                action=action,
                outcome=Outcome.DONE,
                subject=entry.name,
                credential="code" if action == "gateway:enrol" else "certificate",
                peer=peer,
                name=entry.name.removeprefix(PREFIX),
                path=self._platform.place(site),
                before=before,
                after=f"{entry.subject} until {entry.expires:%Y-%m-%d %H:%M} UTC, serial {entry.serial}",
            )
        )

    def _refused(self, what: str, error: _RefusedError, peer: str) -> None:
        log.warning("refused", extra={"what": what, "gateway": error.gateway, "cause": error.cause, "peer": peer})
        event = AuditEvent(
            service=SERVICE,
            action=f"gateway:{what}",
            outcome=Outcome.DENY,
            subject=f"{PREFIX}{error.gateway}" if error.gateway else "",
            peer=peer,
            name=error.gateway,
            code=error.kind,
            detail=error.cause,
        )
        self._refusals.note(f"{what} {error.kind}", event)


def _signing_key(text: str) -> bytes:
    """Of a request; empty for that of a gateway that signs nothing. Raises InvalidRequestError."""
    try:
        found = bytes.fromhex(text)
        if len(found) in (0, signing_key.PUBLIC_BYTES):
            return found
    except ValueError:
        pass
    msg = "the signing key is none: 32 bytes of a public Ed25519 key, hexadecimal"
    raise InvalidRequestError(msg)
