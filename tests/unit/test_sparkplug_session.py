"""The host's view of edge nodes, driven by messages: births, aliases, sequence, deaths, gaps, historical values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from connectors.readings import Seen
from connectors.sparkplug import names, payload
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import DataType, Metric, Payload
from connectors.sparkplug.session import HostSession
from schemas.events import EventKind, Gap, GapItem
from tests.integration.gateway_support import MemorySink, tag

pytestmark = pytest.mark.unit

SPEED = tag(1, "spb:north/n1/d1/speed", name="speed")
COUNT = tag(2, "spb:north/n1/d1/count", name="count")
OTHER = tag(3, "spb:north/n1/d2/speed", device_id=2, name="speed")


@dataclass
class Plant:
    """An edge node's messages into a session, and what comes out."""

    sink: MemorySink = field(default_factory=MemorySink)
    published: list[tuple[str, Payload]] = field(default_factory=list)
    now_us: int = 10_000_000
    seq: int = 0
    reorder_timeout_ms: int = 0

    def __post_init__(self) -> None:
        self.session = HostSession(
            sink=self.sink,
            clock=lambda: self.now_us,
            publish=lambda topic, data: self.published.append((topic, payload.decode(data))),
            reorder_timeout_ms=self.reorder_timeout_ms,
        )
        self.session.connected()
        self.session.update({one.address: one for one in (SPEED, COUNT, OTHER)}, frozenset({"spb:north/n1/d1/theirs"}))

    def send(
        self, kind: MessageType, *metrics: Metric, device: str = "", seq: int | None = -1, time_ms: int = 1
    ) -> None:
        if kind is MessageType.NBIRTH:
            self.seq = 0
        number = self.seq if seq == -1 else seq
        if kind is not MessageType.NDEATH:
            self.seq = ((number or 0) + 1) % 256
        message = Payload(time_ms=time_ms, seq=None if kind is MessageType.NDEATH else number, metrics=metrics)
        self.session.on_message(str(Topic("north", kind, "n1", device)), payload.encode(message))

    def birth(self, *, bdseq: int = 1, at_ms: int = 1000, extra: tuple[Metric, ...] = ()) -> None:
        self.send(
            MessageType.NBIRTH, bd(bdseq), Metric(name=payload.REBIRTH_METRIC, data_type=DataType.BOOLEAN, value=False)
        )
        self.send(
            MessageType.DBIRTH,
            Metric(name="speed", alias=10, time_ms=at_ms, data_type=DataType.DOUBLE, value=1.5),
            Metric(name="count", alias=11, time_ms=at_ms, data_type=DataType.INT32, value=-3),
            *extra,
            device="d1",
        )

    def data(self, alias: int, value: Any, time_ms: int, **options: Any) -> None:
        kind = DataType.UNKNOWN if not isinstance(value, float) else DataType.DOUBLE
        metric = Metric(alias=alias, time_ms=time_ms, data_type=kind, value=value, **options)
        self.send(MessageType.DDATA, metric, device="d1")

    def gaps(self) -> list[tuple[int, Gap]]:
        return [(n.device_id, n.gap) for n in self.sink.of(EventKind.GAP) if n.gap is not None]

    def rebirths(self) -> int:
        return sum(
            1
            for topic, message in self.published
            if topic == "spBv1.0/north/NCMD/n1" and message.metrics[0].name == payload.REBIRTH_METRIC
        )


def bd(number: int) -> Metric:
    return Metric(name=payload.BDSEQ_METRIC, data_type=DataType.INT64, value=number)


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.mark.sparkplug(
    "payloads-alias-birth-requirement",
    "topics-dbirth-topic",
    "topics-dbirth-metrics",
    "topics-dbirth-metric-reqs",
    "payloads-metric-datatype-req",
    "payloads-metric-datatype-value",
    "payloads-name-birth-data-requirement",
    "topics-ddata-topic",
    "topics-ddata-payload",
    "topics-nbirth-topic",
    "operational-behavior-data-publish-dbirth-values",
    "operational-behavior-data-publish-dbirth-order",
)
def test_births_give_values_and_names_to_aliases(plant: Plant) -> None:
    plant.birth()
    plant.data(10, 2.5, 1100)
    plant.data(11, -4, 1200)
    assert plant.sink.rows == [
        (1, 1_000_000, 1.5, 0), (2, 1_000_000, -3, 0), (1, 1_100_000, 2.5, 0), (2, 1_200_000, -4, 0),
    ]  # fmt: skip
    assert [n.device_id for n in plant.sink.of(EventKind.BIRTH)] == [1]
    assert plant.published == []
    assert plant.gaps() == []


