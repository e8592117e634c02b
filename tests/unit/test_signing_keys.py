"""Keys on their way: written down with certificates, told to the topic, found by the jobs, used by the uplink."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from authority import signing_keys
from authority.authority import LIFE, Authority
from authority.book import Usage
from base import files, p256, signing_key
from base.errors import UnavailableError
from base.signing_key import Signer
from connectors.kafka.connection import DeliveryError
from connectors.platform import Failure, OnDelivery
from edge.segment import Entry, RecordKind
from edge.uplink import Uplink, UplinkSettings
from jobs.signing_keys import KeyTable
from schemas import frame, frame_signatures
from schemas import signing_keys as schema
from schemas.frame import Stream
from stack import signing, trust
from stack import signing_keys as stack_keys
from stack.config import StackConfig
from stack.errors import StackError
from stages.intake.signatures import FrameGuard
from tests.golden.support import make_frame
from tests.unit.signing import Trust

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_key_is_made_of_the_certificates_key_and_named_after_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("gateway-a", Usage.CLIENT)
    pem = authority.file("gateway-a").read_bytes()
    made = Signer.of(pem)
    assert made.public == Signer.of(pem).public == signing_key.public_of(signing_key.derived(p256.read_key(pem)))
    assert made.id == f"gateway-a.1.{made.id[-16:]}"
    assert signing_key.holds(made.public, made.sign(b"x"), b"x")
    assert not signing_key.holds(made.public, made.sign(b"x"), b"y")
    assert not signing_key.holds(b"no key", made.sign(b"x"), b"x")
    with pytest.raises(ValueError, match="not CN=name,OU=generation"):
        Signer.of(p256.key_pem(p256.new_key()).encode() + authority.root_file.read_bytes())


def test_a_key_counts_a_while_longer_than_its_certificate_and_is_forgotten_later(tmp_path: Path) -> None:
    now = [NOW]
    authority = Authority(tmp_path, clock=lambda: now[0])
    first = authority.issue("gateway-a", Usage.CLIENT)
    public = bytes(range(32))
    assert signing_keys.note(authority, first, public, NOW)
    assert not signing_keys.note(authority, first, public, NOW)
    (row,) = signing_keys.rows(authority)
    assert (row.until, row.revoked) == (first.expires + signing_keys.AFTER, None)
    authority.revoke("gateway-a")
    assert signing_keys.rows(authority)[0].revoked == NOW
    now[0] += LIFE + timedelta(days=100)
    second = authority.issue("gateway-a", Usage.CLIENT)
    signing_keys.note(authority, second, bytes(32), now[0])
    assert [one.generation for one in signing_keys.rows(authority)] == [2]


def test_the_keys_of_a_thousand_gateways_are_written_down_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    entry = authority.issue("gateway-a", Usage.CLIENT)
    many = [(dataclasses.replace(entry, name=f"gateway-{n}"), n.to_bytes(32)) for n in range(1000)]
    written = list[Path]()
    replace = files.replace_durably

    def watched(path: Path, text: str, *, mode: int) -> None:
        written.append(path)
        replace(path, text, mode=mode)

    monkeypatch.setattr(files, "replace_durably", watched)
    assert signing_keys.note_all(authority, many, NOW) == 1000
    assert signing_keys.note_all(authority, [*many, (entry, bytes(32))], NOW) == 1
    assert signing_keys.note_all(authority, many, NOW) == 0
    assert written == [tmp_path / "signing.json"] * 2
    assert [one.name for one in signing_keys.rows(authority)] == [one.name for one, _ in many] + ["gateway-a"]


def test_names_of_signers_are_the_same_everywhere() -> None:
    assert (signing.SERVING, signing.REPLAY) == (schema.SERVING, schema.REPLAY)


def test_an_instance_takes_unsigned_records_only_when_it_is_older_than_signatures(tmp_path: Path) -> None:
    fresh = StackConfig(state=tmp_path / "fresh", signatures="required")
    older = StackConfig(state=tmp_path / "older", signatures="required")
    (older.data / "kafka").mkdir(parents=True)
    (fresh.data / "kafka").parent.mkdir(parents=True)
    assert signing.jobs_table(fresh) == {"required": True, "authority": str(fresh.authority / "ca.pem")}
    (fresh.data / "kafka").mkdir()
    assert "unsigned_until" not in signing.jobs_table(fresh)
    until = signing.jobs_table(older)["unsigned_until"]
    assert schema.SignatureSettings(required=True, authority="x", unsigned_until=until).unsigned_until_us
    assert signing.jobs_table(older)["unsigned_until"] == until
    # Gateways take unsigned commands as long, and serving signs from an hour before.
    assert signing.gateway_table(older) == {"enabled": True, "unsigned_until": until}
    assert signing.gateway_table(fresh) == {"enabled": True}
    assert "sign_from" not in signing.serving_table(fresh)
    sign_from = signing.serving_table(older)["sign_from"]
    assert schema.until_us(sign_from) == schema.until_us(until) - 3_600_000_000
    # Off, it is forgotten: what is written meanwhile is unsigned.
    off = StackConfig(state=tmp_path / "older", signatures="off")
    assert signing.gateway_table(off) == {"enabled": False}
    assert not (older.data / "unsigned-until").exists()
    assert signing.jobs_table(off) == {}
    with pytest.raises(ValueError, match="not 'auto', 'required' or 'off'"):
        StackConfig(signatures="on")


def test_a_new_instance_wants_signatures_and_one_that_has_data_goes_on_as_it_is(tmp_path: Path) -> None:
    def wants(name: str, *, signatures: str = "auto", data: bool = False) -> bool:
        """As `up` does: configuration is rendered, then the broker has its folder."""
        config = StackConfig(state=tmp_path / name, signatures=signatures)
        if data:
            (config.data / "kafka").mkdir(parents=True)
        found = bool(signing.jobs_table(config))
        (config.data / "kafka").mkdir(parents=True, exist_ok=True)
        assert found == signing.required(config) == signing.gateway_table(config)["enabled"]
        return found

    assert wants("new")
    assert wants("new"), "and goes on to"
    assert not signing.unsigned_until(StackConfig(state=tmp_path / "new"))
    assert not wants("before", data=True)
    assert not wants("before")
    # What somebody asks for stays when the settings say nothing any more.
    assert wants("before", signatures="required")
    assert wants("before")
    assert signing.unsigned_until(StackConfig(state=tmp_path / "before"))
    assert not wants("new", signatures="off")
    assert not wants("new")
    # Kafka's data may be lost, or somewhere else: gateways and the database are of a time without signatures all the same.
    for folder in ("postgres", "gateways"):
        (StackConfig(state=tmp_path / folder).data / folder).mkdir(parents=True)
        assert not wants(folder)


def test_jobs_that_run_keep_the_answer_that_they_were_started_with(tmp_path: Path) -> None:
    new = StackConfig(state=tmp_path)
    assert signing.jobs_table(new)
    (new.data / "kafka").mkdir(parents=True)
    signing.require_as_it_runs(new)
    assert signing.describe(new) == "required"
    off = StackConfig(state=tmp_path, signatures="off")
    with pytest.raises(StackError, match="signatures are off now, and the jobs that run were started with required"):
        signing.require_as_it_runs(off)
    assert signing.jobs_table(off) == {}  # after `down`
    assert (signing.describe(off), signing.describe(new)) == ("off", "off, as this instance had data before")
    signing.require_as_it_runs(new)
    again = StackConfig(state=tmp_path, signatures="required")
    with pytest.raises(StackError, match="signatures are required now"):
        signing.require_as_it_runs(again)
    assert signing.jobs_table(again)
    assert signing.describe(again).startswith("required; what has none is taken until 2")


def test_a_key_of_serving_is_told_where_the_platform_signs_and_nowhere_else(tmp_path: Path) -> None:
    """Gateways that enrolled take it as the sign that they are to sign."""

    def names(config: StackConfig) -> set[str]:
        stack_keys.note_own(config)
        return {row.name for row in signing_keys.rows(trust.authority(config))}

    off = StackConfig(state=tmp_path, signatures="off")
    trust.prepare(off)
    of_gateways = names(off)
    assert of_gateways
    assert all(name.startswith("gateway-") for name in of_gateways)
    assert names(dataclasses.replace(off, signatures="required")) == of_gateways | {"serving", "replay"}


# --- at the jobs ----------------------------------------------------------------------------------------------------------


class Topic:
    """What the topic has, how often it was read, and whether it answers."""

    def __init__(self, trust: Trust) -> None:
        self.trust, self.reads, self.away = trust, 0, 0
        trust.signer("gateway-of-before")
        self.now_s = 0.0

    def snapshot(self) -> Iterable[bytes]:
        self.reads += 1
        return [b"garbage", *self.trust.messages()]

    def ends(self) -> object:
        if self.away:
            self.away -= 1
            raise DeliveryError(KafkaError(KafkaError._TRANSPORT), "signing.keys cannot be read")
        return self.trust.keys()

    def table(self) -> KeyTable:
        table = KeyTable(self.trust.book(), self.snapshot, self.ends, clock_s=lambda: self.now_s)
        table._look()
        self.reads = 0
        return table


@pytest.fixture
def topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setattr("jobs.signing_keys._AGAIN_S", 0.0)
    return Topic(Trust(tmp_path))


def test_a_key_that_is_not_known_is_looked_for_at_once(topic: Topic) -> None:
    table = topic.table()
    late = topic.trust.signer("gateway-a")
    found = table.find(late.id)
    assert found is not None
    assert found.public == late.public
    assert table.find(late.id) is found
    assert topic.reads == 1


def test_who_makes_ids_up_takes_no_key_from_anybody_and_the_topic_is_not_read_for_it(topic: Topic) -> None:
    table = topic.table()
    assert [table.find(f"gateway-a.1.{number:016x}") for number in range(1000)] == [None] * 1000
    assert topic.reads == 0
    late = topic.trust.signer("gateway-a")
    assert table.find(late.id) is not None
    assert topic.reads == 1


def test_an_id_that_nobody_vouched_for_a_moment_ago_counts_once_it_is_told(topic: Topic) -> None:
    table, told = topic.table(), topic.trust.keys()
    late = topic.trust.signer("gateway-a")
    with pytest.MonkeyPatch.context() as before:
        before.setattr(topic.trust, "keys", lambda: told)
        assert table.find(late.id) is None
    assert table.find(late.id) is not None


def test_nobody_is_asked_about_a_key_that_could_not_be_the_claimed_holders() -> None:
    def find(key_id: str) -> schema.SigningKey | None:
        raise AssertionError(key_id)

    found = schema.refusal(find, "gateway-b.1.0123456789abcdef", ("gateway-a",), 1)
    assert found == "key gateway-b.1.0123456789abcdef is of gateway-b, and it would have to be of gateway-a"
    assert schema.refusal(find, None, ("gateway-a",), 1) == "it names no key"


def test_a_broker_that_is_away_is_waited_for(topic: Topic) -> None:
    table = topic.table()
    late, topic.away = topic.trust.signer("gateway-a"), 3
    assert table.find(late.id) is not None
    assert topic.reads == 1


def test_what_cannot_be_looked_for_is_not_refused(topic: Topic) -> None:
    table = topic.table()
    late, topic.away = topic.trust.signer("gateway-a"), 1000
    with pytest.raises(UnavailableError):
        table.find(late.id)
    topic.away = 0
    assert table.find(late.id) is not None


def test_keys_that_were_not_looked_at_for_minutes_are_believed_no_more(topic: Topic) -> None:
    signer = topic.trust.signer("gateway-a")
    table = topic.table()
    topic.now_s, topic.away = 299.0, 1000
    assert table.find(signer.id) is not None
    topic.now_s = 301.0
    assert table.age_s == 301
    with pytest.raises(UnavailableError):
        table.find(signer.id)
    topic.trust.authority.revoke("gateway-a")
    topic.away = 0
    found = table.find(signer.id)
    assert found is not None
    assert found.revoked_us is not None


def test_what_is_revoked_is_heard_of_whatever_went_wrong_before(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.signing_keys._EVERY_S", 0.001)
    signer, looks, heard = topic.trust.signer("gateway-a"), iter(range(1_000_000)), threading.Event()

    def ends() -> object:
        at = next(looks)
        if at in (2, 3):
            msg = "nobody foresaw this"
            raise RuntimeError(msg)
        if at == 4:
            topic.trust.authority.revoke("gateway-a")
        if at == 6:
            heard.set()
        return topic.trust.keys()

    table = KeyTable(topic.trust.book(), topic.snapshot, ends)
    table.open()
    assert heard.wait(30)
    table.close()
    found = table.find(signer.id)
    assert found is not None
    assert found.revoked_us is not None


# --- at the uplink --------------------------------------------------------------------------------------------------------


class Elsewhere:
    """What would go to the platform, by whichever way."""

    problem = ""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.reports: list[OnDelivery] = []

    def sender(self, **_: object) -> Elsewhere:
        return self

    def produce(self, topic: str, _key: bytes, value: bytes, on_delivery: OnDelivery) -> None:
        self.sent.append((topic, value))
        self.reports.append(on_delivery)

    def renew(self) -> None:
        self.sent.clear()
        self.reports.clear()


def _entries(numbers: Iterable[int]) -> list[Entry]:
    made = [make_frame([(1, number / 10, 1.0)], number) for number in numbers]
    return [
        Entry(
            kind=RecordKind.FRAME, lane=one.lane, stream=Stream.LIVE, epoch=one.epoch, sequence=one.sequence,
            samples=one.samples, checksum=one.checksum, from_us=0, to_us=0, body=frame.encode(one),
        )
        for one in made
    ]  # fmt: skip


async def test_frames_wait_for_a_key_are_signed_together_and_sent_again_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = Trust(tmp_path)
    gateway_id = make_frame([(1, 0.0, 1.0)]).gateway_id
    signer, known = trust.signer(f"gateway-{gateway_id}"), list[Signer]()
    monkeypatch.setattr("edge.uplink._RETRY_S", 0.0)

    def sign(messages: Sequence[bytes]) -> list[bytes] | None:
        return frame_signatures.tails(messages, known[0]) if known else None

    producer = Elsewhere()
    uplink = Uplink(
        producer,  # type: ignore[arg-type]  # as far as the uplink needs it
        gateway_id=gateway_id,
        site="north",
        settings=UplinkSettings(),
        on_reports=lambda: None,
        sign=sign,
    )
    uplink.submit(_entries(range(3)))
    assert (producer.sent, uplink.backlog_room(), uplink.status()["outstanding"]) == ([], 0, 3)
    assert uplink.drain_reports() == ([], [])
    assert not producer.sent
    known.append(signer)
    uplink.drain_reports()
    guard = FrameGuard(trust.book().find)
    found = [frame.decode(value) for _, value in producer.sent]
    assert [one.sequence for one in found] == [0, 1, 2]
    assert not any(guard.problem(value, one, 1) for (_, value), one in zip(producer.sent, found, strict=True))
    assert guard.roots.verified == 1
    first = [value for _, value in producer.sent]

    # One that Kafka did not take is sent again with the signature it has.
    producer.reports[1](Failure(text="the broker is away"))
    for at in (0, 2):
        producer.reports[at](None)
    confirmed, _ = uplink.drain_reports()
    assert [sequence for _, sequence, _ in confirmed] == [0, 2]
    uplink.drain_reports()
    assert [value for _, value in producer.sent] == [*first, first[1]]
    # For another certificate it is signed anew, alone.
    uplink.renew()
    uplink.drain_reports()
    ((_, again),) = producer.sent
    assert again != first[1]
    assert not guard.problem(again, frame.decode(again), 1)
    producer.reports[0](None)
    uplink.drain_reports()
    assert (uplink.status()["outstanding"], uplink._tails) == (0, {})
