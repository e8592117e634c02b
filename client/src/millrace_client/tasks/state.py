"""Methods of StateService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial
from uuid import UUID

from millrace_client import course
from millrace_client.calls import PAGE, DeviceRef, TagRef
from millrace_client.calls import state as calls
from millrace_client.ids import uuid7
from millrace_client.results import (
    Aggregate,
    Anomaly,
    AnomalyLabel,
    AnomalyVerdict,
    Device,
    DeviceState,
    FoundTags,
    Page,
    PlantNode,
    Quality,
    Tag,
    TagBatch,
    TagUpdate,
)
from millrace_client.tasks.carrier import Carrier
from millrace_client.tasks.stream import AsyncStream


class StateMethods(Carrier):
    """Devices, tags, values and anomalies as they are."""

    def devices(
        self, prefix: str = "", *, device_class: str = "", text: str = "", state: DeviceState | None = None
    ) -> AsyncIterator[Device]:
        """As `Client.devices`."""
        return self._pages(partial(self.devices_page, prefix, device_class=device_class, text=text, state=state))

    async def devices_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        device_class: str = "",
        text: str = "",
        state: DeviceState | None = None,
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> Page[Device]:
        """As `Client.devices_page`."""
        call = calls.list_devices(prefix, page_size, page_token, device_class=device_class, text=text, state=state)
        return await self._unary(call, deadline_s)

    def tags(
        self,
        prefix: str = "",
        *,
        quality: Quality | None = None,
        stale: bool | None = None,
        writable: bool | None = None,
        text: str = "",
        device_class: str = "",
    ) -> AsyncIterator[Tag]:
        """As `Client.tags`."""
        page = partial(
            self.tags_page,
            prefix,
            quality=quality,
            stale=stale,
            writable=writable,
            text=text,
            device_class=device_class,
        )
        return self._pages(page)

    async def tags_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        quality: Quality | None = None,
        stale: bool | None = None,
        writable: bool | None = None,
        text: str = "",
        device_class: str = "",
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> Page[Tag]:
        """As `Client.tags_page`."""
        call = calls.list_tags(
            prefix,
            page_size,
            page_token,
            quality=quality,
            stale=stale,
            writable=writable,
            text=text,
            device_class=device_class,
        )
        return await self._unary(call, deadline_s)

    async def device(self, device: DeviceRef, *, deadline_s: float | None = None) -> Device:
        """As `Client.device`."""
        return await self._unary(calls.get_device(device), deadline_s)

    async def tag(self, tag: TagRef, *, deadline_s: float | None = None) -> Tag:
        """As `Client.tag`."""
        return await self._unary(calls.get_tag(tag), deadline_s)

    async def find_tags(self, tags: TagRef | Iterable[TagRef], *, deadline_s: float | None = None) -> FoundTags:
        """As `Client.find_tags`."""
        return await self._unary(calls.batch_get_tags(tags), deadline_s)

    async def plant_nodes(
        self, path: str = "", depth: int = 1, *, deadline_s: float | None = None
    ) -> tuple[PlantNode, ...]:
        """As `Client.plant_nodes`."""
        return await self._unary(calls.list_plant_nodes(path, depth), deadline_s)

    def watch(
        self, paths: str | Iterable[str] = (), *, max_rate_hz: float = 0.0, deadline_s: float | None = None
    ) -> AsyncStream[TagUpdate]:
        """As `Client.watch`."""
        return self._stream(course.updates(paths, max_rate_hz), deadline_s)

    def watch_batches(
        self,
        paths: str | Iterable[str] = (),
        *,
        min_interval_ms: int = 0,
        resume_position: str = "",
        heartbeat_ms: int = 0,
        omit_paths: bool = False,
        deadline_s: float | None = None,
    ) -> AsyncStream[TagBatch]:
        """As `Client.watch_batches`."""
        batches = course.Batches(
            paths,
            min_interval_ms=min_interval_ms,
            resume_position=resume_position,
            heartbeat_ms=heartbeat_ms,
            omit_paths=omit_paths,
        )
        return self._stream(batches, deadline_s)

    def watch_aggregates(
        self, paths: str | Iterable[str] = (), *, window_s: int = 0, deadline_s: float | None = None
    ) -> AsyncStream[Aggregate]:
        """As `Client.watch_aggregates`."""
        windows = course.Repeated(calls.watch_aggregates(paths, window_s))
        return self._stream(course.Flat(windows, tuple), deadline_s)

    def anomalies(self, prefix: str = "", *, deadline_s: float | None = None) -> AsyncStream[Anomaly]:
        """As `Client.anomalies`."""
        return self._stream(course.Repeated(calls.watch_anomalies(prefix)), deadline_s)

    async def label_anomaly(
        self,
        episode: str | Anomaly,
        verdict: AnomalyVerdict,
        reason: str,
        *,
        label_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> Anomaly:
        """As `Client.label_anomaly`."""
        return await self._unary(calls.label_anomaly(episode, verdict, reason, label_id or uuid7()), deadline_s)

    async def withdraw_anomaly_label(
        self, label: UUID | str | AnomalyLabel, reason: str = "", *, deadline_s: float | None = None
    ) -> Anomaly:
        """As `Client.withdraw_anomaly_label`."""
        return await self._unary(calls.withdraw_label(label, reason), deadline_s)
