"""Replaying refused samples against a real database: once, whatever is repeated, cut short or refused again.

Stages, store and accounting are the real ones, without Kafka and Flink between them; `test_line.py` has the whole line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from base.errors import InvalidRequestError, NotFoundError, PreconditionError, UnavailableError, UnknownSchemaError
from historian.accounting import account
from historian.accounting_sources import Counters, read_books
from historian.partitions import PartitionCache
from historian.repair import repair
from historian.replay import report as text
from historian.replay.claims import Standing
from historian.replay.correction import Correction
from historian.replay.run import Report, replay, wait
from historian.replay.selection import Selection, resolve_tags
from historian.store import HistorianStore
from registry import edit
from schemas import checksum, codec, frame
from schemas.definitions import encode_tag, encode_version
from schemas.frame import ClockStatus, Frame, SequenceKey, Stream
from stages import rejects
from stages.telemetry.logic import Origin, Output, TelemetryLogic
from tests.integration.fix_history import plain_history
from tests.integration.history import EPOCH, SECOND_US, T0_US, Record, register, tag

__all__ = ["plain_history"]

TOPIC = "telemetry.frames.north"
DEVICE = "acme/north/forming/line-1/cell-1/press-01"
Samples = Sequence[tuple[int, float, float]]


@dataclass
class Bench:
    """A lane from frames to tables, and what its gateway would report of it."""

    dsn: str
    sql: psycopg.Connection[Any]
    store: HistorianStore
    logic: TelemetryLogic
    offset: int = 0
    counters: dict[SequenceKey, Counters] = field(default_factory=dict)

    def learn(self) -> None:
        """Publish the registry, and let the stages follow."""
        tags, version = edit.definitions(self.sql)
        edit.set_published(self.sql, version)
        for each in tags:
            self.logic.apply_registry(encode_tag(each)[1])
        self.logic.apply_registry(encode_version(version, tags=len(tags), time_us=T0_US)[1])
        self.store_all(self.logic.on_timer(None, T0_US + 100 * SECOND_US))

    def set(self, tag_name: str, **values: Any) -> None:
        """Change a tag in the registry, and publish it."""
        edit.set_attributes(self.sql, f"{DEVICE}/{tag_name}", {name: str(value) for name, value in values.items()})
        self.learn()

    def frame(self, samples: Samples, sequence: int, *, gateway_id: str = "gw", closed_s: float = 60.0) -> Frame:
        """Frame of (tag, second, value)."""
        tag_id, at_s, value = zip(*samples, strict=True)
        return frame.build(
            gateway_id=gateway_id,
            epoch=EPOCH,
            lane=0,
            stream=Stream.LIVE,
            sequence=sequence,
            closed_time_us=T0_US + round(closed_s * 1e6),
            clock_status=ClockStatus.SYNCHRONISED,
            registry_version=1,
            tag_id=np.array(tag_id, np.int32),
            time_us=np.array([T0_US + round(at * 1e6) for at in at_s]),
            value=np.array(value),
            quality=np.zeros(len(samples), np.uint16),
        )

    def produce(self, samples: Samples, sequence: int) -> None:
        """A frame of the gateway, which counts it."""
        given = self.frame(samples, sequence)
        self.count(given)
        self.take([(b"", frame.encode(given))])

    def count(self, given: Frame) -> None:
        """Appended at the gateway."""
        known = self.counters.get(given.key)
        self.counters[given.key] = Counters(
            next_sequence=given.sequence + 1,
            produced=given.samples + (known.produced if known else 0),
            checksum=checksum.to_signed(given.checksum + (known.checksum if known else 0)),
            delivered_sequence=given.sequence + 1,
            buffered=0,
            dropped=0,
        )

    def take(self, records: Sequence[tuple[bytes, bytes]], topic: str = TOPIC) -> None:
        """Records of the topic of frames."""
        for _, value in records:
            self.offset += 1
            self.store_all(self.logic.on_frame(value, Origin(topic, 0, self.offset), T0_US + 60 * SECOND_US))

    def store_all(self, outputs: Sequence[Output]) -> None:
        """What the historian makes of it."""
        if outputs:
            result = self.store.write([Record(one.topic, 0, 0, one.key, one.value) for one in outputs])
            assert result.poisoned == []

    def replay(
        self,
        *reasons: str,
        how: Correction | None = None,
        send: Callable[[str, Sequence[tuple[bytes, bytes]]], None] | None = None,
        tags: frozenset[int] | None = None,
        dry_run: bool = False,
        **selection: Any,
    ) -> Report:
        """One run of the tool."""
        chosen = Selection(reasons=reasons or ("OUT_OF_RANGE",), tag_ids=tags, **selection)
        deliver = send or (lambda topic, records: self.take(records, topic))
        with psycopg.connect(self.dsn, autocommit=True) as reading:
            return replay(reading, self.sql, chosen, how or Correction(), deliver, dry_run=dry_run)

    def accounting(self) -> dict[str, Any]:
        """What `status` would say; nothing is under way."""
        problems: list[str] = []
        found = account(read_books(self.dsn, problems), self.counters, {}, {}, problems)
        assert found["not_measured"] == []
        assert found["difference"] == 0
        assert found["checksums_differing"] == 0
        return found

    def balance(self) -> tuple[int, int, int]:
        """Produced, stored, rejected."""
        found = self.accounting()
        assert found["closed"]
        return found["produced"], found["stored"], found["rejected"]

    def rows(self) -> list[tuple[int, float, float]]:
        """Stored samples: tag, second, value."""
        query = "SELECT tag_id, (extract(epoch FROM time) * 1000000)::bigint, value FROM samples ORDER BY 1, 2, 3"
        return [(tag_id, (time_us - T0_US) / 1e6, value) for tag_id, time_us, value in self.sql.execute(query)]

    def outcomes(self) -> list[str]:
        """Of every replay, in order."""
        rows = self.sql.execute("SELECT outcome FROM replay ORDER BY claimed_at, sequence, tag_id").fetchall()
        return [row[0] for row in rows]


@pytest.fixture
def ids(plain_history: str) -> dict[str, int]:
    return register(plain_history, power=tag(limits=[-10, 200]), speed=tag(limits=[0, 1000]))


@pytest.fixture
def bench(plain_history: str, ids: dict[str, int]) -> Any:
    store = HistorianStore(plain_history)
    with psycopg.connect(plain_history, autocommit=True) as sql:
        made = Bench(plain_history, sql, store, TelemetryLogic())
        made.learn()
        yield made
    store.close()


def test_corrected_samples_are_stored_once_and_no_longer_rejected(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    bench.produce([(power, 1.0, 100.0), (power, 1.1, 50_000.0)], 0)
    bench.produce([(power, 1.2, 60_000.0), (power, 61.0, 5.0)], 1)
    assert bench.balance() == (4, 2, 2)
    first = bench.replay(how=Correction(scale=0.001))
    assert (first.sent_samples, len(first.sent), first.count(Standing.NEW)) == (2, 2, 2)
    outcome = wait(bench.sql, first, timeout_s=0)
    assert (outcome.missing_frames, outcome.stored, outcome.suppressed, outcome.rejected) == (0, 2, 0, 0)
    assert bench.balance() == (4, 4, 0)
    again = bench.replay(how=Correction(scale=0.001))
    assert (again.sent, again.count(Standing.ARRIVED)) == ([], 2)
    other = bench.replay(how=Correction(scale=0.01))
    assert (other.sent, other.count(Standing.ARRIVED)) == ([], 2), "what is stored is not corrected once more"
    assert bench.balance() == (4, 4, 0)
    assert bench.rows() == [(power, 1.0, 100.0), (power, 1.1, 50.0), (power, 1.2, 60.0), (power, 61.0, 5.0)]
    assert bench.outcomes() == ["accepted", "accepted"]
    assert bench.accounting()["replayed"] == 2
    shown = bench.sql.execute("SELECT count(*), count(replayed) FROM rejected").fetchone()
    assert shown == (2, 2)
    lanes = bench.sql.execute("SELECT stream, missing_frames FROM lane ORDER BY stream").fetchall()
    assert lanes == [("LIVE", 0), ("REPLAY", 0)]


def test_windows_are_repaired(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    bench.produce([(power, 1.0, 100.0), (power, 1.1, 50_000.0)], 0)
    bench.replay(how=Correction(scale=0.001))
    assert bench.sql.execute("SELECT tag_id, reason FROM dirty_ranges").fetchall() == [(power, "REPLAY")]
    repair(bench.sql, PartitionCache(), quiet_s=0.0)
    windows = bench.sql.execute("SELECT window_s, count, mean, repaired FROM aggregates ORDER BY 1").fetchall()
    assert windows == [(1, 2, 75.0, True), (60, 2, 75.0, True)]


def test_a_run_cut_short_is_finished_by_the_next(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    bench.produce([(power, 1.0 + n / 10, 50_000.0 + n) for n in range(5)], 0)
    bench.produce([(power, 2.0, 70_000.0)], 1)
    before_the_end: list[tuple[bytes, bytes]] = []

    def dies(_topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        before_the_end.extend(records[:1])
        msg = "killed"
        raise UnavailableError(msg)

    with pytest.raises(UnavailableError):
        bench.replay(how=Correction(scale=0.001), send=dies)
    assert bench.balance() == (6, 0, 6)
    elsewhere = bench.replay(how=Correction(scale=0.01))
    assert (elsewhere.sent, elsewhere.count(Standing.ELSEWHERE)) == ([], 6)
    assert "another correction" in "\n".join(text.done(elsewhere, None))
    bench.take(before_the_end)  # what it had sent before it died
    assert bench.balance() == (6, 5, 1)
    finishing = bench.replay(how=Correction(scale=0.001))
    assert (finishing.count(Standing.ARRIVED), finishing.count(Standing.UNFINISHED)) == (5, 1)
    bench.take(before_the_end)
    assert bench.balance() == (6, 6, 0)
    assert [value for *_, value in bench.rows()] == [50.0, 50.001, 50.002, 50.003, 50.004, 70.0]
    assert bench.accounting()["duplicate_frames"] == 0, "lane progress is told by timer"


def test_what_is_refused_again_stays_rejected_and_can_be_replayed_in_turn(bench: Bench, ids: dict[str, int]) -> None:
    power, speed = ids["power"], ids["speed"]
    bench.produce([(power, 1.0, 300.0), (power, 1.1, 900.0), (speed, 1.0, 2_000.0)], 0)
    first = bench.replay(how=Correction(scale=0.5))
    outcome = wait(bench.sql, first, timeout_s=0)
    assert (outcome.stored, outcome.rejected) == (2, 1)
    assert bench.balance() == (3, 2, 1)
    assert bench.outcomes() == ["accepted in part", "accepted"]
    assert bench.sql.execute("SELECT stream, value FROM rejected WHERE replayed IS NULL").fetchall() == [
        ("REPLAY", 450.0)
    ]
    bench.set("power", limit_high=500)
    second = bench.replay()
    assert (second.count(Standing.ARRIVED), second.count(Standing.NEW)) == (3, 1)
    assert bench.balance() == (3, 3, 0)
    assert bench.rows() == [(power, 1.0, 150.0), (power, 1.1, 450.0), (speed, 1.0, 1000.0)]


def test_a_registry_that_was_wrong(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    bench.produce([(power, 1.0, 300.0), (power, 1.1, 201.0)], 0)
    too_early = bench.replay()
    assert wait(bench.sql, too_early, timeout_s=0).rejected == 2
    assert bench.balance() == (2, 0, 2)
    edit.set_attributes(bench.sql, f"{DEVICE}/power", {"limit_high": "400"})
    with pytest.raises(PreconditionError, match="is not published"):
        bench.replay()
    _, version = edit.definitions(bench.sql)
    edit.set_published(bench.sql, version)
    early = bench.replay()
    assert wait(bench.sql, early, timeout_s=0).missing_frames == 1, "the job waits until it knows the new limits"
    assert bench.balance() == (2, 0, 2)
    bench.learn()
    assert wait(bench.sql, early, timeout_s=0).stored == 2
    assert bench.balance() == (2, 2, 0)


def test_a_tag_that_was_unknown_and_a_clock_that_was_wrong(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    coming = max(ids.values()) + 1
    bench.produce([(coming, 1.0, 7.0), (power, 1.0, 2.0)], 0)
    bench.produce([(power, 3_660.0, 1.0)], 1)
    assert bench.balance() == (3, 1, 2)
    bench.replay("FUTURE", how=Correction(shift_us=-3_600 * SECOND_US))
    assert bench.balance() == (3, 2, 1)
    found = register(bench.dsn, power=tag(limits=[-10, 200]), speed=tag(limits=[0, 1000]), torque=tag())
    assert found["torque"] == coming
    bench.learn()
    bench.replay("UNKNOWN_TAG", "FUTURE", tags=frozenset({coming}))
    assert bench.balance() == (3, 3, 0)
    assert bench.rows() == [(power, 1.0, 2.0), (power, 60.0, 1.0), (coming, 1.0, 7.0)]


def test_a_record_whose_schema_is_known_by_now(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    bench.produce([(power, 1.0, 1.0)], 0)
    unknown = bench.frame([(power, 1.1, 2.0), (power, 1.2, 3.0)], 1)
    message, origin = frame.encode(unknown), Origin(TOPIC, 0, 77)
    for value in (message, b"no frame"):
        refused = rejects.undecodable(value, origin, T0_US, UnknownSchemaError("fingerprint unknown"))
        origin = origin._replace(offset=78)
        bench.store.write([Record(refused.topic, 0, 0, refused.key, refused.value)])
    assert bench.accounting()["undecodable"] == 2
    with pytest.raises(InvalidRequestError, match="--as-is"):
        bench.replay("UNKNOWN_SCHEMA", how=Correction(scale=2.0))
    done = bench.replay("UNKNOWN_SCHEMA")
    bench.count(unknown)
    assert (done.sent_samples, sum(done.kept.values())) == (2, 1)
    bench.replay("UNKNOWN_SCHEMA")
    assert bench.balance() == (3, 3, 0)
    assert bench.accounting()["undecodable"] == 1
    assert bench.outcomes() == ["accepted"]
    assert codec.schema_of(message).name == "TelemetryFrame"


def test_a_frame_that_was_validated_twice(bench: Bench, ids: dict[str, int]) -> None:
    """After a crash it is validated by a newer registry: what one validation stored, the other one's refusal does not send again."""
    power, speed = ids["power"], ids["speed"]
    bench.produce([(power, 0.5, 300.0)], 0)
    given = bench.frame([(power, 1.0, 300.0), (power, 1.1, 9.0), (speed, 1.0, 900.0)], 1)
    bench.count(given)
    other = TelemetryLogic()
    tags, version = edit.definitions(bench.sql)
    for each in tags:
        wider = dataclasses.replace(each, limit_high=400.0) if each.tag_id == power else each
        other.apply_registry(encode_tag(wider)[1])
    other.apply_registry(encode_version(version, tags=len(tags), time_us=T0_US)[1])
    bench.store_all(other.on_frame(frame.encode(given), Origin(TOPIC, 0, 50), T0_US))
    bench.take([(b"", frame.encode(given))])
    assert bench.balance() == (4, 3, 1)
    report = bench.replay(how=Correction(scale=0.1))
    assert (report.sent_samples, +report.kept) == (1, Counter({next(iter(report.kept)): 1}))
    assert "validated twice" in next(iter(report.kept))
    assert bench.balance() == (4, 4, 0)
    assert bench.rows() == [(power, 0.5, 30.0), (power, 1.0, 300.0), (power, 1.1, 9.0), (speed, 1.0, 900.0)]


