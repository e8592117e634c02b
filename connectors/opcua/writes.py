"""Writes: values in the types of the server's nodes, one request, read back, and an outcome of each tag."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from connectors.opcua.items import Item
from connectors.opcua.node_types import built_in_types
from connectors.opcua.plain import plain
from connectors.opcua.session import OpcUaSession
from connectors.readings import TagOutcome, Write, WriteResult, WriteStatus, is_same
from schemas.commands import Effect
from schemas.definitions import DataType

_OF_TAG = {
    DataType.DOUBLE: ua.VariantType.Double,
    DataType.INTEGER: ua.VariantType.Int64,
    DataType.BOOLEAN: ua.VariantType.Boolean,
}
_SIGNED = {"SByte": 8, "Int16": 16, "Int32": 32, "Int64": 64}
_UNSIGNED = {"Byte": 8, "UInt16": 16, "UInt32": 32, "UInt64": 64}
_RANGES = {getattr(ua.VariantType, name): (-(1 << bits - 1), (1 << bits - 1) - 1) for name, bits in _SIGNED.items()} | {
    getattr(ua.VariantType, name): (0, (1 << bits) - 1) for name, bits in _UNSIGNED.items()
}
_LARGEST_FLOAT = 3.4028234e38


async def carry_out(
    session: OpcUaSession, items: Sequence[Item], writes: Sequence[Write], timeout_s: float
) -> WriteResult:
    """Write in one request, then read back from the server; `items` are the writes' nodes. Raises what nobody foresaw."""
    sent, statuses = False, None
    try:
        async with asyncio.timeout(timeout_s):
            await _learn_types(session, items)
            try:
                values = [_value(item, write.value) for item, write in zip(items, writes, strict=True)]
            except ValueError as error:
                return WriteResult(status=WriteStatus.NOT_SENT, detail=str(error))
            sent = True
            statuses = await session.write(values)
            found = await session.read([item.node_id for item in items])
    except (OSError, TimeoutError, ua.UaError) as error:
        cause = f"{type(error).__name__}: {error}"
        if statuses is not None:
            return not_read_back(writes, statuses, cause)
        return WriteResult(status=WriteStatus.UNKNOWN if sent else WriteStatus.NOT_SENT, detail=cause)
    return result_of(writes, statuses, found, [item.path for item in items])


async def _learn_types(session: OpcUaSession, items: Sequence[Item]) -> None:
    """Types that no value has shown so far."""
    unknown = [item for item in items if item.variant_type in {None, ua.VariantType.Null}]
    if unknown:
        found = await built_in_types(session, [item.node_id for item in unknown])
        for item, known in zip(unknown, found, strict=True):
            item.variant_type = known or _OF_TAG[item.tag.data_type]


def _value(item: Item, value: float) -> tuple[Any, Any, str]:
    """Node id, variant and index range of a write; raises ValueError when the value does not suit the node."""
    name = item.tag.name
    if item.of_structure:
        msg = f"{name}: a field of a structure cannot be written alone"
        raise ValueError(msg)
    one = variant(item.variant_type, value, name=name)
    if not item.path:
        return item.node_id, one, ""
    nested: Any = one.Value
    for _ in item.path:
        nested = [nested]
    dimensions = [1] * len(item.path) if len(item.path) > 1 else None
    array = ua.Variant(nested, item.variant_type, Dimensions=dimensions, is_array=True)
    return item.node_id, array, ",".join(str(step) for step in item.path)


def variant(variant_type: Any, value: float, *, name: str) -> Any:
    """Value in the type of the server's node; raises ValueError when it would be another value."""
    if variant_type == ua.VariantType.Boolean:
        if value not in {0.0, 1.0}:
            msg = f"{name}: {value:g} is not 0 or 1, and the node is Boolean"
            raise ValueError(msg)
        return ua.Variant(bool(value), variant_type)
    if variant_type in _RANGES:
        low, high = _RANGES[variant_type]
        if not math.isfinite(value) or int(value) != value or not low <= int(value) <= high:
            msg = f"{name}: {value:g} is no {variant_type.name}, a whole number from {low} to {high}"
            raise ValueError(msg)
        return ua.Variant(int(value), variant_type)
    if variant_type == ua.VariantType.DateTime:
        return ua.Variant(datetime.fromtimestamp(value, UTC), variant_type)
    if variant_type not in {ua.VariantType.Float, ua.VariantType.Double}:
        msg = f"{name}: a number cannot be written to a node of type {variant_type.name}"
        raise ValueError(msg)
    if variant_type == ua.VariantType.Float and math.isfinite(value) and abs(value) > _LARGEST_FLOAT:
        msg = f"{name}: {value:g} is too large for a Float"
        raise ValueError(msg)
    return ua.Variant(float(value), variant_type)


def result_of(
    writes: Sequence[Write], statuses: Sequence[Any], values: Sequence[Any], paths: Sequence[Sequence[int | str]]
) -> WriteResult:
    """Result of a request, given the server's status of each write and the DataValue read back of each.

    A write that the server confirmed has had an effect, whatever is read back: only when every one was refused nothing was changed.
    """
    outcomes: dict[str, TagOutcome] = {}
    for write, status, value, path in zip(writes, statuses, values, paths, strict=True):
        raw = plain(value.Value.Value if value.Value is not None else None, path)
        found = float(raw) if isinstance(raw, int | float) else None
        effect, text = _effect(write, status, value, found)
        outcomes[write.tag.name] = TagOutcome(effect=effect, detail=text, readback=found)
    return WriteResult.of(outcomes)


def not_read_back(writes: Sequence[Write], statuses: Sequence[Any], cause: str) -> WriteResult:
    """The server answered the writes, and could then not be read: what it refused is refused all the same."""
    taken = TagOutcome(effect=Effect.UNKNOWN, detail=f"written, not read back: {cause}")
    return WriteResult.of(
        {
            write.tag.name: taken if status.is_good() else TagOutcome(effect=Effect.REFUSED, detail=status.name)
            for write, status in zip(writes, statuses, strict=True)
        }
    )


def _effect(write: Write, status: Any, value: Any, found: float | None) -> tuple[Effect, str]:
    if not status.is_good():
        return Effect.REFUSED, status.name
    if found is None:
        return Effect.UNKNOWN, f"written, read back {value.StatusCode.name if value.StatusCode else 'nothing'}"
    if not is_same(found, write.value):
        return Effect.UNKNOWN, f"wrote {write.value:g}, read back {found:g}"
    return Effect.APPLIED, "written and read back"
