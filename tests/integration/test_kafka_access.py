"""What a gateway's certificate opens at a real broker: exactly its own site's topics, and nothing once it is revoked."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from authority.authority import Authority
from authority.book import Usage
from base.settings import KafkaSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from schemas import topics
from schemas.topics import TOPICS, Access
from stack import certificates, doors, render, renewal, trust
from stack import kafka as stack_kafka
from stack.config import StackConfig
from stack.instance import Instance
from tests.integration.polling import eventually

SITES = ("access-a", "access-b")
REVOKED_WITHIN_S = 5.0
_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    # What a principal may not see does not exist for it.
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
}
_OTHERS = ("test.access", "__consumer_offsets", "__transaction_state")
_GROUPS = ("millrace-ungrouped", "millrace-telemetry", "of-its-own")
_TRANSACTIONS = ("of-its-own", "historian")


@pytest.fixture(scope="module")
def config(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """A broker that knows two gateways of two sites."""
    running = stack.require("kafka")
    plant = tmp_path_factory.mktemp("plant") / "plant.yaml"
    sites = "".join(f"  - {{name: {site}, gateways: [{{id: gw-{site}}}], areas: []}}\n" for site in SITES)
    plant.write_text(f"enterprise: acme\ntag_classes: {{}}\ndevice_classes: {{}}\nsites:\n{sites}")
    mine = dataclasses.replace(running, plant=plant)
    trust.prepare(mine)
    everybody = KafkaSettings(bootstrap_servers=mine.bootstrap_servers)
    kafka_admin.apply(everybody, SITES)
    admin = AdminClient({**everybody.client_config()})
    admin.create_topics([NewTopic("test.access", 1, 1)])["test.access"].result(15)
    producer = kafka.producer(everybody, linger_ms=0)
    for name in (*kafka_admin.wanted(SITES), "test.access"):
        kafka.send(producer, name, [(b"k", b"before")])
    # Makes both internal topics.
    with closing(Consumer({**everybody.client_config(), "group.id": "millrace-telemetry"})) as member:
        partition = TopicPartition("test.access", 0, 1)
        member.commit(offsets=[partition], asynchronous=False)
    transactional = Producer({**everybody.client_config(), "transactional.id": "historian"})
    transactional.init_transactions(15)
    assert trust.allow(mine) > 0
    assert trust.allow(mine) == 0
    return mine


def settings_of(config: StackConfig, site: str) -> KafkaSettings:
    return KafkaSettings(**trust.kafka_table(config, f"gw-{site}"))


@pytest.fixture(scope="module")
def stolen(config: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> KafkaSettings:
    """A copy of the key and certificate of site A's gateway, anywhere."""
    own = settings_of(config, SITES[0])
    copy = tmp_path_factory.mktemp("thief") / "stolen.pem"
    shutil.copyfile(own.ssl_certificate_location, copy)
    return dataclasses.replace(own, ssl_certificate_location=str(copy), ssl_key_location=str(copy))


@contextmanager
def connected(address: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection to the door of the gateways."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=15) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        yield secure


def asked(settings: KafkaSettings, key: int, version: int, body: bytes) -> bytes:
    """Answer to a request of Kafka's protocol, behind its number. librdkafka waits where it may not see a topic; a thief need not."""
    request = struct.pack(">hhih", key, version, 7, -1) + body
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    context.load_cert_chain(settings.ssl_certificate_location)
    with connected(settings.bootstrap_servers, context) as secure, secure.makefile("rwb") as stream:
        stream.write(struct.pack(">i", len(request)) + request)
        stream.flush()
        return stream.read(struct.unpack(">i", stream.read(4))[0])[4:]


def refuse(code: int) -> None:
    if code:
        raise KafkaException(KafkaError(code))


# --- what can be tried -------------------------------------------------------------------------------------------------


@functools.lru_cache
def _producer(settings: KafkaSettings) -> Producer:
    return Producer({**settings.client_config(), "delivery.timeout.ms": 10_000, "log_level": 0})


def write(settings: KafkaSettings, topic: str) -> None:
    errors: list[KafkaError | None] = []
    _producer(settings).produce(topic, b"v", b"k", on_delivery=lambda error, _: errors.append(error))
    _producer(settings).flush(15)
    [error] = errors
    if error is not None:
        raise KafkaException(error)


def read(settings: KafkaSettings, topic: str) -> None:
    """Fetch, version 4, of the first partition from its beginning."""
    name = topic.encode()
    where = struct.pack(f">ih{len(name)}siiqi", 1, len(name), name, 1, 0, 0, 1 << 20)
    answer = asked(settings, 1, 4, struct.pack(">iiiib", -1, 500, 0, 1 << 20, 0) + where)
    # Throttle time, one topic, its name, one partition and its number are before.
    refuse(struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name) + 4 + 4)[0])


