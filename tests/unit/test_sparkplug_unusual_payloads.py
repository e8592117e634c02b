"""Payloads that are damaged, compressed, structured or of an unknown encoding: read whole, or refused whole with the cause."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import UndecodableError
from connectors.sparkplug import compressed, payload
from connectors.sparkplug import sparkplug_b_pb2 as pb
from connectors.sparkplug.data_types import DataType
from connectors.sparkplug.payload import Metric, Payload, RefusedPayloadError

pytestmark = pytest.mark.unit

NOT_UTF8 = b"a\xffb"


def message(*metrics: pb.Metric, **fields: Any) -> pb.Payload:
    return pb.Payload(timestamp=1000, seq=7, metrics=metrics, **fields)


def number(name: str, value: float, **fields: Any) -> pb.Metric:
    return pb.Metric(name=name, datatype=DataType.DOUBLE, double_value=value, **fields)


def with_text(make: Callable[[str], pb.Payload]) -> bytes:
    """Bytes of a payload in which one text is not UTF-8."""
    return make("@@@").SerializeToString().replace(b"@@@", NOT_UTF8)


TEXTS: dict[str, Callable[[str], pb.Payload]] = {
    "name": lambda text: message(number("fine", 1.0), number(text, 1.0)),
    "value": lambda text: message(pb.Metric(name="t", datatype=DataType.STRING, string_value=text)),
    "value without type": lambda text: message(pb.Metric(name="t", string_value=text)),
    "key of a property": lambda text: message(
        number("t", 1.0, properties=pb.PropertySet(keys=[text], values=[pb.PropertyValue(type=3, int_value=1)]))
    ),
    "value of a property": lambda text: message(
        number("t", 1.0, properties=pb.PropertySet(keys=["k"], values=[pb.PropertyValue(type=12, string_value=text)]))
    ),
    "uuid": lambda text: message(uuid=text, body=b"x"),
    "column": lambda text: message(
        pb.Metric(name="t", datatype=DataType.DATA_SET, dataset_value=pb.DataSet(columns=[text], types=[10]))
    ),
    "member": lambda text: message(
        pb.Metric(name="t", datatype=DataType.TEMPLATE, template_value=pb.Template(metrics=[number(text, 1.0)]))
    ),
    "definition": lambda text: message(
        pb.Metric(name="t", datatype=DataType.TEMPLATE, template_value=pb.Template(template_ref=text))
    ),
}


@pytest.mark.sparkplug("payloads-template-ref-instance")
@pytest.mark.parametrize("where", TEXTS)
def test_text_that_is_not_utf8_refuses_the_whole_message(where: str) -> None:
    with pytest.raises(RefusedPayloadError, match="UTF-8") as caught:
        payload.decode(with_text(TEXTS[where]))
    assert caught.value.seq == 7
    assert len(str(caught.value)) < 200


MALFORMED = {
    "properties": message(number("t", 1.0, properties=pb.PropertySet(keys=["a", "b"], values=[pb.PropertyValue()]))),
    "types of a DataSet": message(pb.Metric(name="t", dataset_value=pb.DataSet(columns=["a"], types=[]))),
    "row of a DataSet": message(
        pb.Metric(name="t", dataset_value=pb.DataSet(columns=["a"], types=[10], rows=[pb.DataSet.Row()]))
    ),
    "sequence number": pb.Payload(timestamp=1, seq=256),
}


@pytest.mark.sparkplug(
    "payloads-propertyset-keys-array-size",
    "payloads-propertyset-values-array-size",
    "payloads-dataset-column-num-headers",
    "payloads-dataset-types-num",
    "payloads-dataset-parameter-type-req",
    "payloads-sequence-num-req-nbirth",
    "payloads-nbirth-seq",
)
@pytest.mark.parametrize("what", MALFORMED)
def test_parts_that_do_not_fit_together_refuse_the_whole_message(what: str) -> None:
    with pytest.raises(RefusedPayloadError):
        payload.decode(MALFORMED[what].SerializeToString())


# --- compressed --------------------------------------------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


def packed(body: bytes, algorithm: str = "", **fields: Any) -> bytes:
    metrics = [pb.Metric(name="algorithm", datatype=DataType.STRING, string_value=algorithm)] if algorithm else []
    return pb.Payload(uuid="SPBV1.0_COMPRESSED", body=body, metrics=metrics, **fields).SerializeToString()


INSIDE = message(number("a", 2.5), number("b", 3.5)).SerializeToString()


@pytest.mark.parametrize(
    ("algorithm", "body"),
    [
        ("GZIP", gzip.compress(INSIDE, mtime=0)),
        ("DEFLATE", zlib.compress(INSIDE)),
        ("deflate", zlib.compress(INSIDE, 0)),
        ("DEFLATE", raw_deflate(INSIDE)),
        ("", zlib.compress(INSIDE)),
    ],
)
def test_compressed_payloads_are_read(algorithm: str, body: bytes) -> None:
    assert payload.decode(packed(body, algorithm)) == payload.decode(INSIDE)


def test_sequence_number_may_stand_outside_of_the_compression() -> None:
    inside = pb.Payload(timestamp=5, metrics=[number("a", 1.0)]).SerializeToString()
    assert payload.decode(packed(gzip.compress(inside), "GZIP", seq=9)).seq == 9


@pytest.mark.parametrize(
    ("algorithm", "body", "cause"),
    [
        ("LZ4", b"abc", "LZ4"),
        ("GZIP", gzip.compress(INSIDE, mtime=0)[:-3], "too early"),
        ("GZIP", b"no gzip", "damaged"),
        ("DEFLATE", b"", "too early"),
        ("GZIP", gzip.compress(b"no payload", mtime=0), "not a Sparkplug B payload"),
        ("GZIP", gzip.compress(packed(gzip.compress(INSIDE, mtime=0), "GZIP"), mtime=0), "twice"),
    ],
)
def test_damaged_compression_is_refused(algorithm: str, body: bytes, cause: str) -> None:
    with pytest.raises(RefusedPayloadError, match=cause):
        payload.decode(packed(body, algorithm))


def test_what_a_compressed_body_holds_is_bounded_while_it_is_made() -> None:
    bomb = zlib.compress(bytes(1 << 20))
    assert len(compressed.decompress(bomb, "DEFLATE", 1 << 20)) == 1 << 20
    with pytest.raises(UndecodableError, match="more than 1000 bytes"):
        compressed.decompress(bomb, "DEFLATE", 1000)


def test_body_of_an_unknown_encoding_is_not_an_empty_message() -> None:
    with pytest.raises(RefusedPayloadError, match="unknown encoding"):
        payload.decode(pb.Payload(timestamp=1, seq=0, uuid="our own", body=b"xyz").SerializeToString())
    beside = payload.decode(message(number("a", 1.0), uuid="our own", body=b"xyz").SerializeToString())
    assert [metric.name for metric in beside.metrics] == ["a"]
    assert "unknown encoding" in beside.unread


def test_bytes_metrics_and_depth_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_METRICS", 5)
    with pytest.raises(RefusedPayloadError, match="more than 5"):
        payload.decode(message(*(number(f"m{at}", 1.0) for at in range(6))).SerializeToString())
    members = pb.Template(template_ref="t", metrics=[number(f"m{at}", 1.0) for at in range(6)])
    with pytest.raises(RefusedPayloadError, match="more than 5"):
        payload.decode(message(pb.Metric(name="t", template_value=members)).SerializeToString())
    monkeypatch.setattr(payload, "MAX_BYTES", 10)
    with pytest.raises(RefusedPayloadError, match="more than 10"):
        payload.decode(bytes(11))


def test_structures_that_are_too_deep_are_refused() -> None:
    inner = number("x", 1.0)
    for _ in range(12):
        inner = pb.Metric(name="t", datatype=DataType.TEMPLATE, template_value=pb.Template(metrics=[inner]))
    with pytest.raises(RefusedPayloadError, match="deeper"):
        payload.decode(message(inner).SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(UndecodableError):
        assert isinstance(payload.decode(data), Payload)


@given(st.integers(0, 400), st.integers(0, 255))
def test_any_flipped_byte_is_read_or_refused(at: int, value: int) -> None:
    data = bytearray(TEXTS["member"]("m").SerializeToString() + INSIDE)
    data[at % len(data)] = value
    with contextlib.suppress(UndecodableError):
        payload.decode(bytes(data))


# --- structures --------------------------------------------------------------------------------------------------------


def template(*members: pb.Metric, definition: bool = False, **fields: Any) -> pb.Metric:
    content = pb.Template(is_definition=definition, metrics=members, template_ref="" if definition else "Motor")
    return pb.Metric(datatype=DataType.TEMPLATE, template_value=content, **fields)


@pytest.mark.sparkplug(
    "payloads-template-instance-is-definition",
    "payloads-template-is-definition-instance",
    "payloads-template-instance-ref",
    "payloads-template-instance-members-birth",
)
def test_members_of_a_template_are_metrics_of_their_own() -> None:
    quality = pb.PropertySet(keys=["Quality"], values=[pb.PropertyValue(type=3, int_value=500)])
    inner = template(number("torque", 7.0), name="shaft")
    data = message(template(number("speed", 5.0, timestamp=3), inner, name="m1", timestamp=9, properties=quality))
    speed, torque = payload.decode(data.SerializeToString()).metrics
    assert (speed.name, speed.value, speed.time_ms, speed.quality) == ("m1/speed", 5.0, 3, 500)
    assert (torque.name, torque.value, torque.time_ms, torque.quality) == ("m1/shaft/torque", 7.0, 9, 500)


@pytest.mark.sparkplug("payloads-template-instance-members-data")
def test_members_of_a_template_that_data_names_by_alias() -> None:
    data = message(template(pb.Metric(name="count", int_value=0xFFFFFFFF), alias=4)).SerializeToString()
    (count,) = payload.decode(data, {"m1/count": DataType.INT32}, {4: "m1"}).metrics
    assert (count.name, count.value) == ("m1/count", -1)
    (unknown,) = payload.decode(data).metrics
    assert (unknown.alias, unknown.refused) == (4, "a Template whose name is unknown")


@pytest.mark.sparkplug(
    "payloads-template-definition-is-definition",
    "payloads-template-is-definition-definition",
    "payloads-template-definition-nbirth",
    "payloads-template-definition-nbirth-only",
)
def test_definition_of_a_template_holds_no_values() -> None:
    data = message(template(number("speed", 0.0), definition=True, name="Motor"), number("a", 1.0))
    assert [metric.name for metric in payload.decode(data.SerializeToString()).metrics] == ["a"]


def table(*rows: float, **fields: Any) -> bytes:
    content = pb.DataSet(
        num_of_columns=2,
        columns=["level", "on"],
        types=[DataType.INT16, DataType.BOOLEAN],
        rows=[
            pb.DataSet.Row(
                elements=[pb.DataSet.DataSetValue(int_value=0xFFFF), pb.DataSet.DataSetValue(boolean_value=True)]
            )
            for _ in rows
        ],
    )
    return message(pb.Metric(name="t", datatype=16, dataset_value=content, **fields)).SerializeToString()


@pytest.mark.sparkplug(
    "payloads-dataset-column-size",
    "payloads-dataset-types-def",
    "payloads-dataset-types-type",
    "payloads-dataset-types-value",
    "payloads-template-dataset-value",
)
def test_dataset_of_one_row_is_metrics_and_others_are_refused_by_name() -> None:
    level, on = payload.decode(table(1, timestamp=8)).metrics
    assert (level.name, level.value, level.time_ms, level.data_type) == ("t/level", -1, 8, DataType.INT16)
    assert (on.name, on.value) == ("t/on", True)
    for rows in ((), (1, 2)):
        (metric,) = payload.decode(table(*rows)).metrics
        assert metric.name == "t"
        assert f"{len(rows)} rows" in metric.refused


def test_structure_without_content_is_refused_by_name() -> None:
    for kind in (DataType.TEMPLATE, DataType.DATA_SET):
        (metric,) = payload.decode(
            message(pb.Metric(name="t", datatype=kind, is_null=True)).SerializeToString()
        ).metrics
        assert metric.refused == f"a {kind.name} without content"


def test_numbers_that_do_not_fit_a_float_are_refused() -> None:
    with pytest.raises(Exception, match="32 bits"):
        payload.encode(Payload(time_ms=1, metrics=(Metric(name="f", data_type=DataType.FLOAT, value=1e300),)))
