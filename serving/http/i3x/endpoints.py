"""The endpoints of i3X under `/i3x/v1`: what a request asks of the address space, values, history, subscriptions.

Writing is not offered (`/info` says so): a command has an outcome that i3X cannot tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from base.errors import InvalidRequestError, NotFoundError, UnavailableError, UnimplementedError, shown
from serving.caches.plant import Plant
from serving.caches.values import LastValues
from serving.gate import Kind, Method
from serving.http.contract import rpc
from serving.http.face import Endpoint, Exchange, Face
from serving.http.i3x import bodies, envelopes, space, values
from serving.http.i3x.history import History
from serving.http.i3x.space import Node, Space
from serving.http.i3x.streaming import stream
from serving.http.i3x.subscriptions import Subscription, Subscriptions
from serving.http.replies import header_of
from serving.http.requests import body_of, object_of, query_of
from serving.principals import Permission, current
from serving.seen import seen

ROOT = "/i3x/v1"
VERSION = "1.0"
MAX_OBJECTS = 20_000
"""Objects in an answer without ids; what is left out is told (206)."""
_SAMPLES = rpc("HistoryService.ReadSamples")

Answered = tuple[int, dict[str, Any]]
Body = dict[str, Any]


_MAX_SPACES = 100
"""Of different parts of the plant that callers see."""


@dataclass(kw_only=True, slots=True)
class I3x:
    """The plant as i3X has it. `ready` says whether the plant is known."""

    face: Face
    plant: Plant
    last: LastValues
    subscriptions: Subscriptions = field(default_factory=lambda: Subscriptions(time.monotonic))
    _built: dict[tuple[str, ...], tuple[int, Space]] = field(default_factory=dict)

    def space(self) -> Space:
        """The address space of what the caller sees, as the registry now has it. Raises UnavailableError while it is not known."""
        if not self.face.ready():
            msg = "the server is still reading the plant's state; try again in a moment"
            raise UnavailableError(msg)
        plant = seen(self.plant)
        known = self._built.get(plant.scopes)
        if known is None or known[0] != plant.version:
            while len(self._built) >= _MAX_SPACES:
                self._built.pop(next(iter(self._built)))
            known = self._built[plant.scopes] = (plant.version, space.build(plant.devices_under("")))
        return known[1]

    def node(self, element_id: str) -> Node:
        """An object. Raises NotFoundError."""
        found = self.space().nodes.get(element_id)
        if found is None:
            msg = f"no object {shown(element_id)}"
            raise NotFoundError(msg)
        return found

    def current(self, element_id: str, depth: int) -> dict[str, Any]:
        """Value of an object, of one that is gone too: then it is Bad."""
        found = self.space().nodes.get(element_id)
        now_us = self.face.clock()
        if found is None:
            return {"value": None, "quality": "Bad", "timestamp": values.timestamp(now_us)}
        return values.current(self.space(), found, self.last.last, now_us, depth=depth)

    # What is where.

    async def namespaces(self, _: Exchange) -> Answered:
        """GET /namespaces."""
        return envelopes.success(list(space.NAMESPACES))

    async def types(self, exchange: Exchange) -> Answered:
        """GET /objecttypes."""
        uri = _parameters(exchange, "namespaceUri").get("namespaceUri", "")
        return envelopes.success([one for one in self.space().types.values() if uri in {"", one["namespaceUri"]}])

    async def types_of(self, body: Body) -> Answered:
        """POST /objecttypes/query."""
        known = self.space().types
        return envelopes.bulk("elementId", bodies.texts(body, "elementIds"), lambda one: _found(known, one))

    async def relationships(self, exchange: Exchange) -> Answered:
        """GET /relationshiptypes."""
        uri = _parameters(exchange, "namespaceUri").get("namespaceUri", "")
        return envelopes.success([one for one in space.RELATIONSHIP_TYPES if uri in {"", one["namespaceUri"]}])

    async def relationships_of(self, body: Body) -> Answered:
        """POST /relationshiptypes/query."""
        known = {one["elementId"]: one for one in space.RELATIONSHIP_TYPES}
        return envelopes.bulk("elementId", bodies.texts(body, "elementIds"), lambda one: _found(known, one))

    async def objects(self, exchange: Exchange) -> Answered:
        """GET /objects."""
        asked = _parameters(exchange, "typeElementId", "includeMetadata", "root")
        wanted, metadata, root = asked.get("typeElementId", ""), _true(asked, "includeMetadata"), _true(asked, "root")
        known = self.space()
        found = [
            node
            for node in known.nodes.values()
            if wanted in {"", node.type_id} and (not root or node.parent_id is None)
        ]
        partial = (
            f"{MAX_OBJECTS:,} of {len(found):,} objects; browse from the roots" if len(found) > MAX_OBJECTS else ""
        )
        return envelopes.success([known.record(node, metadata=metadata) for node in found[:MAX_OBJECTS]], partial)

    async def objects_of(self, body: Body) -> Answered:
        """POST /objects/list."""
        metadata, known = bodies.flag(body, "includeMetadata"), self.space()
        asked = bodies.texts(body, "elementIds")
        return envelopes.bulk("elementId", asked, lambda one: known.record(self.node(one), metadata=metadata))

    async def related(self, body: Body) -> Answered:
        """POST /objects/related."""
        wanted, metadata = bodies.text(body, "relationshipType", needed=False), bodies.flag(body, "includeMetadata")
        known, left, cut = self.space(), MAX_OBJECTS, False

        def edges(element_id: str) -> list[dict[str, Any]]:
            nonlocal left, cut
            found = [edge for edge in self.node(element_id).edges() if wanted in {"", edge[0]}]
            cut |= len(found) > left
            shown_now = found[: max(0, left)]
            left -= len(shown_now)
            return [
                {"sourceRelationship": name, "object": known.record(known.nodes[other], metadata=metadata)}
                for name, other in shown_now
            ]

        asked = bodies.texts(body, "elementIds")
        return envelopes.bulk("elementId", asked, edges, lambda: "not all related objects fit" if cut else "")

    # What is the value.

    async def value(self, body: Body) -> Answered:
        """POST /objects/value."""
        depth, known, now_us = bodies.depth(body), self.space(), self.face.clock()
        asked = bodies.texts(body, "elementIds")
        last = self.last.last
        return envelopes.bulk(
            "elementId", asked, lambda one: values.current(known, self.node(one), last, now_us, depth=depth)
        )

    async def history(self, exchange: Exchange, body: Body) -> Answered:
        """POST /objects/history."""
        asked, depth = bodies.texts(body, "elementIds"), bodies.depth(body)
        start_us, end_us = bodies.time_us(body, "startTime"), bodies.time_us(body, "endTime")
        if not start_us < end_us:
            msg = "endTime is not behind startTime"
            raise InvalidRequestError(msg, field="endTime")
        known = self.space()
        nodes = [known.nodes[one] for one in asked if one in known.nodes]
        reader = History(known, depth=depth)
        if tags := reader.tags_of(nodes):
            request = _SAMPLES.request(
                selection={"tag_ids": tags, "start_us": start_us, "end_us": end_us}, limit=reader.limit_of(len(tags))
            )
            async with aclosing(self.face.services.stream(_SAMPLES, request, exchange.context)) as chunks:
                await reader.read(chunks)
        return envelopes.bulk("elementId", asked, lambda one: reader.result(self.node(one)), reader.partial)

    # What is new.

    async def subscribe(self, body: Body) -> Answered:
        """POST /subscriptions."""
        client_id, name = bodies.text(body, "clientId"), bodies.text(body, "displayName", needed=False)
        made = self.subscriptions.create(current.get().name, client_id, name)
        result = {"clientId": client_id, "subscriptionId": made.subscription_id, "displayName": name}
        return envelopes.success(result)

    async def listed(self, body: Body) -> Answered:
        """POST /subscriptions/list."""

        def answer(subscription_id: str) -> dict[str, Any]:
            found = self._subscription(body, subscription_id)
            monitored = [{"elementId": one, "maxDepth": depth} for one, depth in found.objects.items()]
            return {"subscriptionId": subscription_id, "displayName": found.name, "monitoredObjects": monitored}

        bodies.text(body, "clientId")
        return envelopes.bulk("subscriptionId", bodies.texts(body, "subscriptionIds"), answer)

    async def deleted(self, body: Body) -> Answered:
        """POST /subscriptions/delete."""
        bodies.text(body, "clientId")
        asked = bodies.texts(body, "subscriptionIds")
        return envelopes.bulk(
            "subscriptionId", asked, lambda one: self.subscriptions.delete(self._subscription(body, one))
        )

    async def register(self, body: Body) -> Answered:
        """POST /subscriptions/register."""
        found, depth = self._subscription(body), bodies.depth(body)
        asked = bodies.texts(body, "elementIds")
        self.subscriptions.register(found, [one for one in asked if one in self.space().nodes], depth)
        return envelopes.bulk("elementId", asked, lambda one: self.node(one) and None)

    async def unregister(self, body: Body) -> Answered:
        """POST /subscriptions/unregister."""
        found = self._subscription(body)

        def answer(element_id: str) -> None:
            if element_id not in found.objects:
                msg = f"object {shown(element_id)} is not registered"
                raise NotFoundError(msg)
            del found.objects[element_id]
            found.seen.pop(element_id, None)

        return envelopes.bulk("elementId", bodies.texts(body, "elementIds"), answer)

    async def sync(self, body: Body) -> Answered:
        """POST /subscriptions/sync."""
        found = self._subscription(body)
        last = bodies.integer(body, "lastSequenceNumber", -1, (1 << 64) - 1, None)
        batches, dropped = found.sync(self.current, last)
        return envelopes.success(batches, "updates were dropped: too many waited" if dropped else "")

    async def stream(self, exchange: Exchange) -> None:
        """POST /subscriptions/stream."""
        body = object_of(await body_of(exchange.scope, exchange.receive))
        await stream(exchange, self._subscription(body), self.current)

    def _subscription(self, body: Body, subscription_id: str | None = None) -> Subscription:
        client_id = bodies.text(body, "clientId")
        wanted = subscription_id if subscription_id is not None else bodies.text(body, "subscriptionId")
        return self.subscriptions.get(current.get().name, client_id, wanted)


def endpoints(face: Face, plant: Plant, last: LastValues) -> dict[str, dict[str, Endpoint]]:
    """Endpoints by address and verb."""
    i3x = I3x(face=face, plant=plant, last=last)

    def made(verb: str, path: str, work: Any, kind: Kind = Kind.READ, *, streaming: bool = False) -> Endpoint:
        needs = None if kind is Kind.PROBE else Permission.READ
        method = Method(name=f"{verb} {ROOT}{path}", kind=kind, needs=needs, streaming=streaming)
        return Endpoint(face, method, work, answer=envelopes.failure)

    def asked(work: Callable[[Exchange], Awaitable[Answered]]) -> Any:
        async def answered(exchange: Exchange) -> None:
            await _sent(exchange, *await work(exchange))

        return answered

    def told(work: Callable[[Body], Awaitable[Answered]]) -> Any:
        return asked(lambda exchange: _with_body(exchange, work))

    async def history(exchange: Exchange) -> None:
        body = object_of(await body_of(exchange.scope, exchange.receive))
        await _sent(exchange, *await i3x.history(exchange, body))

    async def info(exchange: Exchange) -> None:
        await _sent(exchange, 200, INFO)

    async def no_writing(_: Exchange) -> None:
        msg = "values are not written here: POST /api/v1/commands tells what became of them"
        raise UnimplementedError(msg)

    gets = {"/namespaces": i3x.namespaces, "/objecttypes": i3x.types, "/relationshiptypes": i3x.relationships}
    posts = {
        "/objecttypes/query": i3x.types_of,
        "/relationshiptypes/query": i3x.relationships_of,
        "/objects/list": i3x.objects_of,
        "/objects/related": i3x.related,
        "/subscriptions": i3x.subscribe,
        "/subscriptions/list": i3x.listed,
        "/subscriptions/delete": i3x.deleted,
        "/subscriptions/register": i3x.register,
        "/subscriptions/unregister": i3x.unregister,
        "/subscriptions/sync": i3x.sync,
    }
    found: dict[str, dict[str, Endpoint]] = {
        f"{ROOT}{path}": {"GET": made("GET", path, asked(w))} for path, w in gets.items()
    }
    found |= {f"{ROOT}{path}": {"POST": made("POST", path, told(work))} for path, work in posts.items()}
    put = {path: {"PUT": made("PUT", path, no_writing)} for path in ("/objects/value", "/objects/history")}
    return found | {
        f"{ROOT}/info": {"GET": made("GET", "/info", info, Kind.PROBE)},
        f"{ROOT}/objects": {"GET": made("GET", "/objects", asked(i3x.objects), Kind.BULK)},
        f"{ROOT}/objects/value": {"POST": made("POST", "/objects/value", told(i3x.value))} | put["/objects/value"],
        f"{ROOT}/objects/history": {"POST": made("POST", "/objects/history", history, Kind.BULK)}
        | put["/objects/history"],
        f"{ROOT}/subscriptions/stream": {
            "POST": made("POST", "/subscriptions/stream", i3x.stream, Kind.BULK, streaming=True)
        },
    }


INFO: dict[str, Any] = {
    "specVersion": VERSION,
    "serverName": "Millrace",
    "capabilities": {
        "query": {"history": True},
        "update": {"current": False, "history": False},
        "subscribe": {"stream": True},
    },
}


async def _with_body(exchange: Exchange, work: Callable[[Body], Awaitable[Answered]]) -> Answered:
    return await work(object_of(await body_of(exchange.scope, exchange.receive)))


async def _sent(exchange: Exchange, status: int, body: Body) -> None:
    exchange.call.messages = 1
    compress = "gzip" in header_of(exchange.pairs, "accept-encoding")
    # Thousands of objects: the loop stays free.
    await exchange.reply.whole(*await asyncio.to_thread(envelopes.packed, status, body, compress=compress))


def _parameters(exchange: Exchange, *names: str) -> dict[str, str]:
    texts = query_of(exchange.scope)
    if unknown := sorted(texts.keys() - set(names)):
        msg = f"no parameter {shown(unknown[0])} here; there are: {', '.join(names)}"
        raise InvalidRequestError(msg)
    return {name: found[-1] for name, found in texts.items()}


def _true(asked: dict[str, str], name: str) -> bool:
    text = asked.get(name, "false").lower()
    if text not in {"true", "false"}:
        msg = f"{name} is {shown(text)}, not true or false"
        raise InvalidRequestError(msg, field=name)
    return text == "true"


def _found(known: Any, element_id: str) -> Any:
    if element_id not in known:
        msg = f"no element {shown(element_id)}"
        raise NotFoundError(msg)
    return known[element_id]
