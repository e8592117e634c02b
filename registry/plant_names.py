"""Names for a plant file out of what machines call things. Pure."""

from __future__ import annotations

import re
import unicodedata

_LONGEST = 63
# Letters that are no letter with a mark, which would be lost.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d"}
)


def plain_name(text: str) -> str:
    """A name as the plant file can carry it: letters, digits, '-' and '_'."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")[:_LONGEST]
    return name or "unnamed"


def unique_name(name: str, used: set[str]) -> str:
    """The name, with a number behind it when it is taken; notes it as used."""
    found, number = name, 1
    while found in used:
        number += 1
        end = f"-{number}"
        found = name[: _LONGEST - len(end)] + end
    used.add(found)
    return found
