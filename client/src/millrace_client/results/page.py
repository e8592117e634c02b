"""A part of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some of a list; `next_page_token` gives the next part and is empty on the last."""

    items: tuple[T, ...]
    next_page_token: str = ""
