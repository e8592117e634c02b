"""Keys of people made ahead, where the wrapping key is far: who comes first does not wait for it.

They serve as long as the folder's epoch is the one they were made in. It turns when older versions of the wrapping key are destroyed.
"""

from __future__ import annotations

import threading
from pathlib import Path

from base.errors import UnavailableError
from privacy.wrapping import Wrapping, new_secret

_COUNT = 4


class Spares:
    """Safe to use from several threads."""

    def __init__(self, wrapping: Wrapping, epoch: Path) -> None:
        self._wrapping, self._file = wrapping, epoch
        self._lock = threading.Lock()
        self._kept: list[tuple[bytes, str]] = []
        self._epoch = ""

    def fill(self) -> None:
        """Make what is missing. Raises ConfigError, UnavailableError, OSError."""
        if self._wrapping.local:
            return
        epoch = self._file.read_text()
        made: list[tuple[bytes, str]] = []
        if epoch != self._epoch or len(self._kept) < _COUNT:
            secrets = [new_secret() for _ in range(_COUNT)]
            made = list(zip(secrets, self._wrapping.wrap(secrets), strict=True))
        with self._lock:
            if epoch != self._epoch:
                self._kept, self._epoch = [], epoch
            self._kept = [*self._kept, *made][:_COUNT]

    def take(self) -> tuple[bytes, str]:
        """A person's key and the same, wrapped. The folder's lock is held, so no version of the wrapping key goes meanwhile.

        Raises UnavailableError where there is none, and ConfigError, OSError.
        """
        if self._wrapping.local:
            secret = new_secret()
            return secret, self._wrapping.wrap([secret])[0]
        epoch = self._file.read_text()
        with self._lock:
            if epoch != self._epoch or not self._kept:
                raise UnavailableError(SOON)
            return self._kept.pop()


SOON = "this person is being entered into the directory of people; try again"