def test_the_writers_role_is_enough(bench: Bench, ids: dict[str, int]) -> None:
    bench.produce([(ids["power"], 1.0, 300.0)], 0)
    role = "-c role=millrace_writer"
    with (
        psycopg.connect(bench.dsn, autocommit=True, options=role) as reading,
        psycopg.connect(bench.dsn, autocommit=True, options=role) as writing,
    ):
        chosen = Selection(reasons=("OUT_OF_RANGE",), tag_ids=resolve_tags(writing, ["press-01"], []))
        report = replay(
            reading, writing, chosen, Correction(scale=0.5), lambda topic, records: bench.take(records, topic)
        )
        assert wait(writing, report, timeout_s=0).stored == 1
    assert bench.balance() == (1, 1, 0)


def test_a_dry_run_shows_and_changes_nothing(bench: Bench, ids: dict[str, int]) -> None:
    power = ids["power"]
    bench.produce([(power, 1.0 + n / 10, 50_000.0 + n) for n in range(5)], 0)
    report = bench.replay(how=Correction(scale=0.001), dry_run=True)
    paths = {power: (f"{DEVICE}/power", "kW")}
    lines = [*text.found(report, paths), text.would_send(report)]
    assert lines[0] == f"OUT_OF_RANGE {DEVICE}/power: 5 samples in 1 frames new"
    assert lines[1].strip().endswith("50000.0 kW -> 2026-09-21T14:00:01.000Z 50.0 kW")
    assert lines[-1] == "dry run: 5 samples would be sent (scale=0.001); nothing was"
    assert bench.balance() == (5, 0, 5)
    assert bench.sql.execute("SELECT count(*) FROM replays").fetchone() == (0,)


