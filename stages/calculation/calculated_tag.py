"""One calculated tag of a lane: its values at given times, from samples of its inputs.

Enters: for each input its samples that are known, in the order of time. Leaves: the samples of the tag. Pure, and plain Python: expressions
are evaluated one by one, and around a handful of values numpy's calls would cost more than they do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from schemas.definitions import DataType, TagDefinition
from schemas.quality import BAD, BAD_INVALID_INPUTS, BAD_OUT_OF_RANGE
from stages.calculation.expression import Expression
from stages.expressions.reading import AGE, KNOWN, TAG

MOST_TRIED = 4
"""Booleans that were not heard: with more of them a bad input makes no sample, since every combination costs an evaluation."""
_FAR = 1e300
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
        self._valued = frozenset(one.tag for one in expression.variables if one.word == TAG)
        self._needed = self._valued | {one.tag for one in expression.variables if one.word == AGE}

    def at(self, times_us: Iterable[int], known: Mapping[str, Sequence[Sample]]) -> list[Sample]:
        """Samples at ascending times; `known` are those of each input, ascending, of equal times the last one counts.

        An input is what its newest sample not later than the time says. Bad: a bad sample, where the result depends on it. Not heard by
        then: no sample, likewise. Uncertain: its value counts, and the result is as uncertain.
        """
        times_us = list(times_us)
        inputs = list(_held(times_us, known))
        rows = [self._row(time_us, held) for time_us, held in zip(times_us, inputs, strict=True)]
        values = self._expression.formula.values(rows)
        spoiled = self._spoiled(rows, inputs, [place for place, value in enumerate(values) if value is None])
        found = list[Sample]()
        for place, (time_us, value) in enumerate(zip(times_us, values, strict=True)):
            # None: depends on an input without a value. NaN: there is none for these inputs.
            if value is not None:
                worst = max((one.quality for one in inputs[place].values() if one.usable), default=0)
                found.append(Sample(time_us, value, BAD_OUT_OF_RANGE if math.isnan(value) else worst))
            elif place in spoiled:
                found.append(Sample(time_us, math.nan, BAD_INVALID_INPUTS))
        return found

    def possible(self, times_us: Sequence[int], known: Mapping[str, Sequence[Sample]]) -> list[int]:
        """Times, of those that `at` would be given, at which there may be a sample: told without evaluating anything.

        All of them where the expression chooses, since what it depends on then is known only by its value.
        """
        if self._expression.chooses:
            return list(times_us)
        held = _held(times_us, known)
        return [
            time_us for time_us, one in zip(times_us, held, strict=True) if self._needed <= one.keys() or self._bad(one)
        ]

    def _spoiled(
        self, rows: Sequence[Row], inputs: Sequence[Mapping[str, Sample]], undecided: Sequence[int]
    ) -> set[int]:
        """Which of the undecided places have no value by a bad input, and not only by inputs that were not heard."""
        found, alike = set[int](), dict[tuple[frozenset[tuple[str, float | bool]], frozenset[str]], list[int]]()
        for place in undecided:
            held = inputs[place]
            if len(held) == len(self.inputs) or (not self._expression.chooses and self._bad(held)):
                found.add(place)
            elif self._bad(held) and self._unheard_booleans(held) <= MOST_TRIED:
                alike.setdefault((frozenset(rows[place].items()), frozenset(held)), []).append(place)
        if alike:
            groups = [self._stand_ins(rows[places[0]], inputs[places[0]]) for places in alike.values()]
            answers = self._expression.formula.all_depend(groups)
            found.update(*(places for places, bad in zip(alike.values(), answers, strict=True) if bad))
        return found

    def _stand_ins(self, row: Row, held: Mapping[str, Sample]) -> Iterator[Row]:
        """The row with values for what was not heard: bad is what is so with each of them, so that none of them decides.

        Booleans are tried in every combination. Of numbers there is no end: they are 0, far above it and far below, and no two of them
        are equal there, so that a comparison of two goes both ways.
        """
        absent = [one for one in self._expression.variables if one.name not in row and one.tag not in held]
        booleans = [one.name for one in absent if one.word == TAG and one.tag in self._booleans]
        numbers = [one.name for one in absent if one.name not in booleans]
        for sign in (0.0, 1.0, -1.0) if numbers else (0.0,):
            far = {name: sign * _FAR / (place + 1) for place, name in enumerate(numbers)}
            for values in itertools.product((False, True), repeat=len(booleans)):
                yield row | far | dict(zip(booleans, values, strict=True))

    def _unheard_booleans(self, held: Mapping[str, Sample]) -> int:
        return len(self._booleans & self._valued - held.keys())

    def _bad(self, held: Mapping[str, Sample]) -> bool:
        """Whether there is a bad input whose value is in the expression."""
        return any(name in self._valued and not one.usable for name, one in held.items())

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


def _held(times_us: Sequence[int], known: Mapping[str, Sequence[Sample]]) -> Iterator[dict[str, Sample]]:
    """At each of the ascending times the newest sample, not later than it, of each input that has one."""
    reached = dict.fromkeys(known, 0)
    for time_us in times_us:
        held = dict[str, Sample]()
        for name, samples in known.items():
            at = reached[name]
            while at < len(samples) and samples[at].time_us <= time_us:
                at += 1
            reached[name] = at
            if at:
                held[name] = samples[at - 1]
        yield held
