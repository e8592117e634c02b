"""Sparkplug payloads and topic names: what goes in comes out, and bytes are the standard's."""

from __future__ import annotations

from pathlib import Path

import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from base.errors import SchemaError, UndecodableError
from connectors.sparkplug import names, payload
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import DataType, Metric, Payload
from schemas import quality

pytestmark = pytest.mark.unit

RANGES = {
    DataType.INT8: (-(1 << 7), (1 << 7) - 1),
    DataType.INT16: (-(1 << 15), (1 << 15) - 1),
    DataType.INT32: (-(1 << 31), (1 << 31) - 1),
    DataType.INT64: (-(1 << 63), (1 << 63) - 1),
    DataType.UINT8: (0, (1 << 8) - 1),
    DataType.UINT16: (0, (1 << 16) - 1),
    DataType.UINT32: (0, (1 << 32) - 1),
    DataType.UINT64: (0, (1 << 64) - 1),
}


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    kind = draw(st.sampled_from([*RANGES, DataType.DOUBLE, DataType.FLOAT, DataType.BOOLEAN, DataType.STRING]))
    value: payload.Value
    if kind in RANGES:
        value = draw(st.none() | st.integers(*RANGES[kind]))
    elif kind is DataType.BOOLEAN:
        value = draw(st.none() | st.booleans())
    elif kind is DataType.STRING:
        value = draw(st.none() | st.text())
    else:
        value = draw(st.none() | st.floats(allow_nan=False, width=32 if kind is DataType.FLOAT else 64))
    properties = st.dictionaries(
        st.text(min_size=1), st.integers(-(1 << 31), (1 << 31) - 1) | st.booleans() | st.text(), max_size=3
    )
    return Metric(
        name=draw(st.text(max_size=20)),
        alias=draw(st.none() | st.integers(0, (1 << 64) - 1)),
        time_ms=draw(st.none() | st.integers(0, 1 << 50)),
        data_type=kind,
        value=value,
        historical=draw(st.booleans()),
        transient=draw(st.booleans()),
        properties=draw(properties),
    )


@given(st.integers(0, 1 << 50), st.none() | st.integers(0, 255), st.lists(metrics(), max_size=5))
def test_decode_is_the_inverse_of_encode(time_ms: int, seq: int | None, items: list[Metric]) -> None:
    message = Payload(time_ms=time_ms, seq=seq, metrics=tuple(items))
    assert payload.decode(payload.encode(message)) == message


@pytest.mark.sparkplug(
    "payloads-metric-datatype-value-type",
    "payloads-timestamp-in-UTC",
    "payloads-metric-timestamp-in-UTC",
)
def test_bytes_are_the_standards() -> None:
    message = Payload(
        time_ms=1, seq=2, metrics=(Metric(name="a", alias=3, time_ms=4, data_type=DataType.INT8, value=-1),)
    )
    # timestamp=1 (field 1), metric (2): name (1) alias (2) timestamp (3) datatype (4) int_value (10) = 2^32-1; seq (3).
    assert (
        payload.encode(message).hex() == "0801" + "120f" + "0a0161" + "1003" + "1804" + "2001" + "50ffffffff0f" + "1802"
    )


def test_type_of_the_birth_gives_the_sign_of_data() -> None:
    data = payload.encode(Payload(time_ms=1, metrics=(Metric(alias=7, value=-5),)))
    assert payload.decode(data).metrics[0].value == (1 << 64) - 5
    assert payload.decode(data, {7: DataType.INT64}).metrics[0].value == -5


def test_values_that_do_not_fit_their_type_are_refused_by_name() -> None:
    for value in (200, "x", 1.5):
        with pytest.raises(SchemaError, match=r"speed.*INT8"):
            payload.encode(Payload(time_ms=1, metrics=(Metric(name="speed", data_type=DataType.INT8, value=value),)))


@pytest.mark.parametrize("data", [b"\xff", b"\x12\x05\x0a", b"\x00" * 3])
def test_other_bytes_are_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        payload.decode(data)


@pytest.mark.parametrize(("number", "cause"), [(0x1E, "an array (data type 30)"), (0x40, "an unknown data type (64)")])
def test_array_and_later_types_are_refused_by_name(number: int, cause: str) -> None:
    message = Payload(time_ms=1, metrics=(Metric(name="a", data_type=DataType.BYTES, value=b"12"),))
    data = payload.encode(message).replace(b"\x20\x11", bytes((0x20, number)))
    metric = payload.decode(data).metrics[0]
    assert (metric.name, metric.data_type, metric.value, metric.refused) == ("a", DataType.UNKNOWN, None, cause)


def test_quality_property() -> None:
    assert Metric().quality == payload.QUALITY_GOOD
    codes = {192: quality.GOOD, 500: quality.UNCERTAIN_LAST_USABLE, 0: quality.BAD}
    for code, expected in codes.items():
        metric = Metric(name="a", data_type=DataType.DOUBLE, value=1.0, properties={payload.QUALITY_PROPERTY: code})
        (decoded,) = payload.decode(payload.encode(Payload(time_ms=1, metrics=(metric,)))).metrics
        assert quality.from_sparkplug(decoded.quality) == expected


@pytest.mark.parametrize("kind", list(MessageType))
def test_topic_names(kind: MessageType) -> None:
    topic = Topic("north", kind, "n1", "d1" if kind.value.startswith("D") else "")
    assert names.parse(str(topic)) == topic


BAD_TOPICS = (
    "", "a/b/c", "spBv1.0/g/NDATA", "spBv1.0/g/DDATA/n", "spBv1.0/g/NDATA/n/d", "spBv1.0/g/XDATA/n",
    "spAv1.0/g/NDATA/n", "spBv1.0//NDATA/n",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_TOPICS)
@pytest.mark.sparkplug(
    "topic-structure-namespace-device-id-associated-message-types",
    "topic-structure-namespace-device-id-non-associated-message-types",
)
def test_other_topics_are_undecodable(name: str) -> None:
    with pytest.raises(UndecodableError):
        names.parse(name)


def test_state() -> None:
    assert names.state_topic("h") == "spBv1.0/STATE/h"
    assert names.encode_state(online=True, time_ms=5) == b'{"online":true,"timestamp":5}'
    assert names.decode_state(b'{"timestamp": 6, "online": false}') == (False, 6)
    with pytest.raises(UndecodableError):
        names.decode_state(b"ONLINE")


def test_generated_code_is_that_of_the_proto_file(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    source = "connectors/sparkplug/sparkplug_b.proto"
    assert protoc.main(["protoc", f"-I{root}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", source]) == 0
    for made in (tmp_path / source).parent.iterdir():
        assert made.read_text() == ((root / source).parent / made.name).read_text()
