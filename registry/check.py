"""`./millrace plant check` and `plant schema`: what is wrong and unwise in a plant file, and the schema for editors.

Neither needs a database nor a broker.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from registry.plant import Plant
from registry.plant_file import check_plant
from registry.plant_model import PlantFile

_MOST = 500


def check(path: Path, *, strict: bool) -> int:
    """Print every error and warning as `file:line:column: kind: place: text`; returns the exit status. Raises RegistryError for no YAML."""
    plant, findings = check_plant(path)
    errors = sum(not one.problem.warning for one in findings)
    for one in findings[:_MOST]:
        kind = "warning" if one.problem.warning else "error"
        sys.stdout.write(f"{path}:{one.line}:{one.column}: {kind}: {one.problem}\n")
    if len(findings) > _MOST:
        sys.stdout.write(f"... and {len(findings) - _MOST} more\n")
    counts = f"{_number(errors, 'error')}, {_number(len(findings) - errors, 'warning')}"
    sys.stdout.write(f"{counts}\n" if plant is None else f"{_content(plant)}; {counts}\n")
    return 1 if errors or (strict and findings) else 0


def schema() -> str:
    """JSON Schema of plant files."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Millrace plant file"}
    return json.dumps(made | PlantFile.model_json_schema(), indent=2) + "\n"


def _content(plant: Plant) -> str:
    connections = sum(len(gateway.connections) for gateway in plant.gateways)
    tags = sum(len(device.tags) for device in plant.devices)
    numbers = [
        _number(len(plant.sites), "site"),
        _number(len(plant.gateways), "gateway"),
        _number(connections, "connection"),
        _number(len(plant.devices), "device"),
        _number(tags, "tag"),
    ]
    return ", ".join(numbers)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
