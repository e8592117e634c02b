"""Reads a plant file (YAML): sites, gateways with their connections, areas, lines, cells, devices and what their classes measure.

Enters: a path. Leaves: a frozen `Plant`, checked so that the registry can take it as it is; or all that is wrong and unwise, each with
line, column and place (`sites[0].areas[1].lines[0]...`). Who calls: the registry's tool, the simulator, the stack. Importing this
needs no database client: the layer test holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from base.errors import RegistryError
from registry import plant_yaml
from registry.plant import Plant
from registry.plant_build import build
from registry.plant_model import PlantFile
from registry.plant_partial import Partial
from registry.plant_problems import Problem, Problems, describe, steps_of

_LARGEST = 256 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a file, with line and column from 1."""

    line: int
    column: int
    problem: Problem


def read_plant(path: Path) -> Plant:
    """Plant of the file at `path`; raises RegistryError with the first error and the number of others."""
    plant, findings = check_plant(path)
    if plant is not None:
        return plant
    first, *others = [one for one in findings if not one.problem.warning]
    more = f" (and {len(others)} more: `./millrace plant check` shows all)" if others else ""
    msg = f"{path}:{first.line}:{first.column}: {first.problem}{more}"
    raise RegistryError(msg)


def check_plant(path: Path) -> tuple[Plant | None, list[Finding]]:
    """The plant, None when there are errors, and all errors and warnings in the order of the file; raises RegistryError for no YAML."""
    try:
        document = plant_yaml.load(_text(path))
    except yaml.YAMLError as error:
        msg = f"plant file {path} is not valid YAML: {error}"
        raise RegistryError(msg) from error
    problems = list(document.problems)
    plant = None
    if not any(one.fatal for one in problems):
        plant, found = examine(document.data)
        problems += found
    placed = [Finding(*document.positions.of(one.where, one.key), one) for one in problems]
    return None if any(not one.warning for one in problems) else plant, sorted(
        placed, key=lambda one: (one.line, one.column)
    )


def parse_plant(data: Any) -> Plant:
    """Plant of a parsed file; raises RegistryError that names the place of the first error."""
    plant, problems = examine(data)
    if plant is None:
        raise RegistryError(str(next(one for one in problems if not one.warning)))
    return plant


def examine(data: Any) -> tuple[Plant | None, list[Problem]]:
    """The plant of parsed data, None when there are errors, and all problems."""
    try:
        file = PlantFile.model_validate(data)
    except ValidationError as error:
        return None, [*describe(error, PlantFile), *_of_the_others(data, error)]
    problems = Problems()
    plant = build(file, problems)
    return None if any(not one.warning for one in problems.found) else plant, problems.found


def _of_the_others(data: Any, error: ValidationError) -> list[Problem]:
    """What does not fit together among the entries that are right each for itself."""
    partial = Partial(data, (steps_of(one, PlantFile) for one in error.errors(include_url=False)))
    try:
        file = PlantFile.model_validate(partial.data)
    except ValidationError:
        return []
    problems = Problems(frozenset(partial.broken))
    build(file, problems)
    placed = [Problem(partial.original(one.where), one.key, one.text, one.warning) for one in problems.found]
    # Something may seem unused, or be missing, only because an entry is left out.
    return [one for one in placed if not one.warning]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            msg = f"plant file {path} is larger than {_LARGEST >> 20} MiB"
            raise RegistryError(msg)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"plant file {path} cannot be read: {error.strerror}"
        raise RegistryError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"plant file {path} is not UTF-8 text: {error.reason} at byte {error.start}"
        raise RegistryError(msg) from error
