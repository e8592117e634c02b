"""History of i3X objects: samples of tags; a device's is in its components.

Bounded: so many values for each tag, so many in all, the newest of the range; when there were more, the answer says so (206).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

from serving.http import columns
from serving.http.i3x import values
from serving.http.i3x.space import Node, Space

MAX_EACH = 10_000
MAX_ALL = 50_000
MAX_TAGS = 1_000


class History:
    """Gathers what the objects of a request ask for."""

    def __init__(self, space: Space, *, depth: int) -> None:
        self._space, self._depth = space, depth
        self._values: dict[int, list[dict[str, Any]]] = {}
        self._limit = MAX_EACH
        self._cut = False

    def tags_of(self, nodes: Iterable[Node]) -> list[int]:
        """Tags to read for these objects."""
        found: dict[int, None] = {}
        for node in nodes:
            parts = [node] if self._depth == 1 else [node, *(self._space.nodes[child] for child in node.children)]
            found |= dict.fromkeys(part.tag.tag_id for part in parts if part.tag is not None)
        self._cut |= len(found) > MAX_TAGS
        return list(found)[:MAX_TAGS]

    def limit_of(self, tags: int) -> int:
        """Samples to read of each of so many tags: one more than is shown, to see whether there are more."""
        self._limit = min(MAX_EACH, max(1, MAX_ALL // tags))
        return self._limit + 1

    async def read(self, chunks: AsyncIterable[Any]) -> None:
        """Take samples in."""
        tags = {node.tag.tag_id: node.tag for node in self._space.nodes.values() if node.tag is not None}
        async for chunk in chunks:
            tag, known = tags[chunk.tag_id], self._values.setdefault(chunk.tag_id, [])
            rows = zip(*(columns.array(chunk, name).tolist() for name in ("value", "time_us", "quality")), strict=True)
            known += [values.vqt(tag, value, time_us, code) for value, time_us, code in rows]
        for known in self._values.values():
            if len(known) > self._limit:
                self._cut = True
                del known[: -self._limit]

    def result(self, node: Node) -> dict[str, Any]:
        """History of an object."""
        own = self._values.get(node.tag.tag_id, []) if node.tag is not None else []
        found: dict[str, Any] = {"isComposition": node.is_composition, "values": own}
        if node.is_composition and self._depth != 1:
            found["components"] = {child: self.result(self._space.nodes[child]) for child in node.children}
        return found

    def partial(self) -> str:
        """What is missing, empty for nothing."""
        return f"only the newest {self._limit:,} values of each tag" if self._cut else ""