@pytest.mark.sparkplug(
    "payloads-name-requirement",
    "payloads-ddata-timestamp",
    "topics-ddata-timestamp",
)
def test_metrics_by_name_and_times_of_the_message(plant: Plant) -> None:
    plant.birth()
    plant.send(MessageType.DDATA, Metric(name="speed", data_type=DataType.DOUBLE, value=9.0), device="d1", time_ms=1300)
    assert plant.sink.rows[-1] == (1, 1_300_000, 9.0, 0)


@pytest.mark.sparkplug(
    "payloads-propertyset-quality-value-type",
    "payloads-propertyset-quality-value-value",
)
def test_quality_and_null_values(plant: Plant) -> None:
    plant.birth()
    plant.data(10, 2.5, 1100, properties={"Quality": 500})
    plant.data(10, None, 1200, properties={"Quality": 0})
    plant.data(10, None, 1300)
    assert [(value, code) for _, _, value, code in plant.sink.rows[2:]] == [
        (2.5, 0x4090),
        (None, 0x8000),
        (None, 0x0000),  # a null that is said to be good: the gateway makes it bad, whatever the protocol
    ]


@pytest.mark.sparkplug(
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-rebirth-req",
    "operational-behavior-data-commands-rebirth-name",
)
def test_unknown_metrics_are_proposed_once_and_others_gateways_not(plant: Plant) -> None:
    extra = (
        Metric(name="new", alias=12, data_type=DataType.DOUBLE, value=1.0, properties={"engUnit": "Cel"}),
        Metric(name="theirs", alias=13, data_type=DataType.DOUBLE, value=1.0),
    )
    plant.birth(extra=extra)
    plant.birth(extra=extra)
    plant.data(12, 5.0, 1500)
    (proposal,) = plant.sink.of(EventKind.PROPOSAL)
    assert proposal.attributes["address"] == "spb:north/n1/d1/new"
    assert proposal.attributes["engUnit"] == "Cel"
    assert 5.0 not in [value for _, _, value, _ in plant.sink.rows]


def test_a_rebirth_repeats_values_that_are_not_new(plant: Plant) -> None:
    plant.birth()
    plant.birth()
    assert len(plant.sink.rows) == 2
    assert plant.session.status()["repeats"] == 2


@pytest.mark.sparkplug(
    "payloads-ddata-seq",
    "payloads-ddata-seq-inc",
    "topics-ddata-seq-num",
)
def test_a_jump_of_the_sequence_asks_for_rebirth_and_becomes_a_gap(plant: Plant) -> None:
    plant.birth()
    plant.seq += 3
    plant.data(10, 2.0, 5000)
    assert plant.rebirths() == 1
    # What arrives is used, and ends the gap of its tag; the other tag waits for the birth.
    assert plant.sink.rows[-1] == (1, 5_000_000, 2.0, 0)
    plant.data(10, 2.0, 7000)
    ((device_id, gap),) = plant.gaps()
    assert [item.tag_id for item in gap.items] == [1]
    assert device_id == 1
    assert (gap.from_us, gap.to_us, gap.samples) == (1_000_000, 5_000_000, -1)
    assert "sequence 5 instead of 2" in gap.cause


def test_a_request_that_falls_into_the_pause_is_sent_when_it_ends(plant: Plant) -> None:
    plant.birth()
    plant.seq += 1
    plant.data(10, 2.0, 5000)
    plant.birth(at_ms=5100)
    plant.now_us += 2_000_000
    plant.seq += 1
    plant.data(10, 3.0, 7000)
    assert plant.rebirths() == 1
    plant.now_us += 2_900_000
    plant.session.tick()
    assert plant.rebirths() == 1
    plant.now_us += 100_000
    plant.session.tick()
    assert plant.rebirths() == 2
    plant.birth(at_ms=9000)
    plant.now_us += 60_000_000
    plant.session.tick()
    assert plant.rebirths() == 2  # the birth came


