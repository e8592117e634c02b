"""The topic table against the schemas and the naming rules that ACLs rely on."""

from __future__ import annotations

import re

import pytest

from schemas import codec, topics
from schemas.topics import TOPICS, Cleanup, Topic

RECORD_KEYS = {
    "lane",
    "device id",
    "tag id",
    "command id",
    "alarm id",
    "rule version",
    "site",
    "event id",
    "subject",
    "notification id",
    "scope",
    "subscription id",
    "label id",
    "key id",
}


def ids(topic: Topic) -> str:
    return topic.name


def test_names_are_unique_and_none_is_another_ones_site() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    for topic in TOPICS:
        for other in TOPICS:
            if topic is not other:
                assert not re.fullmatch(topic.pattern, other.name)


def test_every_topic_of_the_module_is_in_the_table() -> None:
    assert {id(value) for value in vars(topics).values() if isinstance(value, Topic)} == {id(topic) for topic in TOPICS}


@pytest.mark.parametrize("topic", TOPICS, ids=ids)
def test_rows_are_sane(topic: Topic) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z]+)*", topic.name)
    assert topic.key in RECORD_KEYS
    assert topic.partitions >= 1
    assert topic.retention_ms >= topics.DAY_MS
    assert topic.doc


@pytest.mark.parametrize("topic", TOPICS, ids=ids)
def test_records_are_schemas(topic: Topic) -> None:
    assert topic.records
    assert set(topic.records) <= set(codec.all_schemas())


def test_every_schema_has_its_topic_and_only_frames_have_two() -> None:
    carriers = {name: [topic.name for topic in TOPICS if name in topic.records] for name in codec.all_schemas()}
    assert carriers["FrameBundle"] == ["telemetry.validated"]
    assert carriers.pop("TelemetryFrame") == ["telemetry.frames", "telemetry.validated"]
    assert {name: len(where) for name, where in carriers.items()} == dict.fromkeys(carriers, 1)


@pytest.mark.parametrize("topic", TOPICS, ids=ids)
def test_a_record_carries_what_its_key_is_made_of(topic: Topic) -> None:
    needed = {
        "lane": ("gateway_id", "lane"),
        "device id": ("device_id",),
        "tag id": ("tag_id",),
        "command id": ("command_id",),
        "alarm id": ("alarm_id",),
        "rule version": ("name", "version", "site", "device_class", "device_path", "of_gateway"),
        "site": ("site",),
        "event id": ("event_id",),
        "subject": ("subject",),
        "notification id": ("notification_id",),
        "scope": ("scope",),
        "subscription id": ("subscription_id",),
        "label id": ("label_id",),
        "key id": ("key_id",),
    }
    for name in topic.records:
        if name != "RegistryVersion":  # its key is the word `version`
            fields = {field["name"] for field in codec.newest(name).raw["fields"]}
            assert set(needed[topic.key]) <= fields, name


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.cleanup is Cleanup.COMPACT], ids=ids)
def test_compacted_topics_hold_state_by_key(topic: Topic) -> None:
    assert topic.name in {
        "telemetry.latest",
        "telemetry.lanes",
        "registry.tags",
        "command.states",
        "alarms",
        "alarm.rules",
        "alarm.notifications",
        "alarm.subscriptions",
        "work.shifts",
        "anomaly.labels",
        "signing.keys",
    }
    assert not topic.per_site


@pytest.mark.parametrize("topic", TOPICS, ids=ids)
def test_sites_are_found_by_pattern_and_by_name(topic: Topic) -> None:
    name = topic.for_site("north-2")
    assert re.fullmatch(topic.pattern, name)
    assert topics.find(name) is topic
    assert not re.fullmatch(topic.pattern, f"{name}.x")
    assert not re.fullmatch(topic.pattern, f"x{name}")
    if topic.per_site:
        assert name == f"{topic.name}.north-2"
        assert topics.site_of(name) == "north-2"
        assert not re.fullmatch(topic.pattern, topic.name)
    else:
        assert name == topic.name


def test_an_unknown_topic_names_the_known_ones() -> None:
    for name in ("alarm", "telemetry.framesnorth", "", "registry.tags.north"):
        with pytest.raises(KeyError, match=r"known: telemetry\.frames"):
            topics.find(name)
