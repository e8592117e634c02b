"""Methods of StateService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from millrace_client.threads.carrier import Carrier
from millrace_client.threads.stream import Stream


class StateMethods(Carrier):
    """Devices, tags, values and anomalies as they are."""

    def devices(
        self, prefix: str = "", *, device_class: str = "", text: str = "", state: DeviceState | None = None
    ) -> Iterator[Device]:
        """Devices at or under a path, by path, without their tags. A trailing * stands for the rest of the path.

        Only those of a class, with a `text` in path, class or gateway (in any case), or in a state, where given.
        """
        return self._pages(partial(self.devices_page, prefix, device_class=device_class, text=text, state=state))

    def devices_page(
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
        """A page of `devices`; at most 1,000 of them."""
        call = calls.list_devices(prefix, page_size, page_token, device_class=device_class, text=text, state=state)
        return self._unary(call, deadline_s)

    def tags(
        self,
        prefix: str = "",
        *,
        quality: Quality | None = None,
        stale: bool | None = None,
        writable: bool | None = None,
        text: str = "",
        device_class: str = "",
    ) -> Iterator[Tag]:
        """Tags at or under a path with their last values, by path.

        Only those whose last value has a quality, that are stale or writable (or not), have a `text` in path or description (in any case),
        or are of devices of a class, where given.
        """
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

    def tags_page(
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
        """A page of `tags`; at most 1,000 of them."""
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
        return self._unary(call, deadline_s)

    def device(self, device: DeviceRef, *, deadline_s: float | None = None) -> Device:
        """A device by id or path, with its tags, their last values and the commands that it takes. Raises NotFoundError."""
        return self._unary(calls.get_device(device), deadline_s)

    def tag(self, tag: TagRef, *, deadline_s: float | None = None) -> Tag:
        """A tag by id or path, with its last value. Raises NotFoundError."""
        return self._unary(calls.get_tag(tag), deadline_s)

    def find_tags(self, tags: TagRef | Iterable[TagRef], *, deadline_s: float | None = None) -> FoundTags:
        """Up to 1,000 tags by ids and paths in one call; what does not exist is named, the rest is answered."""
        return self._unary(calls.batch_get_tags(tags), deadline_s)

    def plant_nodes(self, path: str = "", depth: int = 1, *, deadline_s: float | None = None) -> tuple[PlantNode, ...]:
        """The plant's tree from a path on, so many levels down (at most 6), with what is wrong below each node; parents first."""
        return self._unary(calls.list_plant_nodes(path, depth), deadline_s)

    def watch(
        self, paths: str | Iterable[str] = (), *, max_rate_hz: float = 0.0, deadline_s: float | None = None
    ) -> Stream[TagUpdate]:
        """Last values of the tags at or under paths (none: all), then their changes, at most `max_rate_hz` a tag (0: the server's 4).

        A reader that is slow gets the newest value of each tag, not every value. Updates travel in batches, where the server has them.
        """
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
    ) -> Stream[TagBatch]:
        """As `watch`, in batches: with the end of the snapshot, heartbeats, the server's clock, and positions to go on from.

        `min_interval_ms`: between batches (0: the server's 250). `heartbeat_ms`: an empty batch after so long a silence (0: 10,000).
        `omit_paths`: paths come in the snapshot only. A stream that broke goes on behind its last batch by itself; `resume_position` does
        so for a new one. A server without batches is watched update by update.
        """
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
    ) -> Stream[Aggregate]:
        """Windows of the tags at or under paths as the stream closes them (`window_s`: of this length only).

        A window that late samples change comes again.
        """
        windows = course.Repeated(calls.watch_aggregates(paths, window_s))
        return self._stream(course.Flat(windows, tuple), deadline_s)

    def anomalies(self, prefix: str = "", *, deadline_s: float | None = None) -> Stream[Anomaly]:
        """Anomaly episodes of the devices at or under a path: those open now, then every step."""
        return self._stream(course.Repeated(calls.watch_anomalies(prefix)), deadline_s)

    def label_anomaly(
        self,
        episode: str | Anomaly,
        verdict: AnomalyVerdict,
        reason: str,
        *,
        label_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> Anomaly:
        """Say what an episode was, and why: for the same again, detection asks for more, or for less. `label_id`: for a try again.

        Raises PreconditionError while another label of it stands.
        """
        return self._unary(calls.label_anomaly(episode, verdict, reason, label_id or uuid7()), deadline_s)

    def withdraw_anomaly_label(
        self, label: UUID | str | AnomalyLabel, reason: str = "", *, deadline_s: float | None = None
    ) -> Anomaly:
        """Take a label back, and what follows from it; again changes nothing."""
        return self._unary(calls.withdraw_label(label, reason), deadline_s)
