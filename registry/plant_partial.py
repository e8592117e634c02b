"""A plant file without the entries that are wrong, so that one check finds what is wrong with the others too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_LISTS = frozenset({"sites", "gateways", "connections", "areas", "lines", "cells", "devices"})
_MAPPINGS = frozenset({"tag_classes", "device_classes", "tags"})
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

Steps = tuple[str | int, ...]


class Partial:
    """`data` is what is left, `broken` the names of what was taken out; `original` gives a place in it as one in the whole file."""

    def __init__(self, data: Any, wrong: Iterable[Steps]) -> None:
        self.broken: set[str] = set()
        self._removed: dict[Steps, list[int]] = {}
        self.data = data
        for steps in sorted(
            {_entry(one) for one in wrong} - {()}, key=lambda one: [str(step).zfill(9) for step in one], reverse=True
        ):
            self.data = self._without(self.data, steps, 0)

    def original(self, where: str) -> str:
        """A place of the partial data as it is in the whole file."""
        steps: list[str | int] = []
        shown = ""
        for index, name in _STEP.findall(where):
            if not index:
                steps.append(name)
                shown += f".{name}"
                continue
            number = int(index)
            for removed in sorted(self._removed.get(tuple(steps), ())):
                number += removed <= number
            steps.append(number)
            shown += f"[{number}]"
        return shown.lstrip(".")

    def _without(self, data: Any, steps: Steps, depth: int) -> Any:
        """The data without the entry at the steps; shares what is not on the way to it."""
        step, last = steps[depth], depth == len(steps) - 1
        if isinstance(data, Mapping) and step in data:
            if last:
                self.broken.add(str(step))
                return {key: value for key, value in data.items() if key != step}
            return {**data, step: self._without(data[step], steps, depth + 1)}
        if isinstance(data, list) and isinstance(step, int) and step < len(data):
            if last:
                self._name(data[step])
                self._removed.setdefault(steps[:-1], []).append(step)
                return [*data[:step], *data[step + 1 :]]
            return [*data[:step], self._without(data[step], steps, depth + 1), *data[step + 1 :]]
        return data

    def _name(self, entry: Any) -> None:
        if isinstance(entry, Mapping):
            self.broken |= {str(entry[key]) for key in ("name", "id") if key in entry}


def _entry(steps: Steps) -> Steps:
    """Steps to the innermost entry of a list or mapping of entries that an error is in; none when the error is the file's own."""
    for end in range(len(steps), 1, -1):
        before, step = steps[end - 2], steps[end - 1]
        if (before in _LISTS and isinstance(step, int)) or (before in _MAPPINGS and isinstance(step, str)):
            return steps[:end]
    return ()
