"""Properties of the frame codec: exact round trip, and damage never passes for other samples or escapes as a strange error."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from base.errors import FrameError, SchemaError, UndecodableError, UnknownSchemaError
from base.ids import uuid7
from schemas import codec, frame
from tests.contract import examples, golden_files

T0_US = examples.T0_US
HALF_RANGE_US = 1 << 31
OUTSIDE_CHECKSUM = {
    "gateway_id", "epoch", "lane", "stream", "sequence", "closed_time_us", "clock_status", "registry_version", "verdict",
    "traceparent", "signature", "key_id",
}  # fmt: skip
"""What the checksum does not cover: everything that is not a sample."""

sample = st.tuples(
    st.integers(-(2**31), 2**31 - 1),  # tag id
    st.integers(-1_000_000_000, 1_000_000_000),  # offset, microseconds
    st.integers(0, 2**64 - 1) | st.floats(width=64).map(lambda value: int(np.float64(value).view(np.uint64))),
    st.integers(0, 2**16 - 1),  # quality
)
"""Values come as 64 bits, so that every NaN there is can appear."""


def build(samples: list[tuple[int, int, int, int]], **changes: Any) -> frame.Frame:
    tag, offset, bits, quality = zip(*samples, strict=True)
    arguments: dict[str, Any] = {
        "gateway_id": "gw", "epoch": examples.EPOCH, "lane": 0, "stream": frame.Stream.LIVE, "sequence": 0,
        "closed_time_us": T0_US, "clock_status": frame.ClockStatus.SYNCHRONISED, "registry_version": 1,
        "tag_id": np.array(tag, np.int32), "time_us": np.array(offset, np.int64) + T0_US,
        "value": np.array(bits, np.uint64).view(np.float64), "quality": np.array(quality, np.uint16),
    }  # fmt: skip
    return frame.build(**arguments | changes)


@st.composite
def frames(draw: st.DrawFn) -> frame.Frame:
    built = build(
        draw(st.lists(sample, min_size=1, max_size=40)),
        gateway_id=draw(st.text(max_size=20)),
        epoch=draw(st.uuids()),
        lane=draw(st.integers(0, 2**31 - 1)),
        stream=draw(st.sampled_from(frame.Stream)),
        sequence=draw(st.integers(0, 2**63 - 1)),
        closed_time_us=draw(st.integers(0, 2**62)),
        clock_status=draw(st.sampled_from(frame.ClockStatus)),
        registry_version=draw(st.integers(0, 2**62)),
        traceparent=draw(st.none() | st.text(max_size=60)),
    )
    built = dataclasses.replace(
        built, signature=draw(st.none() | st.binary(max_size=64)), key_id=draw(st.none() | st.text())
    )
    if draw(st.booleans()):
        verdict = draw(st.lists(st.integers(0, 255), min_size=built.samples, max_size=built.samples))
        built = dataclasses.replace(built, verdict=np.array(verdict, np.uint8))
    return built


def bits(value: Any) -> Any:
    """Value to compare exactly: an array as dtype and bytes, so that NaN equals itself and -0.0 differs from 0.0."""
    return (value.dtype.str, value.tobytes()) if isinstance(value, np.ndarray) else value


def fields(of: frame.Frame) -> dict[str, Any]:
    return {field.name: bits(getattr(of, field.name)) for field in dataclasses.fields(of)}


def samples_of(of: frame.Frame) -> tuple[Any, ...]:
    return tuple(bits(column) for column in (of.tag_id, of.time_us, of.value, of.quality))


@given(frames())
@example(examples.frame())
def test_decode_after_encode_is_identity(original: frame.Frame) -> None:
    decoded = frame.decode(frame.encode(original))
    assert fields(decoded) == fields(original)
    assert decoded.computed_checksum() == original.computed_checksum()
    if original.verdict is None or original.sent.all():
        assert original.computed_checksum() == original.checksum
    assert frame.encode(decoded) == frame.encode(original)


@given(frames())
def test_decoded_columns_are_read_only(original: frame.Frame) -> None:
    decoded = frame.decode(frame.encode(original))
    for column in (decoded.tag_ids, decoded.tag_index, decoded.time_offset_us, decoded.value, decoded.quality):
        assert not column.flags.writeable


def assert_damage_shows(original: frame.Frame, message: bytes) -> None:
    """Refused as a SchemaError, or betrayed by the checksum, or the samples are untouched to the bit."""
    try:
        decoded = frame.decode(message)
    except (UndecodableError, UnknownSchemaError):
        return
    if decoded.computed_checksum() == decoded.checksum:
        assert samples_of(decoded) == samples_of(original)
        before, after = fields(original), fields(decoded)
        assert {name for name in before if before[name] != after[name]} <= OUTSIDE_CHECKSUM


def flip(message: bytes, position: int) -> bytes:
    damaged = bytearray(message)
    damaged[position // 8] ^= 1 << position % 8
    return bytes(damaged)


def test_every_single_bit_flip_of_a_frame_shows() -> None:
    original = examples.frame()
    message = frame.encode(original)
    for position in range(len(message) * 8):
        assert_damage_shows(original, flip(message, position))


def test_every_truncation_of_a_frame_is_refused() -> None:
    message = frame.encode(examples.frame())
    for length in range(len(message)):
        with pytest.raises(UndecodableError):
            frame.decode(message[:length])


@given(frames(), st.data())
def test_bit_flips_of_any_frame_show(original: frame.Frame, data: st.DataObject) -> None:
    message = frame.encode(original)
    for _ in range(10):
        assert_damage_shows(original, flip(message, data.draw(st.integers(0, len(message) * 8 - 1))))


@given(frames(), st.data())
def test_truncations_of_any_frame_are_refused(original: frame.Frame, data: st.DataObject) -> None:
    message = frame.encode(original)
    with pytest.raises(UndecodableError):
        frame.decode(message[: data.draw(st.integers(0, len(message) - 1))])
    with pytest.raises(UndecodableError):
        frame.decode(message + data.draw(st.binary(min_size=1, max_size=8)))


@given(st.sampled_from(sorted(codec.all_schemas())), st.binary(max_size=300))
def test_any_bytes_behind_a_header_decode_or_are_refused(name: str, body: bytes) -> None:
    try:
        codec.decode(codec.newest(name).header + body)
    except UndecodableError as error:
        assert name in str(error)  # noqa: PT017


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_an_error_of_the_tree(message: bytes) -> None:
    with pytest.raises(SchemaError):
        codec.decode(message)


def test_a_fingerprint_of_no_shipped_schema_is_an_unknown_schema() -> None:
    with pytest.raises(UnknownSchemaError, match="0011223344556677"):
        codec.decode(codec.MARKER + bytes.fromhex("0011223344556677") + b"body")


def test_another_record_where_a_frame_is_expected_is_undecodable() -> None:
    message = codec.encode("RegistryVersion", examples.records()["RegistryVersion"])
    with pytest.raises(UndecodableError, match="RegistryVersion found where TelemetryFrame was expected"):
        frame.decode(message)


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 13}, {"samples": 0}, {"samples": -1}, {"value": np.zeros(11)}, {"quality": np.zeros(0, np.uint16)},
        {"verdict": np.zeros(1, np.uint8)}, {"tag_ids": np.zeros(0, np.int32)}, {"tag_index": np.full(12, 4, np.uint16)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_columns_that_do_not_fit_together_are_undecodable(change: dict[str, Any]) -> None:
    message = codec.encode("TelemetryFrame", examples.frame_record(examples.frame()) | change)
    with pytest.raises(UndecodableError, match="samples"):
        frame.decode(message)


def test_the_lane_can_be_read_first_in_every_version() -> None:
    for version in codec.all_schemas()["TelemetryFrame"]:
        assert [field["name"] for field in version.raw["fields"][:3]] == ["gateway_id", "epoch", "lane"]
        message = golden_files.load_message(version)
        assert frame.peek_lane_key(message) == frame.decode(message).lane_key


@given(frames(), st.data())
def test_peeking_gives_the_lane_or_nothing_whatever_the_damage(original: frame.Frame, data: st.DataObject) -> None:
    message = frame.encode(original)
    assert frame.peek_lane_key(message) == original.lane_key
    damaged = flip(message, data.draw(st.integers(0, len(message) * 8 - 1)))
    for torn in (damaged, damaged[: data.draw(st.integers(0, len(message)))]):
        lane = frame.peek_lane_key(torn)
        assert lane is None or isinstance(lane, str)
        try:
            assert lane == frame.decode(torn).lane_key
        except (UndecodableError, UnknownSchemaError):
            continue


@given(frames(), st.data())
def test_a_judged_frame_is_the_frame_with_its_verdicts(original: frame.Frame, data: st.DataObject) -> None:
    verdicts = data.draw(st.binary(min_size=original.samples, max_size=original.samples))
    verdict = np.frombuffer(verdicts, np.uint8)
    assert frame.with_verdicts(frame.encode(original), original, verdict) == frame.encode(original, verdict=verdict)


@pytest.mark.parametrize("options", [{"traceparent": "00-1-2-01"}, {"signature": b"\x00\x00\x00"}, {"key_id": "k"}])
def test_what_a_judged_frame_came_with_stays(options: dict[str, Any]) -> None:
    original = dataclasses.replace(examples.frame(), verdict=None, **options)
    verdict = np.full(original.samples, 3, np.uint8)
    again = frame.decode(frame.with_verdicts(frame.encode(original), original, verdict))
    assert {name: getattr(again, name) for name in options} == options
    assert again.verdict is not None
    assert (again.verdict == verdict).all()


@given(st.lists(frames(), min_size=1, max_size=4))
def test_a_bundle_gives_back_its_frames(originals: list[frame.Frame]) -> None:
    messages = [frame.encode(each) for each in originals]
    record = frame.bundle("gw", 3, messages)
    assert frame.unbundle(record) == messages
    assert len(messages) > 1 or record is messages[0]


def test_what_is_no_bundle_is_given_back_and_a_torn_one_refused() -> None:
    assert frame.unbundle(b"") == [b""]
    assert frame.unbundle(b"no message") == [b"no message"]
    message = frame.encode(examples.frame())
    with pytest.raises(UndecodableError, match="FrameBundle"):
        frame.unbundle(frame.bundle("gw", 0, [message, message])[:-1])


# --- building ---------------------------------------------------------------------------------------------------------------


def columns(times: list[int]) -> list[tuple[int, int, int, int]]:
    return [(1, time, 0, 0) for time in times]


@pytest.mark.parametrize(
    "times",
    [
        [0, 0, HALF_RANGE_US],  # 2^31 behind the median
        [-HALF_RANGE_US - 1, 0, 0],
        [0, 40 * 365 * 86_400 * 1_000_000],
    ],
)
def test_times_too_far_apart_for_one_frame_are_an_error_that_tells_the_span(times: list[int]) -> None:
    with pytest.raises(FrameError, match=f"span {(max(times) - min(times)) / 1e6:.0f} s"):
        build(columns(times))


def test_times_at_the_very_ends_of_the_range_fit_and_come_back() -> None:
    built = build(columns([-HALF_RANGE_US, 0, HALF_RANGE_US - 1]))
    decoded = frame.decode(frame.encode(built))
    assert (decoded.time_us - T0_US).tolist() == [-HALF_RANGE_US, 0, HALF_RANGE_US - 1]


@pytest.mark.parametrize("size", [0, frame.MAX_SAMPLES + 1])
def test_a_frame_has_at_least_one_and_at_most_max_samples(size: int) -> None:
    with pytest.raises(FrameError, match=f"{size}"):
        build([(1, 0, 0, 0)], **{name: np.zeros(size, dtype) for name, dtype in COLUMNS.items()})


COLUMNS = {"tag_id": np.int32, "time_us": np.int64, "value": np.float64, "quality": np.uint16}


def test_the_largest_frame_with_as_many_tags_as_samples_comes_back() -> None:
    size = frame.MAX_SAMPLES
    changes = {name: np.zeros(size, dtype) for name, dtype in COLUMNS.items()} | {
        "tag_id": np.arange(size, dtype=np.int32)
    }
    message = frame.encode(build([(1, 0, 0, 0)], **changes))
    assert frame.decode(message).tag_id.tolist() == list(range(size))


@pytest.mark.parametrize("short", sorted(COLUMNS))
def test_columns_of_different_lengths_are_an_error(short: str) -> None:
    changes = {name: np.zeros(2 if name == short else 3, dtype) for name, dtype in COLUMNS.items()}
    with pytest.raises(FrameError, match="do not make a frame"):
        build([(1, 0, 0, 0)], **changes)


@given(st.text(max_size=20), st.integers(0, 2**31 - 1))
def test_lane_keys_are_read_back(gateway_id: str, lane: int) -> None:
    assert frame.parse_lane_key(frame.lane_key(gateway_id, lane)) == (gateway_id, lane)


@pytest.mark.parametrize("text", ["", "gw", "gw/", "gw/x", "/"])
def test_other_text_is_no_lane_key(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        frame.parse_lane_key(text)


def test_identity_names_a_frame() -> None:
    built = build([(1, 0, 0, 0)], epoch=uuid7(), sequence=3)
    identity = frame.identity_of(built)
    assert identity == {
        "gateway_id": "gw", "epoch": built.epoch, "lane": 0, "stream": frame.Stream.LIVE, "sequence": 3,
    }  # fmt: skip
    assert frame.identity_of(identity) == identity
