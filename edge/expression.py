"""Expressions of policies in CEL (Common Expression Language), bounded before the library sees them.

The library is a native one that a deep expression brings down with the whole process, so length and nesting are checked first; macros,
which are CEL's only loops, and functions beyond a short list are refused: what is left costs time in proportion to its length.
Evaluating is total for the caller: a bool, or `ExpressionError` with the cause.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from base.errors import ConfigError, MillraceError, cause_of
from stages.expressions.bounds import check_length

MAX_DEPTH = 32
MAX_S = 0.05
"""An evaluation takes some microseconds; one that takes longer than this is an error."""
FUNCTIONS = frozenset({"double", "int", "size", "contains", "startsWith", "endsWith", "min", "max"})
_MACRO = re.compile(r"\.\s*(all|exists|exists_one|map|filter|transform\w*|bind)\s*\(")
_TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


class ExpressionError(MillraceError):
    """An expression that cannot be evaluated with what is known."""


class Expression:
    """One condition over named values."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        """Compile; raises ConfigError that says what is wrong. `names` are the variables there are."""
        self.text = text
        _check_bounds(text)
        # Here and not above: a gateway without policies does without the library and what it brings.
        import cel

        try:
            self._program = cel.compile(text)
        except Exception as error:  # noqa: BLE001 - the library raises several kinds
            msg = f"it cannot be read: {cause_of(error)}"
            raise ConfigError(msg) from None
        if unknown := set(self._program.variables()) - set(names):
            msg = f"there is no {sorted(unknown)[0][:100]!r}; known: {', '.join(sorted(names))}"
            raise ConfigError(msg)
        if refused := [one for one in self._program.functions() if one[0].isalpha() and one not in FUNCTIONS]:
            msg = f"the function {refused[0][:100]} is not available; there are: {', '.join(sorted(FUNCTIONS))}"
            raise ConfigError(msg)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition is true; raises ExpressionError when that cannot be said."""
        begun_s = time.perf_counter()
        try:
            result = self._program.execute(dict(values))
        except Exception as error:  # noqa: BLE001 - whatever it is, the condition cannot be evaluated
            raise ExpressionError(_explained(error)) from None
        if (took_s := time.perf_counter() - begun_s) > MAX_S:
            msg = f"it took {took_s:.3f} s, longer than {MAX_S:g} s"
            raise ExpressionError(msg)
        if not isinstance(result, bool):
            msg = f"it is a {type(result).__name__}, neither true nor false"
            raise ExpressionError(msg)
        return result


def _explained(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{str(error.args[0])[:100]} is not known"
    return cause_of(error)


def _check_bounds(text: str) -> None:
    check_length(text)
    bare = _TEXTS.sub("''", text)
    depth = deepest = 0
    for letter in bare:
        depth += (letter in "([{?") - (letter in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        msg = f"it is nested more than {MAX_DEPTH} deep"
        raise ConfigError(msg)
    if found := _MACRO.search(bare):
        msg = f"the macro {found[1]} is not available: conditions have no loops"
        raise ConfigError(msg)
