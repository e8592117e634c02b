"""Replaying refused samples: corrections, identities, arguments; without a database."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InvalidRequestError, SchemaError
from base.moments import moment
from historian.replay.__main__ import main, pacer
from historian.replay.correction import Correction, correction
from historian.replay.frames import BLOCK, replay_key, resend
from historian.replay.selection import Refusal, Samples, check_reasons
from schemas import frame
from schemas.frame import ClockStatus, Frame, SequenceKey, Stream
from tests.golden.support import make_frame

KEY = SequenceKey("gw", UUID(int=7 << 76), 3, Stream.LIVE)
TOPIC = "telemetry.frames.north"


def refusal(
    *samples: tuple[int, int, float, int], reason: str = "OUT_OF_RANGE", sequence: int = 5, key: SequenceKey = KEY
) -> Refusal:
    """Of samples (tag, time, value, quality)."""
    tags, times, values, qualities = zip(*samples, strict=True)
    columns = Samples(
        key=key,
        sequence=sequence,
        tag_id=np.array(tags, dtype=np.int32),
        time_us=np.array(times, dtype=np.int64),
        value=np.array(values, dtype=np.float64),
        quality=np.array(qualities, dtype=np.uint16),
    )
    return Refusal(
        identity=f"{sequence} {reason}",
        reason=reason,
        rejected_us=9_000_000,
        topic=TOPIC,
        samples=columns,
        original=None,
    )


def whole(message: bytes | None, topic: str = TOPIC) -> Refusal:
    return Refusal(identity="x", reason="UNKNOWN_SCHEMA", rejected_us=9, topic=topic, samples=None, original=message)


def sent(given_refusal: Refusal, how: Correction, tag_ids: frozenset[int] | None = None) -> list[Frame]:
    return [frame.decode(one.message) for one in resend(given_refusal, how, tag_ids=tag_ids, registry_version=4)]


# --- corrections ---------------------------------------------------------------------------------------------------------


def test_a_frame_per_tag_with_the_corrected_samples() -> None:
    given_refusal = refusal((2, 100, 7.0, 0), (1, 90, 5.0, 0), (2, 101, 8.0, 0x4000))
    first, second = sent(given_refusal, Correction(scale=2.0, offset=-1.0, shift_us=10))
    assert (first.tag_id.tolist(), first.time_us.tolist(), first.value.tolist()) == ([1], [100], [9.0])
    assert (second.time_us.tolist(), second.value.tolist(), second.quality.tolist()) == (
        [110, 111],
        [13.0, 15.0],
        [0, 0x4000],
    )
    assert {one.stream for one in (first, second)} == {Stream.REPLAY}
    assert (first.gateway_id, first.lane, first.registry_version, first.clock_status) == (
        "gw",
        3,
        4,
        ClockStatus.UNKNOWN,
    )
    assert first.closed_time_us == 9_000_000, "judged as of the refusal"
    assert first.computed_checksum() == first.checksum


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_as_they_are_the_samples_are_the_same_to_the_bit(values: list[float]) -> None:
    (one,) = sent(refusal(*((1, at, value, 0) for at, value in enumerate(values))), Correction())
    assert one.value.tobytes() == np.array(values).tobytes()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"as_is": True}, "as-is"),
        ({"scale": 0.1}, "scale=0.1"),
        ({"scale": 1.0, "offset": 3}, "offset=3.0"),
        ({"scale": 2, "offset": -0.5, "shift_s": -3600}, "scale=2.0 offset=-0.5 shift_us=-3600000000"),
    ],
)
def test_the_name_is_that_of_the_correction(arguments: dict[str, float], name: str) -> None:
    known: dict[str, float | None] = {"scale": None, "offset": None, "shift_s": None}
    assert correction(**{"as_is": False, **known, **arguments}).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 1.0},
        {"scale": 0.0},
        {"offset": math.nan},
        {"scale": math.inf},
        {"scale": 2.0, "as_is": True},
    ],
)
def test_what_corrects_nothing_is_refused(arguments: dict[str, float]) -> None:
    known: dict[str, float | None] = {"scale": None, "offset": None, "shift_s": None}
    with pytest.raises(InvalidRequestError):
        correction(**{"as_is": False, **known, **arguments})  # type: ignore[arg-type]


# --- identities ----------------------------------------------------------------------------------------------------------


def test_the_identity_says_which_samples_and_which_correction() -> None:
    variants = [
        replay_key(key, sequence, reason, tag_id, how)
        for key, sequence, reason, tag_id, how in itertools.product(
            (KEY, KEY._replace(stream=Stream.REPLAY), KEY._replace(epoch=UUID(int=8 << 76))),
            (0, BLOCK),
            ("FUTURE", "STUCK"),
            (1, 2),
            ("as-is", "scale=2.0"),
        )
    ]
    assert len(set(variants)) == len(variants)
    assert replay_key(KEY, 0, "STUCK", 1, "as-is") == replay_key(KEY, BLOCK - 1, "STUCK", 1, "as-is")
    assert replay_key(KEY, 0, "STUCK", 1, "as-is").epoch.version == 5


def test_the_same_again_is_the_same_frame_and_a_lasting_fault_one_run_of_sequences() -> None:
    frames = [sent(refusal((1, 90, 5.0, 0), sequence=2 * BLOCK + n), Correction(scale=2.0))[0] for n in range(20)]
    again = [sent(refusal((1, 90, 5.0, 0), sequence=2 * BLOCK + n), Correction(scale=2.0))[0] for n in range(20)]
    assert [frame.encode(one) for one in frames] == [frame.encode(one) for one in again]
    assert [one.sequence for one in frames] == list(range(20))
    assert len({one.key for one in frames}) == 1


def test_other_tags_do_not_change_a_tags_frame() -> None:
    both = refusal((1, 90, 5.0, 0), (2, 91, 6.0, 0))
    _, second = sent(both, Correction())
    (alone,) = sent(both, Correction(), frozenset({2}))
    assert frame.encode(alone) == frame.encode(second)


def test_a_whole_record_keeps_its_identity_and_its_bytes() -> None:
    message = frame.encode(make_frame([(1, 0.1, 2.0)], 17))
    (one,) = resend(whole(message), Correction(), tag_ids=None, registry_version=4)
    assert (one.message, one.sequence, one.key.stream, one.samples) == (message, 17, Stream.LIVE, 1)
    assert one.kafka_key == b"gw-north/0"


@pytest.mark.parametrize(
    "record",
    [
        whole(None),
        whole(b"garbage"),
        whole(frame.encode(make_frame([(1, 0.1, 2.0)])), "device.events.north"),
        whole(
            frame.encode(make_frame([(1, 0.1, 2.0)])).replace(
                b"\x00\x00\x00\x00\x00\x00\x00\x40", b"\x00\x00\x00\x00\x00\x00\x08\x40"
            )
        ),
    ],
    ids=["not kept", "no frame", "no topic of frames", "checksum"],
)
def test_what_still_is_no_frame_is_not_sent(record: Refusal) -> None:
    with pytest.raises(SchemaError):
        list(resend(record, Correction(), tag_ids=None, registry_version=4))


# --- arguments -----------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("1.5d", NOW - timedelta(hours=36)),
        ("2026-04-30", datetime(2026, 4, 30, tzinfo=UTC)),
        ("2026-04-30T06:00:00+02:00", datetime(2026, 4, 30, 4, tzinfo=UTC)),
    ],
)
def test_times(given_text: str, expected: datetime) -> None:
    assert moment(given_text, NOW) == expected


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="yesterday"):
        moment("yesterday", NOW)


def test_reasons() -> None:
    assert check_reasons(["out-of-range", "STUCK", "stuck"]) == ("OUT_OF_RANGE", "STUCK")
    with pytest.raises(InvalidRequestError, match="known: NOT_FINITE"):
        check_reasons(["GOOD"])
    with pytest.raises(InvalidRequestError, match="two frames claim one identity"):
        check_reasons(["IDENTITY_CONFLICT"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reason", "STUCK"], "say what to correct"),
        (["--reason", "nothing", "--as-is"], "no reason NOTHING"),
        (["--reason", "STUCK", "--as-is", "--rate", "0"], "--rate"),
        (["--reason", "STUCK", "--as-is", "--config", "no-such-file.toml"], "does not exist"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--shift-seconds -3600" in capsys.readouterr().out


def test_the_pace_is_kept() -> None:
    now_s = 100.0
    slept: list[float] = []
    pace = pacer(50.0, clock=lambda: now_s, sleep=slept.append)
    pace(100)
    assert slept == [2.0]
    now_s += 10.0
    pace(10)
    assert slept == [2.0], "what was not used is not saved up for more than a second"
    pace(100)
    assert slept == [2.0, pytest.approx(1.2)]
