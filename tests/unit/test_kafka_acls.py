"""What the topic table gives a gateway at the broker."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourceType,
)

from connectors.kafka import acls
from schemas.topics import TOPICS, Access

NORTH = "User:CN=gateway-gw-1,OU=1"


def text(one: AclBinding) -> str:
    kinds = AclPermissionType(one.permission_type), AclOperation(one.operation), ResourceType(one.restype)
    return " ".join([*(kind.name for kind in kinds), one.name])


@pytest.mark.security("T-KAFKA-FORGE", "SR 5.2", "V13.2.2")
def test_a_gateway_has_exactly_this() -> None:
    found = acls.allowed(NORTH, "north")
    assert {one.principal for one in found} == {NORTH}
    assert sorted(map(text, found)) == [
        "ALLOW DESCRIBE GROUP millrace-ungrouped",
        "ALLOW READ TOPIC command.requests.north",
        "ALLOW READ TOPIC registry.tags",
        "ALLOW READ TOPIC signing.keys",
        "ALLOW WRITE TOPIC command.acks.north",
        "ALLOW WRITE TOPIC device.events.north",
        "ALLOW WRITE TOPIC telemetry.frames.north",
    ]


@pytest.mark.security("T-KAFKA-READ")
def test_what_a_gateway_touches_is_per_site_but_for_the_registry_and_the_keys() -> None:
    shared = [topic for topic in TOPICS if topic.gateways is not None and not topic.per_site]
    assert [topic.name for topic in shared] == ["registry.tags", "signing.keys"]
    assert {topic.gateways for topic in shared} == {Access.READ}
    assert all(topic.gateways is not None for topic in TOPICS if topic.per_site)


def test_a_revoked_one_is_denied_everything_and_allowed_nothing() -> None:
    found = acls.wanted([], [NORTH])
    assert sorted(map(text, found)) == [
        "DENY ALL BROKER kafka-cluster",
        "DENY ALL GROUP *",
        "DENY ALL TOPIC *",
        "DENY ALL TRANSACTIONAL_ID *",
    ]


def test_gateways_have_their_own_site_each() -> None:
    found = acls.wanted([(NORTH, "north"), ("User:CN=gateway-gw-2,OU=3", "south")], [])
    south = {one.name for one in found if one.principal != NORTH}
    assert "telemetry.frames.south" in south
    assert not {name for name in south if name.endswith("north")}
