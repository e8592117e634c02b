"""Makes the Merkle log of the topic `audit.log`: one writer, exact through kills.

Enters: batches of Kafka messages in the order of the topic. Leaves: entries in the log (`audit.tiles`), a signed checkpoint for each batch,
copies of checkpoints. Each record of the topic is one entry, once: the newest entry says how far the topic was taken, and is published with
its checkpoint or not at all. The reader starts at the record that was taken last, which has to be the one that the log has. Where it is
not, or is no more (a broker that lost power lost its newest records; a topic was made anew), the topic is read from its beginning and
compared with the log (`audit.comparison`): what the log has is not taken again, and an entry says what became of the topic.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import entries, notes
from audit.comparison import Comparison, newest_of_topic
from audit.copies import Copies
from audit.errors import AnotherTopicError, AuditError
from audit.notes import Signer
from audit.tiles import Readable, Writable

log = logging.getLogger(__name__)

_KEY, _GAP, _TRUNCATED, _TOPIC = "audit:key", "audit:gap", "audit:truncated", "audit:topic"


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the topic."""

    offset: int
    value: bytes | None


class LogWriter:
    """The log and its keys. Not for several threads."""

    def __init__(self, folder: Path, origin: str, keys: Path, copies: Copies) -> None:
        self._log = Writable(folder, origin)
        self._origin, self._keys, self._copies = origin, keys, copies
        try:
            self._signers, self._files = self._read_keys(), notes.key_files(keys)
            if self._log.note and not notes.signed_by(self._log.note, self._signers):
                msg = f"none of the keys in {keys} has signed the log in {folder}: add a key while the old one is there (`audit keys add`)"
                raise AuditError(msg)
            self._taken = entries.offset_of(self._log.last) if self._log.last is not None else -1
        except BaseException:
            self._log.close()
            raise
        self._expected: bytes | None = None
        self._comparison: Comparison | None = None
        self._differs = False
        if self._log.note:
            self._rotate(self._signers)
        else:
            self._publish([entries.of_writer(-1, _KEY, after=one.known_as) for one in self._signers])

    @property
    def size(self) -> int:
        """Entries that are published."""
        return self._log.size

    @property
    def taken(self) -> int:
        """Offset of the newest record that was taken; -1 for none."""
        return self._taken

    @property
    def copies_fail(self) -> bool:
        """Whether the newest copy of a checkpoint failed."""
        return self._copies.failed

    def start(self, topic: str, marks: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Where `connectors.kafka.consume.Reader` begins: at the newest record that was taken, to see that it is still that one.

        At the topic's beginning after `take` has raised AnotherTopicError, and where the topic ends before that record.
        """
        if set(marks) != {0}:
            msg = f"{topic} has {len(marks)} partitions; the log has one order, so it has one"
            raise AuditError(msg)
        low, high = marks[0]
        self._expected, self._comparison = None, None
        if self._differs or self._taken + 1 > high:
            log.error("the topic is compared with the log", extra={"taken": self._taken, "first": low, "end": high})
            self._comparison = Comparison(Readable(self._log.folder), low, high, self._taken, topic_anew=_TOPIC)
            return dict.fromkeys(marks, low)
        if self._taken + 1 < low:
            self._note(_GAP, low, "records were deleted before they were taken")
        first = self._taken + 1
        if self._taken >= low and (newest := self._newest_of_topic()) is not None:
            first, self._expected = self._taken, newest
        return dict.fromkeys(marks, first)

    def take(self, records: Iterable[Record]) -> int:
        """Publish records; returns how many were new.

        Raises OSError, and the log is as before: take them again. Raises AnotherTopicError: begin again at `start`.
        """
        made: list[bytes] = []
        taken, expected, new = self._taken, self._expected, 0
        comparison = self._comparison
        for record in records:
            entry = entries.of_message(record.offset, record.value)
            if comparison is not None:
                if comparison.has(record.offset, entry):
                    if not comparison.ended:
                        continue
                    found = comparison.lost()
                else:
                    found = comparison.differs_at(record.offset)
                comparison = None
                if found is not None:
                    made.append(self._said(_TOPIC if found.anew else _TRUNCATED, found.first, taken, found.detail))
                    taken = found.first - 1
                if record.offset <= taken:
                    continue
            known, expected = expected, None
            if known is not None and record.offset == taken and entries.same(entry, known):
                continue
            if record.offset <= taken:
                self._differs = True
                msg = f"record {record.offset} of the topic is not the one that was taken"
                raise AnotherTopicError(msg)
            if record.offset > taken + 1:
                made.append(self._said(_GAP, record.offset, taken, "offsets are missing"))
            made.append(entry)
            taken, new = record.offset, new + 1
        if made:
            self._publish(made)
        self._taken, self._expected, self._comparison = taken, expected, comparison
        self._differs = comparison is not None
        return new

    def look_after(self) -> None:
        """Take keys that came or went, and copy the newest checkpoint when that is due."""
        files = notes.key_files(self._keys)
        if files != self._files:
            self._rotate(self._read_keys())
            self._files = files
        self._copies.offer(self._log.note)

    def close(self) -> None:
        """Copy the newest checkpoint, and let another writer in."""
        self._copies.offer(self._log.note, now=True)
        self._log.close()

    def _rotate(self, now: tuple[Signer, ...]) -> None:
        """Say which keys came and went since the newest checkpoint, signed by those that were there until now."""
        signed, wanted = notes.key_ids(self._log.note), {one.key_id.hex(): one for one in now}
        said = [
            entries.of_writer(self._taken, _KEY, after=one.known_as)
            for name, one in wanted.items()
            if name not in signed
        ]
        gone = sorted(signed - wanted.keys())
        said += [entries.of_writer(self._taken, _KEY, before=f"{self._origin}+{name}") for name in gone]
        if said:
            self._publish(said)
            self._signers = now
            self._publish([])
            log.info("keys changed", extra={"keys": len(now)})

    def _note(self, action: str, low: int, detail: str) -> None:
        self._publish([self._said(action, low, self._taken, detail)])
        self._taken = low - 1

    def _said(self, action: str, first: int, taken: int, detail: str) -> bytes:
        log.error("the topic is not what was taken", extra={"cause": detail, "taken": taken, "next": first})
        return entries.of_writer(first - 1, action, before=str(taken), after=str(first), detail=detail)

    def _newest_of_topic(self) -> bytes | None:
        """The entry of the record that was taken last; None where the topic was made anew since."""
        of_topic = newest_of_topic(Readable(self._log.folder), topic_anew=_TOPIC)
        return next((entry for offset, entry in of_topic if offset == self._taken), None)

    def _publish(self, made: Sequence[bytes]) -> None:
        checkpoint = self._log.append(made, self._signers)
        self._copies.offer(self._log.note)
        log.debug("published", extra={"size": checkpoint.size})

    def _read_keys(self) -> tuple[Signer, ...]:
        found = notes.read_keys(self._keys, self._origin)
        return found or (notes.new_key(self._keys, self._origin),)
