"""Connections in the plant file: one model for each protocol of the catalogue, made from the protocol's settings.

A new protocol or a new setting needs nothing here. `Connection` is the type of an entry; pydantic chooses the model by `protocol`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union, get_origin, get_type_hints

from pydantic import Field, create_model, model_validator

from connectors.catalogue import PROTOCOLS
from connectors.protocol import MachineProtocol
from registry.plant import ConnectionSpec
from registry.plant_entry import Entry, Name, Text
from registry.plant_errors import refuse_entry


class _Connection(Entry):
    """What every connection has. `address` is the pattern of tags that neither their class nor their device gives one.

    `simulated`: the machines are played by the simulator of the local stack, which puts its own endpoint in the place of this one.
    """

    name: Name
    """Name, unique within the gateway: addresses begin with it."""
    address: Text = ""
    """Pattern of the addresses of tags that neither their class nor their device gives one."""
    simulated: bool = False
    """Played by the simulator of the local stack."""

    @model_validator(mode="after")
    def _as_the_protocol_wants(self) -> Self:
        own = self.settings()
        kind = PROTOCOLS[self.protocol].settings  # type: ignore[attr-defined]  # a field of each model made below
        try:
            kind(**{name: getattr(self, name) for name in own})
        except ValueError as error:
            refuse_entry(str(error))
        return self

    def settings(self) -> Mapping[str, Any]:
        """Keys of the protocol that the file gives, as plain values."""
        own = {"name", "protocol", "address", "simulated"}
        return self.model_dump(mode="json", exclude=own, exclude_unset=True)

    def spec(self) -> ConnectionSpec:
        """As everybody below the file sees it."""
        protocol: str = self.protocol  # type: ignore[attr-defined]
        return ConnectionSpec(name=self.name, protocol=protocol, settings=self.settings(), simulated=self.simulated)


def _model(protocol: MachineProtocol) -> type[_Connection]:
    hints = get_type_hints(protocol.settings)
    fields: dict[str, Any] = {"protocol": (Literal[protocol.name], ...)}
    for field in dataclasses.fields(protocol.settings):
        required = field.default is dataclasses.MISSING
        fields[field.name] = (_annotation(hints[field.name]), ... if required else field.default)
    return create_model(f"{protocol.name}_connection", __base__=_Connection, **fields)


def _annotation(hint: Any) -> Any:
    """YAML has texts and lists where settings have paths, enumerations and tuples."""
    converted = get_origin(hint) is tuple or (isinstance(hint, type) and issubclass(hint, Path | Enum))
    return Annotated[hint, Field(strict=False)] if converted else hint


if TYPE_CHECKING:
    Connection = _Connection
else:
    Connection = Annotated[
        Union[tuple(_model(protocol) for protocol in PROTOCOLS.values())],  # noqa: UP007 - of a tuple
        Field(discriminator="protocol"),
    ]
