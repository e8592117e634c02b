"""One calculated tag of a lane: its values at given times, from samples of its inputs.

Enters: for each input its samples that are known, in the order of time. Leaves: the samples of the tag. Pure, and plain Python: expressions
are evaluated one by one, and around a handful of values numpy's calls would cost more than they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.definitions import DataType, TagDefinition
from schemas.quality import BAD, BAD_INVALID_INPUTS, BAD_OUT_OF_RANGE
from stages.calculation.expression import Expression
from stages.expressions.reading import AGE, KNOWN, TAG

Row = dict[str, float | bool]


class Sample(NamedTuple):
    """A sample of one tag; the time is microseconds UTC."""

    time_us: int
    value: float
    quality: int

    @property
    def usable(self) -> bool:
        """Whether its value counts."""
        return not (self.quality & BAD or math.isnan(self.value))


class CalculatedTag:
    """A tag, its expression and its inputs. `inputs` are tag ids, by name in the expression."""

    def __init__(self, tag: TagDefinition, expression: Expression, inputs: Mapping[str, TagDefinition]) -> None:
        self.tag_id = tag.tag_id
        self.inputs = {name: one.tag_id for name, one in inputs.items()}
        self._booleans = frozenset(name for name, one in inputs.items() if one.data_type is DataType.BOOLEAN)
        self._expression = expression

    def at(self, times_us: Iterable[int], known: Mapping[str, Sequence[Sample]]) -> list[Sample]:
        """Samples at ascending times; `known` are those of each input, ascending, of equal times the last one counts.

        An input is what its newest sample not later than the time says. Bad: a bad sample, where the result depends on it. Not heard by
        then: no sample, likewise. Uncertain: its value counts, and the result is as uncertain.
        """
        rows, worst, inputs = list[Row](), list[int](), list[dict[str, Sample]]()
        times_us, reached = list(times_us), dict.fromkeys(known, 0)
        for time_us in times_us:
            held = dict[str, Sample]()
            for name, samples in known.items():
                at = reached[name]
                while at < len(samples) and samples[at].time_us <= time_us:
                    at += 1
                reached[name] = at
                if at:
                    held[name] = samples[at - 1]
            rows.append(self._row(time_us, held))
            worst.append(max((one.quality for one in held.values() if one.usable), default=0))
            inputs.append(held)
        found = list[Sample]()
        for place, value in enumerate(self._expression.formula.values(rows)):
            # None: depends on an input without a value. NaN: there is none for these inputs.
            if value is not None:
                code = BAD_OUT_OF_RANGE if math.isnan(value) else worst[place]
                found.append(Sample(times_us[place], value, code))
            elif self._spoiled(rows[place], inputs[place]):
                found.append(Sample(times_us[place], math.nan, BAD_INVALID_INPUTS))
        return found

    def _spoiled(self, row: Row, held: Mapping[str, Sample]) -> bool:
        """Whether a result without a value is so by a bad input, and not only by inputs that were not heard.

        CEL names one variable that is missing. One that was not heard gets a value of no meaning, to see whether another one is.
        """
        if len(held) == len(self.inputs):
            return True
        if all(one.usable for one in held.values()):
            return False
        row = dict(row)
        while (name := self._expression.formula.missing(row)) is not None:
            tag = name.partition(".")[2]
            if tag in held:
                return True
            row[name] = False if name == f"{TAG}.{tag}" and tag in self._booleans else 0.0
        return False

    def _row(self, time_us: int, held: Mapping[str, Sample]) -> Row:
        """Values of the expression's variables that are known, by name."""
        row = Row()
        for variable in self._expression.variables:
            name, tag = variable.name, variable.tag
            one = held.get(tag)
            if variable.word == KNOWN:
                row[name] = one is not None and one.usable
            elif one is not None and variable.word == AGE:
                row[name] = (time_us - one.time_us) / 1e6
            elif one is not None and one.usable:
                row[name] = bool(one.value) if tag in self._booleans else one.value
        return row
