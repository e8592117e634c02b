"""The historian's side of `schemas.origins`: events of one site about a gateway or a device of another are refused.

Before anything is written the registry is asked for what the events of a batch name.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg

from historian.batch import Batch, Message, Poisoned
from schemas import topics
from schemas.origins import Sites
from schemas.verdicts import RecordReject

_EVENT = "DeviceEvent"
_TOPIC = re.compile(topics.EVENTS.pattern)


def told_apart(
    cursor: psycopg.Cursor[Any], batch: Batch
) -> tuple[list[tuple[dict[str, Any], Message]], list[Poisoned]]:
    """Events of a batch that may be written, and those that are refused."""
    found = batch.records.get(_EVENT, [])
    if not found:
        return [], []
    sites = Sites(
        gateways=_sites(
            cursor,
            "SELECT gateway_id, site FROM gateways WHERE gateway_id = ANY(%s)",
            {one["gateway_id"] for one, _ in found},
        ),
        devices=_sites(
            cursor, "SELECT d.device_id, g.site FROM devices d JOIN gateways g USING (gateway_id) WHERE d.device_id = ANY(%s)",
            {one["device_id"] for one, _ in found},
        ),
    )  # fmt: skip
    kept, refused = [], []
    for record, message in found:
        foreign = ""
        if _TOPIC.fullmatch(message.topic):  # gateways write to no other topic that is read here
            foreign = sites.foreign(topics.site_of(message.topic), record["gateway_id"], (record["device_id"],))
        if foreign:
            refused.append(Poisoned(message=message, reason=RecordReject.FOREIGN_SITE, detail=foreign))
        else:
            kept.append((record, message))
    return kept, refused


def _sites(cursor: psycopg.Cursor[Any], query: str, keys: set[Any]) -> dict[Any, str]:
    return dict(cursor.execute(query, (sorted(keys),)).fetchall())
