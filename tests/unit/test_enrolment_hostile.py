"""What a request, a connection, a file or an answer that is not as it should be costs the enrolment: itself, and nothing else."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import ssl
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base import p256
from base.errors import InvalidRequestError, UnavailableError
from base.toml import to_toml
from connectors.enrolment import keys, messages
from connectors.enrolment.client import Client
from connectors.enrolment.messages import Enrolment, Grant, Renewal
from edge import identity as identity_module
from edge.identity import Identity
from edge.identity import Renewal as Renewing
from enrolment import channel, connection, door
from schemas.audit import AuditEvent, Outcome
from stack.health import probes
from stack.health.answer import Answer
from tests.integration.gateway_support import free_port
from tests.integration.polling import eventually
from tests.unit.test_enrolment import NAME, Here, enrolled

_P256, _NO_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f")


def on_no_curve(pem: str) -> str:
    """The same certificate or request with a curve that nobody knows."""
    kind = pem.split("-----")[1].removeprefix("BEGIN ")
    der = ssl.PEM_cert_to_DER_cert(pem.replace(kind, "CERTIFICATE")).replace(_P256, _NO_CURVE)
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", kind)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path / "here", now=datetime.now(UTC))


@pytest.fixture
def served(here: Here) -> Iterator[int]:
    """The port of the door in front of the signer."""
    port, path = free_port(), here.folder / "signer.sock"
    config = door.DoorConfig(listen=f"127.0.0.1:{port}", certificate=here.authority.file("enrolment"), signer=path)
    server = door.server(config)

    async def both() -> None:
        async with await channel.serve(path, here.signer.answer):
            await server._serve()

    thread = threading.Thread(target=lambda: asyncio.run(both()), daemon=True)
    thread.start()
    eventually(lambda: server.started, what="the door")
    yield port
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


# --- requests ------------------------------------------------------------------------------------------------------------


def test_a_key_on_a_curve_that_nobody_knows_is_refused_as_any_other(here: Here) -> None:
    held, certificate = enrolled(here)
    body = Renewal(certificate=on_no_curve(certificate), request=keys.request_pem(held, "x"))
    assert here.signer.answer("renew", messages.envelope(body, b""), "")[0] == 403
    code = here.code("gw-2")
    odd = on_no_curve(keys.request_pem(held, "x"))
    asked = Enrolment(handle=code.handle.hex(), gateway="gw-2", site="north", request=odd)
    assert here.signer.answer("enrol", messages.envelope(asked, code.key.sign(messages.signed(asked))), "")[0] == 400


async def test_a_question_that_nobody_foresaw_is_answered_and_so_is_the_next(tmp_path: Path) -> None:
    def handle(what: str, request: bytes, peer: str) -> tuple[int, dict[str, Any]]:
        if what == "odd":
            raise AssertionError
        return 200, {"is": what}

    path = tmp_path / "signer.sock"
    async with asyncio.timeout(20), await channel.serve(path, handle):
        status, found = await channel.ask(path, "odd", b"", "")
        assert (status, "log says why" in found["error"]) == (500, True)
        assert await channel.ask(path, "even", b"", "") == (200, {"is": "even"})


# --- connections ---------------------------------------------------------------------------------------------------------


def opened(here: Here, port: int, source: str = "127.0.0.1") -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=here.authority.root_file)
    plain = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def closed(one: ssl.SSLSocket) -> bool:
    try:
        return one.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def authority_from(here: Here, port: int, source: str) -> int:
    context = ssl.create_default_context(cafile=here.authority.root_file)
    asking = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context, source_address=(source, 0))
    asking.request("GET", "/v1/authority")
    status = asking.getresponse().status
    asking.close()
    return status


@pytest.mark.security("T-EDGE-ENROL")
def test_connections_that_say_nothing_do_not_close_the_door(here: Here, served: int) -> None:
    """Of one address some stay open for a while, and the others are gone at once."""
    with ExitStack() as stack:
        idle = [stack.enter_context(opened(here, served)) for _ in range(door._CONNECTIONS + 6)]
        assert all(closed(one) for one in idle[connection.MOST_OF_A_PEER :])
        assert authority_from(here, served, "127.0.0.2") == 200
        # Its health, which asks from the same address, says that it is closed to that one.
        shut = probes.https_health("127.0.0.1", served, "/v1/authority", here.authority.root_file)
        assert shut.answer is Answer.NOT_READY


def test_the_health_of_the_door_is_a_request_that_the_signer_answers(here: Here, served: int) -> None:
    def asked(port: int) -> Answer:
        return probes.https_health("127.0.0.1", port, "/v1/authority", here.authority.root_file).answer

    assert asked(served) is Answer.READY
    (here.folder / "signer.sock").unlink()
    assert asked(served) is Answer.NOT_READY
    assert asked(free_port()) is Answer.SILENT


@pytest.mark.security("T-EDGE-ENROL")
@pytest.mark.parametrize(
    "begun", [b"", b"POST /v1/enrol HTTP/1.1\r\n", b"POST /v1/enrol HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
)
def test_a_request_that_does_not_come_ends_the_connection(
    here: Here, served: int, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)
    with opened(here, served) as one:
        one.sendall(begun)
        assert closed(one)
    assert authority_from(here, served, "127.0.0.1") == 200


def test_the_door_answers_once_a_connection(here: Here, served: int) -> None:
    with opened(here, served) as one:
        one.sendall(b"GET /v1/authority HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        answer = http.client.HTTPResponse(one)
        answer.begin()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        answer.read()
        assert closed(one)


# --- the outbox ----------------------------------------------------------------------------------------------------------


def event(number: int) -> AuditEvent:
    return AuditEvent(service="x", action="y", outcome=Outcome.DONE, subject=str(number))


@pytest.mark.parametrize("torn", [b"00ff", b"00f", b"\x00\x00\x00", b"\xff"])
def test_a_line_that_a_loss_of_power_cut_does_not_spoil_the_next(here: Here, torn: bytes) -> None:
    here.outbox.put(event(1))
    with here.outbox.file.open("ab") as file:
        file.write(torn)
    here.outbox.put(event(2))
    assert [one.subject for one in here.events()] == ["1", "2"]


def test_a_line_that_cannot_be_read_is_put_aside_and_said(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    here.outbox.put(event(1))
    with here.outbox.file.open("ab") as file:
        file.write(b"00ff\n\xff\xfe\nxyz\n")
    here.outbox.put(event(2))

    def away(_: Sequence[AuditEvent]) -> None:
        msg = "away"
        raise UnavailableError(msg)

    with pytest.raises(UnavailableError):
        here.outbox.forward(away)
    assert not here.outbox.aside_file.exists()
    with caplog.at_level(logging.ERROR):
        found = here.events()
    assert [one.subject for one in found[:2]] == ["1", "2"]
    assert (found[2].action, found[2].outcome, found[2].count) == ("audit:lost", Outcome.ERROR, 3)
    assert here.outbox.aside_file.read_bytes() == b"00ff\n\xff\xfe\nxyz\n"
    assert here.outbox.waiting() == 0
    assert "put aside" in caplog.text
    assert here.events() == []


# --- the gateway's side --------------------------------------------------------------------------------------------------


class Answers(Client):
    """A door that somebody else has."""

    answer: bytes = b""

    def _open(self, request: Any, context: ssl.SSLContext) -> bytes:
        return self.answer


def test_an_answer_that_is_no_certificate_of_the_authority_is_refused(here: Here, tmp_path: Path) -> None:
    key, certificate = enrolled(here)
    root = here.authority.root_file.read_text()
    _, forged = Here(tmp_path / "other").authority.sign(NAME, "client", key.public_key())  # type: ignore[arg-type]
    odd = [on_no_curve(certificate), forged, root, "", certificate[:-90]]
    grants = [Grant(certificate=one, authority=root) for one in odd]
    answers = [json.dumps(one.as_json(here.authority.prove)).encode() for one in grants]
    for answer in [*answers, b"[" * 100_000, b"{", b"\xff", b"null"]:
        asked = Answers("https://127.0.0.1:1")
        object.__setattr__(asked, "answer", answer)
        with pytest.raises(InvalidRequestError):
            asked.renew(key, certificate, root, key)


@pytest.mark.security("T-EDGE-ENROL")
def test_a_door_cannot_write_a_gateway_s_configuration(here: Here, tmp_path: Path) -> None:
    key, certificate = enrolled(here)
    root = here.authority.root_file.read_text()
    good = Grant(certificate=certificate, authority=root, kafka="kafka:9094", connections=({"name": "a"},))
    asked = Answers("https://127.0.0.1:1")

    def answered(answer: dict[str, str]) -> Grant:
        object.__setattr__(asked, "answer", json.dumps(answer).encode())
        return asked.renew(key, certificate, root, key)

    told = good.as_json(here.authority.prove)
    assert answered(told) == good
    another = Here(tmp_path / "other").authority
    for wrong in (
        told | {"body": told["body"].replace("kafka:9094", "mine:9094")},
        good.as_json(another.prove),
        good.as_json(lambda _: b""),
        {"body": told["body"]},
        told | {"proof": "?"},
    ):
        with pytest.raises(InvalidRequestError):
            answered(wrong)
    for name in ("a]\n[kafka", "", "A", "a.b"):
        table = {"name": "a", name: 1}
        with pytest.raises(InvalidRequestError, match="has a key"):
            answered(Grant(certificate=certificate, authority=root, connections=(table,)).as_json(here.authority.prove))


def test_no_key_or_text_of_a_table_ends_it() -> None:
    odd = {
        'a"b': 1,
        "a]\n[kafka": "\x7f\x00\u2028ö\n",
        "": True,
        "ö": {"x.y": {"z": [1, 2]}},
        "t": [{"u v": [{"w": 1}]}],
    }
    assert tomllib.loads(to_toml(odd)) == odd


@pytest.fixture
def held(here: Here, tmp_path: Path) -> Identity:
    """As an enrolled gateway has it."""
    found = Identity.of(tmp_path / "gateway")
    found.file.parent.mkdir()
    key = found.next_key()
    status, answer = here.enrol(here.code(), key)
    assert status == 200
    found.take(key, Grant(certificate=answer["certificate"], authority=answer["authority"]))
    return found


async def until(condition: Any, what: str) -> None:
    await asyncio.to_thread(eventually, condition, what=what)


async def test_whatever_ends_a_renewal_does_not_end_the_gateway(
    held: Identity, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(identity_module, "LOOK_S", 0.0)
    monkeypatch.setattr(identity_module, "due", lambda one: one.not_valid_before_utc)
    asked: list[str] = []

    def renew(_: Identity, server: str) -> None:
        asked.append(server)
        raise AssertionError("odd")

    monkeypatch.setattr(Identity, "renew", renew)
    now_s = [0.0]
    said: list[str] = []
    # The clock of the machine is years ahead, and then it is right: the pause after a failure is not measured by it.
    now = [datetime.now(UTC) + timedelta(days=3650)]
    one = Renewing(
        held, "https://x:1", changed=lambda: None, say=said.append, clock=lambda: now[0], clock_s=lambda: now_s[0]
    )
    running = asyncio.create_task(one.run())
    try:
        await until(lambda: one.problem, "a problem")
        now[0] = datetime.now(UTC)
        assert len(asked) == 1
        now_s[0] += 2 * identity_module.AGAIN_S
        await until(lambda: len(asked) == 2, "another attempt")
        assert not running.done()
        assert "odd" in one.problem
        assert "odd" in caplog.text
        assert len(said) == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_client_that_does_not_take_the_new_certificate_is_asked_again(
    here: Here, held: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_module, "LOOK_S", 0.0)
    tries: list[int] = []

    def changed() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no client")

    one = Renewing(held, "https://x:1", changed=changed, say=lambda _: None)
    running = asyncio.create_task(one.run())
    try:
        await until(lambda: one.expires, "a look")
        key = p256.new_key()
        status, answer = here.renew(p256.read_key(held.file.read_bytes()), held.certificate_pem(), key)
        assert status == 200
        held.take(key, Grant(certificate=answer["certificate"], authority=answer["authority"]))
        await until(lambda: len(tries) == 2, "a second try")
        assert "no client" in one.problem
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_certificate_that_is_due_at_the_start_is_another_one_for_its_users(
    here: Here, held: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a gateway goes on with the old key, and signs with it, until it is started once more."""
    first, changes = held.certificate(), []

    def renew(own: Identity, _server: str) -> None:
        key = p256.new_key()
        status, answer = here.renew(p256.read_key(own.file.read_bytes()), own.certificate_pem(), key)
        assert status == 200
        own.take(key, Grant(certificate=answer["certificate"], authority=answer["authority"]))

    monkeypatch.setattr(Identity, "renew", renew)
    real = identity_module.due
    monkeypatch.setattr(identity_module, "due", lambda one: one.not_valid_before_utc if one == first else real(one))
    one = Renewing(held, "https://x:1", changed=lambda: changes.append(held.certificate()), say=lambda _: None)
    running = asyncio.create_task(one.run())
    try:
        await until(lambda: changes, "word of the new certificate")
        assert changes[0] != first
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_what_was_interrupted_may_be_asked_for_again_with_the_same_key(here: Here, tmp_path: Path) -> None:
    found = Identity.of(tmp_path / "gateway")
    found.file.parent.mkdir()
    code, key = here.code(), found.next_key()
    _, answer = here.enrol(code, key)
    found.take(key, Grant(certificate=answer["certificate"], authority=answer["authority"]))
    again = found.next_key()
    assert here.enrol(code, again)[0] == 200
    found.settle()
    assert found.next_key().public_key() != key.public_key()
    # A key that no certificate has come for stays.
    waiting = found.next_key()
    found.settle()
    assert found.next_key().public_key() == waiting.public_key()


def test_its_own_key_after_the_end_is_no_theft(here: Here) -> None:
    code, key = here.code(), p256.new_key()
    assert here.enrol(code, key)[0] == 200
    here.now += timedelta(minutes=16)
    status, answer = here.enrol(code, key)
    assert status == 403
    assert "by this gateway itself" in answer["error"]
    assert "ended since" in answer["error"]
    assert "gateway revoke" not in answer["error"]
    here.now -= timedelta(minutes=15)
    here.authority.revoke(NAME)
    assert "revoked or replaced" in here.enrol(code, key)[1]["error"]
