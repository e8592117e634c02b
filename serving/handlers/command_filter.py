"""Which commands a caller wants, and pages of them: pure, over views.

Enters: the fields of a filter and a page token. Leaves: a predicate, and positions in the order of submission. A position is the place of
the last command of a page, so that paging survives commands that come and go between pages.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

from base.errors import InvalidRequestError
from schemas.commands import CommandState
from serving.caches.command_book import Place
from serving.caches.command_view import CommandView
from serving.caches.plant import Lookups


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandFilter:
    """Which commands; every field that is set has to fit. Times of submission, from `since_us` and before `until_us`; 0: any."""

    prefix: str = ""
    states: frozenset[CommandState] = frozenset()
    submitted_by: str = ""
    since_us: int = 0
    until_us: int = 0

    def __post_init__(self) -> None:
        if self.since_us < 0 or self.until_us < 0:
            msg = "since_us and until_us are microseconds UTC, 0 or above"
            raise InvalidRequestError(msg)
        if self.since_us and self.until_us and self.until_us <= self.since_us:
            msg = f"until_us {self.until_us} is not after since_us {self.since_us}: no command can fit"
            raise InvalidRequestError(msg)

    def matcher(self, plant: Lookups) -> Callable[[CommandView], bool]:
        """Whether a command fits and is for a device that is seen; `plant` knows the paths of devices."""
        path_of, whole = plant.device_path, plant.whole
        base, rest = self.prefix.rstrip("/"), self.prefix.endswith("*")

        def below(path: str) -> bool:
            if rest:
                return path.startswith(self.prefix[:-1])
            return path == base or path.startswith(base + "/")

        def fits(view: CommandView) -> bool:
            return (
                (not self.states or view.state in self.states)
                and (not self.submitted_by or view.submitted_by == self.submitted_by)
                and view.submitted_us >= self.since_us
                and (not self.until_us or view.submitted_us < self.until_us)
                and (whole or bool(path_of(view.device_id)))
                and (not base or below(path_of(view.device_id)))
            )

        return fits


def token(where: Place) -> str:
    """Page token of a position."""
    return urlsafe_b64encode(f"{where[0]}:{where[1]:x}".encode()).decode()


def position(page_token: str) -> Place | None:
    """Position of a token; None at the beginning. Raises InvalidRequestError."""
    if not page_token:
        return None
    try:
        submitted_us, _, number = urlsafe_b64decode(page_token.encode()).decode().partition(":")
        return int(submitted_us), int(number, 16)
    except (binascii.Error, ValueError) as error:
        msg = "page_token is not one that this server gave"
        raise InvalidRequestError(msg) from error
