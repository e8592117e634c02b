"""Answers on their way out: status, headers of every answer, the body in pieces.

A body goes out in pieces of at most 64 KB, each once the one before has left: what is on its way to a reader is bounded, and the
connection's timer (`serving.http.protocols`) ends one that takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from serving.http import problems, security
from serving.http.requests import Send

PIECE = 64 * 1024
Headers = list[tuple[str, str]]


Answer = Callable[[BaseException], tuple[int, Headers, bytes]]


class Replier:
    """Sends the answer of one request. `started` says whether a status has gone out; `answer` makes an error's answer."""

    def __init__(self, send: Send, *, tls: bool, head: bool = False, answer: Answer = problems.answer) -> None:
        self._send, self._answer = send, answer
        self._common = security.headers(tls=tls)
        self._head = head
        self.started = False

    async def whole(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """A complete answer."""
        await self.start(
            status, [*headers, ("content-length", str(len(body)))] if status not in {204, 304} else headers
        )
        await self.piece(b"" if self._head else body, last=True)

    async def problem(self, error: BaseException) -> None:
        """An error's answer."""
        status, headers, body = self._answer(error)
        await self.whole(status, headers, body)

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Status and headers."""
        self.started = True
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*self._common, *headers)]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def piece(self, data: bytes, *, last: bool = False) -> None:
        """Some of the body."""
        for begin in range(0, len(data), PIECE):
            await self._send({"type": "http.response.body", "body": data[begin : begin + PIECE], "more_body": True})
        if last:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def header_of(pairs: Iterable[tuple[str, str]], name: str) -> str:
    """First value of a header, empty for none."""
    return next((value for key, value in pairs if key == name), "")
