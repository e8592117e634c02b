"""Enrolling without a broker: codes, the signer's decisions, the door over TLS, what is told to the audit log."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import ssl
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from authority.authority import LIFE, Authority
from authority.book import Usage
from base import p256
from base.errors import ConfigError, InvalidRequestError, PermissionDeniedError, UnavailableError
from connectors.enrolment import keys, messages
from connectors.enrolment.client import Client
from connectors.enrolment.code import Code
from connectors.enrolment.messages import Enrolment, Grant, Renewal
from edge.identity import Identity, due
from edge.identity import Renewal as Renewing
from edge.signing import SignatureSettings
from enrolment import channel, door
from enrolment.ledger import TRIES, CodeState, Ledger
from enrolment.outbox import WINDOW_S, Outbox, Refusals
from enrolment.signer import Platform, Signer
from schemas.audit import AuditEvent, Outcome
from tests.integration.gateway_support import free_port
from tests.integration.polling import eventually

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
NAME = "gateway-gw-1"


def granted(status: int, answer: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What a grant says, its signature apart."""
    return status, json.loads(answer["body"]) if status == 200 else answer


@dataclass
class Here:
    """A platform in a folder, at a time that is set."""

    folder: Path
    now: datetime = NOW
    seconds: float = 0.0
    admitted: list[bool] = field(default_factory=list)
    broker_answers: bool = True

    def __post_init__(self) -> None:
        clock = lambda: self.now  # noqa: E731
        self.authority = Authority(self.folder / "authority", clock=clock)
        self.authority.issue("enrolment", Usage.SERVER, ["127.0.0.1"])
        self.ledger = Ledger(self.authority, clock=clock)
        # As the signer's process has it: objects of their own, so that a lock which one holds is one for the others.
        self.outbox = Outbox(Authority(self.folder / "authority", clock=clock))
        self.refusals = Refusals(self.outbox, clock_s=lambda: self.seconds)
        table = {"name": "spb", "protocol": "sparkplug", "certificate_file": messages.CERTIFICATE}
        platform = Platform(
            admit=self.admit,
            kafka="kafka:9094",
            connections=lambda _: (table,),
            place=lambda site: f"acme/{site}",
            signatures=True,
            unsigned_until=lambda: "2027-04-01T00:00:00+00:00",
        )
        self.signer = Signer(self.ledger, platform, self.refusals, clock=clock)

    def admit(self, *, replaced: bool) -> None:
        if not self.broker_answers:
            msg = "no broker at a-secret-place:9092"
            raise UnavailableError(msg)
        self.admitted.append(replaced)

    @property
    def root(self) -> bytes:
        return x509.load_pem_x509_certificate(self.authority.root_file.read_bytes()).public_bytes(Encoding.DER)

    def code(self, gateway: str = "gw-1", site: str = "north", **more: Any) -> Code:
        return self.ledger.make(gateway, site, root_der=self.root, by="ann", **more)

    def enrol(
        self, code: Code, key: ec.EllipticCurvePrivateKey | None = None, gateway: str = "gw-1", site: str = "north"
    ) -> tuple[int, dict[str, Any]]:
        request = keys.request_pem(key or p256.new_key(), "x")
        body = Enrolment(handle=code.handle.hex(), gateway=gateway, site=site, request=request)
        return granted(
            *self.signer.answer("enrol", messages.envelope(body, code.key.sign(messages.signed(body))), "10.0.0.9")
        )

    def renew(
        self, held: ec.EllipticCurvePrivateKey, certificate: str, key: ec.EllipticCurvePrivateKey
    ) -> tuple[int, dict[str, Any]]:
        body = Renewal(certificate=certificate, request=keys.request_pem(key, "x"))
        proof = p256.sign(held, messages.signed(body))
        return granted(*self.signer.answer("renew", messages.envelope(body, proof), "10.0.0.9"))

    def events(self) -> list[AuditEvent]:
        """Those that wait, which are taken out."""
        found: list[AuditEvent] = []
        self.outbox.forward(found.extend)
        return found

    def states(self) -> set[CodeState]:
        return {one.state(self.now) for one in self.ledger.read().codes.values()}


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def enrolled(here: Here) -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = p256.new_key()
    status, answer = here.enrol(here.code(), key)
    assert status == 200, answer
    return key, answer["certificate"]


