"""The ingestion service's parts: room, rights, and what a gateway's configuration says of it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.authority import Authority
from authority.book import Usage
from base import settings
from base.errors import ConfigError, OverloadedError, PermissionDeniedError, UnavailableError
from base.settings import KafkaSettings
from connectors.enrolment.messages import Grant
from connectors.ingestion import sender as sending
from connectors.ingestion.ingestion_pb2 import AppendRequest, AppendResponse
from connectors.ingestion.sender import IngestionSender
from connectors.ingestion.wire import EOF, SERVICE
from connectors.kafka import acls
from connectors.kafka.acls import Granted
from connectors.platform import Failure, OnDelivery
from edge import enrol, platforms
from edge.config import GatewayConfig
from edge.identity import Identity
from edge.uplink import Way
from ingestion.budget import Budget
from ingestion.rights import VALID_S, Rights
from ingestion.service import Service
from ingestion.settings import ServiceSettings, TlsSettings
from schemas.topics import MAX_RECORD_BYTES, TOPICS, Access

ROOT = Path(__file__).resolve().parents[2]
ONE, OTHER, GONE = "User:CN=gateway-one,OU=1", "User:CN=gateway-other,OU=1", "User:CN=gateway-gone,OU=1"


# --- rights ------------------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-INGEST-RIGHTS")
def test_what_is_granted_is_what_the_table_of_topics_says_and_a_denial_outranks_it() -> None:
    bindings = acls.wanted([(ONE, "a"), (OTHER, "b"), (GONE, "a")], [GONE])
    found = acls.granted(bindings)
    names = [(topic, topic.for_site(site)) for topic in TOPICS for site in ("a", "b")]
    for principal, site in ((ONE, "a"), (OTHER, "b")):
        for topic, name in names:
            for access in Access:
                expected = topic.gateways is access and topic.for_site(site) == name
                assert found[principal].may(access, name) == expected, (principal, access, name)
    assert found[GONE].nothing
    assert not any(found[GONE].may(access, name) for access in Access for _, name in names)


class Broker:
    """What it grants, and whether it answers."""

    def __init__(self) -> None:
        self.now_s, self.asked, self.answers = 0.0, 0, True
        self.granted = acls.granted(acls.wanted([(ONE, "a")], []))

    def read(self) -> Mapping[str, Granted]:
        self.asked += 1
        if not self.answers:
            msg = "no broker"
            raise OSError(msg)
        return self.granted


async def test_rights_are_asked_for_when_somebody_connects_and_count_for_a_few_seconds() -> None:
    broker = Broker()
    rights = Rights(broker.read, changed=lambda: None, needed=lambda: False, clock_s=lambda: broker.now_s)
    with pytest.raises(UnavailableError, match="not known"):
        rights.check(ONE)
    running = asyncio.create_task(rights.run())
    try:
        await rights.fresh(ONE)
        assert rights.may(ONE, Access.WRITE, "telemetry.frames.a")
        assert not rights.may(ONE, Access.WRITE, "telemetry.frames.b")
        assert not rights.may(ONE, Access.READ, "telemetry.frames.a")
        for stranger in (OTHER, "User:CN=kafka,OU=1", "User:ANONYMOUS", ""):
            with pytest.raises(PermissionDeniedError):
                rights.check(stranger)
        # Revoked: who connects is judged by what is asked for now.
        broker.granted = acls.granted(acls.wanted([(ONE, "a")], [ONE]))
        broker.now_s = 2.0
        assert rights.may(ONE, Access.WRITE, "telemetry.frames.a")
        with pytest.raises(PermissionDeniedError):
            await rights.fresh(ONE)
        # What is old counts no more, whatever it said.
        broker.now_s += VALID_S + 0.1
        with pytest.raises(UnavailableError):
            rights.check(ONE)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# --- room --------------------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-INGEST-FLOOD")
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=60), st.randoms(use_true_random=False))
def test_nobody_has_more_than_its_room_and_everybody_gets_on(asked: list[tuple[str, int]], random: Any) -> None:
    async def body() -> None:
        budget, held, order = Budget(each=20, total=40), list[tuple[str, int]](), dict[str, list[int]]()

        async def one(number: int, holder: str, size: int) -> None:
            await budget.take(holder, size)
            order.setdefault(holder, []).append(number)
            held.append((holder, size))

        tasks = [asyncio.create_task(one(number, *row)) for number, row in enumerate(asked)]
        while not all(task.done() for task in tasks) or held:
            await asyncio.sleep(0)
            assert sum(size for _, size in held) == budget.taken
            assert budget.taken <= 40 or len(held) == 1
            for holder in "abc":
                own = [size for whose, size in held if whose == holder]
                assert sum(own) <= 20 or len(own) == 1
            if held:
                budget.give(*held.pop(random.randrange(len(held))))
        assert budget.taken == 0
        assert all(numbers == sorted(numbers) for numbers in order.values())

    asyncio.run(body())


async def test_who_gives_up_waiting_takes_nothing() -> None:
    budget = Budget(each=10, total=10)
    await budget.take("a", 10)
    waiting = [asyncio.create_task(budget.take("a", 5)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    budget.give("a", 10)
    await asyncio.wait_for(waiting[1], 5)
    assert (budget.taken, budget.of("a")) == (5, 5)


# --- sending -----------------------------------------------------------------------------------------------------------------


class Peer:
    """A service that holds its answers back, without TLS."""

    def __init__(self) -> None:
        self.received: list[list[int]] = []
        self.hold, self.full = True, asyncio.Event()
        self.server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._append,
            request_deserializer=AppendRequest.FromString,
            response_serializer=AppendResponse.SerializeToString,
        )
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Append": handler}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def connect(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def _append(self, _requests: object, context: Any) -> None:
        mine: list[int] = []
        self.received.append(mine)
        while (request := await context.read()) is not EOF:
            mine += [one.number for one in request.records]
            if not self.hold:
                await context.write(AppendResponse(durable=mine))
            elif len(mine) >= 3:
                self.full.set()
                return


async def test_what_has_no_answer_is_sent_again_in_its_order_and_answered_once() -> None:
    peer, answers = Peer(), list[tuple[int, Failure | None]]()
    await peer.server.start()

    def noted(number: int) -> OnDelivery:
        return lambda failure: answers.append((number, failure))

    sender = IngestionSender(peer.connect, linger_ms=0)
    try:
        for number in range(3):
            sender.produce("t", b"k", b"v", noted(number))
        async with asyncio.timeout(20):
            await peer.full.wait()
        peer.hold = False
        assert await sender.flush(20) == 0
        assert answers == [(0, None), (1, None), (2, None)]
        assert {tuple(one) for one in peer.received if one} == {(0, 1, 2)}
        assert sender.problem == ""
        # Renewed, it forgets: its caller sends again.
        peer.hold = True
        sender.produce("t", b"k", b"v", noted(3))
        sender.renew()
        assert await sender.flush(0) == 0
        assert len(answers) == 3
    finally:
        await sender.abandon()
        await peer.server.stop(None)


async def test_too_much_is_refused_and_what_nobody_takes_is_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_WAITING_BYTES", 10)
    answers: list[Failure | None] = []
    sender = IngestionSender(lambda: grpc.aio.insecure_channel("127.0.0.1:1"), linger_ms=0)
    try:
        sender.produce("t", b"", b"x" * (MAX_RECORD_BYTES + 1), answers.append)
        assert [one and one.hopeless for one in answers] == [True]
        sender.produce("t", b"", b"x" * 10, answers.append)
        with pytest.raises(OverloadedError):
            sender.produce("t", b"", b"x", answers.append)
        assert await sender.flush(0) == 1
    finally:
        await sender.abandon()


# --- configuration -----------------------------------------------------------------------------------------------------------

FILES = {"ssl_ca_location": "ca", "ssl_certificate_location": "crt", "ssl_key_location": "key"}
BASE: dict[str, Any] = {"gateway_id": "gw1", "site": "north", "state_dir": "state"}


def parsed(**tables: Any) -> GatewayConfig:
    return settings.parse(GatewayConfig, BASE | tables, where="gateway.toml")


def test_one_key_chooses_the_way() -> None:
    table = {"address": "platform:29096", **FILES}
    by_ingestion = parsed(uplink={"kind": "ingestion"}, ingestion=table)
    assert platforms.of(by_ingestion).name == "ingestion"
    assert by_ingestion.identity == ("crt", "ca")
    assert platforms.of(parsed(kafka={"bootstrap_servers": "k:9092"}, ingestion=table)).name == "kafka"


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({}, "kafka.bootstrap_servers is missing"),
        ({"uplink": {"kind": "ingestion"}, "kafka": {"bootstrap_servers": "k:9092"}}, "ingestion.address is missing"),
        ({"uplink": {"kind": "ingestion"}, "ingestion": {"address": "a:1"}}, "ingestion.ssl_ca_location is missing"),
        ({"uplink": {"kind": "ingestion"}, "ingestion": {"address": "platform", **FILES}}, "not host:port"),
        ({"uplink": {"kind": "pigeon"}}, "uplink: kind is 'pigeon', not one of kafka, ingestion"),
    ],
)
def test_a_way_that_leads_nowhere_is_refused(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(**tables)
    assert said in str(raised.value)


def test_enrolment_answers_with_the_address_to_use(tmp_path: Path) -> None:
    both = Grant(certificate="c", authority="a", kafka="k:9094", ingestion="i:29096")
    assert enrol.way(both, None) is Way.KAFKA
    assert enrol.way(both, "ingestion") is Way.INGESTION
    wanted = Grant(certificate="c", authority="a", ingestion="i:29096")
    assert enrol.way(wanted, None) is Way.INGESTION
    for grant, asked in ((wanted, "kafka"), (Grant(certificate="c", authority="a", kafka="k:9094"), "ingestion")):
        with pytest.raises(ConfigError, match="--uplink"):
            enrol.way(grant, asked)
    made = enrol.configuration(
        wanted, Identity.of(tmp_path), Way.INGESTION, gateway="gw1", site="north", server="https://p:1", folder=tmp_path
    )
    config = settings.parse(GatewayConfig, made, where="gateway.toml")
    assert (config.uplink.kind, config.ingestion.address) == (Way.INGESTION, "i:29096")
    assert config.identity == (str(tmp_path / "identity.pem"), str(tmp_path / "authority.pem"))
    # What a platform of before says.
    assert Grant.of({"certificate": "c", "authority": "a", "kafka": "k"}).ingestion == ""


def test_a_gateway_that_goes_by_kafka_does_not_load_grpc() -> None:
    code = "import edge.gateway, edge.platforms, sys; print('grpc' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert loaded.stdout.strip() == "False"


def test_the_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    source = "connectors/ingestion/ingestion.proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*command, source], cwd=ROOT, check=True, capture_output=True)
    for name in ("ingestion_pb2.py", "ingestion_pb2.pyi"):
        assert (tmp_path / "connectors/ingestion" / name).read_text() == (
            ROOT / "connectors/ingestion" / name
        ).read_text()


# --- its certificate ---------------------------------------------------------------------------------------------------------


@pytest.mark.drill("ingestion-certificate")
async def test_the_service_takes_a_renewed_certificate_while_it_runs(tmp_path: Path) -> None:
    authority, stop = Authority(tmp_path), asyncio.Event()
    first = authority.issue("ingestion", Usage.SERVER, ("127.0.0.1",))
    authority.issue("gateway-one", Usage.CLIENT)
    file, root = str(authority.file("ingestion")), str(authority.root_file)
    service = Service(
        ServiceSettings(
            listen="127.0.0.1:0",
            kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
            tls=TlsSettings(cert=file, key=file, client_ca=root),
        )
    )
    context = ssl.create_default_context(cafile=root)
    context.load_cert_chain(authority.file("gateway-one"))
    context.set_alpn_protocols(["h2"])

    async def shown() -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=context)
        serial = writer.get_extra_info("peercert")["serialNumber"]
        writer.transport.abort()
        return f"{int(serial, 16):x}"

    running = asyncio.create_task(service.run(stop))
    while not service.port:  # noqa: ASYNC110 - it says nothing when it listens
        await asyncio.sleep(0.01)
    assert await shown() == first.serial
    renewed = authority.renew("ingestion")
    assert await shown() == renewed.serial
    stop.set()
    await running
