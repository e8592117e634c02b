"""Access to a parsed YAML file that knows where it is: every error names the place.

Enters: mappings and lists of PyYAML. Leaves: typed values, or RegistryError `sites[0].areas[1]: ...`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from base.errors import RegistryError

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_REQUIRED: Any = object()


def check_name(name: Any, where: str) -> str:
    """A name as paths, topics and addresses can carry it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"{where}: {name!r} is no name: letters, digits, '-' and '_', up to 63, beginning with a letter or digit"
        raise RegistryError(msg)
    return name


class Node:
    """A mapping of the file and its place."""

    __slots__ = ("_data", "where")

    def __init__(self, data: Any, where: str) -> None:
        self.where = where
        if not isinstance(data, Mapping):
            self.refuse(f"a mapping is expected, not {type(data).__name__}")
        self._data = data

    def refuse(self, text: str) -> NoReturn:
        """Raise RegistryError about this place."""
        msg = f"{self.where}: {text}" if self.where else text
        raise RegistryError(msg)

    def only(self, *keys: str) -> None:
        """Refuse keys that mean nothing: most are misspelt."""
        unknown = [key for key in self._data if key not in keys]
        if unknown:
            self.refuse(f"unknown key {unknown[0]!r}; known: {', '.join(keys)}")

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._data

    def _get(self, key: str, default: Any = _REQUIRED) -> Any:
        if key in self._data:
            return self._data[key]
        if default is _REQUIRED:
            self.refuse(f"{key} is missing")
        return default

    def _typed(self, key: str, kind: type | tuple[type, ...], name: str, default: Any) -> Any:
        value = self._get(key, default)
        if value is default and default is not _REQUIRED:
            return value
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(f"{key} is {value!r}, not {name}")
        return value

    def text(self, key: str, default: str = _REQUIRED) -> str:
        """A string without NUL."""
        value: str = self._typed(key, str, "a text", default)
        if "\x00" in value:
            self.refuse(f"{key} contains a NUL character")
        return value

    def name(self, key: str) -> str:
        """A string that can be part of a path."""
        return check_name(self._get(key), f"{self.where}.{key}" if self.where else key)

    def integer(self, key: str, default: int = _REQUIRED) -> int:
        """A whole number of 32 bits."""
        value: int = self._typed(key, int, "a whole number", default)
        if not -(1 << 31) <= value < 1 << 31:
            self.refuse(f"{key} is {value}, which 32 bits do not hold")
        return value

    def number(self, key: str, default: float | None = _REQUIRED) -> float | None:
        """A finite number; None when it is null or left out and that is allowed."""
        value = self._get(key, default)
        if value is None and default is not _REQUIRED:
            return None
        return self._finite(key, value)

    def bounds(self, key: str) -> tuple[float | None, float | None]:
        """`[low, high]`, each a number or null; both None when it is left out."""
        value = self._get(key, None)
        if value is None:
            return None, None
        if not isinstance(value, list) or len(value) != 2:
            self.refuse(f"{key} is {value!r}, not [low, high]")
        low, high = (None if item is None else self._finite(f"{key}[{i}]", item) for i, item in enumerate(value))
        if low is not None and high is not None and low > high:
            self.refuse(f"{key} is [{low:g}, {high:g}]: low is above high")
        return low, high

    def _finite(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.refuse(f"{key} is {value!r}, not a number")
        return float(value)

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or false."""
        return bool(self._typed(key, bool, "true or false", default))

    def choice(self, key: str, known: Iterable[str], default: str = _REQUIRED) -> str:
        """One of the known names."""
        value = self._get(key, default)
        names = list(known)
        if value not in names:
            self.refuse(f"{key} is {value!r}; known: {', '.join(names)}")
        return str(value)

    def table(self, key: str) -> Node:
        """A mapping below this one."""
        return Node(self._get(key), self._below(key))

    def tables(self) -> Iterator[tuple[str, Node]]:
        """Entries of this mapping, each a mapping itself."""
        for key, value in self._data.items():
            yield check_name(key, self.where), Node(value, self._below(key))

    def items(self, key: str) -> Iterator[Node]:
        """Mappings of a list below this one."""
        value = self._get(key)
        if not isinstance(value, list):
            self.refuse(f"{key} is {value!r}, not a list")
        for index, item in enumerate(value):
            yield Node(item, self._below(f"{key}[{index}]"))

    def list(self, key: str, kind: type[T]) -> list[T]:
        """A list of plain values of one type."""
        value = self._get(key)
        if not isinstance(value, list) or any(type(item) is not kind for item in value):
            self.refuse(f"{key} is {value!r}, not a list of {kind.__name__}")
        return value

    def _below(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key