def test_a_skipped_number_is_a_gap_of_each_tag_however_short(plant: Plant) -> None:
    plant.birth(at_ms=1000)
    plant.seq += 1
    plant.data(10, 2.0, 1001)  # 1 ms after the last sample, with a period of 100 ms
    plant.birth(at_ms=1002)
    items = [item for _, gap in plant.gaps() for item in gap.items]
    assert items == [
        GapItem(tag_id=1, from_us=1_000_000, to_us=1_001_000),
        GapItem(tag_id=2, from_us=1_000_000, to_us=1_002_000),
    ]
    assert plant.session.lost == 1


@pytest.mark.sparkplug(
    "payloads-sequence-num-incrementing",
    "payloads-dbirth-seq-inc",
    "message-flow-device-birth-publish-dbirth-payload-seq",
)
def test_the_sequence_wraps(plant: Plant) -> None:
    plant.birth()
    for number in range(300):
        plant.data(10, float(number), 2000 + number * 10)
    assert plant.gaps() == []
    assert plant.rebirths() == 0


@pytest.mark.sparkplug(
    "payloads-ddata-order",
    "payloads-ndata-order",
    "message-flow-device-birth-publish-nbirth-wait",
)
def test_data_before_a_birth_asks_for_one(plant: Plant) -> None:
    plant.data(10, 2.0, 1000)
    plant.data(10, 3.0, 1001)
    assert plant.sink.rows == []
    assert plant.rebirths() == 1
    plant.birth()
    plant.send(MessageType.DDATA, Metric(alias=99, value=1), device="d1")
    plant.now_us += 6_000_000
    plant.send(MessageType.DDATA, Metric(alias=99, value=1), device="d1")
    assert plant.rebirths() == 2


@pytest.mark.sparkplug(
    "payloads-nbirth-bdseq",
    "payloads-nbirth-bdseq-repeat",
    "payloads-ndeath-bdseq",
    "payloads-ndeath-seq",
    "topics-ndeath-topic",
    "topics-ndeath-payload",
    "topics-ndeath-seq",
    "topics-nbirth-bdseq-included",
    "topics-nbirth-bdseq-matching",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
)
def test_a_nodes_death_is_told_once_and_makes_no_samples(plant: Plant) -> None:
    plant.birth(bdseq=7)
    rows = len(plant.sink.rows)
    plant.send(MessageType.NDEATH, bd(6))
    assert plant.sink.of(EventKind.DEATH) == []
    plant.send(MessageType.NDEATH, bd(7))
    assert [n.device_id for n in plant.sink.of(EventKind.DEATH)] == [1, 2]
    assert plant.sink.of(EventKind.DEATH)[0].attributes["quality"] == "0x8031"
    assert len(plant.sink.rows) == rows
    plant.birth(bdseq=8, at_ms=9000)
    ((device_id, gap),) = plant.gaps()
    assert (device_id, gap.from_us, gap.to_us, gap.cause) == (1, 1_000_000, 9_000_000, "the edge node has died")


@pytest.mark.sparkplug(
    "operational-behavior-device-ddeath",
    "operational-behavior-edge-node-termination-host-action-ddeath-devices-offline",
    "operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale",
    "payloads-ddeath-timestamp",
    "topics-ddeath-topic",
)
def test_a_devices_death(plant: Plant) -> None:
    plant.birth()
    plant.send(MessageType.DDEATH, device="d1", time_ms=9_500)
    assert [(n.device_id, n.time_us) for n in plant.sink.of(EventKind.DEATH)] == [(1, 9_500_000)]
    plant.data(10, 2.0, 3000)
    assert plant.rebirths() == 1
    assert len(plant.sink.rows) == 2


def test_historical_values_are_handed_over_apart(plant: Plant) -> None:
    plant.birth()
    plant.data(10, 2.0, 500, historical=True)
    plant.data(10, 3.0, 1100)
    assert plant.sink.historical == [(1, 500_000, 2.0, 0)]
    assert plant.sink.rows[-1] == (1, 1_100_000, 3.0, 0)


