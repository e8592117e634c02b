"""A note, beside the gateway's state, of the run of the server from which the last samples of all tags come.

While it is there, a gateway that starts again at the same run of the server goes on as after a lost line. It is taken away the moment that
is no longer so: when the server has started again, or samples are known to be lost, until all tags have been heard again and that is
durable. So a loss that was known when the gateway was killed is a gap afterwards, however soon the gateway was back.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from base import files

log = logging.getLogger(__name__)

_FILE = "run.json"

Run = tuple[str, ...]
"""Server, when it started, and what its namespaces mean."""


class RunNote:
    """`run` is what the note says now; None: there is none. Without a folder nothing outlives the process."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / _FILE
        self.run = self._read()

    def write(self, run: Run) -> None:
        """The last samples of all tags are of this run, and durable."""
        self.run = run
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                files.replace(self._path, json.dumps(run))
            except OSError as error:
                # Without it a gap more may be reported after the next start, none less.
                log.warning("the run of a server cannot be noted", extra={"path": str(self._path), "cause": str(error)})

    def drop(self) -> None:
        """They are not, or nobody knows."""
        if self.run is None:
            return
        self.run = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            files.sync_folder(self._path.parent)

    def _read(self) -> Run | None:
        if self._path is None:
            return None
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        return tuple(map(str, found)) if isinstance(found, list) else None
