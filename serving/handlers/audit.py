"""The audit log for those who may read it: entries that fit, newest first, in pages.

Enters: what to look for, a page. Leaves: entries as fields. The files of the log are read where they lie; a call looks at so many entries
and no more, in a thread, and its token says where to go on. What a caller may see follows from the places of its grants: events of no
place, such as sign-ins, are for those who may read all of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import entries
from audit.errors import AuditError
from audit.search import Wanted
from audit.tiles import Readable
from base.errors import InvalidRequestError, UnavailableError
from serving.caches.plant import covered
from serving.principals import Permission, current

DEFAULT_PAGE, MAX_PAGE = 100, 1_000
_LOOKED_AT = 5_000
_MAX_DIGITS = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A page. `size`: entries of the log."""

    events: list[dict[str, Any]]
    next_token: str
    size: int


class AuditHandlers:
    """Reads a folder; None: this server has none."""

    def __init__(self, folder: Path | None, open_log: Callable[[Path], Readable] = Readable) -> None:
        self._folder, self._open = folder, open_log

    async def list_events(self, wanted: Wanted, page_size: int, page_token: str) -> Found:
        """Entries that fit. Raises UnavailableError without a folder, or for one that cannot be read."""
        if self._folder is None:
            msg = "this server does not have the audit log's folder (audit.folder); `./millrace audit list` reads it where it lies"
            raise UnavailableError(msg)
        if not 0 <= page_size <= MAX_PAGE:
            msg = f"page_size is {page_size}, not between 0 and {MAX_PAGE}"
            raise InvalidRequestError(msg, field="page_size")
        if page_token and not (page_token.isascii() and page_token.isdigit() and len(page_token) <= _MAX_DIGITS):
            msg = "page_token is not one that this server gave"
            raise InvalidRequestError(msg, field="page_token")
        scopes = current.get().scopes(Permission.AUDIT)
        before = int(page_token) if page_token else None
        try:
            return await asyncio.to_thread(self._look, self._folder, wanted, scopes, page_size or DEFAULT_PAGE, before)
        except (AuditError, OSError, ValueError) as error:
            msg = f"the audit log cannot be read: {error}"
            raise UnavailableError(msg) from error

    def _look(self, folder: Path, wanted: Wanted, scopes: tuple[str, ...], size: int, before: int | None) -> Found:
        log = self._open(folder)
        found: list[dict[str, Any]] = []
        end = log.size if before is None else min(before, log.size)
        at = end
        for index, entry in log.newest_first(end):
            at, fields = index, entries.fields_of(entry)
            if wanted.over(fields):
                return Found(events=found, next_token="", size=log.size)
            if wanted.fits(fields) and covered(str(fields.get("path", "")), scopes):
                found.append(fields | {"index": index})
            if len(found) == size or end - index == _LOOKED_AT:
                break
        return Found(events=found, next_token=str(at) if at else "", size=log.size)
