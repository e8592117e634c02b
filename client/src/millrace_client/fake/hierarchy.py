"""Paths of the fake plant: what lies under a path, pages of it, and words for what does not exist."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from millrace_client.errors import InvalidRequestError

T = TypeVar("T")

_MAX_PAGE = 1000
_DEFAULT_PAGE = 100


def under(prefix: str) -> Callable[[str], bool]:
    """Whether a path is `prefix` or lies under it. A trailing `*` stands for the rest of the path, the empty prefix for everything.

    >>> [under("a/b")(path) for path in ("a/b", "a/b/c", "a/bc")], under("a/b*")("a/bc"), under("")("a")
    ([True, True, False], True, True)
    """
    if prefix.endswith("*"):
        return lambda path: path.startswith(prefix[:-1])
    base = prefix.rstrip("/")
    return lambda path: not prefix or path == base or path.startswith(base + "/")


def page(paths: Iterable[str], prefix: str, page_size: int, page_token: str) -> tuple[list[str], str]:
    """Paths of a page, sorted, and the token of the next one, empty on the last. Raises InvalidRequestError."""
    _check_size(page_size)
    after = _decoded(page_token)
    size, wanted = page_size or _DEFAULT_PAGE, under(prefix)
    found = [path for path in sorted(paths) if wanted(path) and path > after]
    token = _encoded(found[size - 1]) if len(found) > size else ""
    return found[:size], token


def newest(items: Iterable[T], key: Callable[[T], Any], request: Any) -> tuple[list[T], str]:
    """Items of a page, newest (largest key) first, and the token of the next one. Raises InvalidRequestError."""
    _check_size(request.page_size)
    ordered = sorted(items, key=key, reverse=True)
    after = _decoded(request.page_token)
    if after:
        ordered = [item for item in ordered if key(item) < tuple(json.loads(after))]
    size = request.page_size or _DEFAULT_PAGE
    token = _encoded(json.dumps(key(ordered[size - 1]))) if len(ordered) > size else ""
    return ordered[:size], token


def _check_size(page_size: int) -> None:
    if not 0 <= page_size <= _MAX_PAGE:
        msg = f"page_size is {page_size}, not between 0 and {_MAX_PAGE}"
        raise InvalidRequestError(msg)


def _encoded(place: str) -> str:
    return urlsafe_b64encode(place.encode()).decode()


def _decoded(page_token: str) -> str:
    try:
        return urlsafe_b64decode(page_token.encode()).decode()
    except (binascii.Error, ValueError) as error:
        msg = "page_token is not one that this server gave"
        raise InvalidRequestError(msg) from error


def unknown(kind: str, path: str, tag_paths: Iterable[str]) -> str:
    """For people: how far the path is known, and what comes next there."""
    known, parent = sorted(tag_paths), path
    while parent := parent.rpartition("/")[0]:
        depth = parent.count("/") + 1
        if names := sorted({p.split("/")[depth] for p in known if p.startswith(parent + "/")}):
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            return f"no {kind} {path!r}; under {parent!r} there are: {shown}"
    roots = sorted({p.partition("/")[0] for p in known})
    return f"no {kind} {path!r}; " + (f"paths start with {', '.join(roots)}" if roots else "the registry is empty")