# --- the code ------------------------------------------------------------------------------------------------------------


def test_a_code_is_what_people_can_copy_and_shows_itself_nowhere_else(here: Here) -> None:
    code = Code.new(here.root)
    assert Code.parse(f"  {code.text.lower().replace('-', ' ')}\n") == code
    assert len(code.text) == 64 + 7
    assert code.text not in repr(code)
    assert code.secret.hex() not in repr(code)
    assert code.is_of(here.root)
    assert not code.is_of(here.root + b"x")


def test_a_slip_of_the_pen_is_noticed_before_anything_is_sent(here: Here) -> None:
    text = Code.new(here.root).text
    for at, one in enumerate(text):
        if one != "-":
            wrong = text[:at] + ("A" if one != "A" else "B") + text[at + 1 :]
            with pytest.raises(ConfigError) as found:
                Code.parse(wrong)
            assert wrong not in str(found.value)
    for wrong in ("", text[:-1], text + "A", "ö" * 64, "1" * 64):
        with pytest.raises(ConfigError, match="no enrolment code"):
            Code.parse(wrong)


def test_what_is_stored_of_a_code_opens_nothing(here: Here) -> None:
    code = here.code()
    stored = here.ledger.file.read_text()
    assert code.handle.hex() in stored
    for secret in (code.secret, code.key.private_bytes_raw()):
        assert secret.hex() not in stored
        assert base64.b64encode(secret).decode() not in stored
    assert stat.S_IMODE(here.ledger.file.stat().st_mode) == 0o600


# --- enrolling -----------------------------------------------------------------------------------------------------------


def test_a_gateway_gets_a_certificate_for_its_own_key_and_its_configuration(here: Here) -> None:
    key = p256.new_key()
    status, answer = here.enrol(here.code(), key)
    assert status == 200
    grant = Grant.of(answer)
    found = x509.load_pem_x509_certificate(grant.certificate.encode())
    assert found.public_key() == key.public_key()
    assert found.subject.rfc4514_string() == f"CN={NAME},OU=1"
    assert (grant.kafka, grant.connections[0]["name"]) == ("kafka:9094", "spb")
    assert here.authority.is_good(found) is not None
    assert not here.authority.file(NAME).exists()
    assert here.admitted == [False]
    assert here.ledger.read().gateways["gw-1"].seen == NOW
    (event,) = here.events()
    assert (event.action, event.outcome, event.subject, event.path) == (
        "gateway:enrol",
        Outcome.DONE,
        NAME,
        "acme/north",
    )
    assert (event.peer, event.credential) == ("10.0.0.9", "code")


@pytest.mark.security("T-EDGE-ENROL", "V6.4.1")
def test_a_code_is_good_once_and_its_holder_is_told_why(here: Here) -> None:
    code = here.code()
    assert here.enrol(code)[0] == 200
    status, answer = here.enrol(code)
    assert status == 403
    assert "was used at 2027-03-01 12:00 UTC" in answer["error"]
    assert "gateway enrol north --name gw-1" in answer["error"]
    assert [one.outcome for one in here.events()] == [Outcome.DONE, Outcome.DENY]
    assert here.authority.newest(NAME).generation == 1  # type: ignore[union-attr]


def test_an_answer_that_was_lost_can_be_asked_for_again_with_the_same_key(here: Here) -> None:
    code, key = here.code(), p256.new_key()
    first, second = here.enrol(code, key), here.enrol(code, key)
    assert first == second
    assert first[0] == 200
    assert len(here.events()) == 1
    here.authority.revoke(NAME)
    assert here.enrol(code, key)[0] == 403
    here.now += timedelta(minutes=16)
    assert here.enrol(code, key)[0] == 403


