"""Codes that were made, gateways that enrol, and what is to be told to the audit log: one file beside the authority's own.

    enrolment.json    gateways that make their keys themselves, with their sites; codes, by their handles

Of a code only the public half of its key is kept, so the file opens nothing. Whoever changes it holds the authority's lock, so a code is
used once, whatever happens at the same time. Times are in UTC. A code is forgotten a week after its end.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from authority.book import Book
from base import files

if TYPE_CHECKING:
    from connectors.enrolment.code import Code

B = TypeVar("B", bound=Book)
LIFE = timedelta(minutes=15)
LONGEST = timedelta(days=1)
TRIES = 5
_KEPT = timedelta(days=7)


class CodeState(StrEnum):
    """What can be done with a code."""

    OPEN = "open"
    USED = "used"
    ENDED = "ended"
    """Its time is over."""
    WITHDRAWN = "withdrawn"
    """Another was made for the gateway, or the gateway was revoked."""
    SPENT = "spent"
    """Too many wrong tries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCode:
    """One code. `verifier`: public half of its key. `key`: public key that was enrolled with it; both hexadecimal."""

    handle: str
    verifier: str
    gateway: str
    site: str
    made_by: str
    made: datetime
    expires: datetime
    tries: int = 0
    withdrawn: bool = False
    used: datetime | None = None
    key: str = ""
    certificate: str = ""

    def state(self, now: datetime) -> CodeState:
        """What can be done with it now."""
        if self.used is not None:
            return CodeState.USED
        if self.withdrawn:
            return CodeState.WITHDRAWN
        if self.tries >= TRIES:
            return CodeState.SPENT
        return CodeState.ENDED if self.expires <= now else CodeState.OPEN


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrolledGateway:
    """A gateway that makes its key itself. `seen`: when it last enrolled or renewed."""

    id: str
    site: str
    seen: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """The whole file."""

    gateways: dict[str, EnrolledGateway] = field(default_factory=dict)
    codes: dict[str, StoredCode] = field(default_factory=dict)


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger(Generic[B]):
    """The file in an authority's folder. One object is for one thread. Who also signs gives the authority itself, not only its folder."""

    def __init__(self, authority: B, *, clock: Callable[[], datetime] = _now) -> None:
        self.authority, self._clock = authority, clock

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.authority.folder / "enrolment.json"

    def read(self) -> Contents:
        """What is in it."""
        try:
            found = json.loads(self.file.read_text())
        except FileNotFoundError:
            return Contents()
        gateways = [_parsed(EnrolledGateway, row) for row in found["gateways"]]
        codes = [_parsed(StoredCode, row) for row in found["codes"]]
        return Contents(gateways={one.id: one for one in gateways}, codes={one.handle: one for one in codes})

    def make(self, gateway: str, site: str, *, root_der: bytes, by: str, life: timedelta = LIFE) -> Code:
        """A code for a gateway, which enrols from now on; those made for it before are withdrawn."""
        from connectors.enrolment.code import Code

        code, now = Code.new(root_der), self._clock()
        stored = StoredCode(
            handle=code.handle.hex(),
            verifier=code.verifier.hex(),
            gateway=gateway,
            site=site,
            made_by=by,
            made=now,
            expires=now + life,
        )
        with self.authority.held():
            self.withdraw(gateway)
            found = self.read()
            known = found.gateways.get(gateway) or EnrolledGateway(id=gateway, site=site)
            self._write(
                dataclasses.replace(
                    found,
                    gateways=found.gateways | {gateway: dataclasses.replace(known, site=site)},
                    codes=found.codes | {stored.handle: stored},
                )
            )
        return code

    def withdraw(self, gateway: str) -> None:
        """No code of a gateway is good any more."""
        with self.authority.held():
            now = self._clock()
            for one in self.read().codes.values():
                if one.gateway == gateway and one.state(now) is CodeState.OPEN:
                    self.change(dataclasses.replace(one, withdrawn=True))

    def change(self, code: StoredCode) -> None:
        """Put a code in the place of the one with its handle."""
        with self.authority.held():
            found = self.read()
            self._write(dataclasses.replace(found, codes=found.codes | {code.handle: code}))

    def seen(self, gateway: str) -> None:
        """A gateway has enrolled or renewed just now."""
        with self.authority.held():
            found = self.read()
            if known := found.gateways.get(gateway):
                now = dataclasses.replace(known, seen=self._clock())
                self._write(dataclasses.replace(found, gateways=found.gateways | {gateway: now}))

    def forget(self, gateway: str) -> None:
        """It does not enrol any more."""
        with self.authority.held():
            self.withdraw(gateway)
            found = self.read()
            left = {name: one for name, one in found.gateways.items() if name != gateway}
            self._write(dataclasses.replace(found, gateways=left))

    def _write(self, contents: Contents) -> None:
        now = self._clock()
        codes = [one for one in contents.codes.values() if now < one.expires + _KEPT]
        rows = {
            "gateways": [_row(one) for one in sorted(contents.gateways.values(), key=lambda one: one.id)],
            "codes": [_row(one) for one in sorted(codes, key=lambda one: (one.made, one.handle))],
        }
        files.replace_durably(self.file, json.dumps(rows, indent=1) + "\n", mode=files.OWNERS)


def _row(one: StoredCode | EnrolledGateway) -> dict[str, Any]:
    found = dataclasses.asdict(one)
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in found.items()}


def _parsed(kind: type[Any], row: dict[str, Any]) -> Any:
    times = {
        key: row[key] and datetime.fromisoformat(row[key]) for key in ("made", "expires", "used", "seen") if key in row
    }
    return kind(**row | times)
