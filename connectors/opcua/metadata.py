"""What a server says of a variable besides its value: range and unit, read anew when it says that they have changed (SemanticsChanged)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from asyncua import ua

from schemas import units

_PROPERTIES = ("EURange", "EngineeringUnits")


class Reader(Protocol):
    """The calls of a session that are needed."""

    async def read(self, node_ids: Sequence[Any], attribute: int = ua.AttributeIds.Value) -> list[Any]:
        """Data values of an attribute."""

    async def properties(self, node_ids: Sequence[Any], names: Sequence[str]) -> list[list[Any]]:
        """Node ids of the named properties of each node; None where there is none."""


async def read_metadata(reader: Reader, node_ids: Sequence[Any]) -> list[dict[str, str]]:
    """Of each node `eu_low`, `eu_high`, `unit` (UCUM) and `unit_text` (as the server writes it), as far as it has them."""
    properties = await reader.properties(node_ids, _PROPERTIES)
    there = [one for found in properties for one in found if one is not None]
    values = dict(zip(there, await reader.read(there) if there else [], strict=True))
    result = []
    for found in properties:
        described: dict[str, str] = {}
        for node_id in found:
            data = values.get(node_id)
            described |= _described(data.Value.Value if data is not None and data.Value is not None else None)
        result.append(described)
    return result


def _described(value: Any) -> dict[str, str]:
    if isinstance(value, ua.Range):
        return {"eu_low": f"{value.Low:g}", "eu_high": f"{value.High:g}"}
    if isinstance(value, ua.EUInformation):
        text = str(value.DisplayName.Text or "")[:80]
        return {"unit": units.of_opcua(value.NamespaceUri or "", int(value.UnitId), text), "unit_text": text}
    return {}
