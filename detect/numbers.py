"""Numbers of a file as its writer's country writes them: decimal mark, marks of thousands, words for a missing value.

One style holds for a whole file. It is found from fields that leave no choice (`1.234,5`, `12,5`, `1,234,567`); a field such as
`1,234` alone leaves one, and is a decimal comma unless the comma parts the columns. Nothing is guessed against evidence: a file that has
both styles is an error that names two fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from base.errors import InvalidRequestError

MISSING = frozenset(
    {
        "", "nan", "na", "n/a", "n.a.", "#n/a", "#na", "#n/v", "#nv", "#null!", "#value!", "#wert!", "#div/0!", "#ref!", "null", "none",
        "nil",
        "-", "--", "?", "no data", "bad", "bad input", "i/o timeout",
    }
)  # fmt: skip
"""In lower case: spreadsheets, pandas, R, SQL, historians."""
_WORDS = {"true": 1.0, "false": 0.0}
_SPACES = str.maketrans("", "", " \u00a0\u202f\u2009'\u2019")
_GROUPS_OF_SPACES = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f\u2009'\u2019]\d{3})+(?:[.,]\d*)?")
_MARKED = re.compile(r"[+-]?\d[\d.,]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How numbers are written. `thousands` is empty where nothing parts thousands but a blank or an apostrophe."""

    decimal: str = "."
    thousands: str = ""

    def number(self, text: str) -> float | None:
        """Value of a field, NaN when it is missing, None when it is no number."""
        text = text.strip()
        try:
            if self.decimal == "." and not self.thousands:
                return float(text)
        except ValueError:
            pass
        lowered = text.lower()
        if lowered in MISSING:
            return math.nan
        if lowered in _WORDS:
            return _WORDS[lowered]
        if _GROUPS_OF_SPACES.fullmatch(text):
            text = text.translate(_SPACES)
        if self.thousands and self.thousands in text:
            if not _grouped(text, self.thousands, self.decimal):
                return None
            text = text.replace(self.thousands, "")
        elif self.decimal != "." and "." in text:
            return None
        try:
            return float(text.replace(self.decimal, "."))
        except ValueError:
            return None


def find_style(fields: Iterable[str], *, delimiter: str) -> Style:
    """The one style that explains all fields. Raises InvalidRequestError when there is none."""
    votes: dict[str, str] = {}  # decimal mark -> a field that proves it
    ambiguous_comma = ambiguous_dot = False
    grouped: set[str] = set()
    for field in fields:
        text = field.strip()
        if _GROUPS_OF_SPACES.fullmatch(text):
            text = text.translate(_SPACES)
        if "," not in text and text.count(".") < 2:
            if "." in text and not ambiguous_dot and _MARKED.fullmatch(text):
                if _three_digits(text, "."):
                    ambiguous_dot = True
                else:
                    votes.setdefault(".", text)
            continue
        if not _MARKED.fullmatch(text):
            continue
        commas, dots = text.count(","), text.count(".")
        if commas and dots:
            last = max(",.", key=text.rfind)
            votes.setdefault(last, text)
            grouped.add("," if last == "." else ".")
        elif max(commas, dots) > 1:
            mark, other = (",", ".") if commas else (".", ",")
            if _grouped(text, mark, other):
                grouped.add(mark)
                votes.setdefault(other, text)
        elif _three_digits(text, ","):
            ambiguous_comma = True
        else:
            votes.setdefault(",", text)
    if len(votes) == 2:
        msg = f"{votes['.']!r} and {votes[',']!r} are written with different decimal marks; say which with --decimal"
        raise InvalidRequestError(msg)
    by_default = "," if ambiguous_comma and delimiter != "," and not ambiguous_dot else "."
    decimal = next(iter(votes), by_default)
    other = "." if decimal == "," else ","
    ambiguous_other = ambiguous_comma if other == "," else ambiguous_dot
    return Style(decimal=decimal, thousands=other if other in grouped or ambiguous_other else "")


def _three_digits(text: str, mark: str) -> bool:
    """Whether a mark may part thousands: one to three digits before it that do not begin with 0, three behind it."""
    whole, _, rest = text.lstrip("+-").partition(mark)
    return 1 <= len(whole) <= 3 and whole[0] != "0" and len(rest) == 3


def _grouped(text: str, thousands: str, decimal: str) -> bool:
    whole = text.lstrip("+-").split(decimal)[0].split(thousands)
    return 1 <= len(whole[0]) <= 3 and all(len(part) == 3 for part in whole[1:])
