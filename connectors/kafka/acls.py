"""Who may do what on the broker, for principals of gateways: made of the topic table, compared with the broker, put right.

Enters: principals (`User:CN=gateway-…`, the subject of a certificate) with their sites, and those that are revoked. Leaves: ACLs.
What is not allowed is denied (`StandardAuthorizer`). A gateway may write and read its own site's topics as the column `gateways` of the
table says, and ask for the coordinator of the group that consumers without a group name. A revoked principal is denied everything, which
counts at the next request, on connections that are open too. ACLs of other principals are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from base.settings import KafkaSettings
from connectors.kafka.connection import UNGROUPED, DeliveryError, wait_all
from schemas.topics import TOPICS, Access

GATEWAYS = "User:CN=gateway-"
"""How principals begin whose ACLs are made here."""
_EVERYTHING = "*"
_OPERATIONS = {Access.READ: AclOperation.READ, Access.WRITE: AclOperation.WRITE}
_TIMEOUT_S = 10.0


def allowed(principal: str, site: str) -> set[AclBinding]:
    """What a gateway of a site may do."""
    found = {
        _binding(ResourceType.TOPIC, topic.for_site(site), principal, _OPERATIONS[topic.gateways])
        for topic in TOPICS
        if topic.gateways is not None
    }
    return found | {_binding(ResourceType.GROUP, UNGROUPED, principal, AclOperation.DESCRIBE)}


def denied(principal: str) -> set[AclBinding]:
    """Nothing at all, whatever else says otherwise."""
    kinds = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    found = {_binding(kind, _EVERYTHING, principal, AclOperation.ALL, AclPermissionType.DENY) for kind in kinds}
    cluster = _binding(ResourceType.BROKER, "kafka-cluster", principal, AclOperation.ALL, AclPermissionType.DENY)
    return found | {cluster}


def wanted(sites: Iterable[tuple[str, str]], revoked: Iterable[str]) -> set[AclBinding]:
    """All ACLs, of (principal, site) and of revoked principals."""
    found: set[AclBinding] = set()
    return found.union(*(allowed(*one) for one in sites), *(denied(one) for one in revoked))


@dataclass(slots=True)
class Granted:
    """What one principal may do, by name of the topic; one that is denied anything may do nothing."""

    topics: dict[str, set[Access]] = field(default_factory=dict)
    denied: bool = False

    def may(self, access: Access, topic: str) -> bool:
        """Whether it may."""
        return not self.denied and access in self.topics.get(topic, ())

    @property
    def nothing(self) -> bool:
        """Whether it may do nothing at all."""
        return self.denied or not self.topics


def granted(bindings: Iterable[AclBinding]) -> dict[str, Granted]:
    """What gateways may do by ACLs as `wanted` makes them: who speaks for a gateway goes by these, and has no second table."""
    found: dict[str, Granted] = {}
    accesses = {operation: access for access, operation in _OPERATIONS.items()}
    for one in bindings:
        holder = found.setdefault(one.principal, Granted())
        if one.permission_type == AclPermissionType.DENY:
            holder.denied = True
            continue
        of_topic = one.restype == ResourceType.TOPIC and one.resource_pattern_type == ResourcePatternType.LITERAL
        if of_topic and one.operation in accesses:
            holder.topics.setdefault(one.name, set()).add(accesses[one.operation])
    return found


def apply(kafka: KafkaSettings, bindings: Collection[AclBinding]) -> int:
    """Make the broker's ACLs of gateways these and no others; how many changed. Raises DeliveryError.

    Denials come before anything is taken away.
    """
    admin = AdminClient({**kafka.client_config(), "log_level": 3})
    target = set(bindings)
    try:
        found = read(admin)
        if new := sorted(target - found):
            wait_all(admin.create_acls(new, request_timeout=_TIMEOUT_S), timeout_s=2 * _TIMEOUT_S)
        if gone := [_exactly(one) for one in sorted(found - target)]:
            wait_all(admin.delete_acls(gone, request_timeout=_TIMEOUT_S), timeout_s=2 * _TIMEOUT_S)
    except KafkaException as error:
        raise DeliveryError(error.args[0], "access to topics cannot be set") from error
    return len(target ^ found)


def read(admin: AdminClient) -> set[AclBinding]:
    """The broker's ACLs of gateways as they are; raises KafkaException."""
    anything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type] # any name
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type] # any principal
        None,  # type: ignore[arg-type] # any host
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    found = admin.describe_acls(anything, request_timeout=_TIMEOUT_S).result(2 * _TIMEOUT_S)
    return {one for one in found if one.principal.startswith(GATEWAYS)}


def _exactly(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, one.host, one.operation, one.permission_type
    )


def _binding(
    kind: ResourceType,
    name: str,
    principal: str,
    operation: AclOperation,
    permission: AclPermissionType = AclPermissionType.ALLOW,
) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, principal, "*", operation, permission)
