"""Golden messages: for every schema version one message as hex, and the record it holds as JSON.

`golden/<Name>.v<N>.hex` is the whole message (header and body), 64 digits a line; `golden/<Name>.v<N>.json` is the record with
columns as `{"dtype": "<f8", "column": [...]}`, bytes as `{"bytes": "<hex>"}`, uuids as text, and the floats that JSON does not
have as the strings NaN, Infinity and -Infinity. A released golden file is never edited.
"""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import numpy as np

from schemas.codec import SchemaVersion

DIRECTORY = Path(__file__).parent / "golden"
LINE_DIGITS = 64


def path_of(schema: SchemaVersion, suffix: str) -> Path:
    """File of a version: suffix `hex` or `json`."""
    return DIRECTORY / f"{schema.name}.v{schema.version}.{suffix}"


def load_message(schema: SchemaVersion) -> bytes:
    """Golden bytes of a version."""
    return bytes.fromhex(path_of(schema, "hex").read_text())


def load_json(schema: SchemaVersion) -> dict[str, Any]:
    """Golden record of a version, as JSON."""
    loaded: dict[str, Any] = json.loads(path_of(schema, "json").read_text())
    return loaded


def encode_as(schema: SchemaVersion, record: dict[str, Any]) -> bytes:
    """Message of any version; the codec itself writes the newest only."""
    out = io.BytesIO()
    out.write(schema.header)
    fastavro.schemaless_writer(out, schema.parsed, record)
    return out.getvalue()


def to_json(value: Any) -> Any:
    """JSON form of a decoded value."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str.replace("|", "<"), "column": [to_json(item) for item in value.tolist()]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, list) else value


def from_json(value: Any) -> Any:
    """Value that encodes to what `to_json` showed (uuids stay text, which Avro's uuid takes)."""
    if isinstance(value, dict):
        if set(value) == {"dtype", "column"}:
            return np.array(
                [float(item) if isinstance(item, str) else item for item in value["column"]], value["dtype"]
            )
        if set(value) == {"bytes"}:
            return bytes.fromhex(value["bytes"])
        return {name: from_json(item) for name, item in value.items()}
    return [from_json(item) for item in value] if isinstance(value, list) else value


def write(schema: SchemaVersion, record: dict[str, Any]) -> None:
    """Create the golden files of a version; refuses to touch existing ones."""
    digits = encode_as(schema, record).hex()
    lines = [digits[start : start + LINE_DIGITS] for start in range(0, len(digits), LINE_DIGITS)]
    with path_of(schema, "hex").open("x") as file:
        file.write("\n".join(lines) + "\n")
    with path_of(schema, "json").open("x") as file:
        text = json.dumps(to_json(record), indent=1, allow_nan=False)
        file.write(re.sub(r"\[([^][{}]*)]", lambda array: "[" + " ".join(array[1].split()) + "]", text) + "\n")
