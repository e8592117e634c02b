"""One run of the replay: refusals are read, claimed, sent, and waited for.

Enters: two connections, a selection, a correction and a way to send. Leaves: a `Report`. Who calls: `python -m
historian.replay`, tests. A batch is claimed and committed before it is sent; whatever fails after that is finished by
the same run repeated. `pace` keeps the frames from delaying the live ones they share a partition with.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from base.errors import FrameError, InvalidRequestError, PreconditionError, SchemaError
from historian.replay import claims, selection
from historian.replay.already_stored import AlreadyStored
from historian.replay.claims import Standing, Totals
from historian.replay.correction import Correction
from historian.replay.frames import WHOLE, Resent, resend
from historian.replay.selection import RECORD_REASONS, Refusal, Selection
from registry import edit
from schemas.frame import SequenceKey, Stream

Connection = psycopg.Connection[Any]
Send = Callable[[str, Sequence[tuple[bytes, bytes]]], None]
"""Writes (key, value) records to a topic and returns when they are durable."""

_VALIDATED_TWICE = "because they are stored: their frames were validated twice, with the registry changed in between"
_EXAMPLES = 3
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A sample before and after its correction; times in microseconds UTC."""

    time_us: int
    value: float
    new_time_us: int
    new_value: float


@dataclass(kw_only=True, slots=True)
class Group:
    """What was found of one reason and tag: frames and samples by where they stand, and a few of them."""

    frames: Counter[Standing] = field(default_factory=Counter)
    samples: Counter[Standing] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Report:
    """What a run found and did. `kept`: refusals of which nothing can be sent, by why. `before`: the ledger before sending."""

    correction: Correction
    groups: dict[tuple[str, int], Group] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    sent: list[tuple[SequenceKey, int]] = field(default_factory=list)
    sent_samples: int = 0
    before: dict[SequenceKey, Totals] = field(default_factory=dict)

    def count(self, standing: Standing) -> int:
        """Samples that stand so."""
        return sum(group.samples[standing] for group in self.groups.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of what was sent, as the ledger says; `whole` counts records that were sent as they had come."""

    missing_frames: int
    stored: int
    suppressed: int
    rejected: int
    whole: int


def replay(
    reading: Connection,
    writing: Connection,
    chosen: Selection,
    correction: Correction,
    send: Send,
    *,
    dry_run: bool = False,
    pace: Callable[[int], None] = lambda frames: None,  # noqa: ARG005
) -> Report:
    """Replay what is chosen. `reading` is used by a snapshot of its own until the end; both in autocommit.

    Raises InvalidRequestError when whole records are to be corrected, PreconditionError when the registry has changes
    that were not published, and what `send` raises.
    """
    whole = [reason for reason in chosen.reasons if reason in RECORD_REASONS]
    if whole and not correction.as_is:
        msg = f"a record that was refused whole ({whole[0]}) can only be sent as it is: use --as-is"
        raise InvalidRequestError(msg)
    version = _registry_version(writing)
    report, already_stored = Report(correction=correction), AlreadyStored(writing)
    for batch in selection.read(reading, chosen):
        wanted = _wanted(batch, chosen, correction, version, report)
        stored = already_stored.among(batch)
        report.kept[_VALIDATED_TWICE] += sum(one.samples for one in wanted if (one.refusal, one.tag_id) in stored)
        wanted = [one for one in wanted if (one.refusal, one.tag_id) not in stored]
        standings = claims.claim(writing, wanted, dry_run=dry_run)
        due = [one for one, standing in zip(wanted, standings, strict=True) if standing.to_send]
        for one, standing in zip(wanted, standings, strict=True):
            group = report.groups.setdefault((one.reason, one.tag_id), Group())
            group.frames[standing] += 1
            group.samples[standing] += one.samples
        if dry_run or not due:
            continue
        _note_before(writing, due, report)
        for topic in dict.fromkeys(one.topic for one in due):
            send(topic, [(one.kafka_key, one.message) for one in due if one.topic == topic])
        report.sent += [(one.key, one.sequence) for one in due]
        report.sent_samples += sum(one.samples for one in due)
        pace(len(due))
    return report


def _registry_version(connection: Connection) -> int:
    published = edit.published_version(connection)
    row = connection.execute("SELECT version FROM registry_state").fetchone()
    if row is not None and row[0] > published:
        msg = f"registry version {row[0]} is not published, only {published}: run `./millrace plant publish` first"
        raise PreconditionError(msg)
    return published


def _wanted(
    batch: Iterable[Refusal], chosen: Selection, correction: Correction, version: int, report: Report
) -> list[Resent]:
    wanted: list[Resent] = []
    for refusal in batch:
        try:
            found = list(resend(refusal, correction, tag_ids=chosen.tag_ids, registry_version=version))
        except (SchemaError, FrameError) as error:
            report.kept[f"{refusal.reason}: {error}"] += 1
            continue
        wanted += found
        for one in found:
            _note_examples(refusal, one, correction, report)
    return wanted


def _note_examples(refusal: Refusal, one: Resent, correction: Correction, report: Report) -> None:
    examples = report.groups.setdefault((one.reason, one.tag_id), Group()).examples
    if refusal.samples is None or one.tag_id == WHOLE or len(examples) >= _EXAMPLES:
        return
    mine = refusal.samples.tag_id == one.tag_id
    time_us, value = refusal.samples.time_us[mine], refusal.samples.value[mine]
    new_time_us, new_value = correction.apply(time_us, value)
    for at in range(min(len(value), _EXAMPLES - len(examples))):
        examples.append(
            Example(
                time_us=int(time_us[at]),
                value=float(value[at]),
                new_time_us=int(new_time_us[at]),
                new_value=float(new_value[at]),
            )
        )


def _note_before(connection: Connection, due: Iterable[Resent], report: Report) -> None:
    """Remember what the ledger has of the sequences that are about to grow."""
    unknown = {one.key for one in due if one.key.stream is Stream.REPLAY} - report.before.keys()
    if unknown:
        found = claims.totals(connection, unknown)
        report.before |= {key: found.get(key, (0, 0, 0)) for key in unknown}


def wait(connection: Connection, report: Report, *, timeout_s: float) -> Outcome:
    """Wait until all that was sent is in the ledger, or the time is over."""
    deadline = time.monotonic() + timeout_s
    missing = claims.missing(connection, report.sent)
    while missing and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        missing = claims.missing(connection, missing)
    after = claims.totals(connection, report.before)
    grown = [[new - old for new, old in zip(sums, report.before[key], strict=True)] for key, sums in after.items()]
    stored, suppressed, rejected = (sum(each[place] for each in grown) for place in range(3))
    whole = sum(key.stream is not Stream.REPLAY for key, _ in report.sent)
    return Outcome(missing_frames=len(missing), stored=stored, suppressed=suppressed, rejected=rejected, whole=whole)
