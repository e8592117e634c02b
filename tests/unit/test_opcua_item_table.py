"""Items of an OPC UA connection: what is known of a tag belongs to the tag, and not to the address it is read from."""

from __future__ import annotations

import dataclasses

from connectors.gap_tracker import GapTracker
from connectors.opcua.items import Item
from connectors.opcua.table import ItemTable
from connectors.readings import Readings, Seen
from schemas.definitions import TagDefinition
from schemas.events import Gap
from tests.integration.gateway_support import MemorySink, tag

FIRST, SECOND = (tag(number, f"ua:ns=2;s=t{number}") for number in (1, 2))
_FIRST_US, _SECOND_US, _NOW_US = 3_000_000, 1_000_000, 3_500_000


class Table:
    """A table whose first tag was heard at 3 s and whose second was heard at 1 s; both are subscribed."""

    def __init__(self, *tags: TagDefinition) -> None:
        self.gaps: list[Gap] = []
        self.tracker = GapTracker(lambda _, gap: self.gaps.append(gap))
        self.sink = MemorySink(seen={1: Seen(_FIRST_US, 1.0), 2: Seen(_SECOND_US, 2.0)})
        self.items = ItemTable("ua:", self.sink, self.tracker, {1, 2})
        self.items.begin(_FIRST_US, same_run=True)
        self.want(*tags)
        for item in self.items:
            self.items.ask(item)
            item.subscribed = True
            self.tracker.repeated(item.tag)

    def want(self, *tags: TagDefinition) -> tuple[list[Item], list[Item]]:
        return self.items.follow({one.address: one for one in tags}, "the tag was not read")

    def hear(self, tag_id: int) -> list[tuple[int, int, int]]:
        readings = Readings()
        readings.add(tag_id, _NOW_US, 3.0, 0)
        self.tracker.heard(readings, self.items.by_tag)
        return [(item.tag_id, item.from_us, item.to_us) for gap in self.gaps for item in gap.items]


def test_another_tag_at_an_address_is_asked_for_anew_and_has_a_gap_from_its_own_last_sample() -> None:
    table = Table(FIRST)
    before = table.items.get(FIRST.address)
    added, gone = table.want(dataclasses.replace(SECOND, address=FIRST.address))
    assert gone == [before]
    assert [(item.tag.tag_id, item.last.time_us, item.subscribed) for item in added] == [(2, _SECOND_US, False)]
    assert table.hear(2) == [(2, _SECOND_US, _NOW_US)]


def test_another_tag_at_an_address_that_was_never_heard_has_no_last_sample() -> None:
    table = Table(FIRST)
    table.want(tag(3, FIRST.address))
    assert table.hear(3) == []
    item = table.items.get(FIRST.address)
    assert item is not None
    assert item.last == Seen(0)


def test_tags_that_change_places_keep_their_own_last_samples() -> None:
    table = Table(FIRST, SECOND)
    table.want(dataclasses.replace(FIRST, address=SECOND.address), dataclasses.replace(SECOND, address=FIRST.address))
    assert {item.tag.tag_id: item.last.time_us for item in table.items} == {1: _FIRST_US, 2: _SECOND_US}


def test_a_tag_whose_definition_changed_stays_subscribed() -> None:
    table = Table(FIRST)
    assert table.want(dataclasses.replace(FIRST, unit="bar")) == ([], [])
