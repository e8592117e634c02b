"""Gaps are kept per tag: each has its own bounds, and a proven loss is a gap however short it was."""

from __future__ import annotations

from connectors.gap_tracker import GapTracker
from connectors.readings import Readings, Seen
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import Gap
from tests.unit.served import definition

SECOND_US = 1_000_000
LAST = 100 * SECOND_US


def tags(*periods_ms: int, device_id: int = 7) -> dict[int, TagDefinition]:
    return {
        number: definition(tag_id=number, device_id=device_id, lane=1, period_ms=period)
        for number, period in enumerate(periods_ms, start=1)
    }


def at(seconds: float) -> int:
    return LAST + round(seconds * SECOND_US)


def readings(*samples: tuple[int, float], code: int = quality.GOOD) -> Readings:
    found = Readings()
    for tag_id, seconds in samples:
        found.add(tag_id, at(seconds), 0.0, code)
    return found


def bounds(gap: Gap) -> list[tuple[int, int, int]]:
    return [(item.tag_id, item.from_us, item.to_us) for item in gap.items]


class Kept:
    """A tracker of tags that were last heard at LAST, and what it reported."""

    def __init__(
        self,
        known: dict[int, TagDefinition],
        *,
        code: int = quality.GOOD,
        proven: bool = False,
        resumed: bool = True,
    ) -> None:
        self.gaps: list[tuple[int, Gap]] = []
        self.known = known
        self.tracker = GapTracker(lambda device_id, gap: self.gaps.append((device_id, gap)))
        for tag in known.values():
            self.tracker.open(tag, Seen(LAST, 0.0, code), "cut", proven=proven, resumed=resumed)

    def hear(self, *samples: tuple[int, float], code: int = quality.GOOD) -> None:
        self.tracker.heard(readings(*samples, code=code), self.known)


def test_each_tag_has_its_own_bounds_in_one_event() -> None:
    kept = Kept(tags(100, 1000))
    kept.tracker.open(kept.known[1], Seen(LAST - SECOND_US), "later")  # an open gap keeps its beginning
    kept.hear((2, 5.6), (1, 1.9), (1, 2.0))
    ((device_id, gap),) = kept.gaps
    assert (device_id, gap.lane, gap.cause, gap.samples) == (7, 1, "cut", -1)
    assert bounds(gap) == [(1, LAST, at(1.9)), (2, LAST, at(5.6))]
    assert (gap.from_us, gap.to_us) == (LAST, at(5.6))


def test_a_gap_is_reported_with_the_readings_that_close_it() -> None:
    kept = Kept(tags(100, 100))
    kept.hear((1, 1.0))
    assert [bounds(gap) for _, gap in kept.gaps] == [[(1, LAST, at(1.0))]]
    kept.hear((1, 20.0), (2, 20.0))
    assert [bounds(gap) for _, gap in kept.gaps[1:]] == [[(2, LAST, at(20.0))]]
    assert len(kept.tracker) == 0


def test_silence_of_a_period_is_no_gap_unless_the_loss_is_proven() -> None:
    kept = Kept(tags(100, 60_000))
    kept.hear((1, 0.1), (2, 80.0))
    assert kept.gaps == []
    proven = Kept(tags(100), proven=True)
    proven.hear((1, 0.001))
    assert [bounds(gap) for _, gap in proven.gaps] == [[(1, LAST, at(0.001))]]


def test_a_source_that_began_anew_keeps_no_beat_with_what_it_said_before() -> None:
    """Of 0.0, (0.08), 0.12 the middle one is lost, within one and a half periods of 0.1 s."""
    kept = Kept(tags(100, 100), resumed=False)
    kept.hear((1, 0.12))
    assert [bounds(gap) for _, gap in kept.gaps] == [[(1, LAST, at(0.12))]]
    # What was a lost line at first may have been more.
    line = Kept(tags(100))
    line.tracker.open(line.known[1], Seen(LAST), "the server started again", resumed=False)
    line.hear((1, 0.12))
    ((_, gap),) = line.gaps
    assert (bounds(gap), gap.cause) == ([(1, LAST, at(0.12))], "cut")
    # The present values of a birth have any time.
    born = Kept(tags(100))
    born.tracker.heard(readings((1, 0.12)), born.known, resumed=False)
    assert [bounds(gap) for _, gap in born.gaps] == [[(1, LAST, at(0.12))]]


def test_a_bad_sample_is_on_no_beat() -> None:
    before = Kept(tags(100), code=quality.BAD)
    before.hear((1, 0.12))
    behind = Kept(tags(100))
    behind.hear((1, 0.12), code=quality.BAD)
    for kept in (before, behind):
        assert [bounds(gap) for _, gap in kept.gaps] == [[(1, LAST, at(0.12))]]