def test_only_what_is_chosen(bench: Bench, ids: dict[str, int]) -> None:
    power, speed = ids["power"], ids["speed"]
    bench.produce([(power, 1.0, 300.0), (speed, 1.0, 2_000.0)], 0)
    assert resolve_tags(bench.sql, [], []) is None
    assert resolve_tags(bench.sql, ["press-01"], []) == frozenset({power, speed})
    assert resolve_tags(bench.sql, ["acme/north"], []) == frozenset({power, speed})
    assert resolve_tags(bench.sql, [], ["press-01/power", "4711"]) == frozenset({power, 4711})
    for wrong in ("pow%", "p_wer", "wer"):
        with pytest.raises(NotFoundError):
            resolve_tags(bench.sql, [], [wrong])
    refused_at = datetime.fromtimestamp(T0_US / 1e6 + 60, UTC)
    assert bench.replay(since=refused_at + timedelta(seconds=1)).sent == []
    assert bench.replay(until=refused_at).sent == []
    assert bench.replay("STUCK").sent == []
    chosen = bench.replay(how=Correction(scale=0.1), tags=frozenset({speed}), since=refused_at)
    assert chosen.sent_samples == 1
    rest = bench.replay(how=Correction(scale=0.1))
    assert (rest.count(Standing.ARRIVED), rest.count(Standing.NEW)) == (1, 1)
    assert bench.balance() == (2, 2, 0)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_replayed_however_often_every_sample_is_in_one_place(
    bench: Bench, ids: dict[str, int], seed: int
) -> None:
    chance = random.Random(seed)
    power, speed = ids["power"], ids["speed"]
    sent_so_far: list[tuple[bytes, bytes]] = []
    produced = 0

    def unreliable(topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        arriving = records[: chance.randint(0, len(records))] if chance.random() < 0.4 else records
        sent_so_far.extend(arriving)
        bench.take(arriving, topic)
        if len(arriving) < len(records):
            msg = "killed"
            raise UnavailableError(msg)

    for sequence in range(12):
        n = chance.randint(1, 4)
        bench.produce(
            [
                (chance.choice([power, speed]), sequence + k / 10, chance.choice([5.0, 300.0, 2_500.0, 1e6]))
                for k in range(n)
            ],
            sequence,
        )
        produced += n
        if chance.random() < 0.15:
            bench.set("power", limit_high=chance.choice([250, 400, 3_000]))
        if chance.random() < 0.7:
            how = chance.choice([Correction(), Correction(scale=0.1), Correction(offset=-100.0)])
            with contextlib.suppress(UnavailableError):
                bench.replay(how=how, send=unreliable, tags=chance.choice([None, frozenset({power})]))
        if sent_so_far and chance.random() < 0.3:
            bench.take(chance.sample(sent_so_far, len(sent_so_far) // 2))
        found = bench.balance()
        assert found[0] == found[1] + found[2] == produced
        assert len(bench.rows()) == len({row[:2] for row in bench.rows()}) == found[1]
