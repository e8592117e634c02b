"""Kafka records as text for people and as JSON for programs; no connection to anything, so it is tested with bytes.

Enters: a Kafka message (its value is a single-object Avro message), and a lookup from tag id to (path, unit). Leaves: a
`Shown`, text, or a JSON-ready dict. Columns of per-sample values become rows of a table; everything else becomes `name
value` pairs in the header.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import numpy as np

from base.errors import SchemaError
from base.moments import written_ms
from schemas import codec, frame, quality
from schemas.verdicts import LATE_FLAG, VERDICT_MASK, Verdict

TagLookup = Callable[[int], tuple[str, str]]
"""Tag id to (path, unit)."""

_HEX_BYTES = 32


class KafkaMessage(Protocol):
    """The part of confluent-kafka's Message that is shown."""

    def topic(self) -> Any: ...  # noqa: D102
    def partition(self) -> Any: ...  # noqa: D102
    def offset(self) -> Any: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def key(self) -> Any: ...  # noqa: D102
    def value(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A record ready to be printed: decoded, or with the reason why not. Both are None for a tombstone."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: str
    name: str = ""
    record: Mapping[str, Any] | None = None
    undecodable: str = ""
    raw: bytes = b""


def show_all(message: KafkaMessage) -> list[Shown]:
    """A message, or the frames of one that is a bundle of them; never raises for what is in it."""
    raw: bytes | None = message.value()
    try:
        return [show(message)] if raw is None else [_show(message, value) for value in frame.unbundle(raw)]
    except SchemaError:
        return [show(message)]


def show(message: KafkaMessage) -> Shown:
    """Decode one message; never raises for what is in it."""
    return _show(message, message.value())


def _show(message: KafkaMessage, raw: bytes | None) -> Shown:
    place = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "time_ms": message.timestamp()[1],
        "key": (message.key() or b"").decode(errors="backslashreplace"),
    }
    if raw is None:
        return Shown(**place)
    try:
        name, record = codec.decode(raw)
    except SchemaError as error:
        return Shown(**place, undecodable=str(error), raw=raw)
    return Shown(**place, name=name, record=record, raw=raw)


def as_json(shown: Shown) -> dict[str, Any]:
    """Everything of a record: columns as lists, bytes as base64, NaN and infinities as strings."""
    head = {
        "topic": shown.topic,
        "partition": shown.partition,
        "offset": shown.offset,
        "time_ms": shown.time_ms,
        "key": shown.key,
    }
    if shown.undecodable:
        return head | {"undecodable": shown.undecodable, "raw": base64.b64encode(shown.raw).decode()}
    return head | {"record": shown.name or None, "value": None if shown.record is None else _plain(shown.record)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, UUID) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value


def as_text(shown: Shown, tags: TagLookup, *, samples: int = 10) -> str:
    """A header line and, for records with columns, a table of at most `samples` rows (0 for all)."""
    place = (
        f"{shown.topic}[{shown.partition}]@{shown.offset}  {time_text(shown.time_ms * 1000)}  key {shown.key or '-'}"
    )
    if shown.undecodable:
        dots = " …" if len(shown.raw) > _HEX_BYTES else ""
        return f"{place}  UNDECODABLE {len(shown.raw)} bytes: {shown.undecodable}\n    {shown.raw[:_HEX_BYTES].hex(' ')}{dots}"
    if shown.record is None:
        return f"{place}  tombstone: the key is deleted"
    rows = _rows(shown.name, shown.record, tags, samples)
    columns = {name for name, value in shown.record.items() if isinstance(value, np.ndarray)}
    pairs = [
        f"{_label(name)} {_scalar(name, value, tags)}"
        for name, value in shown.record.items()
        if name not in columns and _worth(value)
    ]
    text = f"{place}  {shown.name}\n    {_wrap(pairs)}"
    return text + "".join(f"\n    {line}" for line in rows)


def time_text(time_us: int) -> str:
    """ISO 8601 in UTC with milliseconds; the plain number when it is no time."""
    try:
        return written_ms(time_us)
    except (ValueError, OverflowError, OSError):
        return f"{time_us} us"


