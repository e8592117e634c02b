"""Values of nodes as values of tags: elements, fields, enumerations, times and texts, or a refusal that says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from asyncua import ua

from connectors.opcua import address
from connectors.opcua.plain import plain
from connectors.opcua.writes import not_read_back, result_of, variant
from connectors.readings import PARTLY_CARRIED_OUT, Unusable, Write, WriteStatus
from schemas.commands import Effect
from tests.integration.gateway_support import tag


class Mode(IntEnum):
    AUTO = 3


@dataclass
class Axis:
    Speed: float
    Mode: Mode


@dataclass
class Robot:
    Axes: list[Axis]


ROBOT = Robot([Axis(1.5, Mode.AUTO), Axis(2.5, Mode.AUTO)])


@pytest.mark.parametrize(
    ("text", "identifier", "path"),
    [
        ("nsu=urn:a;s=x#[3]", "x", (3,)),
        ("ns=2;i=7#[1,2]", "7", (1, 2)),
        ("nsu=urn:a;s=x#.axes[2].speed", "x", ("axes", 2, "speed")),
        ('nsu=urn:a;s="DB"."arr"[3]', '"DB"."arr"[3]', ()),
        ("nsu=urn:a;s=tank#4", "tank#4", ()),
        ("nsu=urn:a;s=tank#4#[0]", "tank#4", (0,)),
    ],
)
def test_addresses_of_parts(text: str, identifier: str, path: tuple[int | str, ...]) -> None:
    found = address.parse(text)
    assert (found.identifier, found.path) == (identifier, path)


@pytest.mark.parametrize(
    ("text", "owner", "method", "argument"),
    [
        ("call(nsu=urn:a;s=Doser,nsu=urn:a;s=Doser.Dose)#.Amount", "Doser", "Doser.Dose", "Amount"),
        ("call(ns=2;i=7,i=11489)", "7", "11489", ""),
        ("call(nsu=urn:a,b;s=a, (b),s=c)#.Amount (kg)", "a, (b)", "c", "Amount (kg)"),
    ],
)
def test_addresses_of_methods(text: str, owner: str, method: str, argument: str) -> None:
    address.check(text)
    assert address.is_call(text)
    found = address.parse_call(text)
    assert (found.owner.identifier, found.method.identifier, found.argument) == (owner, method, argument)


@pytest.mark.parametrize(
    "text", ["call(s=a)", "call(s=a,b)", "call(s=a,s=)", "call(s=a,i=x)#.b", "call(s=a,s=b)#b", "call(s=a#[0],s=b)"]
)
def test_what_is_no_method_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no method|no node id|empty or|not a number|part of an object"):
        address.check(text)


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ([1.0, 2.0, 3.0], (2,), 3.0),
        ([[1, 2], [3, 4]], (1, 0), 3),
        (ROBOT, ("Axes", 1, "Speed"), 2.5),
        (ROBOT, ("Axes", 0, "Mode"), 3),
        (Mode.AUTO, (), 3),
        (datetime(2026, 1, 5, 8, 0, 0, 500_000, tzinfo=UTC), (), 1_767_600_000.5),
        (ua.LocalizedText("läuft", "de"), (), "läuft"),
        (ua.QualifiedName("n", 2), (), "n"),
        (UUID(int=5), (), str(UUID(int=5))),
        (ua.StatusCode(0x80340000), (), 0x80340000),
        (True, (), True),
        (None, (4,), None),
    ],
)
def test_parts_and_types(value: Any, path: tuple[int | str, ...], expected: Any) -> None:
    found = plain(value, path)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ([1.0, 2.0], (), "an array of 2: name an element, as in #[0]"),
        ([1.0, 2.0], (7,), "#[7] of an array of 2"),
        (5.0, (0,), "#[0] of a value that is no array (float)"),
        (ROBOT, (), "a structure: name a field, as in #.Axes"),
        (ROBOT, ("Speed",), "no field Speed; there is Axes"),
        (ua.ExtensionObject(), ("a",), "a structure whose type the server does not explain"),
        (b"12345", (), "5 bytes"),
        ("x" * 100_000, (), "a text of 100000 characters"),
    ],
)
def test_what_cannot_be_used_says_why_and_shows_little(value: Any, path: tuple[int | str, ...], reason: str) -> None:
    found = plain(value, path)
    assert isinstance(found, Unusable)
    assert found.reason == reason
    assert len(found.shown) <= 200


def data(value: Any) -> Any:
    return ua.DataValue(ua.Variant(value))


GOOD, BAD = ua.StatusCode(0), ua.StatusCode(ua.StatusCodes.BadOutOfRange)


@pytest.mark.parametrize(
    ("statuses", "read", "expected"),
    [
        ((GOOD, GOOD), (1.0, 2.0), WriteStatus.DONE),
        ((BAD, BAD), (0.0, 0.0), WriteStatus.REFUSED),
        # One was carried out: that the other was refused does not make it undone.
        ((GOOD, BAD), (1.0, 0.0), WriteStatus.PARTLY),
        # The server confirmed the write; that a pulse is already over says nothing against it.
        ((GOOD, GOOD), (1.0, 0.0), WriteStatus.UNKNOWN),
    ],
)
def test_an_outcome_never_hides_an_effect(statuses: Any, read: Any, expected: WriteStatus) -> None:
    writes = [Write(tag(1, "a:1"), 1.0), Write(tag(2, "a:2"), 2.0)]
    found = result_of(writes, statuses, [data(value) for value in read], [(), ()])
    assert found.status is expected
    if expected is not WriteStatus.DONE:
        assert found.detail.removeprefix(PARTLY_CARRIED_OUT).startswith("t1: ")
        assert "t2: " in found.detail
    partly = expected is not WriteStatus.DONE and Effect.APPLIED in {one.effect for one in found.tags.values()}
    assert found.detail.startswith(PARTLY_CARRIED_OUT) == partly


def test_what_the_server_refused_is_refused_though_it_cannot_be_read_afterwards() -> None:
    writes = [Write(tag(1, "a:1"), 1.0), Write(tag(2, "a:2"), 2.0)]
    found = not_read_back(writes, (GOOD, BAD), "TimeoutError: ")
    assert found.status is WriteStatus.UNKNOWN
    assert [one.effect for one in found.tags.values()] == [Effect.UNKNOWN, Effect.REFUSED]
    assert not_read_back(writes, (BAD, BAD), "TimeoutError: ").status is WriteStatus.REFUSED


@pytest.mark.parametrize(
    ("kind", "value", "cause"),
    [
        (ua.VariantType.Int16, 12.5, "no Int16"),
        (ua.VariantType.UInt16, -1.0, "no UInt16"),
        (ua.VariantType.Byte, 256.0, "no Byte"),
        (ua.VariantType.Boolean, 2.0, "is not 0 or 1"),
        (ua.VariantType.Float, 1e300, "too large for a Float"),
        (ua.VariantType.String, 1.0, "cannot be written to a node of type String"),
    ],
)
def test_a_value_that_does_not_suit_the_node_is_not_sent(kind: Any, value: float, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        variant(kind, value, name="speed")
