"""What a server's answers come to, for people: items it refuses, and what it grants less than the tags need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from connectors.opcua.items import Item, Revised

_SHOWN = 20
_TEXT = 300


def of_items(items: Iterable[Item]) -> dict[str, Any]:
    """Counts, and the first items by address that are refused, may lose samples at the server, or have no source time."""
    items = list(items)
    limited = {item.tag.address: revised.limitation(item.tag.period_ms) for item, revised in _limited(items)}
    refused = {item.tag.address: item.refused[:_TEXT] for item in items if item.refused}
    timed = {item.tag.address: item.time_source for item in items if item.time_source != "source"}
    return {
        "subscribed": sum(item.subscribed for item in items),
        "refused": _first(refused),
        "refused_count": len(refused),
        "limited_items": _first(limited),
        "without_source_time": _first(timed),
    }


def _first(found: dict[str, str]) -> dict[str, str]:
    return dict(sorted(found.items())[:_SHOWN])


def counts_of(items: Iterable[Item]) -> tuple[str, dict[str, str]]:
    """What the server grants less than the tags need: a text, empty when nothing, and the counts by name."""
    items = list(items)
    limited = list(_limited(items))
    slow = [item for item, revised in limited if revised.slow_sampling(item.tag.period_ms)]
    short = [item for item, revised in limited if revised.short_queue(item.tag.period_ms)]
    refused = Counter(item.refused for item in items if item.refused.startswith("BadTooMany"))
    counts = {"items": str(len(items)), "slow_sampling": str(len(slow)), "short_queue": str(len(short))}
    texts = []
    if slow:
        slowest = max(revised.sampling_ms for item, revised in limited if item in slow)
        texts.append(
            f"{len(slow)} of {len(items)} items are sampled less often than they change (every {slowest:g} ms)"
        )
    if short:
        shortest = min(revised.queue_size for item, revised in limited if item in short)
        texts.append(f"{len(short)} of {len(items)} items have a queue that is too short (of {shortest})")
    for status, count in sorted(refused.items()):
        counts[status] = str(count)
        texts.append(f"{count} of {len(items)} items are refused ({status})")
    return ("the server grants less than the tags need: " + "; ".join(texts) if texts else ""), counts


def _limited(items: Iterable[Item]) -> Iterator[tuple[Item, Revised]]:
    for item in items:
        if item.revised is not None and item.revised.limitation(item.tag.period_ms):
            yield item, item.revised
