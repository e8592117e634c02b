"""Addresses of OPC UA nodes as text: `nsu=<namespace URI>;<id>`, `ns=<index>;<id>`, or `<id>` alone for namespace 0.

A tag that is a part of the node's value is named behind `#`: `#[3]` an element of an array (`#[1,2]` of a matrix), `#.speed` a field of a
structure, `#.axes[2].speed` a part of a part.

A tag that calls a method has the object and the method in its address, `call(<object>,<method>)`, and behind `#.` the input argument that
its value becomes.

An id is `s=` (text), `i=` (number), `g=` (GUID) or `b=` (bytes in base64), as in OPC 10000-6, 5.3.1.10. The namespace URI is the identity;
an index is a place in a list that a server may order anew at every start. Needs no OPC UA library.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple
from uuid import UUID

_LONGEST_ID = 4096
_CALL = re.compile(
    r"call\((?P<object>.+?),(?P<method>(?:nsu=[^;]+;|ns=[0-9]+;)?[sigb]=.+?)\)(?:#\.(?P<argument>.{1,200}))?", re.DOTALL
)
_ADDRESS = re.compile(
    r"(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>[0-9]+);)?(?P<kind>[sigb])=(?P<id>.*?)(?:#(?P<path>(?:\[[0-9]{1,9}(?:,[0-9]{1,9}){0,9}\]|\.[^.\[\]#]{1,200}){1,20}))?",
    re.DOTALL,
)


class NodeAddress(NamedTuple):
    """A parsed address; `namespace` is the index, and `uri` empty, when the namespace is not given by URI, `kind` is one of `sigb`.

    `path` leads from the node's value to the tag's: positions in arrays and names of fields.
    """

    uri: str
    namespace: int
    kind: str
    identifier: str
    path: tuple[int | str, ...] = ()


class CallAddress(NamedTuple):
    """A method of an object; `argument` is the name of the input argument, empty for a method that has none."""

    owner: NodeAddress
    method: NodeAddress
    argument: str


def is_call(text: str) -> bool:
    """Whether the address is a method's."""
    return text.startswith("call(")


def parse_call(text: str) -> CallAddress:
    """Parts of a method's address; raises ValueError with the cause."""
    found = _CALL.fullmatch(text)
    if found is None:
        msg = f"{text[:200]!r} is no method: write call(<node id of the object>,<node id of the method>)#.<input argument>"
        raise ValueError(msg)
    owner, method = parse(found["object"]), parse(found["method"])
    if owner.path or method.path:
        msg = f"{text[:200]!r} names a part of an object or method: only the argument stands behind #, outside of the brackets"
        raise ValueError(msg)
    return CallAddress(owner, method, found["argument"] or "")


def parse(text: str) -> NodeAddress:
    """Parts of an address; raises ValueError with the cause."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        msg = (
            f"{text[:200]!r} is no node id: write nsu=<namespace URI>;s=<text> (or i=, g=, b=), or ns=<index>;s=<text>"
        )
        raise ValueError(msg)
    kind, identifier = found["kind"], found["id"]
    if not identifier or len(identifier) > _LONGEST_ID:
        msg = f"the id of {text[:200]!r} is empty or longer than {_LONGEST_ID}"
        raise ValueError(msg)
    _CHECKS[kind](identifier)
    # A URI's semicolons and percent signs are escaped (OPC 10000-6, 5.1.12).
    uri = (found["uri"] or "").replace("%3B", ";").replace("%25", "%")
    index = int(found["index"] or 0)
    if index > 0xFFFF:
        msg = f"namespace index {index} is above 65535"
        raise ValueError(msg)
    return NodeAddress(uri, index, kind, identifier, _path(found["path"] or ""))


def _path(text: str) -> tuple[int | str, ...]:
    found: list[int | str] = []
    for positions, name in re.findall(r"\[([0-9,]+)\]|\.([^.\[\]#]+)", text):
        found += [name] if name else [int(one) for one in positions.split(",")]
    return tuple(found)


def check(text: str) -> None:
    """Raise ValueError with the cause unless the text is an address."""
    if is_call(text):
        parse_call(text)
    else:
        parse(text)


def warning(text: str) -> str:
    """What is unwise about an address."""
    found = parse_call(text)[:2] if is_call(text) else [parse(text)]
    index = next((one.namespace for one in found if one.namespace), 0)
    return f"ns={index} is an index that the server may change at a restart; nsu=<namespace URI> stays" if index else ""


def _number(text: str) -> None:
    if not text.isascii() or not text.isdigit() or int(text) > 0xFFFF_FFFF:
        msg = f"i={text[:40]} is not a number between 0 and 4294967295"
        raise ValueError(msg)


def _guid(text: str) -> None:
    try:
        UUID(text)
    except ValueError:
        msg = f"g={text[:60]} is not a GUID"
        raise ValueError(msg) from None


def _bytes(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        msg = f"b={text[:60]} is not base64"
        raise ValueError(msg) from None


_CHECKS = {"s": lambda _text: None, "i": _number, "g": _guid, "b": _bytes}
