"""Methods as commands: the tags that are written are the input arguments of one method, which is called once.

Enters: writes to tags whose addresses name an object, a method and an argument (`connectors.opcua.address`). Leaves: an outcome of each.
The arguments' types are the method's own (InputArguments); a value that does not suit is not sent. A method that answered Good was carried
out; what the server refuses before a method begins (OPC 10000-4, 5.12.2.4) changed nothing; any other answer, or none, is unknown: nobody
can say how far the method came. It is called once and never again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asyncua import ua
from asyncua.ua.uaprotocol_auto import Argument  # what is decoded; `ua.Argument` is a class below it

from connectors.opcua.address import CallAddress
from connectors.opcua.node_types import built_in_of
from connectors.opcua.plain import plain
from connectors.opcua.session import OpcUaSession
from connectors.opcua.writes import variant
from connectors.readings import Unusable, Write, WriteResult, WriteStatus

_NOT_BEGUN = frozenset(
    {
        "BadArgumentsMissing", "BadTooManyArguments", "BadInvalidArgument", "BadTypeMismatch", "BadOutOfRange",
        "BadMethodInvalid", "BadNotExecutable", "BadNothingToDo", "BadNodeIdInvalid", "BadNodeIdUnknown",
        "BadUserAccessDenied", "BadSecurityModeInsufficient", "BadServiceUnsupported", "BadNotImplemented", "BadNotSupported",
        "BadInvalidState", "BadTooManyOperations", "BadSessionIdInvalid", "BadSessionNotActivated",
    }
)  # fmt: skip
"""Answers that say that the method did not begin."""
_LONGEST = 200


async def carry_out(
    session: OpcUaSession, writes: Sequence[Write], calls: Sequence[CallAddress | None], timeout_s: float
) -> WriteResult:
    """Call the method that `writes` give the arguments of; `calls` are their addresses, None for a tag that is no argument."""
    sent = False
    try:
        address = _one_method(writes, calls)
        async with asyncio.timeout(timeout_s):
            owner, method = session.namespaces.node_id(address.owner), session.namespaces.node_id(address.method)
            arguments = await _arguments(session, method)
            names = [call.argument for call in calls if call is not None]
            values = await _values(session, arguments[0], writes, names)
            sent = True
            result = await session.call(owner, method, values)
    except (ValueError, LookupError) as error:
        return WriteResult(status=WriteStatus.NOT_SENT, detail=str(error))
    except ua.UaStatusCodeError as error:
        # The service as a whole failed; asyncua names the exception as the status.
        return _failed(type(error).__name__, "", sent=sent)
    except (OSError, TimeoutError, ua.UaError) as error:
        cause = f"{type(error).__name__}: {error}"
        if sent:
            return WriteResult(status=WriteStatus.UNKNOWN, detail=f"the method was called, its answer is lost: {cause}")
        return WriteResult(status=WriteStatus.NOT_SENT, detail=cause)
    if not result.StatusCode.is_good():
        return _failed(result.StatusCode.name, _refused_arguments(arguments[0], result), sent=True)
    return WriteResult(status=WriteStatus.DONE, detail=_answer(arguments[1], result))


def _one_method(writes: Sequence[Write], calls: Sequence[CallAddress | None]) -> CallAddress:
    """The address that all have in common; raises ValueError."""
    first = next(call for call in calls if call is not None)
    for write, call in zip(writes, calls, strict=True):
        if call is None or call[:2] != first[:2]:
            what = "is no argument of it" if call is None else "is an argument of another method"
            msg = f"a method is called by a command of its own, and {write.tag.name} {what}"
            raise ValueError(msg)
    return first


async def _arguments(session: OpcUaSession, method: Any) -> tuple[list[Any], list[Any]]:
    """The ua.Arguments that go in and come out."""
    (nodes,) = await session.properties([method], ["InputArguments", "OutputArguments"])
    known = [node for node in nodes if node is not None]
    found = dict(zip(known, await session.read(known), strict=True)) if known else {}
    values = [found[node].Value.Value if node is not None and found[node].Value is not None else [] for node in nodes]
    into, out = ([one for one in value or () if isinstance(one, Argument)] for value in values)
    return into, out


async def _values(
    session: OpcUaSession, arguments: Sequence[Any], writes: Sequence[Write], names: Sequence[str]
) -> list[Any]:
    """Variants in the order of the arguments; raises ValueError when they are not the method's."""
    wanted = [str(one.Name) for one in arguments]
    if not wanted:
        return _triggered(writes, names)
    given = {name: write for name, write in zip(names, writes, strict=True) if name}
    shown = ", ".join(wanted)[:_LONGEST]
    if missing := [name for name in wanted if name not in given]:
        msg = f"the method takes {shown}: {', '.join(missing)[:_LONGEST]} must be written in the same command"
        raise ValueError(msg)
    if strange := [name or "no argument" for name in names if name not in wanted]:
        msg = f"the method takes {shown}: an address names {strange[0]}"
        raise ValueError(msg)
    if arrays := [str(one.Name) for one in arguments if one.ValueRank >= 0]:
        msg = f"argument {arrays[0]} of the method is an array, which a command cannot give"
        raise ValueError(msg)
    types = await built_in_of(session, [one.DataType for one in arguments])
    found = []
    for name, known in zip(wanted, types, strict=True):
        if known is None:
            msg = f"the server does not say of which type argument {name} of the method is"
            raise ValueError(msg)
        found.append(variant(known, given[name].value, name=given[name].tag.name))
    return found


def _triggered(writes: Sequence[Write], names: Sequence[str]) -> list[Any]:
    """A method without arguments is called by a 1; raises ValueError."""
    if strange := [name for name in names if name]:
        msg = f"the method takes no arguments, and an address names {strange[0]}"
        raise ValueError(msg)
    if writes[0].value != 1.0:
        msg = f"{writes[0].tag.name}: 1 calls the method, {writes[0].value:g} does nothing"
        raise ValueError(msg)
    return []


def _failed(status: str, which: str, *, sent: bool) -> WriteResult:
    shown = f"{status}{which}"
    if not sent:
        return WriteResult(status=WriteStatus.NOT_SENT, detail=shown)
    if status in _NOT_BEGUN:
        return WriteResult(status=WriteStatus.REFUSED, detail=f"the method was refused: {shown}")
    text = f"the method answered {shown}: what it did until then is not known"
    return WriteResult(status=WriteStatus.UNKNOWN, detail=text)


def _refused_arguments(arguments: Sequence[Any], result: Any) -> str:
    """Which arguments the server does not take, for people."""
    pairs = zip(arguments, result.InputArgumentResults or (), strict=False)
    found = [f"{one.Name} {status.name}" for one, status in pairs if not status.is_good()]
    return f" ({', '.join(found)[:_LONGEST]})" if found else ""


def _answer(arguments: Sequence[Any], result: Any) -> str:
    """What the method returned, for people."""
    values = [plain(one.Value, ()) for one in result.OutputArguments or ()]
    shown = [value.shown or value.reason if isinstance(value, Unusable) else str(value) for value in values]
    names = [str(one.Name) for one in arguments] + ["output"] * len(shown)
    text = ", ".join(f"{name}={value[:_LONGEST]}" for name, value in zip(names, shown, strict=False))
    return f"called; it returned {text}" if text else "called"