def test_while_a_broker_is_away_the_code_stays_good_for_the_key_that_used_it(here: Here) -> None:
    code, key = here.code(), p256.new_key()
    here.broker_answers = False
    status, answer = here.enrol(code, key)
    assert status == 503
    assert "again with the same code" in answer["error"]
    assert "secret-place" not in answer["error"]
    here.broker_answers = True
    assert here.enrol(code, p256.new_key())[0] == 403
    assert here.enrol(code, key)[0] == 200


@pytest.mark.security("T-EDGE-ENROL", "V6.5.5")
def test_a_code_ends(here: Here) -> None:
    code, short = here.code(), here.code("gw-2", life=timedelta(minutes=1))
    here.now += timedelta(minutes=2)
    assert "ended at 2027-03-01 12:01 UTC" in here.enrol(short, gateway="gw-2")[1]["error"]
    here.now += timedelta(minutes=12, seconds=59)
    assert here.enrol(code)[0] == 200
    late = here.code()
    here.now += timedelta(minutes=15)
    assert here.enrol(late)[0] == 403


@pytest.mark.parametrize("named", [("gw-1", "south"), ("gw-2", "north"), ("gw-2", "south")])
def test_a_code_is_for_one_gateway_of_one_site(here: Here, named: tuple[str, str]) -> None:
    code = here.code()
    for at in range(TRIES):
        status, answer = here.enrol(code, gateway=named[0], site=named[1])
        assert status == 403, at
        assert "is for gateway gw-1 of site north" in answer["error"]
    # Whoever has it has tried too often: not even the right name helps now.
    assert here.enrol(code)[0] == 403
    assert here.states() == {CodeState.SPENT}
    assert here.authority.newest(NAME) is None


def test_a_later_code_takes_the_place_of_an_earlier_one(here: Here) -> None:
    first, second = here.code(), here.code()
    assert "withdrawn" in here.enrol(first)[1]["error"]
    assert here.enrol(second)[0] == 200


def guessed(code: Code) -> Code:
    """By somebody who knows its handle and not its secret."""
    return Code(handle=code.handle, secret=b"?" * 16, pin=code.pin)


def test_who_has_no_code_is_told_the_same_whatever_is_wrong(here: Here) -> None:
    code, used, other = here.code(), here.code("gw-2"), Code.new(here.root)
    here.enrol(used, gateway="gw-2")
    here.events()
    answers = [here.enrol(one) for one in (other, guessed(code), guessed(used))]
    assert {status for status, _ in answers} == {403}
    assert len({answer["error"] for _, answer in answers}) == 1
    for word in ("gw-", "north", code.handle.hex(), "used at"):
        assert word not in answers[0][1]["error"]
    events = here.events()
    assert [one.code for one in events] == ["no code", "no proof"]
    assert "try 1" in events[1].detail


@pytest.mark.security("T-EDGE-ENROL", "V6.5.4", "V6.6.3")
def test_guessing_spends_a_code(here: Here) -> None:
    code = here.code()
    for _ in range(TRIES):
        here.enrol(guessed(code))
    assert "tried too often" in here.enrol(code)[1]["error"]


@pytest.mark.security("T-EDGE-ENROL")
def test_another_request_in_the_place_of_the_signed_one_is_refused(here: Here) -> None:
    """Who stands between, the door among them, cannot make the code's owner enrol a key of somebody else."""
    code = here.code()
    mine = Enrolment(
        handle=code.handle.hex(), gateway="gw-1", site="north", request=keys.request_pem(p256.new_key(), "x")
    )
    theirs = Enrolment(
        handle=code.handle.hex(), gateway="gw-1", site="north", request=keys.request_pem(p256.new_key(), "x")
    )
    proof = code.key.sign(messages.signed(mine))
    assert here.signer.answer("enrol", messages.envelope(theirs, proof), "")[0] == 403
    # A proof of one purpose is none of another.
    assert here.signer.answer("enrol", messages.envelope(mine, code.key.sign(mine.text().encode())), "")[0] == 403
    assert here.authority.newest(NAME) is None


