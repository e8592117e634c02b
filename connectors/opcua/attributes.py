"""What the attributes and properties of a variable say, in plain words."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from connectors.opcua.space import Found, Unit

METADATA = frozenset({"EURange", "EngineeringUnits", "EnumStrings", "EnumValues", "TrueState", "FalseState"})
"""Properties of a variable that `take` understands."""
ABSTRACT = frozenset({"Variant", "Number"})
"""Data types that leave a value's type open."""
_NUMBERS = {24: "Variant", 26: "Number", 27: "Number", 28: "Number", 29: "Enumeration", 22: "Structure"}
_LAST_BUILT_IN = 25
_TEXT = 400
_STATES = 256


def built_in(node_id: Any) -> str:
    """Name of the built-in type, or of the abstract one, that a data type's node id stands for; empty for all others."""
    if node_id.NamespaceIndex or not isinstance(node_id.Identifier, int):
        return ""
    number = node_id.Identifier
    if number in _NUMBERS:
        return _NUMBERS[number]
    return str(ua.VariantType(number).name) if 0 < number <= _LAST_BUILT_IN else ""


def text(value: Any) -> str:
    """A text of the server, whatever it is wrapped in; cut to a bearable length."""
    if isinstance(value, ua.LocalizedText):
        value = value.Text
    elif isinstance(value, ua.QualifiedName):
        value = value.Name
    return " ".join(str(value).split())[:_TEXT] if value else ""


def take(node: Found, name: str, value: Any) -> None:
    """Put the value of a property of METADATA into the variable's description; what is not of its kind is left out."""
    if name == "EURange" and isinstance(value, ua.Range):
        node.eu_range = (float(value.Low), float(value.High))
    elif name == "EngineeringUnits" and isinstance(value, ua.EUInformation):
        unit_text, description = text(value.DisplayName), text(value.Description)
        node.unit = Unit(
            unit_id=int(value.UnitId), text=unit_text, description=description, uri=value.NamespaceUri or ""
        )
    elif name == "EnumStrings" and isinstance(value, list):
        node.states = tuple(text(one) for one in value[:_STATES])
    elif name == "FalseState" and not node.states:
        node.states = (text(value), "")
    elif name == "TrueState":
        node.states = (node.states[0] if node.states else "", text(value))
    elif name == "EnumValues" and isinstance(value, list) and not node.states:
        numbers = {int(one.Value): text(one.DisplayName) for one in value[:_STATES] if hasattr(one, "DisplayName")}
        if numbers and min(numbers) >= 0 and max(numbers) < _STATES:
            node.states = tuple(numbers.get(number, "") for number in range(max(numbers) + 1))
