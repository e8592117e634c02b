"""A gateway enrols, produces through the broker's TLS door, renews while it runs, and is revoked: the real broker, door and signer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from confluent_kafka import KafkaError
from cryptography import x509

from base import settings
from base.settings import KafkaSettings
from base.signing_key import Signer
from connectors.enrolment.code import Code
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from edge import enrol, identity
from edge.config import GatewayConfig
from edge.gateway import Gateway
from edge.identity import Identity
from enrolment import door
from schemas import events, topics
from schemas.audit import AuditEvent, Outcome
from schemas.definitions import encode_tag, encode_version
from stack import enrolment, gateways, render, trust
from stack.config import StackConfig
from stack.instance import Instance
from tests.integration.gateway_support import tag
from tests.integration.polling import eventually
from tests.integration.test_kafka_access import ON_TOPICS, outcome

SITES = ("enrol-a", "enrol-b")
GATEWAY = "gw-enrol-1"
REVOKED_WITHIN_S = 5.0
_TAG = 771_000_001


@pytest.fixture(scope="module")
def config(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfig]:
    """A broker with two sites; door and signer in front of its authority."""
    running = stack.require("kafka")
    plant = tmp_path_factory.mktemp("plant") / "plant.yaml"
    sites = "".join(f"  - {{name: {site}, gateways: [{{id: gw-{site}}}], areas: []}}\n" for site in SITES)
    plant.write_text(f"enterprise: acme\ntag_classes: {{}}\ndevice_classes: {{}}\nsites:\n{sites}")
    mine = dataclasses.replace(running, plant=plant, signatures="required")
    trust.prepare(mine)
    everybody = KafkaSettings(bootstrap_servers=mine.bootstrap_servers)
    kafka_admin.apply(everybody, SITES)
    mine_alone = tag(_TAG, "line1:x", gateway_id=GATEWAY, site=SITES[0])
    pairs = [encode_tag(mine_alone), encode_version(771, tags=1, time_us=1)]
    kafka.send(kafka.producer(everybody), topics.TAGS.name, pairs)
    trust.allow(mine)
    render.write(render.enrolment_file(mine), render._enrolment(mine))
    server = door.server(settings.load(door.DoorConfig, render.enrolment_file(mine)))
    stop, loop = asyncio.Event(), asyncio.new_event_loop()

    async def both() -> None:
        signer = asyncio.create_task(enrolment.serve(mine, stop))
        await server._serve()
        stop.set()
        await signer

    thread = Thread(target=loop.run_until_complete, args=(both(),), daemon=True)
    thread.start()
    eventually(lambda: server.started and render.signer_socket(mine).exists(), what="door and signer")
    yield mine
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()
    loop.close()


@pytest.fixture(autouse=True)
def instance(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in render.instance_environment(config).items():
        monkeypatch.setenv(key, value)


def code_for(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert gateways.main(["enrol", SITES[0], "--name", GATEWAY, "--json", *arguments]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["gateway"], shown["site"]) == (GATEWAY, SITES[0])
    return str(shown["code"])


def enrolled(config: StackConfig, folder: Path, code: str, *, site: str = SITES[0]) -> int:
    """Exit status of the gateway's side. The code comes by a file, as an administrator would hand it over."""
    file = folder.with_suffix(".code")
    file.write_text(code)
    where = ["--server", config.enrolment_url, "--gateway", GATEWAY, "--site", site, "--folder", str(folder)]
    return enrol.main([*where, "--code", f"file:{file}"])


def audited(config: StackConfig) -> list[AuditEvent]:
    everybody = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    found = [AuditEvent.decode(one.value() or b"") for one in kafka.read_to_end(everybody, topics.AUDIT.name)]
    # Whose certificate is refused is not proved: its subject is in the detail alone.
    return [one for one in found if one.name == GATEWAY or f"CN=gateway-{GATEWAY}," in one.detail]


def heard(config: StackConfig) -> int:
    """How often the gateway said that it lives."""
    everybody = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    found = kafka.read_to_end(everybody, topics.EVENTS.for_site(SITES[0]))
    return sum(events.decode(one.value() or b"").gateway_id == GATEWAY for one in found)


