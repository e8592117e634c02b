"""The dashboard's files: read into memory, served with validators, compressed once.

Enters: a folder that the web build made. Leaves: files under their paths; an address of the application that is no file is `index.html`.
Files whose name carries a hash (`/assets/...`) never change and are kept for a year, everything else is asked for again. The folder is
read again when `index.html` has changed. Only what was read is served, so no address reaches a file outside. A folder of more than 64 MB
is refused.
"""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from base import files
from base.errors import ConfigError
from base.files import Stamp
from serving.http import caching
from serving.http.problems import MethodNotAllowedError, no_address
from serving.http.replies import Replier, header_of
from serving.http.requests import Receive, Scope, Send, pairs_of

INDEX = "index.html"
_MAX_BYTES = 64 << 20
_LASTING = "assets/"
_YEAR = "public, max-age=31536000, immutable"
_AGAIN = "no-cache"
_COMPRESSED = ("text/", "application/json", "application/javascript", "application/manifest+json", "image/svg+xml")
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}
_TYPES |= {".woff2": "font/woff2", ".svg": "image/svg+xml", ".map": "application/json", ".ico": "image/x-icon"}


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file in memory; `packed` is empty when packing it saves nothing."""

    body: bytes
    packed: bytes
    media_type: str
    tag: str
    cache: str


class Pages:
    """An ASGI application for what is not the API."""

    def __init__(self, folder: Path | None, *, tls: bool) -> None:
        self._folder, self._tls = folder, tls
        # Before they are read: what a build changes meanwhile is seen at the next request.
        self._stamp = _stamp(folder)
        self._files = read(folder) if folder else {}

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer with a file."""
        reply = Replier(send, tls=self._tls, head=scope["method"] == "HEAD")
        if scope["method"] not in {"GET", "HEAD"}:
            await reply.problem(MethodNotAllowedError("files are only read", allow=("GET", "HEAD")))
            return
        if (found := await self._find(scope["path"])) is None:
            await reply.problem(no_address(scope["path"]))
            return
        pairs = pairs_of(scope)
        packed = bool(found.packed) and "gzip" in header_of(pairs, "accept-encoding")
        tag = f'{found.tag[:-1]}-gz"' if packed else found.tag
        headers = [("cache-control", found.cache), ("etag", tag), ("vary", "accept-encoding")]
        if caching.matches(header_of(pairs, "if-none-match"), tag):
            await reply.whole(304, headers, b"")
            return
        headers.append(("content-type", found.media_type))
        if packed:
            headers.append(("content-encoding", "gzip"))
        await reply.whole(200, headers, found.packed if packed else found.body)

    async def _find(self, path: str) -> File | None:
        if self._folder is None or path.startswith("/api/"):
            return None
        if (stamp := _stamp(self._folder)) not in {self._stamp, None}:
            self._files, self._stamp = await asyncio.to_thread(read, self._folder), stamp
        name = path.removeprefix("/")
        found = self._files.get(name)
        if found is None and "." not in name.rpartition("/")[2]:
            found = self._files.get(f"{name.rstrip('/')}/{INDEX}".removeprefix("/")) or self._files.get(INDEX)
        return found


def read(folder: Path) -> dict[str, File]:
    """Files of a folder by their paths in it. Raises ConfigError."""
    found: dict[str, File] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        name = path.relative_to(folder).as_posix()
        body = path.read_bytes()
        size += len(body)
        if size > _MAX_BYTES:
            msg = f"http.page {folder} has more than {_MAX_BYTES >> 20} MB; is it the folder that the web build made?"
            raise ConfigError(msg)
        found[name] = _file(name, body)
    if INDEX not in found:
        msg = f"http.page {folder} has no {INDEX}; build the page first, or leave the key empty"
        raise ConfigError(msg)
    return found


def _file(name: str, body: bytes) -> File:
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(body, 9, mtime=0) if kind.startswith((*_COMPRESSED, "text/javascript")) else b""
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return File(
        body=body,
        packed=packed if len(packed) < len(body) else b"",
        media_type=kind + charset,
        tag=caching.etag(body),
        cache=_YEAR if name.startswith(_LASTING) else _AGAIN,
    )


def _stamp(folder: Path | None) -> Stamp | None:
    """Of the first page; None without one, and while a build is under way: what was read stays."""
    try:
        return files.stamp(folder / INDEX) if folder else None
    except OSError:
        return None
