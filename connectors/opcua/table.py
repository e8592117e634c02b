"""The items of one connection: which tag is monitored under which handle, which one is to be asked for when, and which gaps are open.

A handle belongs to one request for monitoring: what an earlier request still says is not taken for the first value of a later one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from connectors.gap_tracker import GapTracker
from connectors.opcua import address as addresses
from connectors.opcua.items import Item
from connectors.opcua.namespaces import Namespaces
from connectors.readings import Seen, Sink
from schemas.definitions import TagDefinition

NAMESPACES_HANDLE, EVENTS_HANDLE, FIRST_HANDLE = 0, 1, 2
"""Handles of the NamespaceArray and of the Server object's events; those of tags begin behind them."""

_NO_RUN = -1
"""No session is of it: nothing goes on from there."""


class ItemTable:
    """Items by address, for the time of a connector; `begin` starts a new session."""

    def __init__(self, prefix: str, sink: Sink, gaps: GapTracker, noted: Collection[int] = ()) -> None:
        """`noted`: tags whose last samples come, as far as the process before knew, from one run of the server."""
        self.by_handle: dict[int, Item] = {}
        self.by_tag: dict[int, TagDefinition] = {}
        self.tag_ids: frozenset[int] = frozenset()
        """Those of `by_tag`; the same object as long as they are the same."""
        self._prefix, self._sink, self._gaps = prefix, sink, gaps
        self._items: dict[str, Item] = {}
        self._last: dict[int, tuple[Seen, int]] = {}
        self._noted = frozenset(noted)
        self._run = 0
        self._next_handle = FIRST_HANDLE
        self._connected_us = 0

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def get(self, address: str) -> Item | None:
        """Item of an address."""
        return self._items.get(address)

    def begin(self, connected_us: int, kept: Collection[int] = (), *, same_run: bool = False) -> None:
        """A session was made: nothing is monitored in it but what has these handles.

        `same_run`: the server has not started again since the session before.
        """
        for item in self:
            self._remember(item)
        self._run += not same_run
        self._items = {
            address: item for address, item in self._items.items() if item.subscribed and item.handle in kept
        }
        self.by_handle = {item.handle: item for item in self}
        self._connected_us = connected_us

    def follow(self, wanted: Mapping[str, TagDefinition], gap_cause: str) -> tuple[list[Item], list[Item]]:
        """Hold the items of these tags; returns those that are new or to be asked for otherwise, and those no longer wanted so."""
        gone = [item for address, item in self._items.items() if not item.serves(wanted.get(address))]
        for item in gone:
            del self._items[item.tag.address]
            self._remember(item)
            self.by_handle.pop(item.handle, None)
        for address, item in self._items.items():
            item.tag = wanted[address]
        by_tag = {tag.tag_id: tag for tag in wanted.values()}
        self._leave([tag for tag_id, tag in self.by_tag.items() if tag_id not in by_tag])
        if self.tag_ids != by_tag.keys():
            self.tag_ids = frozenset(by_tag)
        self.by_tag = by_tag
        return [self._add(tag, gap_cause) for address, tag in wanted.items() if address not in self._items], gone

    def due(self, now_s: float) -> list[Item]:
        """Items to be asked for now."""
        return [item for item in self if not item.subscribed and item.retry_s <= now_s]

    def next_due_s(self) -> float | None:
        """When an item is to be asked for next; None: never."""
        return min((item.retry_s for item in self if not item.subscribed), default=None)

    def resolve(self, item: Item, namespaces: Namespaces, now_s: float) -> Any:
        """The item's node id in this session; None when it has none, which is said."""
        if item.address is None:
            return None
        try:
            return namespaces.node_id(item.address)
        except LookupError as error:
            self.refuse(item, str(error), now_s)
            return None

    def ask(self, item: Item) -> None:
        """The item is being asked for, under a handle of its own."""
        self.by_handle.pop(item.handle, None)
        item.handle, item.fresh, item.refused = self._next_handle, True, ""
        self.by_handle[item.handle] = item
        self._next_handle += 1

    def refuse(self, item: Item, cause: str, now_s: float) -> None:
        """The server does not let the item be read: what it would have said since the connection was made is missing."""
        item.refuse(cause, now_s)
        # A node that comes back is another one.
        self._missing(item, f"the server does not let it be read: {cause}", resumed=False)

    def repeated(self, item: Item) -> None:
        """The item's value is the one that was heard last: none is missing, and this run of the server goes on from it."""
        self._gaps.repeated(item.tag)
        if item.last.time_us:
            self._last[item.tag.tag_id] = item.last, self._run

    def lost(self, handles: Iterable[int], cause: str) -> None:
        """Samples of these items are known to be lost."""
        for item in self._of(handles):
            self._missing(item, cause, proven=True)

    def ended(self, handles: Iterable[int], cause: str) -> None:
        """These items are monitored no longer, and are to be asked for at once."""
        for item in self._of(handles):
            self._missing(item, cause)
            item.subscribed, item.revised, item.refused, item.retry_s = False, None, cause, 0.0

    def _missing(self, item: Item, cause: str, *, proven: bool = False, resumed: bool = True) -> None:
        sampled = bool(item.last.time_us)
        last = item.last if sampled else Seen(self._connected_us)
        self._gaps.open(item.tag, last, cause, proven=proven, resumed=resumed and sampled, sampled=sampled)

    def _remember(self, item: Item) -> None:
        """Its last sample, and in which run of the server that was said."""
        # What was handed over and is not yet appended, the sink does not know.
        known = self._last.get(item.tag.tag_id)
        if item.last.time_us and (known is None or known[0] is not item.last):
            self._last[item.tag.tag_id] = item.last, self._run

    def _leave(self, tags: Iterable[TagDefinition]) -> None:
        """These are wanted no longer. One with a loss that no period excuses has it when it is back: no run goes on from there."""
        for tag in tags:
            if self._gaps.forget(tag) and (known := self._last.get(tag.tag_id)) is not None:
                self._last[tag.tag_id] = known[0], _NO_RUN

    def _of(self, handles: Iterable[int]) -> list[Item]:
        return [item for handle in handles if (item := self.by_handle.get(handle)) is not None]

    def _add(self, tag: TagDefinition, gap_cause: str) -> Item:
        before = 0 if tag.tag_id in self._noted else _NO_RUN
        last, run = self._last.get(tag.tag_id) or (self._sink.last_seen(tag.tag_id), before)
        if last.time_us:
            self._last[tag.tag_id] = last, run
        item = self._items[tag.address] = Item(tag, 0, None, last)
        self._gaps.open(tag, last, gap_cause, resumed=run == self._run)
        try:
            item.address = addresses.parse(tag.address.removeprefix(self._prefix))
        except ValueError as error:
            item.refuse(str(error), float("inf"))
        else:
            item.path = item.address.path
        return item