def test_losing_the_broker_makes_everything_stale_and_births_necessary(plant: Plant) -> None:
    plant.birth()
    plant.session.disconnected("no connection")
    plant.data(10, 1.9, 2900)
    assert plant.rebirths() == 0
    plant.session.connected()
    assert {n.device_id for n in plant.sink.of(EventKind.DEATH)} == {1, 2}
    plant.data(10, 2.0, 3000)
    assert plant.rebirths() == 1
    plant.birth(at_ms=4000)
    ((_, gap),) = plant.gaps()
    assert (gap.from_us, gap.to_us, gap.cause) == (1_000_000, 4_000_000, "no connection")


def test_nodes_that_should_be_there_are_asked_with_growing_pauses(plant: Plant) -> None:
    asked = []
    for second in range(200):
        plant.now_us += 1_000_000
        before = plant.rebirths()
        plant.session.tick()
        asked += [second] if plant.rebirths() > before else []
    assert asked == [0, 5, 15, 35, 75, 155]
    deaths = plant.sink.of(EventKind.DEATH)
    assert [n.device_id for n in deaths] == [1, 2]
    assert "does not answer" in deaths[0].text
    assert plant.session.silent() == ["north/n1"]
    plant.birth()
    count = plant.rebirths()
    plant.now_us += 11_000_000
    plant.session.tick()
    assert plant.rebirths() == count
    assert plant.session.silent() == []
    assert [n.device_id for n in plant.sink.of(EventKind.BIRTH)] == [1]


def test_a_device_that_is_not_born_with_its_node_is_dead(plant: Plant) -> None:
    plant.birth()
    plant.now_us += 11_000_000
    plant.session.tick()
    assert [n.device_id for n in plant.sink.of(EventKind.DEATH)] == [2]


def test_a_restarted_gateway_knows_what_it_has_seen() -> None:
    plant = Plant(sink=MemorySink(seen={1: 1_000_000, 2: 400_000}))
    plant.birth(at_ms=1000)
    assert plant.sink.rows == [(2, 1_000_000, -3, 0)]
    # The birth repeats the newest sample of tag 1: nothing of it is missing. Tag 2 has moved on.
    ((_, gap),) = plant.gaps()
    assert gap.items == (GapItem(tag_id=2, from_us=400_000, to_us=1_000_000),)


def test_a_birth_with_the_time_that_was_seen_is_new_when_its_value_is() -> None:
    """Seen: after a restart of the gateway another value with the time of the last sample was dropped."""
    plant = Plant(sink=MemorySink(seen={1: Seen(1_000_000, 7.5), 2: Seen(1_000_000, -3.0)}))
    plant.birth(at_ms=1000)
    assert plant.sink.rows == [(1, 1_000_000, 1.5, 0)]
    plant.birth(at_ms=1000, bdseq=2)
    assert len(plant.sink.rows) == 1


def test_a_birth_with_newer_values_ends_the_gap_of_a_restarted_gateway() -> None:
    plant = Plant(sink=MemorySink(seen={1: 1_000_000, 2: 400_000}))
    plant.birth(at_ms=9000)
    ((_, gap),) = plant.gaps()
    assert gap.cause == "the gateway was not running"
    assert gap.items == (
        GapItem(tag_id=1, from_us=1_000_000, to_us=9_000_000),
        GapItem(tag_id=2, from_us=400_000, to_us=9_000_000),
    )


def test_rubbish_is_counted_and_survived(plant: Plant) -> None:
    plant.session.on_message("spBv1.0/north/DDATA/n1/d1", b"\xff\xff")
    plant.session.on_message("something/else", b"")
    plant.birth()
    assert plant.session.undecodable == 2
    assert len(plant.sink.rows) == 2
    plant.session.on_message(str(Topic("north", MessageType.DCMD, "n1", "d1")), b"\xff")
    assert names.NAMESPACE == "spBv1.0"


def test_commands_need_a_born_device(plant: Plant) -> None:
    assert plant.session.metric_of(SPEED) == "the device is not born"
    plant.birth()
    found = plant.session.metric_of(COUNT)
    assert not isinstance(found, str)
    assert (found[0], found[1].data_type) == ("spBv1.0/north/DCMD/n1/d1", DataType.INT32)