def test_who_enrols_again_is_somebody_new_and_the_one_before_is_out(here: Here) -> None:
    here.authority.issue(NAME, Usage.CLIENT)
    stolen = here.authority.file(NAME).read_bytes()
    _, certificate = enrolled(here)
    assert x509.load_pem_x509_certificate(certificate.encode()).subject.rfc4514_string() == f"CN={NAME},OU=2"
    assert here.authority.is_good(x509.load_pem_x509_certificate(stolen)) is None
    assert here.admitted == [True]
    assert not here.authority.file(NAME).exists()


def test_requests_that_are_none_cost_nothing(here: Here) -> None:
    code = here.code()
    rsa_key = rsa.generate_private_key(65537, 2048)
    foreign = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(rsa_key, hashes.SHA256())
    request = foreign.public_bytes(Encoding.PEM).decode()
    body = Enrolment(handle=code.handle.hex(), gateway="gw-1", site="north", request=request)
    odd = [
        b"", b"[]", b"{}", b"\xff", b"null", b"[" * 10_000, b'{"body": 1, "proof": ""}', b'{"body": "{}", "proof": "?"}',
        b'{"body": "[]", "proof": ""}', b'{"body": "{\\"handle\\": 1}", "proof": ""}',
        messages.envelope(body, code.key.sign(messages.signed(body))),
    ]  # fmt: skip
    for one in odd:
        for what in ("enrol", "renew"):
            status, answer = here.signer.answer(what, one, "")
            assert status == 400, one
            assert len(answer["error"]) < 200
    assert here.signer.answer("else", b"", "")[0] == 400
    assert here.states() == {CodeState.OPEN}
    assert here.enrol(code)[0] == 200


def test_codes_are_forgotten_and_gateways_are_not(here: Here) -> None:
    here.enrol(here.code())
    here.now += timedelta(days=8)
    here.code("gw-2")
    assert [one.gateway for one in here.ledger.read().codes.values()] == ["gw-2"]
    assert set(here.ledger.read().gateways) == {"gw-1", "gw-2"}


# --- renewing ------------------------------------------------------------------------------------------------------------


def test_a_gateway_renews_by_the_key_that_it_holds(here: Here) -> None:
    held, certificate = enrolled(here)
    here.now += LIFE - timedelta(days=5)
    key = p256.new_key()
    status, answer = here.renew(held, certificate, key)
    assert status == 200
    found = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert (found.subject.rfc4514_string(), found.public_key()) == (f"CN={NAME},OU=1", key.public_key())
    assert found.not_valid_after_utc == here.now + LIFE
    assert (answer["signatures"], answer["unsigned_until"]) == (True, "2027-04-01T00:00:00+00:00")
    assert here.authority.newest(NAME).expires == here.now + LIFE  # type: ignore[union-attr]
    # The answer was lost: the one before is good until its end.
    assert here.renew(held, certificate, key)[0] == 200
    here.now += timedelta(days=6)
    assert here.renew(held, certificate, key)[0] == 403
    assert [one.action for one in here.events()] == ["gateway:enrol", "gateway:renew", "gateway:renew", "gateway:renew"]


@pytest.mark.security("T-EDGE-ENROL", "SR 1.9")
def test_a_revoked_a_foreign_and_a_stolen_certificate_renew_nothing(here: Here, tmp_path: Path) -> None:
    held, certificate = enrolled(here)
    key = p256.new_key()
    thief = here.renew(p256.new_key(), certificate, key)
    other = Authority(tmp_path / "other", clock=lambda: here.now)
    _, forged = other.sign(NAME, Usage.CLIENT, held.public_key())
    here.authority.issue("node-sim-north", Usage.CLIENT)
    node_file = here.authority.file("node-sim-north").read_bytes()
    node = x509.load_pem_x509_certificate(node_file).public_bytes(Encoding.PEM).decode()
    server_file = here.authority.file("enrolment").read_bytes()
    server = x509.load_pem_x509_certificate(server_file).public_bytes(Encoding.PEM).decode()
    here.authority.issue("gateway-gw-9", Usage.CLIENT)
    local_file = here.authority.file("gateway-gw-9").read_bytes()
    local = x509.load_pem_x509_certificate(local_file).public_bytes(Encoding.PEM).decode()
    tried = [
        thief,
        here.renew(held, forged, key),
        here.renew(p256.read_key(node_file), node, key),
        here.renew(p256.read_key(server_file), server, key),
        here.renew(p256.read_key(local_file), local, key),
    ]
    here.authority.revoke(NAME)
    tried.append(here.renew(held, certificate, key))
    assert {status for status, _ in tried} == {403}
    assert len({answer["error"] for _, answer in tried}) == 1
    assert len([one for one in here.events() if one.outcome == Outcome.DONE]) == 1


