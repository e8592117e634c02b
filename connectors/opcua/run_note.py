"""A note, beside the gateway's state, of the run of the server from which the last samples of these tags come.

While it is there, a gateway that starts again at the same run of the server goes on as after a lost line. It is taken away the moment that
is no longer so: when the server has started again, or samples are known to be lost, until all tags have been heard again and that is
durable. So a loss that was known when the gateway was killed is a gap afterwards, however soon the gateway was back. Of a tag that the
note does not name it says nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from base import files

log = logging.getLogger(__name__)

_FILE = "run.json"

Run = tuple[str, ...]
"""Server, when it started, and what its namespaces mean."""


class Heard(NamedTuple):
    """The last samples of these tags are of this run."""

    run: Run
    tags: frozenset[int]


def _untold(_text: str) -> None:
    """For a note of which nobody is told."""


class RunNote:
    """`heard` is what the note says now; None: there is none. Without a folder nothing outlives the process.

    `doubts` counts what took it away. `problem` is why one stays on disk that does not hold; `tell` hears of its beginning and its end.
    """

    def __init__(self, folder: Path | None, tell: Callable[[str], None] = _untold) -> None:
        self._path = None if folder is None else folder / _FILE
        self._tell = tell
        self._on_disk = True
        """Whether a file may be on disk."""
        self.doubts = 0
        self.problem = ""
        self.heard = self._read()

    @property
    def run(self) -> Run | None:
        """The run that the note names."""
        return None if self.heard is None else self.heard.run

    def says(self, heard: Heard) -> bool:
        """Whether the note says this."""
        if self.heard != heard:
            return False
        # Every notification asks: the same object is compared at once.
        self.heard = heard
        return True

    def write(self, heard: Heard, doubts: int) -> None:
        """These samples are durable. A doubt that came after `doubts` of them is of samples behind these: then nothing is written."""
        if doubts != self.doubts:
            return
        self.heard = heard
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            files.replace(self._path, json.dumps({"run": heard.run, "tags": sorted(heard.tags)}))
        except OSError as error:
            # Without it a gap more may be reported after the next start, none less.
            if not self.problem:
                log.warning("the run of a server cannot be noted", extra={"path": str(self._path), "cause": str(error)})
            if self._on_disk:
                # What is there says something else.
                self.drop()
        else:
            self._on_disk = True
            self._settle("")

    def drop(self) -> None:
        """They are not, or nobody knows. Never raises: what comes behind the doubt is handed over whatever the disk does."""
        self.doubts += 1
        self.heard = None
        self.retry()

    def retry(self) -> None:
        """Take away what stayed on disk and does not hold, if there is such a thing."""
        if self.heard is not None or not self._on_disk or self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
            files.sync_folder(self._path.parent)
        except FileNotFoundError:
            """Where there is no folder, there is no note."""
        except OSError as error:
            self._settle(f"the note of the server's run cannot be taken away, {error}: a kill now may hide a loss")
            return
        self._on_disk = False
        self._settle("")

    def _settle(self, problem: str) -> None:
        before, self.problem = self.problem, problem
        if bool(before) == bool(problem):
            return
        text = problem or "the note of the server's run is right again"
        log.warning("run of a server", extra={"path": str(self._path), "cause": text})
        self._tell(text)

    def _read(self) -> Heard | None:
        if self._path is None:
            return None
        try:
            found = json.loads(self._path.read_text())
            return Heard(tuple(map(str, found["run"])), frozenset(map(int, found["tags"])))
        except FileNotFoundError:
            self._on_disk = False
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("the run of a server cannot be read", extra={"path": str(self._path), "cause": str(error)})
        return None
