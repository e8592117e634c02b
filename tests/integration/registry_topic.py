"""The topic of definitions, empty: the broker is shared by all tests of a session, and a version completes nothing behind a higher one."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from base.settings import KafkaSettings
from schemas import topics
from tests.integration.polling import eventually

NAME = topics.TAGS.name


def empty(settings: KafkaSettings) -> None:
    """Delete the topic, with whatever other tests left in it, and make it anew."""
    admin = AdminClient({**settings.client_config()})
    if NAME in admin.list_topics(timeout=30).topics:
        admin.delete_topics([NAME])[NAME].result(30)
    eventually(lambda: NAME not in admin.list_topics(timeout=30).topics, timeout_s=60)
    admin.create_topics([NewTopic(NAME, 1, 1)])[NAME].result(30)