# --- the audit log -------------------------------------------------------------------------------------------------------


def test_events_wait_for_the_broker_in_their_order_and_are_sent_once(here: Here) -> None:
    here.enrol(here.code())
    here.enrol(here.code())

    def away(_: Sequence[AuditEvent]) -> None:
        msg = "away"
        raise UnavailableError(msg)

    with pytest.raises(UnavailableError):
        here.outbox.forward(away)
    with here.outbox.file.open("a") as file:
        file.write("00ff")  # cut by a loss of power
    assert [one.after[:18] for one in here.events()] == [f"CN={NAME},OU={number}"[:18] for number in (1, 2)]
    assert here.events() == []


def test_refusals_are_counted_after_the_first(here: Here) -> None:
    for _ in range(50):
        here.enrol(Code.new(here.root))
    assert [one.count for one in here.events()] == [1]
    here.refusals.flush()
    assert here.events() == []
    here.seconds += WINDOW_S
    here.refusals.flush()
    assert [one.count for one in here.events()] == [49]
    here.seconds += WINDOW_S
    here.refusals.flush()
    here.enrol(Code.new(here.root))
    assert [one.count for one in here.events()] == [1]


# --- the door ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path) -> Here:
    """In the present time, which TLS looks at."""
    return Here(tmp_path / "live", now=datetime.now(UTC))


@pytest.fixture
def served(live: Here) -> Iterator[str]:
    """The door and the signer behind it, at real sockets."""
    port, socket = free_port(), live.folder / "signer.sock"
    config = door.DoorConfig(listen=f"127.0.0.1:{port}", certificate=live.authority.file("enrolment"), signer=socket)
    server = door.server(config)

    async def both() -> None:
        listening = await channel.serve(socket, live.signer.answer)
        async with listening:
            await server._serve()

    thread = threading.Thread(target=lambda: asyncio.run(both()), daemon=True)
    thread.start()
    eventually(lambda: server.started, what="the door")
    yield f"https://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def test_a_gateway_enrols_and_renews_through_the_door(live: Here, served: str, tmp_path: Path) -> None:
    code, client = live.code(), Client(served)
    identity = Identity.of(tmp_path / "gateway")
    identity.file.parent.mkdir()
    key = identity.next_key()
    assert identity.next_key().public_key() == key.public_key()
    authority = client.authority(code)
    identity.take(key, client.enrol(code, authority, key, gateway="gw-1", site="north"))
    identity.settle()
    assert stat.S_IMODE(identity.file.stat().st_mode) == 0o600
    assert sorted(one.name for one in identity.file.parent.iterdir()) == [
        "authority.pem",
        "identity.pem",
        "signatures.toml",
    ]
    first = identity.certificate()
    assert first.not_valid_before_utc < due(first) < first.not_valid_after_utc
    renewal = Renewing(identity, served, changed=lambda: None, say=lambda _: None, wanted=lambda: True)
    renewal._renew_when_due()
    wanted = SignatureSettings(enabled=True, unsigned_until="2027-04-01T00:00:00+00:00")
    assert identity.signatures(SignatureSettings()) == wanted, "what the platform said with the certificate"
    second = identity.certificate()
    assert second.serial_number != first.serial_number
    assert p256.read_key(identity.file.read_bytes()).public_key() == second.public_key() != first.public_key()
    ssl.create_default_context(cafile=identity.authority_file).load_cert_chain(identity.file)
    with pytest.raises(PermissionDeniedError, match="was used at"):
        client.enrol(code, authority, p256.new_key(), gateway="gw-1", site="north")
    live.authority.revoke(NAME)
    with pytest.raises(PermissionDeniedError, match="not taken for a renewal"):
        identity.renew(served)
    assert identity.certificate().serial_number == second.serial_number


