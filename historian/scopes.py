"""A place of the plant as people name it: a path, or the end of one that only one place has.

Enters: what somebody typed. Leaves: the path `enterprise/site[/area[/line[/cell[/device[/tag]]]]]`. Called by tools that ask for a part
of the plant: `historian.export`, `reports`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from base.errors import InvalidRequestError, NotFoundError

_SHOWN = 5


def scope_of(connection: psycopg.Connection[Any], given: str, *, tags: bool = False) -> str:
    """Path of the place (or, with `tags`, of the tag) that is meant. Places where a device stood once count too.

    Raises NotFoundError for none and InvalidRequestError for several.
    """
    wanted = given.strip("/")
    places = places_of(path for (path,) in connection.execute("SELECT path FROM device_paths"))
    if not places:
        msg = "the plant has no devices: load one with `plant load`"
        raise NotFoundError(msg)
    if found := _matches(wanted, places):
        return _one(given, found)
    if tags:
        rows = connection.execute(
            "SELECT path FROM tag_definition WHERE path = %(end)s OR right(path, length(%(end)s) + 1) = '/' || %(end)s",
            {"end": wanted},
        )
        if found := _matches(wanted, {path for (path,) in rows}):
            return _one(given, found)
    sites = ", ".join(sorted(place for place in places if place.count("/") == 1)[:_SHOWN])
    msg = f"nothing in the plant is called {given!r}; sites are {sites}"
    raise NotFoundError(msg)


def places_of(paths: Iterable[str]) -> set[str]:
    """Every place on the way to devices, the devices among them."""
    return {
        path[:end] for path in paths for end in [*(at for at, letter in enumerate(path) if letter == "/"), len(path)]
    }


def _matches(wanted: str, paths: set[str]) -> list[str]:
    if wanted in paths:
        return [wanted]
    return sorted(path for path in paths if path.endswith(f"/{wanted}"))


def _one(given: str, found: list[str]) -> str:
    if len(found) == 1:
        return found[0]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    msg = f"{given!r} may be {', '.join(found[:_SHOWN])}{more}: give more of the path"
    raise InvalidRequestError(msg)
