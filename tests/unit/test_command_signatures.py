"""Signatures of commands: what serving signs is carried out, what a gateway signs is believed, and nothing else, whatever was changed."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from base.errors import ConfigError, UnavailableError
from base.settings import KafkaSettings
from base.signing_key import Signer
from connectors.kafka.platform import KafkaPlatform
from edge.command_feed import CommandFeed
from edge.command_journal import CommandJournal
from edge.commands import Commands, CommandSettings
from edge.signing import SignatureSettings, Signing
from schemas import codec, command_signatures, frame, frame_signatures
from schemas.commands import (
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    ControlAction,
    Effect,
    ParameterOutcome,
)
from schemas.signing_keys import SERVING
from serving.config import SigningSettings
from serving.signing import Signing as ServingSigning
from serving.signing import UnsignedAckError
from stages.commands.config import CommandConfig
from stages.commands.correlation import CommandLogic
from tests.contract.examples import T0_US
from tests.golden.support import make_frame
from tests.unit.signing import Trust
from tests.unit.test_gateway_commands import Machines

ID = UUID("01890000-0000-7000-8000-00000000000b")
OTHER = UUID("01890000-0000-7000-8000-00000000000c")
NOW_US = T0_US


def request(**changes: Any) -> CommandRequest:
    values: dict[str, Any] = {
        "command_id": ID, "device_id": 1, "gateway_id": "gw1", "site": "north", "name": "write",
        "parameters": {"speed": 5.0}, "submitted_by": "ann", "submitted_us": NOW_US, "expires_us": NOW_US + 10_000_000,
    }  # fmt: skip
    return CommandRequest(**(values | changes))


def control(**changes: Any) -> CommandControl:
    values: dict[str, Any] = {
        "command_id": ID,
        "device_id": 1,
        "action": ControlAction.APPROVE,
        "by": "bob",
        "time_us": 5,
    }
    return CommandControl(**(values | changes))


def ack(**changes: Any) -> CommandAck:
    values: dict[str, Any] = {
        "command_id": ID, "attempt": 1, "device_id": 1, "gateway_id": "gw1", "state": CommandState.SUCCEEDED,
        "time_us": 7, "detail": "done – ok", "readback": {"speed": 5.0},
        "outcomes": (ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=5.0),),
    }  # fmt: skip
    return CommandAck(**(values | changes))


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def serving(trust: Trust) -> Signer:
    return trust.signer(SERVING)


@pytest.fixture(scope="module")
def gateway(trust: Trust) -> Signer:
    return trust.signer("gateway-gw1")


# --- what is signed -------------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    **{
        f"request {name}": (request(), {name: value})
        for name, value in {
            "command_id": OTHER, "device_id": 2, "gateway_id": "gw2", "site": "south", "name": "start",
            "parameters": {"speed": 5.0000000000000009}, "submitted_by": "bob", "submitted_us": 1, "expires_us": NOW_US + 10_000_001,
            "requires_approval": True, "reason": "because",
        }.items()
    },
    "request another parameter": (request(), {"parameters": {"speed": 5.0, "count": 0.0}}),
    "request no parameter": (request(), {"parameters": {}}),
    **{
        f"control {name}": (control(), {name: value})
        for name, value in {
            "command_id": OTHER, "device_id": 2, "action": ControlAction.CANCEL, "by": "ann", "time_us": 6, "reason": "x",
        }.items()
    },
    **{
        f"ack {name}": (ack(), {name: value})
        for name, value in {
            "command_id": OTHER, "attempt": 2, "device_id": 2, "gateway_id": "gw2", "state": CommandState.FAILED, "time_us": 8,
            "detail": "", "readback": {"speed": 6.0}, "outcomes": (ParameterOutcome(name="speed", effect=Effect.UNKNOWN),),
        }.items()
    },
}  # fmt: skip


RECORDS: tuple[Any, ...] = (request(), control(), ack())


def _problem(record: Any, trust: Trust) -> str:
    return command_signatures.problem(record, trust.book().find, (SERVING, "gateway-gw1"), NOW_US)


@pytest.mark.parametrize("what", CHANGES)
def test_every_field_that_says_something_is_signed(trust: Trust, serving: Signer, what: str) -> None:
    record, change = CHANGES[what]
    signed = command_signatures.signed(record, serving)
    assert _problem(signed, trust) == ""
    assert _problem(dataclasses.replace(signed, **change), trust) == f"it is not what key {serving.id} has signed"


def test_every_field_is_signed_or_is_left_out_on_purpose() -> None:
    for record in (request(), control(), ack()):
        named = {
            what.split()[1]
            for what in CHANGES
            if what.startswith(type(record).__name__.removeprefix("Command").lower())
        }
        fields = {one.name for one in dataclasses.fields(record)}
        left_out = {"signature", "key_id"} | (
            {"attempt", "traceparent"} if isinstance(record, CommandRequest) else set()
        )
        assert fields - left_out <= named


def test_a_request_that_is_sent_again_has_the_signature_it_had(trust: Trust, serving: Signer) -> None:
    signed = command_signatures.signed(request(parameters={"speed": 5, "count": 1}), serving)
    again = dataclasses.replace(signed, attempt=3, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    travelled = CommandRequest.from_record(codec.decode(again.encode(), "CommandRequest")[1])
    assert _problem(travelled, trust) == ""


@pytest.mark.parametrize("record", [request(), control(), ack()], ids=lambda one: type(one).__name__)
def test_a_signed_record_travels_and_one_of_another_kind_is_none(trust: Trust, serving: Signer, record: Any) -> None:
    signed = command_signatures.signed(record, serving)
    name = type(record).__name__
    found = type(record).from_record(codec.decode(signed.encode(), name)[1])
    assert found == signed
    assert _problem(found, trust) == ""
    others = [command_signatures.signed(one, serving) for one in RECORDS if type(one) is not type(record)]
    assert all(_problem(dataclasses.replace(found, signature=one.signature), trust) for one in others)


def test_what_is_unsigned_is_written_as_versions_before_read_it() -> None:
    versions = [codec.schema_of(one.encode()).version for one in (request(), request(reason="x"), control(), ack())]
    assert versions == [1, 2, 1, 2]


@pytest.mark.security("T-PLANT-MOVE")
def test_only_the_key_of_who_may_say_it_counts(trust: Trust, serving: Signer, gateway: Signer) -> None:
    other = trust.signer("gateway-gw2")
    forged = Signer(Ed25519PrivateKey.generate(), serving.id)
    find = trust.book().find

    def problem(signer: Signer, holders: tuple[str, ...] = (SERVING,)) -> str:
        return command_signatures.problem(command_signatures.signed(request(), signer), find, holders, NOW_US)

    assert problem(serving) == ""
    assert problem(gateway) == f"key {gateway.id} is of gateway-gw1, and it would have to be of serving"
    assert "is of gateway-gw2" in problem(other, (SERVING, "gateway-gw1"))
    assert problem(forged) == f"it is not what key {serving.id} has signed"
    assert command_signatures.problem(request(), find, (SERVING,), NOW_US) == "it has no signature"
    bad = dataclasses.replace(command_signatures.signed(request(), serving), signature="no base64!")
    assert command_signatures.problem(bad, find, (SERVING,), NOW_US) == "its signature cannot be read"
    unknown = dataclasses.replace(bad, key_id="serving.9.0000000000000000")
    assert "is not known" in command_signatures.problem(unknown, find, (SERVING,), NOW_US)


def test_a_statement_is_these_bytes_for_ever() -> None:
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "serving.1.0123456789abcdef")
    golden = (Path(__file__).parent.parent / "contract" / "signed" / "commands.txt").read_text().splitlines()
    made = [
        line
        for record in (request(reason="wärmer"), *RECORDS[1:])
        for line in (repr(command_signatures.statement(record)), command_signatures.signed(record, signer).signature)
    ]
    assert made == golden


# --- at the gateway -------------------------------------------------------------------------------------------------------


def _moment(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


class Bench:
    """Commands of a gateway that wants them signed."""

    def __init__(self, trust: Trust, folder: Path) -> None:
        name = str(trust.authority.file("gateway-gw1"))
        kafka = KafkaSettings(
            bootstrap_servers="nowhere:1",
            ssl_ca_location=str(trust.authority.root_file),
            ssl_certificate_location=name,
            ssl_key_location=name,
        )
        self.machines, self.acks = Machines(0), list[CommandAck]()
        self._succeeded = asyncio.Event()
        self.wanted = SignatureSettings(enabled=True)
        self.signing = Signing(
            kafka, KafkaPlatform(kafka), gateway_id="gw1", clock=lambda: NOW_US, wanted=lambda: self.wanted
        )
        self.journal = CommandJournal(folder / "commands.sqlite", clock=lambda: NOW_US)
        self.journal.created_us = 0
        self.commands = Commands(
            self.journal, gateway_id="gw1", machines=self.machines, tell=self._tell, settings=CommandSettings(),
            clock=lambda: NOW_US, verify=self.signing.problem,
        )  # fmt: skip
        for message in trust.messages():
            self.signing.book.apply(message)

    def want(self, **settings: Any) -> None:
        """The certificate was renewed, and the platform has said this."""
        self.wanted = SignatureSettings(**settings)
        self.signing.renewed()

    def _tell(self, told: CommandAck, _delivered: Any) -> None:
        self.acks.append(told)
        if told.state is CommandState.SUCCEEDED:
            self._succeeded.set()

    async def succeeded(self) -> None:
        async with asyncio.timeout(30):
            await self._succeeded.wait()

    def told(self, command_id: UUID) -> list[CommandState]:
        return [one.state for one in self.acks if one.command_id == command_id]


@pytest.mark.security("T-PLANT-MOVE")
async def test_nothing_moves_for_a_command_without_a_good_signature(
    trust: Trust, serving: Signer, gateway: Signer, tmp_path: Path
) -> None:
    other = trust.signer("gateway-gw2")
    bench = Bench(trust, tmp_path)
    signed = command_signatures.signed(request(), serving)
    wrong = [
        request(),
        dataclasses.replace(signed, parameters={"speed": 9.0}),
        dataclasses.replace(signed, expires_us=NOW_US + 999_000_000),
        dataclasses.replace(signed, device_id=1, name="start", parameters={}),
        command_signatures.signed(request(), other),
        dataclasses.replace(signed, key_id="serving.7.0000000000000000"),
    ]
    for one in wrong:
        await bench.commands.receive([one], [])
    assert bench.commands.status()["unsigned"] == len(wrong)
    assert not bench.acks
    assert not bench.machines.written
    # The true one is not taken for a repetition of them.
    await bench.commands.receive([signed], [])
    await bench.succeeded()
    # Sent again it is a repetition.
    await bench.commands.receive([dataclasses.replace(signed, attempt=2)], [])
    await asyncio.sleep(0)
    assert len(bench.machines.written) == 1


@pytest.mark.security("T-PLANT-MOVE")
@pytest.mark.parametrize("forged_first", [True, False])
async def test_a_forged_copy_does_not_end_the_true_command(
    trust: Trust, serving: Signer, gateway: Signer, tmp_path: Path, forged_first: bool
) -> None:
    """What the gateway says of both goes to the record of the command, as it went."""
    bench, logic = Bench(trust, tmp_path), CommandLogic(CommandConfig())
    true = command_signatures.signed(request(), serving)
    forged = dataclasses.replace(true, parameters={"speed": 9.0})
    known = logic.on_request(None, true, NOW_US).command
    for one in (forged, true) if forged_first else (true, forged):
        await bench.commands.receive([one], [])
        if one is true:
            await bench.succeeded()
    for told in bench.acks:
        known = logic.on_ack(known, told, NOW_US).command
    assert known is not None
    assert (known.state, known.inferred) == (CommandState.SUCCEEDED, False)
    assert {one.state for one in bench.acks} == {
        CommandState.DELIVERED, CommandState.EXECUTING, CommandState.SUCCEEDED,
    }  # fmt: skip
    # Asked for again with what it cannot verify, the gateway says what became of the true one.
    bench.acks.clear()
    await bench.commands.receive([forged], [])
    assert bench.told(ID) == [CommandState.SUCCEEDED]
    assert len(bench.machines.written) == 1


async def test_what_silence_said_of_a_command_is_corrected_after_a_forged_copy(
    trust: Trust, serving: Signer, gateway: Signer, tmp_path: Path
) -> None:
    bench, config = Bench(trust, tmp_path), CommandConfig()
    logic, true = CommandLogic(config), command_signatures.signed(request(), serving)
    known = logic.on_request(None, true, NOW_US).command
    await bench.commands.receive([dataclasses.replace(true, parameters={"speed": 9.0})], [])
    assert not bench.acks
    late_us = true.expires_us + config.expiry_grace_ms * 1000
    known = logic.on_timer(known, late_us).command
    assert known is not None
    assert (known.state, known.inferred) == (CommandState.EXPIRED, True)
    await bench.commands.receive([true], [])
    await bench.succeeded()
    for told in bench.acks:
        known = logic.on_ack(known, told, late_us).command
    assert known is not None
    assert known.state is CommandState.SUCCEEDED


async def test_unsigned_commands_are_taken_until_the_moment_that_is_said(
    trust: Trust, serving: Signer, gateway: Signer, tmp_path: Path
) -> None:
    bench = Bench(trust, tmp_path)
    bench.want(enabled=True, unsigned_until=_moment(NOW_US + 1_000_000))
    assert bench.signing.problem(request()) == ""
    assert bench.signing.problem(dataclasses.replace(command_signatures.signed(request(), serving), device_id=2))
    bench.want(enabled=True, unsigned_until=_moment(NOW_US))
    assert bench.signing.problem(request()) == "it has no signature"


@pytest.mark.security("T-PLANT-MOVE")
async def test_an_approval_that_serving_has_not_signed_releases_nothing(
    trust: Trust, serving: Signer, gateway: Signer, tmp_path: Path
) -> None:
    bench = Bench(trust, tmp_path)
    await bench.commands.receive([command_signatures.signed(request(requires_approval=True), serving)], [])
    signed = command_signatures.signed(control(), serving)
    for wrong in (
        control(),
        dataclasses.replace(signed, by="eve"),
        command_signatures.signed(control(), trust.signer("gateway-gw2")),
    ):
        await bench.commands.receive([wrong], [])
    assert bench.commands.status()["unsigned"] == 3
    assert not bench.machines.written
    await bench.commands.receive([signed], [])
    await bench.succeeded()


async def test_a_rule_of_the_gateways_own_works_before_the_platform_has_told_any_key(
    trust: Trust, gateway: Signer, tmp_path: Path
) -> None:
    bench = Bench(trust, tmp_path)
    bench.signing.book = type(bench.signing.book).of(trust.authority.root_file)  # nothing is told
    assert bench.signing.signer is None
    await bench.commands.receive([bench.signing.own_request(request(submitted_by="policy:x"))], [])
    await bench.succeeded()


async def test_a_gateway_signs_with_the_key_that_is_told(tmp_path: Path) -> None:
    trust = Trust(tmp_path / "authority")
    first = trust.signer("gateway-gw1")
    bench = Bench(trust, tmp_path)

    def key() -> str:
        return bench.signing.signer.id if bench.signing.signer else ""

    assert key() == first.id
    # Renewed: the key of before signs until the new one is told.
    second = trust.signer("gateway-gw1")
    bench.signing.renewed()
    assert key() == first.id
    for message in trust.messages():
        bench.signing.book.apply(message)
    assert key() == second.id != first.id
    # Enrolled anew: what was before signs nothing, whether that is told already or not.
    trust.authority.revoke("gateway-gw1")
    third = trust.signer("gateway-gw1")
    bench.signing.renewed()
    assert not key()
    assert bench.signing.tails([b"frame\0\0"]) is None
    assert bench.signing.signed(ack()) is None
    for message in trust.messages():
        bench.signing.book.apply(message)
    assert key() == third.id


class NotRead:
    """A topic that is missing, or may not be read."""

    def __init__(self, *, right: bool) -> None:
        self.caught_up, self.problem, self._right = asyncio.Event(), "no such topics yet: signing.keys", right

    async def run(self) -> None:
        if not self._right:
            msg = "signing.keys cannot be read: grant this principal the topic"
            raise UnavailableError(msg)
        await asyncio.Event().wait()


@pytest.mark.parametrize("right", [True, False])
async def test_a_topic_of_keys_that_is_not_read_is_said_and_is_a_problem_after_half_a_minute(
    trust: Trust, gateway: Signer, tmp_path: Path, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, now_us = Bench(trust, tmp_path), [NOW_US]
    signing = bench.signing
    signing.book = type(signing.book).of(trust.authority.root_file)
    signing._clock = lambda: now_us[0]
    monkeypatch.setattr(signing._platform, "follow", lambda *_, **__: NotRead(right=right))
    running = asyncio.create_task(signing.run())
    await (asyncio.sleep(0) if right else asyncio.wait({running}))
    said = (
        "no such topics yet: signing.keys" if right else "signing.keys cannot be read: grant this principal the topic"
    )
    feed = CommandFeed(signing._platform, site="north", commands=bench.commands, signing=signing)
    assert feed.problem == f"the signing keys are not read yet: {said}"
    assert (signing.unread, signing.trouble, signing.unsettled) == (said, "", False)
    now_us[0] += 30_000_001
    assert (signing.trouble, signing.unsettled) == (said, False)
    for message in trust.messages():
        signing.book.apply(message)
    assert signing.trouble == ""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_made_up_keys_keep_commands_waiting_once_a_minute(
    trust: Trust, gateway: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing, now_us, waited = Bench(trust, tmp_path).signing, [NOW_US], list[float]()
    signing._clock = lambda: now_us[0]

    def timeout(delay: float) -> asyncio.Timeout:
        waited.append(delay)
        return asyncio.timeout_at(0.0)

    monkeypatch.setattr("edge.signing.asyncio.timeout", timeout)
    await signing.known(["", "gateway-gw2.1.0123456789abcdef", "x"])
    assert not waited
    await signing.known(["serving.9.0000000000000001"])
    await signing.known(["serving.9.0000000000000002"])
    assert len(waited) == 1
    now_us[0] += 60_000_000
    await signing.known(["serving.9.0000000000000003"])
    assert len(waited) == 2


async def test_a_gateway_that_enrolled_signs_from_when_the_platform_says_so_and_no_longer(
    trust: Trust, serving: Signer, gateway: Signer, tmp_path: Path
) -> None:
    bench = Bench(trust, tmp_path)
    frames = [frame.encode(make_frame([(1, 0.0, 1.0)]))]
    bench.want(enabled=False)
    assert bench.signing.tails(frames) == [b""]
    assert (bench.signing.signed(ack()), bench.signing.own_request(request())) == (ack(), request())
    assert (bench.signing.problem(request()), bench.signing.trouble, bench.signing.status()) == ("", "", None)
    unsettled = [bench.signing.unsettled]  # serving has a key: the platform signs, and has not said so to this gateway
    bench.want(enabled=True)
    (tail,) = bench.signing.tails(frames) or [b""]
    value = frame_signatures.signed(frames[0], tail)
    assert frame.decode(value).key_id == gateway.id
    signed = bench.signing.signed(ack())
    assert signed is not None
    assert signed.key_id == gateway.id
    assert bench.signing.problem(request()) == "it has no signature"
    assert not bench.signing.problem(command_signatures.signed(request(), serving))
    unsettled.append(bench.signing.unsettled)
    bench.want(enabled=False)
    assert bench.signing.problem(request()) == ""
    assert unsettled == [True, False]


def test_a_gateway_of_a_platform_that_signs_nothing_asks_for_no_certificate(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    trust.signer("gateway-gw1")
    bench = Bench(trust, tmp_path)
    bench.want(enabled=False)
    assert not bench.signing.unsettled


def test_a_gateway_does_not_sign_with_anothers_certificate(trust: Trust, gateway: Signer) -> None:
    own = str(trust.authority.file("gateway-gw1"))
    kafka = KafkaSettings(
        bootstrap_servers="nowhere:1", ssl_ca_location=str(trust.authority.root_file), ssl_certificate_location=own
    )
    with pytest.raises(ConfigError, match="is a certificate of gateway-gw1, and gateway-gw2 would sign with it"):
        Signing(kafka, KafkaPlatform(kafka), gateway_id="gw2", clock=lambda: NOW_US)


@pytest.mark.drill("gateway-signing-key")
def test_a_gateway_signs_with_a_key_of_its_own_file_and_takes_the_next_one_while_it_runs(tmp_path: Path) -> None:
    vouching, way = Trust(tmp_path / "vouching"), Trust(tmp_path / "way")
    way.signer("gateway-gw1")
    first = vouching.signer("gateway-gw1")
    opens = str(way.authority.file("gateway-gw1"))
    kafka = KafkaSettings(
        bootstrap_servers="nowhere:1",
        ssl_ca_location=str(way.authority.root_file),
        ssl_certificate_location=opens,
        ssl_key_location=opens,
    )
    file = vouching.authority.file("gateway-gw1")
    own = SignatureSettings(enabled=True, key=str(file), authority=str(vouching.authority.root_file))
    signing = Signing(kafka, KafkaPlatform(kafka), gateway_id="gw1", clock=lambda: NOW_US, wanted=lambda: own)

    def signs_with() -> str:
        for message in vouching.messages():
            signing.book.apply(message)
        return signing.signer.id if signing.signer else ""

    assert signs_with() == first.id
    # Half of a file, as somebody copies it, changes nothing.
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert signs_with() == first.id
    file.unlink()
    assert signs_with() == first.id
    second = vouching.signer("gateway-gw1")
    assert signs_with() == second.id
    with pytest.raises(ValueError, match="signatures has one of key and authority"):
        SignatureSettings(key=str(file))


# --- at serving -----------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-EDGE-DENY")
@pytest.mark.drill("serving-signing-key")
def test_serving_signs_and_believes_gateways_alone(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    first, gateway = trust.signer(SERVING), trust.signer("gateway-gw1")
    settings = SigningSettings(key=str(trust.authority.file(SERVING)), authority=str(trust.authority.root_file))
    signing = ServingSigning(settings, clock=lambda: NOW_US)
    for message in trust.messages():
        signing.apply_key(message)
    assert signing.sign(request()).key_id == first.id
    signing.check_ack(command_signatures.signed(ack(), gateway))
    for wrong in (
        ack(),
        command_signatures.signed(ack(), first),
        command_signatures.signed(ack(gateway_id="gw2"), gateway),
    ):
        with pytest.raises(UnsignedAckError):
            signing.check_ack(wrong)
    assert signing.refused == 3
    # Another certificate: it signs once gateways can know of it.
    second = trust.signer(SERVING)
    assert signing.sign(request()).key_id == first.id
    for message in trust.messages():
        signing.apply_key(message)
    assert signing.sign(request()).key_id == second.id


def test_serving_signs_from_the_moment_that_is_said(tmp_path: Path) -> None:
    trust, now_us = Trust(tmp_path), [NOW_US - 1]
    signer = trust.signer(SERVING)
    sign_from = datetime.fromtimestamp(NOW_US / 1e6, UTC).isoformat()
    settings = SigningSettings(key=str(trust.authority.file(SERVING)), sign_from=sign_from)
    signing = ServingSigning(settings, clock=lambda: now_us[0])
    assert signing.sign(request()) == request()
    now_us[0] = NOW_US
    assert signing.sign(request()).key_id == signer.id
    with pytest.raises(ValueError, match=r"signing\.sign_from is 'soon', not a moment"):
        SigningSettings(sign_from="soon")


def test_serving_without_a_key_signs_nothing_and_believes_what_comes(tmp_path: Path) -> None:
    signing = ServingSigning()
    assert signing.sign(request()) == request()
    signing.check_ack(ack())
    with pytest.raises(ConfigError, match="no file with a key"):
        ServingSigning(SigningSettings(key=str(tmp_path / "none.pem")))