def ask_for_offsets(settings: KafkaSettings, topic: str) -> None:
    """ListOffsets, version 1, of the first partition's end."""
    name = topic.encode()
    where = struct.pack(f">ih{len(name)}siiq", 1, len(name), name, 1, 0, -1)
    answer = asked(settings, 2, 1, struct.pack(">i", -1) + where)
    refuse(struct.unpack_from(">h", answer, 4 + 2 + len(name) + 4 + 4)[0])


@functools.lru_cache
def _admin(settings: KafkaSettings) -> AdminClient:
    """One for each certificate; a client that is gone answers nothing."""
    return AdminClient({**settings.client_config(), "log_level": 0})


def _done(futures: Any) -> None:
    for future in futures.values():
        future.result(15)


def delete(settings: KafkaSettings, topic: str) -> None:
    _done(_admin(settings).delete_topics([topic]))


def create(settings: KafkaSettings, topic: str) -> None:
    _done(_admin(settings).create_topics([NewTopic(f"{topic}.{uuid4().hex[:6]}", 1, 1)]))


def grow(settings: KafkaSettings, topic: str) -> None:
    _done(_admin(settings).create_partitions([NewPartitions(topic, 60)]))


def alter(settings: KafkaSettings, topic: str) -> None:
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    _done(_admin(settings).incremental_alter_configs([resource]))


def look_at_settings(settings: KafkaSettings, topic: str) -> None:
    _done(_admin(settings).describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))


def empty(settings: KafkaSettings, topic: str) -> None:
    """DeleteRecords, version 0, of all that the first partition has."""
    name = topic.encode()
    body = struct.pack(f">ih{len(name)}siiqi", 1, len(name), name, 1, 0, -1, 10_000)
    refuse(struct.unpack(">h", asked(settings, 21, 0, body)[-2:])[0])


def join(settings: KafkaSettings, group: str) -> None:
    with closing(Consumer({**settings.client_config(), "group.id": group, "log_level": 0})) as member:
        joined: list[Any] = []
        member.subscribe([topics.REQUESTS.for_site(SITES[0])], on_assign=lambda *_: joined.append(True))
        until_s = time.monotonic() + 15
        while not joined and time.monotonic() < until_s:
            message = member.poll(0.2)
            if message is not None and (error := message.error()) is not None:
                raise KafkaException(error)
        assert joined, f"joining {group} was neither answered nor refused"


def move(settings: KafkaSettings, group: str) -> None:
    """OffsetCommit, as a member would send it too."""
    partition = TopicPartition(topics.REQUESTS.for_site(SITES[0]), 0, 0)
    wish = ConsumerGroupTopicPartitions(group, [partition])
    for future in _admin(settings).alter_consumer_group_offsets([wish]).values():
        for moved in future.result(15).topic_partitions:
            if moved.error is not None:
                raise KafkaException(moved.error)


def look_at_group(settings: KafkaSettings, group: str) -> None:
    _done(_admin(settings).describe_consumer_groups([group]))


def dissolve(settings: KafkaSettings, group: str) -> None:
    _done(_admin(settings).delete_consumer_groups([group]))


def transact(settings: KafkaSettings, transactional_id: str) -> None:
    config = {**settings.client_config(), "transactional.id": transactional_id, "log_level": 0}
    Producer(config).init_transactions(15)


def allow_more(settings: KafkaSettings, _: str) -> None:
    everything = AclBinding(
        ResourceType.TOPIC, "*", ResourcePatternType.LITERAL, "User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW
    )
    _done(_admin(settings).create_acls([everything]))


def _any_acl() -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def look_at_access(settings: KafkaSettings, _: str) -> None:
    """DescribeAcls, version 1, of all: librdkafka makes an empty list of a refusal."""
    refuse(struct.unpack_from(">h", asked(settings, 29, 1, struct.pack(">bhbhhbb", 1, -1, 1, -1, -1, 1, 1)), 4)[0])


def forget_access(settings: KafkaSettings, _: str) -> None:
    _done(_admin(settings).delete_acls([_any_acl()]))


