"""Gaps filled from the server's own history: raw values between a gap's bounds, as historical readings (BACKFILL).

Enters: gaps of items, after the readings that closed them are durable, so that a gap is filled once. Leaves, to the sink: the
values that the server has between the bounds, in order of time, page by page, each page after the one before is appended; a
STATE notice that says how many. A node whose access level has no HistoryRead is not asked again in the session.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua

from connectors.device_notices import DeviceNotices
from connectors.opcua import remarks
from connectors.opcua.items import Item
from connectors.opcua.plain import plain
from connectors.opcua.session import OpcUaSession
from connectors.readings import Readings, Sink

log = logging.getLogger(__name__)

_PAGE = 1000
_MOST_SAMPLES = 1_000_000
_MOST_GAPS = 100_000
_HISTORY_READ = 0x04
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_REFUSED = (
    ua.uaerrors.BadHistoryOperationUnsupported,
    ua.uaerrors.BadHistoryOperationInvalid,
    ua.uaerrors.BadServiceUnsupported,
    ua.uaerrors.BadNotSupported,
    ua.uaerrors.BadNotImplemented,
    ua.uaerrors.BadUserAccessDenied,
)


class History:
    """Fills gaps for the time of one session."""

    def __init__(self, session: OpcUaSession, sink: Sink, notices: DeviceNotices) -> None:
        self._session, self._sink, self._notices = session, sink, notices
        self._gaps: asyncio.Queue[tuple[Item, int, int]] = asyncio.Queue(_MOST_GAPS)
        self._keeps: dict[Any, bool] = {}
        self.filled = 0

    def fill(self, item: Item, from_us: int, to_us: int) -> None:
        """Look for samples of the item between the two, later; a gap too many is left as it is."""
        if to_us - from_us > 1 and not self._gaps.full():
            self._gaps.put_nowait((item, from_us, to_us))

    async def run(self) -> None:
        """Fill gaps until cancelled; raises when the connection ends."""
        while True:
            item, from_us, to_us = await self._gaps.get()
            if not await self._has_history(item):
                continue
            try:
                count = await self._fill(item, from_us, to_us)
            except _REFUSED as error:
                self._keeps[item.node_id] = False
                log.info("no history", extra={"item": item.tag.address, "cause": type(error).__name__})
                continue
            except ua.UaStatusCodeError as error:
                log.warning("a gap is not filled", extra={"item": item.tag.address, "cause": str(error)})
                continue
            if count:
                self.filled += count
                remarks.filled(self._notices, item, count, from_us, to_us)

    async def _has_history(self, item: Item) -> bool:
        known = self._keeps.get(item.node_id)
        if known is None:
            (value,) = await self._session.read([item.node_id], ua.AttributeIds.AccessLevel)
            level = value.Value.Value if value.Value is not None else 0
            known = self._keeps[item.node_id] = isinstance(level, int) and bool(level & _HISTORY_READ)
        return known

    async def _fill(self, item: Item, from_us: int, to_us: int) -> int:
        """Samples found between the two times, without them."""
        last_us, count, point = from_us, 0, None
        while count < _MOST_SAMPLES:
            values, point = await self._page(item.node_id, last_us, to_us, point)
            readings = Readings(historical=True)
            for data in values:
                stamp = data.SourceTimestamp or data.ServerTimestamp
                time_us = (stamp - _EPOCH) // _US if stamp is not None else 0
                if last_us < time_us < to_us:
                    status = data.StatusCode.value if data.StatusCode is not None else 0
                    value = plain(data.Value.Value if data.Value is not None else None, item.path, item.explain)
                    readings.add(item.tag.tag_id, time_us, value, (status >> 16) & 0xFFFF)
                    last_us = time_us
            if len(readings):
                count += len(readings)
                await self._append(readings)
            if not point and (len(values) < _PAGE or not len(readings)):
                return count
        return count

    async def _page(self, node_id: Any, from_us: int, to_us: int, point: Any) -> tuple[list[Any], Any]:
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified, details.ReturnBounds, details.NumValuesPerNode = False, False, _PAGE
        details.StartTime, details.EndTime = _EPOCH + from_us * _US, _EPOCH + to_us * _US
        wanted = ua.HistoryReadValueId()
        wanted.NodeId, wanted.ContinuationPoint = node_id, point
        parameters = ua.HistoryReadParameters()
        parameters.HistoryReadDetails, parameters.TimestampsToReturn = details, ua.TimestampsToReturn.Both
        parameters.ReleaseContinuationPoints = False
        parameters.NodesToRead.append(wanted)
        (result,) = await self._session.service.history_read(parameters)
        result.StatusCode.check()
        return list(getattr(result.HistoryData, "DataValues", None) or []), result.ContinuationPoint

    async def _append(self, readings: Readings) -> None:
        """Hand a page over and wait until it is durable."""
        appended = asyncio.Event()
        self._sink.readings(readings, appended.set)
        await appended.wait()
