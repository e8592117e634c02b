"""What a foreign OPC UA server holds: its items with their odd node ids, its namespaces, limits and security, as a JSON file.

Both server programs (`servers/opcua_server.mjs` on node-opcua, `servers/asyncua_server.py`) read the same plan, take the same
orders on standard input and write the same journal.

Orders, one JSON object a line; each is answered by `{"done": ...}` or `{"failed": ..., "error": ...}`:

    {"do": "pause"} {"do": "resume"}              no item changes; they do again
    {"do": "delete", "item": 3} {"do": "create", "item": 3}
    {"do": "bad", "item": 3, "on": true}          null with BadSensorFailure instead of values
    {"do": "burst", "item": 3, "count": 500}      many values at once
    {"do": "stop"}                                an orderly end

Journal, one JSON object a line, written before the values are shown: `{"t": milliseconds UTC, "v": [[item, value], ...]}`
for what the server set, `"w"` in the place of `"v"` for what a client wrote. A null value is a bad one; a DateTime is in
seconds since 1970.

With `methods` the object METHODS has methods, each of which writes `{"t": ..., "called": [name, arguments]}` to the journal when it begins:
Dose(Amount Float, Valve Byte) returns Total, ten times the amount; Reset() returns nothing; Jam() begins and answers BadDeviceFailure;
Locked() answers BadInvalidState; Hang() begins and answers only after a minute.

With `conditions` node-opcua's server has the variable LEVEL and on it an exclusive limit alarm: high above 0.8, high-high above 0.9. What
is acknowledged there is `{"t": ..., "acknowledged": [branch, comment]}` in the journal; the first is empty for the condition as it is now.

    {"do": "level", "value": 0.85}
    {"do": "severity", "value": 900}              of the condition as it is, whether or not it is acknowledged
    {"do": "acknowledge", "comment": "seen"}      as somebody at the machine does
    {"do": "refuse", "on": true}                  clients' acknowledgements, with BadUserAccessDenied
"""

from __future__ import annotations

import dataclasses
import json
import random
import uuid
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMESPACES = ("urn:foreign:line", "urn:foreign:press")
TYPES = Path(__file__).parent / "servers" / "types.xml"
KINDS = (
    "Double", "Int32", "Boolean", "Float", "SByte", "Byte", "Int16", "UInt16", "UInt32", "Int64", "UInt64",
    "String", "DateTime", "Enumeration", "Structure",
)  # fmt: skip
ELEMENT, FIELD = 1, "Weight"
"""What is read of an array, and of a structure."""
METHODS = "nsu=urn:foreign:press;s=Doser"
"""Object with the methods; the node id of each is this one's, a full stop and its name."""
LEVEL = "nsu=urn:foreign:press;s=Boiler.Level"
_ARRAYS = frozenset({"Double", "Int32"})
_PER_MACHINE = 25
_DEGREES = (4408652, "°C")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A variable. `id` is its node id without the namespace; `still` items change only when a client writes or on order."""

    key: int
    namespace: str
    id: str
    name: str
    folder: str
    type: str
    array: bool = False
    writable: bool = False
    range: tuple[float, float] | None = None
    unit_id: int = 0
    unit: str = ""
    description: str = ""
    absent: bool = False
    still: bool = False

    @property
    def address(self) -> str:
        """Node id with the namespace's URI."""
        return f"nsu={self.namespace};{self.id}"

    @property
    def tag_address(self) -> str:
        """Address of the number or text that a tag has of it: of an array one element, of a structure one field."""
        part = f"#[{ELEMENT}]" if self.array else f"#.{FIELD}" if self.type == "Structure" else ""
        return self.address + part


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the server allows; None is no limit of note."""

    nodes_per_read: int | None = None
    nodes_per_browse: int | None = None
    items_per_call: int | None = None
    items_per_subscription: int | None = None
    publish_requests: int | None = None
    queue_size: int | None = None
    sampling_ms: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Security:
    """SignAndEncrypt with a user name. `policy` is a policy's short name; the files are the server's own."""

    policy: str
    certificate: str
    private_key: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerPlan:
    """All that a server program is told."""

    port: int
    journal: str
    items: tuple[Item, ...]
    namespaces: tuple[str, ...] = NAMESPACES
    limits: Limits = NO_LIMITS
    security: Security | None = None
    period_ms: int = 1000
    tick_ms: int = 100
    application_uri: str = "urn:foreign:machines"
    types: str = str(TYPES)
    paused: bool = False
    methods: bool = False
    conditions: bool = False

    def dumps(self) -> str:
        """JSON for the server programs."""
        return json.dumps(_plain(self), ensure_ascii=False)


def called(lines: Iterable[str]) -> list[tuple[str, list[float]]]:
    """Methods that were called and their arguments, of a journal's lines."""
    entries = (json.loads(line) for line in lines)
    return [(entry["called"][0], entry["called"][1]) for entry in entries if "called" in entry]


def acknowledged(lines: Iterable[str]) -> list[tuple[str, str]]:
    """What was acknowledged at the server, the branch and the comment, of a journal's lines."""
    entries = (json.loads(line) for line in lines)
    return [(entry["acknowledged"][0], entry["acknowledged"][1]) for entry in entries if "acknowledged" in entry]


def items(count: int, *, seed: int) -> tuple[Item, ...]:
    """`count` items of all types over both namespaces; item 2n and item 2n + 1 have the same identifier in different ones.

    Raises ValueError for an odd count.
    """
    if count % 2:
        msg = f"{count} items cannot be paired"
        raise ValueError(msg)
    chance = random.Random(seed)
    found = []
    for pair in range(count // 2):
        kind = KINDS[pair % len(KINDS)]
        array = kind in _ARRAYS and pair // len(KINDS) % 3 == 2
        identifier = _identifier(pair, chance)
        for half, namespace in enumerate(NAMESPACES):
            key = 2 * pair + half
            analog = kind == "Double" and not array
            found.append(
                Item(
                    key=key, namespace=namespace, id=identifier, name=f"{kind}{'s' if array else ''}-{key}",
                    folder=f"Machine-{key // _PER_MACHINE + 1:02}", type=kind, array=array, writable=pair % 10 == 0,
                    range=(0.0, 1e6) if analog else None, unit_id=_DEGREES[0] if analog else 0,
                    unit=_DEGREES[1] if analog else "", description=f"Item {key} of type {kind}",
                )
            )  # fmt: skip
    return tuple(found)


def _identifier(pair: int, chance: random.Random) -> str:
    kind = pair % 8
    if kind == 0:
        return f"i={5000 + pair}"
    if kind == 1:
        return f"g={uuid.UUID(int=chance.getrandbits(128), version=4)}"
    if kind == 2:
        return f"b={b64encode(chance.randbytes(12)).decode()}"
    odd = (
        f'"DB_{pair}"."Motor"."Drehzahl"',
        f"Anlage/Kühlung {pair}/温度",
        f"a;b=c;ns={pair};s=x",
        f" leading and trailing {pair} ",
        "long-" + f"{pair}." * (240 // len(f"{pair}.")),
    )
    return f"s={odd[kind - 3]}"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