def test_a_gateway_enrols_and_renews_at_a_signer_of_a_version_before(
    live: Here, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = messages.opened

    def as_in_0_2(kind: Any, request: bytes) -> Any:
        if "signing" in json.loads(json.loads(request)["body"]):
            msg = f"not a request of kind {kind.__name__}"
            raise InvalidRequestError(msg)
        return opened(kind, request)

    monkeypatch.setattr(messages, "opened", as_in_0_2)
    code, client = live.code(), Client(served)
    identity = Identity.of(tmp_path / "gateway")
    identity.file.parent.mkdir()
    key = identity.next_key()
    identity.take(key, client.enrol(code, client.authority(code), key, gateway="gw-1", site="north"))
    own = SignatureSettings(enabled=True)
    first = identity.certificate()
    monkeypatch.setattr(live.signer, "_platform", dataclasses.replace(live.signer._platform, signatures=False))
    identity.renew(served)
    assert identity.certificate().serial_number != first.serial_number
    assert identity.signatures(own) == own, "a platform that says nothing of signatures leaves it to the gateway's file"


def test_a_gateway_believes_the_code_and_nobody_else(live: Here, served: str, tmp_path: Path) -> None:
    elsewhere = Here(tmp_path / "elsewhere")
    code = elsewhere.code()
    with pytest.raises(PermissionDeniedError, match="is not the platform that made this code"):
        Client(served).authority(code)
    # And who answers with the right root has to have its key as well.
    with pytest.raises(UnavailableError, match="cannot be reached"):
        Client(served).enrol(
            code, elsewhere.authority.root_file.read_text(), p256.new_key(), gateway="gw-1", site="north"
        )
    with pytest.raises(UnavailableError, match="check the address"):
        Client("https://127.0.0.1:1").authority(code)


def test_the_door_bounds_what_it_takes_and_speaks_tls_1_3_alone(live: Here, served: str) -> None:
    context = ssl.create_default_context(cafile=live.authority.root_file)

    def post(path: str, body: bytes, method: str = "POST") -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(f"{served}{path}", body, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status, {}
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else {}

    assert post("/v1/enrol", b"{" * (messages.MAX_BYTES + 1))[0] == 413
    assert post("/v1/enrol", b"{}")[0] == 400
    assert post("/v1/else", b"{}")[0] == 404
    assert post("/v1/enrol", b"", "GET")[0] == 405
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(urllib.error.URLError):
        post("/v1/enrol", b"{}")


@pytest.mark.drill("enrolment-certificate")
def test_the_door_shows_a_renewed_certificate_to_the_next_that_connects(live: Here, served: str) -> None:
    def shown() -> str:
        host, _, port = served.removeprefix("https://").partition(":")
        pem = ssl.get_server_certificate((host, int(port)), ca_certs=str(live.authority.root_file), timeout=10)
        return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:x}"

    before = shown()
    renewed = live.authority.issue("enrolment", Usage.SERVER, ["127.0.0.1"])
    assert before != renewed.serial
    shown()  # the one that made it look
    assert shown() == renewed.serial


def test_the_socket_is_its_user_s_alone_and_a_signer_that_is_away_is_said(live: Here, served: str) -> None:
    socket = live.folder / "signer.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    socket.unlink()
    with pytest.raises(UnavailableError, match="signer does not answer"):
        Client(served).authority(live.code())


def test_an_answer_that_is_no_grant_is_refused() -> None:
    odd: list[Any] = [[], {}, {"certificate": 1}, {"certificate": "", "authority": "", "kafka": "", "connections": [1]}]
    for answer in odd:
        with pytest.raises(InvalidRequestError):
            Grant.of(answer)