def verdict_text(verdict: int) -> str:
    """Name of a verdict, with `late` when the late flag is set."""
    code = verdict & VERDICT_MASK
    name = Verdict(code).name if code in Verdict.__members__.values() else f"VERDICT {code}"
    return f"{name} late" if verdict & LATE_FLAG else name


def quality_text(code: int) -> str:
    """`good`, or severity and sub-code."""
    name = quality.name(code)
    return name if code in {quality.GOOD, quality.UNCERTAIN, quality.BAD} else f"{name} 0x{code:04X}"


def _worth(value: Any) -> bool:
    return value is not None and (isinstance(value, (int, float)) or bool(value))


def _label(name: str) -> str:
    return {"tag_id": "tag", "tag_ids": "tag"}.get(name) or name.removesuffix("_us").replace("_", " ")


def _scalar(name: str, value: Any, tags: TagLookup) -> str:
    if isinstance(value, Mapping):
        inner = (f"{_label(key)} {_scalar(key, item, tags)}" for key, item in value.items() if _worth(item))
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_scalar("", item, tags) for item in value) + "]"
    if isinstance(value, bytes):
        return f"{len(value)} bytes {value[:_HEX_BYTES].hex(' ')}"
    return _number(name, value, tags) if isinstance(value, (int, float)) else str(value)


def _number(name: str, value: int | float, tags: TagLookup) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if name.endswith("_us"):
        return time_text(value)
    if name == "tag_id":
        return f"{value} {tags(value)[0]}"
    return f"{value & (1 << 64) - 1:016x}" if name == "checksum" else str(value)


def _wrap(pairs: list[str], width: int = 150) -> str:
    lines, line = [], ""
    for pair in pairs:
        if line and len(line) + len(pair) + 3 > width:
            lines.append(line)
            line = ""
        line = f"{line} · {pair}" if line else pair
    return "\n    ".join([*lines, line])


def _rows(name: str, record: Mapping[str, Any], tags: TagLookup, samples: int) -> list[str]:
    columns = {field: value for field, value in record.items() if isinstance(value, np.ndarray)}
    if name == "TelemetryFrame":
        columns = _frame_columns(record, columns)
    if not columns:
        return []
    total = min(len(column) for column in columns.values())
    count = total if samples == 0 else min(samples, total)
    shown = {field: [_cell(field, column[i].item(), tags) for i in range(count)] for field, column in columns.items()}
    if "tag_id" in columns and "value" in columns:
        units = [tags(int(columns["tag_id"][i]))[1] for i in range(count)]
        shown["value"] = [f"{value} {unit}".rstrip() for value, unit in zip(shown["value"], units, strict=True)]
    widths = {field: max(len(_label(field)), *(len(cell) for cell in cells), 0) for field, cells in shown.items()}
    lines = ["  ".join(f"{_label(field):{widths[field]}}" for field in shown).rstrip()]
    lines += ["  ".join(f"{shown[field][i]:{widths[field]}}" for field in shown).rstrip() for i in range(count)]
    return lines if count == total else [*lines, f"… {total - count} more (--samples 0 shows all)"]


def _frame_columns(record: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """A frame's dictionary and offsets resolved; the columns as they are when they do not fit together."""
    index, dictionary = columns["tag_index"], columns["tag_ids"]
    if len(index) == 0 or int(index.max()) >= len(dictionary):
        return dict(columns)
    resolved = {
        "time_us": columns["time_offset_us"].astype(np.int64) + record["base_time_us"],
        "tag_id": dictionary[index],
    }
    return resolved | {field: columns[field] for field in ("value", "quality", "verdict") if field in columns}


def _cell(field: str, value: Any, tags: TagLookup) -> str:
    match field:
        case "tag_id" | "tag_ids":
            return tags(value)[0]
        case "quality":
            return quality_text(value)
        case "verdict":
            return verdict_text(value)
        case _ if field.endswith("_us") and "offset" not in field:
            return time_text(value)
        case _:
            return f"{value:.10g}" if isinstance(value, float) else str(value)
