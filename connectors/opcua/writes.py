"""Values as OPC UA servers take them, and what a write with read-back came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from asyncua import ua

from connectors.readings import Write, WriteResult, WriteStatus
from schemas.definitions import DataType

VARIANTS = {
    DataType.DOUBLE: ua.VariantType.Double,
    DataType.INTEGER: ua.VariantType.Int64,
    DataType.BOOLEAN: ua.VariantType.Boolean,
}
_WHOLE = frozenset(
    getattr(ua.VariantType, name) for name in ("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64")
)


def variant(variant_type: Any, value: float) -> Any:
    """Value in the type of the server's node."""
    if variant_type == ua.VariantType.Boolean:
        return ua.Variant(bool(value), variant_type)
    return ua.Variant(int(value) if variant_type in _WHOLE else float(value), variant_type)


def result_of(writes: Sequence[Write], statuses: Sequence[Any], values: Sequence[Any]) -> WriteResult:
    """Result of a request, given the server's status of each write and the DataValue read back of each."""
    readback: dict[str, float] = {}
    problems: list[str] = []
    unread: list[str] = []
    for write, status, value in zip(writes, statuses, values, strict=True):
        name = write.tag.name
        raw = value.Value.Value if value.Value is not None else None
        if isinstance(raw, int | float):
            readback[name] = float(raw)
        if not status.is_good():
            problems.append(f"{name}: {status.name}")
        elif name not in readback:
            unread.append(f"{name}: written, read back {value.StatusCode.name if value.StatusCode else 'nothing'}")
        elif not math.isclose(readback[name], write.value, rel_tol=1e-6, abs_tol=1e-12):
            problems.append(f"{name}: wrote {write.value:g}, read back {readback[name]:g}")
    if problems:
        return WriteResult(status=WriteStatus.REFUSED, detail="; ".join(problems), readback=readback)
    if unread:
        return WriteResult(status=WriteStatus.UNKNOWN, detail="; ".join(unread), readback=readback)
    return WriteResult(status=WriteStatus.DONE, detail="written and read back", readback=readback)
