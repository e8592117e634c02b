"""TOML text of plain values: of configuration files that programs write and people read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(values: Mapping[str, Any], *, within: str = "") -> str:
    """TOML text of plain values, lists of plain values, tables and arrays of tables; `within`: the table that they are in."""
    plain = [
        f"{_key(key)} = {_value(value)}"
        for key, value in values.items()
        if not _is_table(value) and not _is_tables(value)
    ]
    named = {f"{within}{_key(key)}": value for key, value in values.items()}
    tables = [f"\n[{name}]\n{to_toml(value, within=f'{name}.')}" for name, value in named.items() if _is_table(value)]
    arrays = [
        f"\n[[{name}]]\n{to_toml(item, within=f'{name}.')}"
        for name, value in named.items()
        if _is_tables(value)
        for item in value
    ]
    return "\n".join(plain) + ("\n" if plain else "") + "".join(tables) + "".join(arrays)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    # JSON's strings, numbers, booleans and arrays of them are TOML's too, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
