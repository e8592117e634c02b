"""Walks a server's address space, breadth first, within bounds and within what the server allows in one call.

Enters: a session with the services Browse, BrowseNext and Read. Leaves: a `Space`. A node is visited once, whatever leads to it,
so cycles end; a batch that the server calls too large is halved and stays so. Who calls: `connectors.opcua.discovery`.

Over 350 lines: one walk and the nodes it has found, which browsing, reading and naming fill in turn.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from asyncua import ua

from connectors.opcua import attributes
from connectors.opcua.space import HAS_COMPONENT, HAS_PROPERTY, Found, NodeClass, Space

T = TypeVar("T")
R = TypeVar("R")

_CLASSES = {
    ua.NodeClass.Object: NodeClass.OBJECT,
    ua.NodeClass.Variable: NodeClass.VARIABLE,
    ua.NodeClass.Method: NodeClass.METHOD,
}
_MASK = ua.NodeClass.Object | ua.NodeClass.Variable | ua.NodeClass.Method
_HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)
# The server itself, its diagnostics, aliases and locations: no plant's.
_NOT_WALKED = frozenset({"i=2253", "i=93", "i=11715", "i=23470", "i=31915"})
_TOO_LARGE = frozenset({
    ua.StatusCodes.BadTooManyOperations, ua.StatusCodes.BadResponseTooLarge, ua.StatusCodes.BadRequestTooLarge,
    ua.StatusCodes.BadEncodingLimitsExceeded, ua.StatusCodes.BadTcpMessageTooLarge,
})  # fmt: skip
_TYPE_DEPTH = 16
_PROBLEMS = 100
_VARIABLE_ATTRIBUTES = (
    ua.AttributeIds.DataType, ua.AttributeIds.ValueRank, ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel,
    ua.AttributeIds.MinimumSamplingInterval, ua.AttributeIds.Description, ua.AttributeIds.Value,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Where a walk ends: nodes found, steps from the root.

    `batch` nodes are asked for in one call, or fewer where the server says so; it answers with `references` of each at once.
    """

    max_nodes: int = 20_000
    max_depth: int = 20
    batch: int = 200
    references: int = 1000