def test_a_source_that_stays_bad_keeps_its_beat() -> None:
    def after(before: int, now: int, seconds: float) -> list[list[tuple[int, int, int]]]:
        kept = Kept(tags(100), code=before)
        kept.hear((1, seconds), code=now)
        return [bounds(gap) for _, gap in kept.gaps]

    assert after(quality.BAD, quality.BAD, 0.1) == []
    assert after(quality.BAD, quality.BAD, 0.2) == [[(1, LAST, at(0.2))]]
    # Something else broke meanwhile.
    assert after(quality.BAD, quality.BAD_DEVICE_FAILURE, 0.1) == [[(1, LAST, at(0.1))]]
    # An unchanged value with another time is a sample like others: nobody knows what was between.
    assert after(quality.GOOD, quality.GOOD, 0.2) == [[(1, LAST, at(0.2))]]


def test_what_no_beat_excuses_is_told_when_it_opens_and_until_it_is_closed() -> None:
    known = tags(100, 100, 100)
    told: list[str] = []
    tracker = GapTracker(lambda *_: None, lambda: told.append("doubt"))
    tracker.open(known[1], Seen(LAST, 0.0), "cut")
    # Its beginning is no sample that a restart would go on from.
    tracker.open(known[2], Seen(LAST), "refused", resumed=False, sampled=False)
    assert (told, tracker.doubtful) == ([], False)
    tracker.open(known[1], Seen(LAST, 0.0), "notification 7 did not arrive", proven=True)
    assert (told, tracker.doubtful) == (["doubt"], True)
    tracker.heard(readings((1, 0.1)), known)
    assert not tracker.doubtful
    tracker.open(known[3], Seen(LAST, 0.0), "cut")
    tracker.heard(readings((3, -1.0)), known)
    assert (told, tracker.doubtful) == (["doubt", "doubt"], True)
    tracker.repeated(known[3])
    assert not tracker.doubtful


def test_proof_comes_after_the_suspicion() -> None:
    kept = Kept(tags(100))
    kept.tracker.open(kept.known[1], Seen(LAST + 1), "notification 7 did not arrive", proven=True)
    kept.hear((1, 0.1))
    ((_, gap),) = kept.gaps
    assert (bounds(gap), gap.cause) == ([(1, LAST, at(0.1))], "notification 7 did not arrive")


def test_repeated_value_closes_without_a_gap() -> None:
    kept = Kept(tags(100, 100), proven=True)
    kept.tracker.repeated(kept.known[1])
    kept.hear((1, 30.0), (2, 30.0))
    assert [bounds(gap) for _, gap in kept.gaps] == [[(2, LAST, at(30.0))]]


def test_a_tag_without_samples_so_far_misses_none() -> None:
    known = tags(100)
    kept = Kept({})
    kept.tracker.open(known[1], Seen(0), "cut")
    kept.tracker.heard(readings((1, 30.0)), known)
    assert kept.gaps == []


def test_a_tag_that_is_no_longer_read_is_forgotten() -> None:
    kept = Kept(tags(100))
    kept.tracker.forget(kept.known[1])
    kept.hear((1, 30.0))
    assert kept.gaps == []


def test_causes_and_devices_are_events_of_their_own() -> None:
    one, other = tags(100), {2: definition(tag_id=2, device_id=8, lane=3, period_ms=100)}
    third = {3: definition(tag_id=3, device_id=7, lane=1, period_ms=100)}
    kept = Kept(one | other)
    kept.tracker.open(third[3], Seen(LAST), "deleted")
    kept.tracker.heard(readings((3, 9.0), (2, 9.0), (1, 9.0)), one | other | third)
    assert [(device_id, gap.cause, gap.lane) for device_id, gap in kept.gaps] == [
        (7, "deleted", 1),
        (8, "cut", 3),
        (7, "cut", 1),
    ]


def test_an_older_value_or_a_clock_set_back_measures_no_silence_and_ends_none() -> None:
    """A server that starts again may say what it kept for days, with the time of then."""
    for proven in (False, True):
        kept = Kept(tags(100), proven=proven)
        kept.hear((1, -5.0), (1, -4.9))
        assert kept.gaps == []
        kept.hear((1, 0.12))
        assert [bounds(gap) for _, gap in kept.gaps] == [[(1, LAST, at(0.12))]]


def test_loss_with_known_bounds_is_reported_at_once() -> None:
    kept = Kept({})
    known = tags(100, 100)
    kept.tracker.lost([(known[2], LAST, at(1.0)), (known[1], 0, at(2.0))], "overflow")
    ((_, gap),) = kept.gaps
    assert bounds(gap) == [(1, at(2.0), at(2.0)), (2, LAST, at(1.0))]
