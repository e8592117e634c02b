"""The note beside an encrypted buffer: which of its segments may be plain, because they were there before.

Who calls: `edge.buffer`, which reads it at its start and writes it before each segment that makes another one of it. Without
it, who can write to the folder could put a plain segment there and have its samples taken for the gateway's own. It is sealed with
the newest key, so nobody without one can make it; and written before the first encrypted segment, so a crash between the two
refuses nothing true.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from base import files
from base.key_ring import Key, MissingKeyError
from base.sealed import DamagedError, Opener, Sealer, key_id_of
from edge.at_rest import NOTE, AtRest

log = logging.getLogger(__name__)

_PURPOSE = b"millrace buffer note"
ANY, NONE = range(1 << 62), range(0)
"""Numbers of all segments, and of no segment."""


class PlainNote:
    """Of one buffer. Not thread-safe."""

    def __init__(self, directory: Path, gateway_id: str, at_rest: AtRest) -> None:
        self._path, self._about, self._at_rest = directory / NOTE, gateway_id.encode(), at_rest
        self._said: tuple[str, range] | None = None
        """Id of the key and numbers, as they are in the file; None: there is none, or none that opens."""
        self._failed = False

    def read(self, *, encrypted_before: bool) -> range:
        """Numbers of the segments that may be plain. Raises MissingKeyError, OSError.

        `encrypted_before`: there are encrypted segments. Then the note is there, or somebody has taken it away.
        """
        try:
            found = self._path.read_bytes()
        except FileNotFoundError:
            return NONE if encrypted_before and self._at_rest.sealing else ANY
        try:
            first, behind = map(int, Opener(self._at_rest.key, _PURPOSE).open(found, self._about).split())
            self._said = key_id_of(found) or "", range(first, behind)
        except MissingKeyError:
            if self._at_rest.sealing:
                raise
            # Nothing is refused while encryption is off. What is encrypted asks for its key itself.
        except (DamagedError, ValueError) as error:
            log.error("the note of plain segments does not hold", extra={"path": str(self._path), "cause": str(error)})
        if not self._at_rest.sealing:
            return ANY
        return self._said[1] if self._said else NONE

    def switched_off(self, *, encrypted_before: bool) -> None:
        """From now on segments are plain: they are taken when encryption is on again. Raises OSError."""
        key = self._at_rest.for_notes()
        if key is not None and (encrypted_before or self._path.exists()):
            self._write(key, ANY)
        elif key is None and not encrypted_before:
            # Without a note all is taken, and nobody is asked for a key that was given up.
            self._path.unlink(missing_ok=True)

    def keep(self, key: Key, plain: Iterable[int]) -> bool:
        """Those numbers are plain, and no later one is: the next segment is encrypted with that key. Whether a note says so durably.

        What it says of numbers that are gone is taken back when it can be written.
        """
        numbers = list(plain)
        wanted = range(min(numbers), max(numbers) + 1) if numbers else NONE
        try:
            self._write(key, wanted)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("the note of plain segments is not written yet", extra={"cause": str(error)})
            self._failed = True
        return self._said is not None

    def _write(self, key: Key, wanted: range) -> None:
        if self._said == (key.id, wanted):
            return
        text = f"{wanted.start} {wanted.stop}".encode()
        files.replace_durably(self._path, Sealer(key, _PURPOSE).seal(text, self._about), mode=files.OWNERS)
        self._said = key.id, wanted