@pytest.mark.drill("gateway-certificate")
async def test_from_an_empty_folder_to_its_topics_to_a_renewal_to_the_end_by_a_revocation(
    config: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gateway"
    code = code_for(capsys)
    assert await asyncio.to_thread(enrolled, config, folder, code) == 0
    said = capsys.readouterr().out
    assert "registry version 771: 1 tags of this gateway" in said
    assert code not in said
    own = Identity.of(folder)
    assert not trust.authority(config).file(f"gateway-{GATEWAY}").exists()
    assert {one.name for one in folder.iterdir()} == {
        "identity.pem", "authority.pem", "signatures.toml", "gateway.toml", "state",
    }  # fmt: skip
    assert code not in "".join(one.read_text() for one in folder.glob("*.*"))
    file = folder / "gateway.toml"
    table = tomllib.loads(file.read_text())
    assert table["kafka"]["security_protocol"] == "SSL"

    # A second time, by somebody else, and for another site: nothing.
    for other, site in ((tmp_path / "second", SITES[0]), (tmp_path / "foreign", SITES[1])):
        assert await asyncio.to_thread(enrolled, config, other, code, site=site) == 1
        assert not (other / "identity.pem").exists()
    said = capsys.readouterr().err
    assert "was used at" in said
    assert f"is for gateway {GATEWAY} of site {SITES[0]}" in said

    # What it has opens its own site, and nothing of the other.
    loaded = settings.load(GatewayConfig, file, environ={})
    foreign = [topic.for_site(SITES[1]) for topic in topics.TOPICS if topic.gateways is not None and topic.per_site]
    tried = [(operation, name) for name in foreign for operation in ON_TOPICS]
    allowed = [
        (operation.__name__, name)
        for operation, name in tried
        if await asyncio.to_thread(outcome, operation, loaded.kafka, name) is None
    ]
    assert (len(foreign), allowed) == (4, [])

    # It runs as one that enrolled before signatures were switched on, reads that the platform signs, renews, and goes on with
    # the new certificate.
    (folder / "signatures.toml").write_text("enabled = false\n")
    first = own.certificate()
    monkeypatch.setattr(identity, "LOOK_S", 0.1)
    gateway, stop = Gateway(loaded, source=file), asyncio.Event()
    signing = gateway._signing
    assert signing is not None
    assert gateway._pages.signing is signing
    assert signing.status() is None
    run = asyncio.create_task(gateway.run(stop))
    try:
        await asyncio.to_thread(eventually, lambda: own.certificate() != first, what="a renewal")
        renewed = x509.load_pem_x509_certificate(own.file.read_bytes())
        assert renewed.public_key() != first.public_key()
        # It signs, and with the key of the new certificate, as soon as that is told.
        signs_with = Signer.of(own.file.read_bytes()).id
        await asyncio.to_thread(
            eventually, lambda: (signer := signing.signer) and signer.id == signs_with, what="the new key signs"
        )
        before = await asyncio.to_thread(heard, config)
        await asyncio.to_thread(eventually, lambda: heard(config) > before + 1, period_s=0.5, what="events after it")
        renewal = gateway._renewal
        assert renewal is not None
        assert renewal.problem == ""

        writing = kafka.producer(loaded.kafka, linger_ms=0)
        frames = topics.FRAMES.for_site(SITES[0])
        assert await asyncio.to_thread(kafka.send, writing, frames, [(b"k", b"v")]) == 1
        capsys.readouterr()
        assert await asyncio.to_thread(gateways.main, ["list", "--json"]) == 0
        (row,) = [one for one in json.loads(capsys.readouterr().out)["gateways"] if one["id"] == GATEWAY]
        assert (row["site"], row["key"], row["state"]) == (SITES[0], "its own", "good")
        assert row["seen"] is not None

        # Revoked: the producer that is open, the gateway that runs, and whoever connects anew.
        open_code = Code.parse(code_for(capsys))
        assert await asyncio.to_thread(gateways.main, ["revoke", GATEWAY, "--why", "stolen"]) == 0

        def refused() -> bool:
            try:
                kafka.send(writing, frames, [(b"k", b"late")], timeout_s=10)
            except kafka.DeliveryError as error:
                return error.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
            return False

        await asyncio.to_thread(eventually, refused, timeout_s=REVOKED_WITHIN_S, what="the open producer is refused")
        silent = await asyncio.to_thread(heard, config)
        anew = [await asyncio.to_thread(outcome, one, loaded.kafka, frames) for one in ON_TOPICS]
        assert [one for one in anew if one is None] == []  # `None in` would compare, which KafkaError cannot
        assert await asyncio.to_thread(heard, config) == silent
        assert await asyncio.to_thread(enrolled, config, tmp_path / "late", open_code.text) == 1
        assert "withdrawn" in capsys.readouterr().err
        monkeypatch.setattr(identity, "due", lambda one: one.not_valid_before_utc)
        await asyncio.to_thread(
            eventually, lambda: "not taken for a renewal" in renewal.problem, what="a renewal is refused"
        )
        await asyncio.to_thread(
            eventually,
            lambda: any("the registry is not read" in one for one in gateway._pages._warnings()),
            what="that the registry is not read is a warning",
        )
        assert not run.done()  # it goes on without the platform: what it sees is in its buffer
    finally:
        stop.set()
        await asyncio.wait_for(run, 30)

    def told() -> bool:
        found = [(one.action, one.outcome) for one in audited(config)]
        wanted = {"gateway:code", "gateway:enrol", "gateway:renew", "gateway:revoke"}
        refusals = {action for action, how in found if how == Outcome.DENY}
        return wanted <= {action for action, how in found if how == Outcome.DONE} and refusals >= {
            "gateway:enrol",
            "gateway:renew",
        }

    await asyncio.to_thread(eventually, told, period_s=0.5, what="all of it is in the audit log")