class Batches:
    """Calls a service with as many operations as the server takes; halves them when it says that they are too many."""

    def __init__(self, size: int, limit: int = 0) -> None:
        self.size = min(size, limit) if limit else size

    async def run(self, call: Callable[[list[T]], Awaitable[Sequence[R]]], operations: Sequence[T]) -> list[R]:
        """Results of all operations, in order; raises what the service raises for a single one."""
        results: list[R] = []
        while len(results) < len(operations):
            chunk = list(operations[len(results) : len(results) + self.size])
            try:
                results += await call(chunk)
            except ua.UaStatusCodeError as error:
                if error.code not in _TOO_LARGE or len(chunk) == 1:
                    raise
                self.size = max(1, len(chunk) // 2)
        return results


class Walker:
    """One walk in an open session. `progress` is called with the numbers of nodes found and of nodes still to look at."""

    def __init__(self, session: Any, bounds: Bounds, progress: Callable[[int, int], None]) -> None:
        self._session, self._bounds, self._progress = session, bounds, progress
        self._space = Space()
        self._seen: dict[Any, int] = {}
        self._ids: list[Any] = []
        self._browses = self._reads = Batches(bounds.batch)
        self._types: dict[Any, tuple[str, str]] = {}
        self._enumerations: dict[Any, tuple[str, ...]] = {}
        self._type_ids: dict[str, Any] = {}
        self._metadata: dict[int, dict[str, Any]] = {}

    async def walk(self, root: Any) -> Space:
        """All nodes below `root`, which is a node id of this session; raises what the connection raises."""
        await self._prepare()
        level = [-1]
        first = True
        while level and not self._space.cut:
            sources = [root] if first else [self._ids[index] for index in level]
            found = await self._browses.run(self._browse, sources)
            following: list[int] = []
            for parent, references in zip(level, found, strict=True):
                following += self._add(parent, references)
            first, level = False, following
            self._progress(len(self._space.nodes), len(level))
        await self._read_variables()
        await self._name_types()
        return self._space

    async def _prepare(self) -> None:
        ids = ua.ObjectIds
        numbers = (
            ids.Server_NamespaceArray,
            ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
            ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        )
        # One by one: a server may allow no more in a call.
        values = [(await self._read_raw([(ua.NodeId(n), ua.AttributeIds.Value)]))[0] for n in numbers]
        uris, reads, browses = (value.Value.Value if value.Value is not None else None for value in values)
        self._space.namespaces = tuple(uris or ())
        self._reads = Batches(self._bounds.batch * len(_VARIABLE_ATTRIBUTES), int(reads or 0))
        self._browses = Batches(self._bounds.batch, int(browses or 0))

    # --- references ----------------------------------------------------------------------------------------------------

    async def _browse(self, sources: list[Any]) -> list[list[Any]]:
        return await self._browse_along(sources, _HIERARCHICAL, ua.BrowseDirection.Forward, _MASK)

    async def _browse_along(self, sources: list[Any], along: Any, direction: Any, mask: int) -> list[list[Any]]:
        parameters = ua.BrowseParameters()
        parameters.RequestedMaxReferencesPerNode = self._bounds.references
        for source in sources:
            description = ua.BrowseDescription()
            description.NodeId, description.BrowseDirection = source, direction
            description.ReferenceTypeId, description.IncludeSubtypes = along, True
            description.NodeClassMask, description.ResultMask = int(mask), ua.BrowseResultMask.All
            parameters.NodesToBrowse.append(description)
        results = await self._session.browse(parameters)
        references: list[list[Any]] = []
        for source, result in zip(sources, results, strict=True):
            if result.StatusCode.value == ua.StatusCodes.BadNoContinuationPoints and len(sources) > 1:
                # The server holds only so many at once: these are asked for alone.
                references += await self._browse_along([source], along, direction, mask)
                continue
            if not result.StatusCode.is_good():
                self._problem(source, result.StatusCode.name)
            references.append(await self._all(source, result))
        return references

    async def _all(self, source: Any, result: Any) -> list[Any]:
        """References of a result and of those that continue it."""
        found = list(result.References or ())
        point = result.ContinuationPoint
        while point:
            if len(found) > self._bounds.max_nodes:
                await self._next(point, release=True)
                break
            following = await self._next(point, release=False)
            if not following.StatusCode.is_good():
                self._problem(source, f"{following.StatusCode.name} after {len(found)} references")
                break
            found += following.References or ()
            point = following.ContinuationPoint
        return found

    async def _next(self, point: bytes, *, release: bool) -> Any:
        parameters = ua.BrowseNextParameters()
        parameters.ReleaseContinuationPoints = release
        parameters.ContinuationPoints = [point]
        results = await self._session.browse_next(parameters)
        return results[0] if results else None

    def _add(self, parent: int, references: Iterable[Any]) -> Iterator[int]:
        depth = 0 if parent < 0 else self._space.nodes[parent].depth + 1
        above = self._space.nodes[parent] if parent >= 0 else None
        for reference in references:
            node_id = self._local(reference.NodeId)
            kind = _CLASSES.get(reference.NodeClass)
            if node_id is None or kind is None or node_id in self._seen:
                continue
            along = self.portable(reference.ReferenceTypeId)
            name = reference.BrowseName.Name or ""
            if along == HAS_PROPERTY and above is not None and above.node_class is NodeClass.VARIABLE:
                # What describes a variable is read with it.
                if name in attributes.METADATA:
                    self._metadata.setdefault(parent, {})[name] = node_id
                continue
            text = self.portable(node_id)
            if text in _NOT_WALKED:
                continue
            if len(self._space.nodes) >= self._bounds.max_nodes:
                self._space.cut = f"{self._bounds.max_nodes} nodes were found (--max-nodes)"
                return
            index = self._seen[node_id] = len(self._space.nodes)
            self._ids.append(node_id)
            typed = self._local(reference.TypeDefinition)
            type_text = "" if typed is None or typed.is_null() else self.portable(typed)
            if type_text:
                self._type_ids[type_text] = typed
            found = Found(
                id=text, name=name or reference.DisplayName.Text or text, node_class=kind, parent=parent, depth=depth,
                part=along in HAS_COMPONENT, property=along == HAS_PROPERTY, type_definition=type_text,
            )  # fmt: skip
            self._space.nodes.append(found)
            if kind is NodeClass.METHOD:
                continue
            if depth + 1 >= self._bounds.max_depth:
                self._space.cut = (
                    f"nodes more than {self._bounds.max_depth} steps from the root were not looked at (--max-depth)"
                )
                continue
            yield index

    def portable(self, node_id: Any) -> str:
        """A node id by namespace URI; by its index where the server has no such namespace."""
        return portable(node_id, self._space.namespaces)

    def _local(self, expanded: Any) -> Any:
        """Node id in this server of an expanded one; None when it is in another server or an unknown namespace."""
        if expanded is None or getattr(expanded, "ServerIndex", None):
            return None
        uri = getattr(expanded, "NamespaceUri", None)
        index = expanded.NamespaceIndex
        if uri:
            if uri not in self._space.namespaces:
                return None
            index = self._space.namespaces.index(uri)
        return ua.NodeId(expanded.Identifier, index)

    def _problem(self, node_id: Any, text: str) -> None:
        if len(self._space.problems) < _PROBLEMS:
            self._space.problems.append(f"{self.portable(node_id)}: {text}")

    # --- attributes ----------------------------------------------------------------------------------------------------

    async def _read_raw(self, pairs: list[tuple[Any, Any]]) -> Sequence[Any]:
        parameters = ua.ReadParameters()
        parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
        for node_id, attribute in pairs:
            item = ua.ReadValueId()
            item.NodeId, item.AttributeId = node_id, attribute
            parameters.NodesToRead.append(item)
        return list(await self._session.read(parameters))

    async def _read(self, pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
        return await self._reads.run(self._read_raw, pairs)

    async def _read_variables(self) -> None:
        nodes = self._space.nodes
        variables = [index for index, node in enumerate(nodes) if node.node_class is NodeClass.VARIABLE]
        for start in range(0, len(variables), self._bounds.batch):
            some = variables[start : start + self._bounds.batch]
            values = await self._read([(self._ids[index], one) for index in some for one in _VARIABLE_ATTRIBUTES])
            width = len(_VARIABLE_ATTRIBUTES)
            for at, index in enumerate(some):
                await self._describe(nodes[index], values[at * width : (at + 1) * width])
            extra = [
                (index, name, node_id) for index in some for name, node_id in self._metadata.get(index, {}).items()
            ]
            found = await self._read([(node_id, ua.AttributeIds.Value) for _, _, node_id in extra])
            for (index, name, _), value in zip(extra, found, strict=True):
                attributes.take(nodes[index], name, _plain(value))
            self._progress(len(nodes), len(variables) - start - len(some))

    async def _describe(self, node: Found, values: Sequence[Any]) -> None:
        data_type, rank, access, user_access, sampling, description, value = values
        given = _plain(data_type)
        if isinstance(given, ua.NodeId):
            node.data_type, node.data_type_name = await self._data_type(given)
            if node.data_type == "Enumeration" and node.data_type_name:
                node.states = await self._states(given)
        node.array = isinstance(dimensions := _plain(rank), int) and dimensions >= 0
        mine = _plain(user_access) if isinstance(_plain(user_access), int) else _plain(access)
        node.readable = not isinstance(mine, int) or bool(mine & ua.AccessLevel.CurrentRead.mask)
        node.writable = isinstance(mine, int) and bool(mine & ua.AccessLevel.CurrentWrite.mask)
        interval = _plain(sampling)
        node.sampling_ms = max(0.0, float(interval)) if isinstance(interval, int | float) else 0.0
        node.description = attributes.text(_plain(description))
        node.status = value.StatusCode.name if value.StatusCode is not None else "Good"
        if value.Value is not None and value.Value.Value is not None:
            node.value = value.Value.Value
            node.array = node.array or bool(value.Value.is_array)
            if not node.data_type or node.data_type in attributes.ABSTRACT:
                # BaseDataType, Number and the like: what the value is decides.
                node.data_type = value.Value.VariantType.name

    async def _data_type(self, node_id: Any) -> tuple[str, str]:
        """Built-in type that values of a data type have, and the data type's own name where it is another."""
        built_in = attributes.built_in(node_id)
        if built_in:
            return built_in, ""
        if node_id not in self._types:
            self._types[node_id] = await self._resolve(node_id)
        return self._types[node_id]

    async def _resolve(self, node_id: Any) -> tuple[str, str]:
        name = attributes.text(_plain((await self._read_raw([(node_id, ua.AttributeIds.BrowseName)]))[0]))
        above = node_id
        for _ in range(_TYPE_DEPTH):
            (found,) = await self._browse_along([above], _SUBTYPE, ua.BrowseDirection.Inverse, 0)
            if not found or (above := self._local(found[0].NodeId)) is None:
                break
            if built_in := attributes.built_in(above):
                return built_in, name
        return "", name

    async def _states(self, data_type: Any) -> tuple[str, ...]:
        """Names of an enumeration's values, a property of its data type (OPC 10000-3, 8.40); a variable's own come after them."""
        if data_type not in self._enumerations:
            said = Found(id="", name="", node_class=NodeClass.VARIABLE, parent=-1, depth=0)
            along, forward = ua.NodeId(ua.ObjectIds.HasProperty), ua.BrowseDirection.Forward
            (found,) = await self._browse_along([data_type], along, forward, _MASK)
            for reference in found:
                name, node_id = reference.BrowseName.Name or "", self._local(reference.NodeId)
                if name in {"EnumStrings", "EnumValues"} and node_id is not None:
                    (value,) = await self._read_raw([(node_id, ua.AttributeIds.Value)])
                    attributes.take(said, name, _plain(value))
            self._enumerations[data_type] = said.states
        return self._enumerations[data_type]

    async def _name_types(self) -> None:
        """Browse names of type definitions, for those that are not of the base namespace."""
        wanted = sorted({node.type_definition for node in self._space.nodes} - {""})
        ids = {text: node_id for text, node_id in self._type_ids.items() if text in wanted}
        values = await self._read([(node_id, ua.AttributeIds.BrowseName) for node_id in ids.values()])
        names = {text: attributes.text(_plain(value)) for text, value in zip(ids, values, strict=True)}
        for node in self._space.nodes:
            node.type_name = names.get(node.type_definition, "")


def portable(node_id: Any, namespaces: Sequence[str]) -> str:
    """A node id by namespace URI; by its index where there is no such namespace."""
    kind, identifier = "s", node_id.Identifier
    if isinstance(identifier, int):
        kind = "i"
    elif isinstance(identifier, UUID):
        kind = "g"
    elif isinstance(identifier, bytes):
        kind, identifier = "b", b64encode(identifier).decode()
    text = f"{kind}={identifier}"
    index = node_id.NamespaceIndex
    if not index:
        return text
    if index >= len(namespaces):
        return f"ns={index};{text}"
    # OPC 10000-6, 5.1.12: a URI's percent signs and semicolons are escaped.
    return f"nsu={namespaces[index].replace('%', '%25').replace(';', '%3B')};{text}"


def _plain(value: Any) -> Any:
    """Content of a DataValue; None when it is bad or empty."""
    if value.Value is None or (value.StatusCode is not None and not value.StatusCode.is_good()):
        return None
    return value.Value.Value
