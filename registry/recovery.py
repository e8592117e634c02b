"""The registry after a restore: the database may be behind its own copy on `registry.tags`, which gateways, jobs and serving follow.

Enters: the database and the topic. Leaves: a registry that goes on from a version above everything that was published, with no number
given out twice; what the topic has and the database has not is named. Who calls: `historian.recovery`. Running it again changes nothing.

A definition that was changed behind the restored point is published again as the database has it. A device or tag that was registered
there keeps its number for the next load of the plant's file (`reserved_ids`); until then its samples are stored, without a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from base.account import os_user
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.postgres.database import connect
from registry import edit
from registry.changes import Change, record
from registry.publish import publish
from registry.rows import lock, set_version
from schemas import topics
from schemas.definitions import Registry, TagDefinition

Connection = psycopg.Connection[Any]
_WHY = "the database was restored to a point before the definitions that were published"


@dataclass(frozen=True, kw_only=True)
class Behind:
    """How the database and the topic differ. `unknown` and `older` are the topic's definitions; `unpublished` counts tags it lacks."""

    version: int
    published: int
    unknown: tuple[TagDefinition, ...] = ()
    older: tuple[TagDefinition, ...] = ()
    unpublished: int = 0

    @property
    def is_behind(self) -> bool:
        """Whether the topic has seen more than the database remembers."""
        return self.published > self.version or bool(self.unknown or self.older)


def compare(connection: Connection, settings: KafkaSettings) -> Behind:
    """Look at both; raises DeliveryError when there is no topic or no broker."""
    seen = Registry()
    for message in kafka.read_to_end(settings, topics.TAGS.name):
        seen.apply(message.value() or b"")
    definitions, version = edit.definitions(connection)
    known = {tag.tag_id: tag for tag in definitions}
    published = max([seen.version, *(tag.registry_version for tag in seen.tags.values())])
    return Behind(
        version=version,
        published=published,
        unknown=tuple(tag for tag_id, tag in sorted(seen.tags.items()) if tag_id not in known),
        older=tuple(
            tag
            for tag_id, tag in sorted(seen.tags.items())
            if tag_id in known and tag.registry_version > known[tag_id].registry_version
        ),
        unpublished=sum(tag_id not in seen.tags for tag_id in known),
    )


def mend(dsn: str, settings: KafkaSettings) -> Behind:
    """Bring the registry above what was published, and publish it; returns what was found."""
    with connect(dsn, application="recover", autocommit=True) as connection:
        found = compare(connection, settings)
        if found.is_behind:
            with connection.transaction():
                _raise(connection, found)
    publish(dsn, settings, everything=bool(found.unpublished))
    return found


def _raise(connection: Connection, found: Behind) -> None:
    version = max(lock(connection), found.published) + 1
    for tag in found.unknown:
        device = tag.device_path.rpartition("/")[2]
        connection.execute(
            """INSERT INTO reserved_ids (site, device, tag, id) VALUES (%(site)s, %(device)s, '', %(device_id)s),
                   (%(site)s, %(device)s, %(tag)s, %(tag_id)s) ON CONFLICT DO NOTHING""",
            {"site": tag.site, "device": device, "tag": tag.name, "device_id": tag.device_id, "tag_id": tag.tag_id},
        )
    largest = max((max(tag.tag_id, tag.device_id) for tag in found.unknown), default=0)
    connection.execute("SELECT setval('registry_id', greatest((SELECT last_value FROM registry_id), %s))", (largest,))
    connection.execute(
        "UPDATE tags SET registry_version = %s WHERE tag_id = ANY (%s)", (version, [tag.tag_id for tag in found.older])
    )
    set_version(connection, version)
    record(connection, version, Change(who=os_user(), why=_WHY, what="recover"))
