"""A host among nodes that misbehave: reordered, lost, damaged, retained and ambiguous messages. Hand-made bytes."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from connectors.sparkplug import payload
from connectors.sparkplug import sparkplug_b_pb2 as pb
from connectors.sparkplug.data_types import DataType
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import Metric, Payload
from schemas.events import EventKind, GapItem
from tests.integration.gateway_support import MemorySink, tag
from tests.unit.test_sparkplug_session import COUNT, OTHER, SPEED, Plant, bd

pytestmark = pytest.mark.unit

DDATA = str(Topic("north", MessageType.DDATA, "n1", "d1"))
DBIRTH = str(Topic("north", MessageType.DBIRTH, "n1", "d1"))
NBIRTH = str(Topic("north", MessageType.NBIRTH, "n1"))


def raw(name: bytes = b"speed", *, seq: int | None, value: float = 2.0, time_ms: int = 5000) -> bytes:
    """A payload of one double metric, whose name may be any bytes."""
    message = pb.Payload(timestamp=time_ms)
    if seq is not None:
        message.seq = seq
    message.metrics.add(name="@" * len(name), timestamp=time_ms, datatype=DataType.DOUBLE, double_value=value)
    return message.SerializeToString().replace(b"@" * len(name), name)


def data(seq: int, value: float, time_ms: int) -> bytes:
    metric = Metric(alias=10, time_ms=time_ms, data_type=DataType.DOUBLE, value=value)
    return payload.encode(Payload(time_ms=time_ms, seq=seq, metrics=(metric,)))


def refusals(plant: Plant) -> list[str]:
    return [notice.attributes["cause"] for notice in plant.sink.of(EventKind.REFUSED)]


def items(plant: Plant) -> list[GapItem]:
    return [item for _, gap in plant.gaps() for item in gap.items]


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
def patient() -> Plant:
    return Plant(reorder_timeout_ms=1000)


# --- order -------------------------------------------------------------------------------------------------------------


@pytest.mark.sparkplug("operational-behavior-host-reordering-start", "operational-behavior-host-reordering-success")
def test_messages_that_overtook_each_other_are_put_in_order(patient: Plant) -> None:
    patient.birth()  # seq 0 and 1
    for seq, value in ((4, 4.0), (3, 3.0)):
        patient.session.on_message(DDATA, data(seq, value, 2000 + seq))
    assert patient.sink.values(1) == [1.5]
    patient.session.on_message(DDATA, data(2, 2.0, 2002))
    assert patient.sink.values(1) == [1.5, 2.0, 3.0, 4.0]
    patient.now_us += 5_000_000
    patient.session.tick()
    assert (patient.gaps(), patient.rebirths(), patient.session.lost) == ([], 0, 0)


@pytest.mark.sparkplug("operational-behavior-host-reordering-param", "operational-behavior-host-reordering-rebirth")
def test_what_is_missing_at_the_reorder_timeout_is_lost(patient: Plant) -> None:
    patient.birth()
    patient.session.on_message(DDATA, data(3, 3.0, 1003))
    patient.now_us += 999_000
    patient.session.tick()
    assert (patient.sink.values(1), patient.rebirths()) == ([1.5], 0)
    patient.now_us += 1_000
    patient.session.tick()
    assert (patient.sink.values(1), patient.rebirths(), patient.session.lost) == ([1.5, 3.0], 1, 1)
    assert items(patient) == [GapItem(tag_id=1, from_us=1_000_000, to_us=1_003_000)]
    # What was given up and comes after all is taken as it is, and proves nothing new.
    patient.session.on_message(DDATA, data(2, 2.0, 1002))
    patient.session.on_message(DDATA, data(4, 4.0, 1004))
    assert patient.sink.values(1) == [1.5, 3.0, 2.0, 4.0]
    assert patient.session.lost == 1


def test_two_holes_are_two_losses(patient: Plant) -> None:
    patient.birth()
    patient.session.on_message(DDATA, data(3, 3.0, 1003))
    patient.session.on_message(DDATA, data(5, 5.0, 1005))
    patient.now_us += 1_000_000
    patient.session.tick()
    assert patient.session.lost == 2
    assert items(patient) == [
        GapItem(tag_id=1, from_us=1_000_000, to_us=1_003_000), GapItem(tag_id=1, from_us=1_003_000, to_us=1_005_000),
    ]  # fmt: skip


def test_order_survives_the_wrap_of_the_numbers(patient: Plant) -> None:
    patient.birth()
    for seq in range(2, 254):
        patient.session.on_message(DDATA, data(seq, float(seq), 2000 + seq))
    for seq in (255, 254, 1, 0):
        patient.session.on_message(DDATA, data(seq, float(seq), 3000 + seq))
    assert patient.sink.values(1)[-4:] == [254.0, 255.0, 0.0, 1.0]
    assert patient.session.lost == 0


@pytest.mark.parametrize("end", ["birth", "death", "connection"])
def test_messages_that_wait_are_not_lost_when_the_session_ends(patient: Plant, end: str) -> None:
    patient.birth()
    patient.session.on_message(DDATA, data(3, 3.0, 1003))
    if end == "birth":
        patient.birth(at_ms=1003)
    elif end == "death":
        patient.send(MessageType.NDEATH, bd(1))
    else:
        patient.session.disconnected("cut")
    assert 3.0 in patient.sink.values(1)
    assert patient.session.lost == 1


def test_messages_held_are_bounded_by_a_round_of_the_numbers(patient: Plant) -> None:
    patient.birth()
    for seq in (3, 3):
        patient.session.on_message(DDATA, data(seq, 3.0, 1003))
    assert (patient.session.lost, patient.sink.values(1)) == (1, [1.5, 3.0])


def test_messages_held_are_bounded_by_their_bytes(patient: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sparkplug.session._HELD_BYTES", 40)
    patient.birth()
    patient.session.on_message(DDATA, data(3, 3.0, 1003))
    patient.session.on_message(DDATA, data(5, 5.0, 1005))
    assert patient.sink.values(1) == [1.5, 3.0, 5.0]


@pytest.mark.sparkplug("payloads-sequence-num-always-included")
def test_data_without_a_number_is_taken_and_told_once(plant: Plant) -> None:
    plant.birth()
    for at in (1100, 1200):
        plant.session.on_message(DDATA, raw(seq=None, time_ms=at))
    assert plant.sink.values(1) == [1.5, 2.0, 2.0]
    assert refusals(plant)[-1] == "no sequence number: losses cannot be seen"
    assert plant.session.lost == 0


# --- poison ------------------------------------------------------------------------------------------------------------


def test_a_birth_with_a_name_that_is_not_utf8_applies_not_at_all(plant: Plant) -> None:
    plant.birth()
    rows = len(plant.sink.rows)
    message = pb.Payload(timestamp=2000, seq=2)
    message.metrics.add(name="speed", alias=10, timestamp=2000, datatype=DataType.DOUBLE, double_value=9.0)
    message.metrics.add(name="@@@", alias=11, timestamp=2000, datatype=DataType.DOUBLE, double_value=9.0)
    plant.session.on_message(DBIRTH, message.SerializeToString().replace(b"@@@", b"a\xffb"))
    assert len(plant.sink.rows) == rows
    assert "UTF-8" in refusals(plant)[0]
    assert plant.sink.of(EventKind.REFUSED)[0].attributes["topic"] == DBIRTH
    assert plant.sink.of(EventKind.REFUSED)[0].device_id == 1
    assert [notice.device_id for notice in plant.sink.of(EventKind.DEATH)] == [1]
    assert plant.rebirths() == 1


def test_a_node_that_always_sends_poison_is_asked_with_growing_pauses(plant: Plant) -> None:
    """Its births are refused and its data asks for another birth: for ever, but not every five seconds."""
    asked: list[int] = []
    for second in range(3600):
        plant.now_us += 1_000_000
        before = plant.rebirths()
        plant.session.on_message(DDATA, raw(seq=second % 256))
        plant.session.tick()
        if plant.rebirths() > before:
            asked.append(second)
            plant.send(MessageType.NBIRTH, bd(1))
            plant.session.on_message(DBIRTH, raw(b"a\xffb", seq=1))
    assert asked[:4] == [0, 5, 15, 35]
    assert len(asked) < 20
    assert asked[-1] - asked[-2] == 300
    told = plant.sink.of(EventKind.REFUSED)
    assert len(told) <= 3600 / 60 + 2


def test_data_that_cannot_be_read_is_a_gap_and_no_loss_of_order(plant: Plant) -> None:
    plant.birth()
    plant.session.on_message(DDATA, raw(b"a\xffb", seq=2))
    plant.seq = 3
    plant.data(10, 2.5, 1001)
    assert plant.rebirths() == 0
    ((device_id, gap),) = plant.gaps()
    assert (device_id, gap.items) == (1, (GapItem(tag_id=1, from_us=1_000_000, to_us=1_001_000),))
    assert "cannot be read" in gap.cause


def test_bytes_that_are_no_payload_show_as_a_jump(plant: Plant) -> None:
    plant.birth()
    plant.session.on_message(DDATA, b"\xff\xff\xff")
    plant.seq = 3
    plant.data(10, 2.5, 1001)
    assert (plant.rebirths(), plant.session.lost) == (1, 1)
    assert len(items(plant)) == 1


def test_a_birth_of_the_node_that_cannot_be_read_makes_it_unborn(plant: Plant) -> None:
    plant.birth()
    plant.session.on_message(NBIRTH, raw(b"a\xffb", seq=0))
    assert [notice.device_id for notice in plant.sink.of(EventKind.DEATH)] == [1, 2]
    assert plant.session.metric_of(SPEED) == "the device is not born"
    assert plant.rebirths() == 1


def test_a_death_that_cannot_be_read_is_asked_about(plant: Plant) -> None:
    plant.birth()
    plant.session.on_message(str(Topic("north", MessageType.NDEATH, "n1")), b"\xff\xff")
    assert plant.rebirths() == 1
    assert plant.sink.of(EventKind.DEATH) == []


def test_refusals_are_told_once_a_minute_with_their_count(plant: Plant) -> None:
    plant.birth()
    for _ in range(120):
        plant.now_us += 1_000_000
        plant.session.on_message("no/topic", b"")
    assert [notice.attributes["count"] for notice in plant.sink.of(EventKind.REFUSED)] == ["1", "60"]


def test_refusals_of_many_topics_are_bounded(plant: Plant) -> None:
    for at in range(5000):
        plant.session.on_message(f"no/topic/{at}" + "x" * 5000, b"")
    told = plant.sink.of(EventKind.REFUSED)
    assert len(told) == 1001
    assert max(len(notice.text) for notice in told) < 500


# --- compressed, structured ----------------------------------------------------------------------------------------------


def test_compressed_births_and_data(plant: Plant) -> None:
    plant.send(MessageType.NBIRTH, bd(1))
    born = Payload(
        time_ms=1000,
        seq=1,
        metrics=(Metric(name="speed", alias=10, time_ms=1000, data_type=DataType.DOUBLE, value=1.5),),
    )
    for topic, message in ((DBIRTH, payload.encode(born)), (DDATA, data(2, 2.5, 1100))):
        outside = pb.Payload(uuid="SPBV1.0_COMPRESSED", body=gzip.compress(message))
        outside.metrics.add(name="algorithm", datatype=DataType.STRING, string_value="GZIP")
        plant.session.on_message(topic, outside.SerializeToString())
    assert plant.sink.values(1) == [1.5, 2.5]
    assert plant.session.lost == 0


def test_content_of_an_unknown_encoding_is_no_empty_birth(plant: Plant) -> None:
    plant.birth()
    plant.session.on_message(DBIRTH, pb.Payload(timestamp=1, seq=2, uuid="LZMA", body=b"xyz").SerializeToString())
    assert "unknown encoding" in refusals(plant)[0]
    assert plant.session.metric_of(SPEED) == "the device is not born"
    assert plant.rebirths() == 1


def structured(*members: tuple[str, float], seq: int, named: bool) -> bytes:
    message = pb.Payload(timestamp=2000, seq=seq)
    metric = message.metrics.add(alias=7, timestamp=2000, datatype=DataType.TEMPLATE if named else 0)
    if named:
        metric.name = "motor"
    metric.template_value.template_ref = "Motor"
    for name, value in members:
        metric.template_value.metrics.add(name=name, datatype=DataType.DOUBLE, double_value=value)
    return message.SerializeToString()


@pytest.mark.sparkplug("payloads-template-instance-members")
def test_fields_of_a_template_are_tags(plant: Plant) -> None:
    fields = {
        f"spb:north/n1/d1/motor/{name}": tag(20 + at, f"spb:north/n1/d1/motor/{name}", name=name)
        for at, name in enumerate(("speed", "torque"))
    }
    plant.session.update(fields, frozenset())
    plant.send(MessageType.NBIRTH, bd(1))
    plant.session.on_message(DBIRTH, structured(("speed", 1.0), ("torque", 2.0), seq=1, named=True))
    plant.session.on_message(DDATA, structured(("torque", 3.0), seq=2, named=False))
    assert plant.sink.values(20) == [1.0]
    assert plant.sink.values(21) == [2.0, 3.0]
    assert plant.rebirths() == 0
    assert "structure" in str(plant.session.metric_of(fields["spb:north/n1/d1/motor/speed"]))


def test_an_array_is_refused_by_name_and_costs_nothing_else(plant: Plant) -> None:
    plant.birth()
    message = pb.Payload(timestamp=2000, seq=2)
    message.metrics.add(name="count", timestamp=2000, datatype=24, bytes_value=b"1234")
    message.metrics.add(name="speed", timestamp=2000, datatype=DataType.DOUBLE, double_value=7.0)
    plant.session.on_message(DDATA, message.SerializeToString())
    assert plant.sink.values(1)[-1] == 7.0
    assert "count: an array (data type 24)" in refusals(plant)


# --- what was, and names -------------------------------------------------------------------------------------------------


@pytest.mark.sparkplug(
    "payloads-nbirth-retain", "payloads-dbirth-retain", "payloads-ndata-retain", "payloads-ddata-retain",
    "topics-nbirth-mqtt", "topics-dbirth-mqtt", "topics-ndata-mqtt", "topics-ddata-mqtt", "topics-ddeath-mqtt",
    "payloads-ndeath-will-message-retain",
)  # fmt: skip
def test_retained_messages_of_a_node_that_is_gone_say_nothing(plant: Plant) -> None:
    plant.sink.seen = {1: 1_000_000}
    born = Payload(time_ms=1000, seq=0, metrics=(bd(1),))
    plant.session.on_message(NBIRTH, payload.encode(born), retained=True)
    plant.session.on_message(DBIRTH, raw(seq=1), retained=True)
    plant.session.on_message(DDATA, raw(seq=2), retained=True)
    assert plant.sink.rows == []
    assert plant.sink.of(EventKind.BIRTH) == []
    assert plant.session.retained == 3
    assert {notice.attributes["cause"] for notice in plant.sink.of(EventKind.REFUSED)} == {
        "retained: it says what was, not what is"
    }
    plant.session.tick()
    assert plant.rebirths() == 1  # if it is there, it answers
    plant.birth()
    assert len(plant.sink.rows) == 2


def test_a_birth_with_the_same_time_and_another_value_is_another_sample(plant: Plant) -> None:
    plant.birth()
    plant.send(MessageType.NBIRTH, bd(1))
    born = (
        Metric(name="speed", alias=10, time_ms=1000, data_type=DataType.DOUBLE, value=99.0),
        Metric(name="count", alias=11, time_ms=1000, data_type=DataType.INT32, value=-3),
    )
    plant.send(MessageType.DBIRTH, *born, device="d1")
    assert plant.sink.rows[2:] == [(1, 1_000_000, 99.0, 0)]
    assert plant.session.status()["repeats"] == 1


def test_data_with_a_known_name_and_an_unknown_alias_is_taken_by_name(plant: Plant) -> None:
    plant.birth()
    metric = Metric(name="speed", alias=77, time_ms=1100, data_type=DataType.DOUBLE, value=4.0)
    plant.send(MessageType.DDATA, metric, device="d1")
    assert plant.sink.rows[-1] == (1, 1_100_000, 4.0, 0)
    assert plant.rebirths() == 1
    swapped = Metric(name="speed", alias=11, time_ms=1200, data_type=DataType.DOUBLE, value=5.0)
    plant.send(MessageType.DDATA, swapped, device="d1")
    assert plant.sink.rows[-1] == (1, 1_200_000, 5.0, 0)


def test_data_of_a_tag_that_the_birth_lacks_is_taken_by_name(plant: Plant) -> None:
    plant.send(MessageType.NBIRTH, bd(1))
    plant.send(MessageType.DBIRTH, Metric(name="count", data_type=DataType.INT32, value=1), device="d1")
    assert refusals(plant) == ["the birth lacks 1 of 2 tags, the first is spb:north/n1/d1/speed"]
    metric = Metric(name="speed", time_ms=1100, data_type=DataType.DOUBLE, value=4.0)
    plant.send(MessageType.DDATA, metric, device="d1")
    assert plant.sink.values(1) == [4.0]
    assert plant.rebirths() == 1


def test_data_with_an_alias_of_no_birth_is_a_gap_of_its_device(plant: Plant) -> None:
    plant.birth()
    for at in (1100, 1200):
        plant.send(MessageType.DDATA, Metric(alias=99, time_ms=at, value=1.0), device="d1")
    assert refusals(plant) == ["alias 99 stands for nothing that was born"]
    plant.birth(at_ms=1300)
    assert items(plant) == [
        GapItem(tag_id=1, from_us=1_000_000, to_us=1_300_000), GapItem(tag_id=2, from_us=1_000_000, to_us=1_300_000),
    ]  # fmt: skip


@pytest.mark.sparkplug("payloads-alias-uniqueness")
def test_an_alias_of_several_metrics_stands_for_none(plant: Plant) -> None:
    plant.send(MessageType.NBIRTH, bd(1))
    metrics = (
        Metric(name="speed", alias=0, time_ms=1000, data_type=DataType.DOUBLE, value=1.0),
        Metric(name="count", alias=0, time_ms=1000, data_type=DataType.INT32, value=2),
    )
    plant.send(MessageType.DBIRTH, *metrics, device="d1")
    assert refusals(plant) == ["alias 0 stands for several metrics"]
    plant.send(MessageType.DDATA, Metric(alias=0, value=7.0), device="d1")
    named = Metric(name="speed", alias=0, time_ms=1100, data_type=DataType.DOUBLE, value=3.0)
    plant.send(MessageType.DDATA, named, device="d1")
    assert plant.sink.values(1) == [1.0, 3.0]
    assert plant.sink.values(2) == [2]


def test_historical_values_of_a_birth_are_handed_over_apart(plant: Plant) -> None:
    plant.send(MessageType.NBIRTH, bd(1))
    old = Metric(name="speed", alias=10, time_ms=500, data_type=DataType.DOUBLE, value=1.0, historical=True)
    plant.send(MessageType.DBIRTH, old, device="d1")
    assert (plant.sink.rows, plant.sink.historical) == ([], [(1, 500_000, 1.0, 0)])


def test_a_message_without_any_time_has_the_gateways(plant: Plant) -> None:
    plant.birth()
    metric = Metric(name="speed", data_type=DataType.DOUBLE, value=5.0)
    plant.send(MessageType.DDATA, metric, device="d1", time_ms=0)
    assert plant.sink.rows[-1] == (1, plant.now_us, 5.0, 0)


# --- size --------------------------------------------------------------------------------------------------------------


def big(count: int, at_ms: int) -> tuple[Any, ...]:
    return tuple(
        Metric(name=f"m{at}", alias=at, time_ms=at_ms, data_type=DataType.DOUBLE, value=float(at))
        for at in range(count)
    )


def test_births_of_ten_thousand_metrics_are_bounded(plant: Plant) -> None:
    """By counts: one hand-over and one event a birth, and nothing that grows with births."""
    count = 10_000
    tags = {f"spb:north/n1/d1/m{at}": tag(100 + at, f"spb:north/n1/d1/m{at}", name=f"m{at}") for at in range(count)}
    handed: list[int] = []

    class Sink(MemorySink):
        def readings(self, readings: Any, on_appended: Any = None) -> None:
            handed.append(len(readings))

    plant = Plant(sink=Sink())
    plant.session.update(tags, frozenset())
    for _ in range(3):
        plant.send(MessageType.NBIRTH, bd(1))
        plant.send(MessageType.DBIRTH, *big(count, 1000), device="d1")
    assert handed == [count]
    assert plant.session.status()["repeats"] == 2 * count
    assert [notice.kind for notice in plant.sink.notices] == [EventKind.BIRTH]
    node = plant.session._nodes["north", "n1"]
    assert len(node.devices["d1"].metrics) == len(node.devices["d1"].names) == count


def test_proposals_of_ten_thousand_unknown_metrics_come_once(plant: Plant) -> None:
    for _ in range(2):
        plant.send(MessageType.NBIRTH, bd(1))
        plant.send(MessageType.DBIRTH, *big(10_000, 1000), device="d1")
    assert len(plant.sink.of(EventKind.PROPOSAL)) == 10_000


def test_nodes_and_devices_are_bounded(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sparkplug.session._NODES_KEPT", 2)
    monkeypatch.setattr("connectors.sparkplug.session._DEVICES_KEPT", 3)
    for at in range(4):
        plant.session.on_message(f"spBv1.0/north/NDATA/other{at}", data(0, 1.0, 1))
    assert len(plant.session.status()["nodes"]) == 2
    plant = Plant()
    plant.send(MessageType.NBIRTH, bd(1))
    for at in range(5):
        plant.send(MessageType.DBIRTH, Metric(name="a", data_type=DataType.DOUBLE, value=1.0), device=f"x{at}")
    assert plant.session.status()["nodes"]["north/n1"]["devices"] == 3


def test_tags_that_the_registry_takes_away_are_read_no_more(plant: Plant) -> None:
    plant.birth()
    plant.session.update({COUNT.address: COUNT, OTHER.address: OTHER}, frozenset())
    plant.data(10, 5.0, 1100)
    plant.data(11, 6, 1100)
    assert plant.sink.rows[-1] == (2, 1_100_000, 6, 0)
    assert plant.sink.values(1) == [1.5]


def test_a_metric_that_becomes_a_tag_flows_at_once(plant: Plant) -> None:
    extra = Metric(name="new", alias=12, time_ms=1000, data_type=DataType.DOUBLE, value=1.0)
    plant.birth(extra=(extra,))
    new = tag(9, "spb:north/n1/d1/new", name="new")
    plant.session.update({one.address: one for one in (SPEED, COUNT, OTHER, new)}, frozenset())
    assert plant.rebirths() == 1  # its value of now is in the birth
    plant.birth(extra=(extra,))
    assert plant.sink.values(9) == [1.0]
    plant.session.update({one.address: one for one in (SPEED, COUNT, OTHER, new)}, frozenset())
    plant.now_us += 60_000_000
    plant.session.tick()
    assert plant.rebirths() == 1
