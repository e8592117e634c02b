"""The registry's definitions to the topic that gateways, jobs and serving follow. Who calls: whatever changes the registry."""

from __future__ import annotations

from base import ids
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.postgres.database import connect
from registry import edit
from schemas import topics
from schemas.definitions import encode_tag, encode_version

_PUBLISH_LOCK = 7_161_511_003


def publish(dsn: str, settings: KafkaSettings, *, everything: bool = False) -> str:
    """Write changed definitions (or all) to `registry.tags`, then the marker that their version is complete; says what was written.

    The marker follows only when every definition is durable, so whoever has read it has read them; a publish that is interrupted is
    simply done again. One publisher at a time.
    """
    with connect(dsn, application="registry", autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_PUBLISH_LOCK,))
        published = -1 if everything else edit.published_version(connection)
        changed, version = edit.definitions(connection, newer_than=published)
        if not changed and published >= version:
            return f"registry version {version} is published already"
        producer = kafka.producer(settings)
        kafka.send(producer, topics.TAGS.name, (encode_tag(tag) for tag in changed))
        marker = encode_version(version, tags=edit.tag_count(connection), time_us=ids.now_us())
        kafka.send(producer, topics.TAGS.name, [marker])
        edit.set_published(connection, version)
    return f"registry version {version}: {len(changed)} definitions published"
