"""Between door and signer: a unix socket that only their user may open. One question a connection.

A question is a line of JSON ({"what", "peer"}), then the request as it came; an answer is one JSON text ({"status", "answer"}).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from base.errors import UnavailableError
from connectors.enrolment.messages import MAX_BYTES

log = logging.getLogger(__name__)

ANSWER_S = 60.0
"""A broker that does not answer takes so long to be given up."""
_QUESTION_S = 5.0
_MOST = MAX_BYTES + 1024
_MOST_ANSWER = 1 << 20

Handle = Callable[[str, bytes, str], tuple[int, dict[str, Any]]]


async def serve(path: Path, handle: Handle) -> asyncio.Server:
    """Answer at a socket, one question after the other, in a thread. The server that listens."""
    one_at_a_time = asyncio.Lock()

    async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
        try:
            async with asyncio.timeout(_QUESTION_S):
                head, _, request = (await _whole(reader, _MOST)).partition(b"\n")
            about = json.loads(head)
            async with one_at_a_time:
                return await asyncio.to_thread(handle, str(about["what"]), request, str(about["peer"]))
        except Exception as error:  # whatever a request brought about: the door is answered, and the next one as well
            log.exception("a question of the door was not answered", extra={"cause": type(error).__name__})
            return 500, {"error": "the signer cannot do this now; its log says why"}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, found = await answered(reader)
            writer.write(json.dumps({"status": status, "answer": found}).encode())
            await writer.drain()
        except OSError as error:
            log.warning("the door does not wait for its answer", extra={"cause": str(error)})
        finally:
            writer.close()

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anything is served
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(answer, path, limit=_MOST)
    finally:
        os.umask(before)


async def ask(path: Path, what: str, request: bytes, peer: str) -> tuple[int, dict[str, Any]]:
    """Status and body of the signer's answer; raises UnavailableError."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MOST_ANSWER)
            try:
                writer.write(json.dumps({"what": what, "peer": peer}).encode() + b"\n" + request)
                writer.write_eof()
                found = json.loads(await _whole(reader, _MOST_ANSWER))
            finally:
                writer.close()
    except (TimeoutError, OSError, ValueError) as error:
        msg = "the signer does not answer; try again, and look at its log on the platform"
        raise UnavailableError(msg) from error
    return int(found["status"]), dict(found["answer"])


async def _whole(reader: asyncio.StreamReader, most: int) -> bytes:
    """All that comes; raises ValueError for more than `most` bytes."""
    found = b""
    while chunk := await reader.read(most + 1 - len(found)):
        found += chunk
        if len(found) > most:
            msg = f"more than {most} bytes"
            raise ValueError(msg)
    return found
