"""An expression compiled by CEL's own checker, and evaluated: `cel-expr-python`, the binding of the reference implementation.

Enters: text and the type of each tag. Leaves: a `Program` (a condition) or a `Formula` (a value), shared by all places where names have
the same types, or a ConfigError that says what is wrong and where. A variable without a value makes what depends on it unknown;
`true || unknown` is true, as CEL has it.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base.errors import ConfigError
from stages.expressions import native
from stages.expressions.reading import KNOWN, TAG, Reading, read

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\(([^']*)\)'")
_WORDS = {"double": "number", "bool": "boolean"}
_NO_VALUE = re.compile(r'No value with name "')
"""How the library says that a result depends on a variable that was not given."""


class Program:
    """One expression whose result is a boolean."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def holds(self, values: Mapping[str, float | bool]) -> bool | None:
        """Whether it is true with these values by name; None when that depends on one that is not among them."""
        return native.call(self._holds, values)

    def _holds(self, values: Mapping[str, float | bool]) -> bool | None:
        result = self._compiled.eval(data=values).value()
        return result if isinstance(result, bool) else None


class Formula:
    """One expression whose result is a number, or a boolean as 0 and 1."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def values(self, rows: Sequence[Mapping[str, float | bool]]) -> list[float | None]:
        """Its value for each row of values by name, in one call of the library; None when that depends on one that is not among them.

        NaN where it has none: divided by zero, root of a negative number, beyond the range of numbers, a list's element that is missing.
        """
        return native.call(self._values, rows)

    def all_depend(self, groups: Iterable[Iterable[Mapping[str, float | bool]]]) -> list[bool]:
        """For each group of rows whether the value of every row depends on a variable that is not in the row; one call as well."""
        return native.call(self._all_depend, groups)

    def _all_depend(self, groups: Iterable[Iterable[Mapping[str, float | bool]]]) -> list[bool]:
        return [all(value is None for value in map(self._value, rows)) for rows in groups]

    def _value(self, row: Mapping[str, float | bool]) -> float | None:
        return _number(self._compiled.eval(data=row).value())

    def _values(self, rows: Sequence[Mapping[str, float | bool]]) -> list[float | None]:
        return [self._value(row) for row in rows]


def _number(result: Any) -> float | None:
    if isinstance(result, float | int):  # a boolean is an int
        value = float(result)
        return value if math.isfinite(value) else math.nan
    return None if _NO_VALUE.search(str(result)) else math.nan


def condition(text: str, booleans: frozenset[str]) -> Program:
    """A condition over tags of which `booleans` are booleans, the others numbers; raises ConfigError."""
    reading = read(text)
    return native.call(_condition, text, booleans & set(reading.tags))


def formula(text: str, booleans: frozenset[str], *, boolean: bool) -> Formula:
    """An expression over tags of which `booleans` are booleans, whose result is one too, or a number; raises ConfigError."""
    reading = read(text)
    return native.call(_formula, text, booleans & set(reading.tags), boolean)


def require() -> None:
    """Raises ConfigError where the library of expressions cannot be loaded."""
    native.call(_library)


def check_syntax(text: str) -> None:
    """What is wrong with an expression wherever it may hold; raises ConfigError. Types are known at devices only."""
    native.call(_check_syntax, text)


def _check_syntax(text: str) -> None:
    (cel, ext_math), reading = _library(), read(text)
    try:
        cel.NewEnv(extensions=[ext_math.ExtMath()]).compile(reading.widened, disable_check=True)
    except Exception as error:  # noqa: BLE001 - the library raises RuntimeError and some of its own
        raise ConfigError(_explained(reading, str(error))) from None


@functools.cache  # never let go of: what is native is not to be freed in another thread
def _condition(text: str, booleans: frozenset[str]) -> Program:
    compiled, kind = _compiled(text, booleans)
    if kind != "boolean":
        msg = f"it is a {kind}, no condition: compare it with something"
        raise ConfigError(msg)
    return Program(compiled)


@functools.cache  # as above
def _formula(text: str, booleans: frozenset[str], boolean: bool) -> Formula:
    compiled, kind = _compiled(text, booleans)
    wanted = "boolean" if boolean else "number"
    if kind != wanted:
        msg = f"it is a {kind}, no {wanted}"
        raise ConfigError(msg)
    return Formula(compiled)


def _compiled(text: str, booleans: frozenset[str]) -> tuple[Any, str]:
    """What the library made of it, and what its result is, in words."""
    (cel, ext_math), reading = _library(), read(text)
    types = {
        one.name: cel.Type.BOOL if one.word == KNOWN or (one.word == TAG and one.tag in booleans) else cel.Type.DOUBLE
        for one in reading.variables
    }
    environment = cel.NewEnv(variables=types, extensions=[ext_math.ExtMath()])
    try:
        compiled = environment.compile(reading.widened)
    except Exception as error:  # noqa: BLE001 - the library raises RuntimeError and some of its own
        raise ConfigError(_explained(reading, str(error))) from None
    kind = str(compiled.return_type()).lower()
    return compiled, _WORDS.get(kind, kind)


def _library() -> tuple[Any, Any]:
    """CEL, and its functions of numbers. Not imported above: what works without expressions does without it."""
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_math
    except ImportError as error:
        msg = f"expressions need the package cel-expr-python, which cannot be loaded here: {error}"
        raise ConfigError(msg) from None
    return cel, ext_math


def _explained(reading: Reading, error: str) -> str:
    if "recursion" in error:
        return "it is nested too deep, or has too many terms in one row: CEL takes 32"
    found = _ERROR.search(error)
    if found is None:
        return error[:200]
    text = _OVERLOAD.sub(_applied, found[3]).removesuffix(" [INVALID_ARGUMENT]")
    return f"{reading.place(int(found[1]), int(found[2]))}: {text[:200]}"


def _applied(found: re.Match[str]) -> str:
    types = ", ".join(_WORDS.get(one.strip(), one.strip()) for one in found[2].split(","))
    return f"{found[1].strip('_').replace('_', ' ')} cannot be applied to ({types})"
