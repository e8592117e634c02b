"""An export: day by day to `day=2026-11-28/samples.parquet`, each file complete or not there.

Enters: a connection, a `Request`. Leaves: files, the manifest; the same request goes on where a killed run ended. Memory holds some
megabytes of rows, however many there are. Called by `historian.export.__main__`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg

from base.errors import InvalidRequestError
from base.moments import moment, zone_of
from historian.export import forms, manifest, rows
from historian.export.forms import Form
from historian.export.kinds import KINDS
from historian.export.manifest import Day, Manifest
from historian.scopes import scope_of

Connection = psycopg.Connection[Any]
FORMS = (Form.PARQUET, Form.ARROW, Form.CSV)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """As somebody typed it; `window_s` 0 for windows of every length. Days are those of `time_zone`."""

    kind: str
    scope: str
    since: str
    until: str
    form: Form
    time_zone: str = "UTC"
    window_s: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A day is done, the `done`-th of `days`; `known` when an earlier run wrote it."""

    day: str
    rows: int
    bytes: int
    done: int
    days: int
    known: bool


Report = Callable[[Progress], None]


def export(connection: Connection, request: Request, folder: Path, now: datetime, report: Report) -> Manifest:
    """Write what is not there yet. `report` hears of each day. Raises the branches of `base.errors`, psycopg.Error."""
    with manifest.owned(folder):
        asked = dataclasses.asdict(request)
        state = manifest.read(folder, asked)
        if state is None:
            state = _begun(connection, request, asked, now)
            manifest.write(folder, state)
        begin, end = datetime.fromisoformat(state.begin), datetime.fromisoformat(state.end)
        days = list(days_of(begin, end, request.time_zone))
        tag_ids = _tag_ids(connection, state.scope)
        for place, (day, start, stop) in enumerate(days, start=1):
            name = day.isoformat()
            known = state.days.get(name)
            if known is None:
                parameters = {"scope": state.scope, "tag_ids": tag_ids, "window_s": request.window_s}
                state.days[name] = _day(connection, request, folder, name, parameters | {"from": start, "to": stop})
                state.complete = place == len(days)
                manifest.write(folder, state)
            written = state.days[name]
            report(
                Progress(
                    day=name,
                    rows=written.rows,
                    bytes=written.bytes,
                    done=place,
                    days=len(days),
                    known=known is not None,
                )
            )
    return state


def days_of(begin: datetime, end: datetime, time_zone: str) -> Iterator[tuple[date, datetime, datetime]]:
    """Days from midnight to midnight there, the first and the last cut to the range. Days of 23 and 25 hours are days."""
    zone = zone_of(time_zone)
    day = begin.astimezone(zone).date()
    while (start := _midnight(day, zone)) < end:
        following = day + timedelta(days=1)
        yield day, max(start, begin), min(_midnight(following, zone), end)
        day = following


def _midnight(day: date, zone: Any) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(zone_of("UTC"))


def _begun(connection: Connection, request: Request, asked: dict[str, Any], now: datetime) -> Manifest:
    zone = zone_of(request.time_zone)
    begin = moment(request.since, now, zone)
    # What has not happened yet is not exported as if it had: a day is done once.
    end = min(moment(request.until, now, zone), now) if request.until else now
    if begin >= end:
        msg = f"nothing lies between {begin.isoformat()} and {end.isoformat()}: --from comes before --to and before now"
        raise InvalidRequestError(msg)
    scope = scope_of(connection, request.scope, tags=request.kind in {"samples", "windows"})
    begin, end = (at.astimezone(zone_of("UTC")) for at in (begin, end))
    return Manifest(asked=asked, scope=scope, begin=begin.isoformat(), end=end.isoformat())


def _tag_ids(connection: Connection, scope: str) -> list[int]:
    """Tags of the devices that stand or stood there, or the one tag of that path."""
    found = connection.execute(
        "SELECT DISTINCT t.tag_id FROM tags t JOIN device_paths p USING (device_id)"
        " WHERE p.path = %(scope)s OR starts_with(p.path, %(scope)s || '/') OR p.path || '/' || t.name = %(scope)s ORDER BY 1",
        {"scope": scope},
    )
    return [tag_id for (tag_id,) in found]


def _day(connection: Connection, request: Request, folder: Path, name: str, parameters: dict[str, Any]) -> Day:
    kind = KINDS[request.kind]
    relative = Path(f"day={name}") / f"{request.kind}.{request.form}"
    path = folder / relative
    # Readers of folders of data leave out names that begin with a dot.
    partial = path.parent / f".{path.name}.part"
    written = 0
    writer: forms.Writer | None = None
    with connection.transaction():
        for batch in rows.batches(connection, kind, parameters):
            if writer is None:
                path.parent.mkdir(exist_ok=True)
                file = partial.open("wb")
                writer = forms.writer(file, kind.schema, request.form)
            writer.write_batch(batch)
            written += batch.num_rows
    if writer is None:
        return Day(file="", rows=0, bytes=0)
    writer.close()
    file.flush()
    os.fsync(file.fileno())
    file.close()
    partial.rename(path)
    return Day(file=str(relative), rows=written, bytes=path.stat().st_size)