def alter_broker(settings: KafkaSettings, broker: str) -> None:
    entry = ConfigEntry("message.max.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, broker, incremental_configs=[entry])
    _done(_admin(settings).incremental_alter_configs([resource]))


def look_at_broker(settings: KafkaSettings, broker: str) -> None:
    _done(_admin(settings).describe_configs([ConfigResource(ResourceType.BROKER, broker)]))


Operation = Callable[[KafkaSettings, str], None]
ON_TOPICS: tuple[Operation, ...] = (write, read, ask_for_offsets, create, grow, alter, look_at_settings, empty, delete)
ON_GROUPS: tuple[Operation, ...] = (join, move, look_at_group, dissolve)
ON_BROKER: tuple[Operation, ...] = (alter_broker, look_at_broker, allow_more, look_at_access, forget_access)


def everything() -> Iterator[tuple[Operation, str]]:
    """Every operation on every topic of both sites, of the platform and of Kafka, on groups, transactions and the broker."""
    for topic in (*kafka_admin.wanted(SITES), *_OTHERS):
        yield from ((operation, topic) for operation in ON_TOPICS)
    for group in _GROUPS:
        yield from ((operation, group) for operation in ON_GROUPS)
    yield from ((transact, one) for one in _TRANSACTIONS)
    yield from ((operation, "1") for operation in ON_BROKER)


def granted(site: str) -> set[tuple[Operation, str]]:
    """What the topic table gives a gateway of a site."""
    own = {topic.for_site(site): topic.gateways for topic in TOPICS if topic.gateways is not None}
    reads_and_writes = {(read if access is Access.READ else write, name) for name, access in own.items()}
    return reads_and_writes | {(ask_for_offsets, name) for name in own} | {(look_at_group, "millrace-ungrouped")}


def outcome(operation: Operation, settings: KafkaSettings, target: str) -> KafkaError | None:
    """What the broker said against it; None when it let it happen."""
    try:
        operation(settings, target)
    except KafkaException as error:
        found: KafkaError = error.args[0]
        return found
    return None


# --- the tests -----------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-EDGE-KEY", "T-KAFKA-READ", "SR 5.2", "V8.4.1")
def test_a_stolen_certificate_of_one_site_does_nothing_outside_of_it(
    config: StackConfig, stolen: KafkaSettings
) -> None:
    done, wrong = set(), []
    for operation, target in everything():
        error = outcome(operation, stolen, target)
        if error is None:
            done.add((operation, target))
        elif error.code() not in _REFUSED:
            wrong.append((operation.__name__, target, error))
    assert {(one.__name__, target) for one, target in done} == {
        (one.__name__, target) for one, target in granted(SITES[0])
    }
    assert not wrong, "refused for another reason than missing rights"
    assert len(list(everything())) > 200
    # And what it tried changed nothing.
    assert set(_admin(stolen).list_topics(timeout=10).topics) == {
        topic.for_site(SITES[0]) for topic in TOPICS if topic.gateways is not None
    }
    everybody = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    assert set(kafka_admin.wanted(SITES)) <= set(
        AdminClient({**everybody.client_config()}).list_topics(timeout=10).topics
    )
    assert not [change for change in kafka_admin.apply(everybody, SITES) if change.topic.rpartition(".")[2] in SITES]
    assert trust.allow(config) == 0


@pytest.mark.security("T-KAFKA-SPOOF", "SR 1.2", "SR 3.1", "V12.1.1", "V12.1.3", "V13.2.1")
def test_nobody_comes_in_without_a_certificate_of_the_authority_and_tls_1_3(
    config: StackConfig, stolen: KafkaSettings, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    other.issue("gateway-gw-access-a", Usage.CLIENT)

    def answer(certificate: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
        context = ssl.create_default_context(cafile=stolen.ssl_ca_location)
        context.maximum_version = newest
        if certificate:
            context.load_cert_chain(certificate)
        with connected(config.kafka_tls, context) as secure:
            # ApiVersions, version 0, correlation id 7, no client id: whoever is in gets an answer.
            secure.sendall(bytes.fromhex("0000000a 0012 0000 00000007 ffff"))
            return secure.recv(8)

    assert answer(stolen.ssl_certificate_location)[4:8] == b"\0\0\0\7"
    for certificate, newest in (
        ("", ssl.TLSVersion.TLSv1_3),
        (str(other.file("gateway-gw-access-a")), ssl.TLSVersion.TLSv1_3),
        (stolen.ssl_certificate_location, ssl.TLSVersion.TLSv1_2),
    ):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            answer(certificate, newest)


@pytest.mark.security("SR 1.5")
@pytest.mark.drill("kafka-certificate")
def test_the_broker_takes_a_renewed_certificate_while_it_runs(config: StackConfig) -> None:
    def shown() -> str:
        return doors.shown(config, trust.KAFKA)

    def renew() -> None:
        renewed = trust.authority(config).renew(trust.KAFKA)
        renewal.reload_broker(config)
        eventually(lambda: shown() == renewed.serial, what="the broker shows the new certificate")

    # The broker goes on with what it knows until somebody tells it.
    known = shown()
    trust.authority(config).renew(trust.KAFKA)
    assert shown() == known
    renew()
    renew()
    resource = ConfigResource(ResourceType.BROKER, str(stack_kafka.NODE))
    client = AdminClient({"bootstrap.servers": config.bootstrap_servers})

    def source() -> ConfigSource:
        (found,) = client.describe_configs([resource]).values()
        return ConfigSource(found.result(10)[trust.KEYSTORE].source)

    # It would outrank the file. The broker follows the controller's log, so it may show the certificate before it has taken this back.
    eventually(lambda: source() is not ConfigSource.DYNAMIC_BROKER_CONFIG, what="the setting is taken back")


@pytest.mark.security("T-EDGE-KEY")
def test_a_revoked_certificate_does_nothing_more_and_its_successor_does(
    config: StackConfig, stolen: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in render.instance_environment(config).items():
        monkeypatch.setenv(key, value)
    name = f"gateway-gw-{SITES[0]}"
    frames, requests = topics.FRAMES.for_site(SITES[0]), topics.REQUESTS.for_site(SITES[0])
    everybody = kafka.producer(KafkaSettings(bootstrap_servers=config.bootstrap_servers), linger_ms=0)

    with closing(kafka.consumer(stolen)) as reading:
        writing = kafka.producer(stolen, linger_ms=0)
        reading.assign([TopicPartition(requests, 0, 0)])
        # Both connections are open and good.
        assert kafka.send(writing, frames, [(b"k", b"good")]) == 1
        everybody.produce(requests, b"good", b"k", partition=0)
        everybody.flush(10)
        eventually(functools.partial(_value, reading), timeout_s=20, what="a request is read")

        assert certificates.main(["revoke", name]) == 0
        assert "on open connections too" in capsys.readouterr().out
        eventually(
            lambda: _refuses_to_write(writing, frames), timeout_s=REVOKED_WITHIN_S, what="open connection: writes"
        )
        eventually(lambda: _refuses_to_read(reading), timeout_s=REVOKED_WITHIN_S, what="open connection: reads")
        everybody.produce(requests, b"secret", b"k", partition=0)
        everybody.flush(10)
        assert b"secret" not in [_value(reading) for _ in range(4)]

    _producer.cache_clear()  # a new connection
    for operation, target in ((write, frames), (read, requests), (read, topics.TAGS.name)):
        error = outcome(operation, stolen, target)
        assert error is not None
        assert error.code() in _REFUSED
    assert not _admin(stolen).list_topics(timeout=10).topics

    # `up` does not let it in again; `issue` does, and only the new one.
    assert trust.prepare(config) == []
    assert certificates.main(["renew", name]) == 1
    assert certificates.main(["issue", name]) == 0
    anew = settings_of(config, SITES[0])
    eventually(lambda: outcome(write, anew, frames) is None, timeout_s=REVOKED_WITHIN_S, what="the new one is let in")
    assert outcome(write, stolen, frames) is not None
    assert certificates.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert f"CN={name},OU=1" in shown
    assert f"CN={name},OU=2" in shown


def _message(reading: Consumer) -> Message | None:
    return reading.poll(0.5)


def _value(reading: Consumer) -> bytes | None:
    message = _message(reading)
    return message.value() if message is not None and message.error() is None else None


def _refuses_to_read(reading: Consumer) -> bool:
    message = _message(reading)
    error = message.error() if message is not None else None
    return error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def _refuses_to_write(writing: Producer, topic: str) -> bool:
    errors: list[KafkaError | None] = []
    writing.produce(topic, b"v", b"k", on_delivery=lambda error, _: errors.append(error))
    writing.flush(10)
    return bool(errors) and errors[0] is not None and errors[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
