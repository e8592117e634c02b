"""The note of the last forgetting, in the folder of the directory of people: when it was, and of nobody whose.

A token of before would enter somebody who was forgotten again, at the next call. Whose tokens those are nobody is to find out any more,
so none of before enters anybody: who is new, and had one already, signs in once more. People who are known are not asked about it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from base.errors import ConfigError
from base.ids import Clock
from privacy.entry import content
from privacy.errors import ForgottenError

_FILE = "forgotten"
KEPT_US = 30 * 86_400_000_000
"""No token lives longer (`serving.sign_outs`)."""
_WHEN, _UNFINISHED = "forgotten_us", "unfinished"


class ForgottenNote:
    """Whoever writes it holds the folder's lock. `put` makes a file durable."""

    def __init__(self, folder: Path, put: Callable[[Path, bytes], None], clock: Clock) -> None:
        self._path, self._put, self._clock = folder / _FILE, put, clock

    @property
    def unfinished(self) -> int:
        """How many were forgotten of whom older versions of the wrapping key may still open a copy."""
        return int((content(self._path) or {}).get(_UNFINISHED, 0))

    def begin(self, at_us: int) -> None:
        """Somebody is being forgotten; durable when this returns."""
        self._write(at_us, self.unfinished + 1)

    def finish(self) -> None:
        """Nothing opens any more what was of those who were forgotten. A note that is damaged may have said anything: it is of now."""
        note = content(self._path)
        if note is None:
            self._write(self._clock(), 0)
        elif note.get(_UNFINISHED):
            self._write(int(note[_WHEN]), 0)

    def require_newer(self, issued_us: int) -> None:
        """Raise ForgottenError for a token that enters nobody; ConfigError where the note is damaged."""
        note = content(self._path)
        if note is None:
            msg = f"{self._path} is damaged; `millrace privacy renew` writes it anew"
            raise ConfigError(msg)
        if issued_us < int(note.get(_WHEN, 0)):
            msg = "the token is of before a change of the directory of people; sign in again"
            raise ForgottenError(msg)

    @property
    def over(self) -> bool:
        """Whether no token of before is left."""
        note = content(self._path)
        return note is not None and not note.get(_UNFINISHED) and 0 < int(note.get(_WHEN, 0)) < self._clock() - KEPT_US

    def delete(self) -> None:
        """It is over."""
        self._path.unlink(missing_ok=True)

    def _write(self, at_us: int, unfinished: int) -> None:
        self._put(self._path, json.dumps({_WHEN: at_us, _UNFINISHED: unfinished}).encode())
