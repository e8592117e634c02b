"""StateService of the fake plant: a handler a method. No locks; the plant holds its own around each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import state_pb2
from millrace_client.calls import Method
from millrace_client.calls import state as calls
from millrace_client.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
)
from millrace_client.fake import hierarchy, pack, rules, tree
from millrace_client.fake.log import Log
from millrace_client.fake.registry import Registry
from millrace_client.fake.subscriptions import EpisodeSubscription, Subscription, WindowSubscription
from millrace_client.fake.tag_subscriptions import BatchSubscription, UpdateSubscription
from millrace_client.ids import uuid7
from millrace_client.results import Anomaly, AnomalyLabel, AnomalyVerdict, Device, DeviceState, FoundTags, Quality, Tag

_MAX_RATE_HZ, _DEFAULT_RATE_HZ = 100.0, 4.0
_MIN_INTERVAL_MS, _DEFAULT_INTERVAL_MS = 10, 250
_MIN_HEARTBEAT_MS, _DEFAULT_HEARTBEAT_MS = 1_000, 10_000
_MAX_NAMED = 1000
_MAX_DEPTH = 6
_DEVICE_STATES = {number: state for state in DeviceState for number in [unpack.number(state)] if number}
_QUALITIES = {number: quality for quality in Quality for number in [unpack.number(quality)] if number}
_VERDICTS = {number: verdict for verdict in AnomalyVerdict for number in [unpack.number(verdict)] if number}
Wake = Callable[[], None]


class StateService:
    """Handlers by method. A unary one takes request and caller, a streaming one request and what wakes its reader."""

    def __init__(
        self, registry: Registry, log: Log, clock: Callable[[], int], publish: Callable[[Anomaly], None]
    ) -> None:
        self._publish = publish
        self._registry = registry
        self._log = log
        self._clock = clock
        self.unary: dict[Method, Callable[[Any, str], Message]] = {
            calls.LIST_DEVICES: self._list_devices,
            calls.GET_DEVICE: self._get_device,
            calls.LIST_TAGS: self._list_tags,
            calls.GET_TAG: self._get_tag,
            calls.BATCH_GET_TAGS: self._batch_get_tags,
            calls.LIST_PLANT_NODES: self._list_plant_nodes,
            calls.LABEL_ANOMALY: self._label_anomaly,
            calls.WITHDRAW_LABEL: self._withdraw_label,
        }
        self.streaming: dict[Method, Callable[[Any, Wake], Subscription]] = {
            calls.WATCH_TAGS: self._watch_tags,
            calls.WATCH_TAG_BATCHES: self._watch_tag_batches,
            calls.WATCH_ANOMALIES: self._watch_anomalies,
            calls.WATCH_AGGREGATES: self._watch_aggregates,
        }

    # --- devices and tags --------------------------------------------------------------------------------------------

    def _list_devices(self, request: state_pb2.ListDevicesRequest, _: str) -> Message:
        text, state = request.text.casefold(), _DEVICE_STATES.get(request.state)

        def fits(device: Device) -> bool:
            words = f"{device.path}\n{device.device_class}\n{device.gateway_id}".casefold()
            of_class = request.device_class in {"", device.device_class}
            return of_class and text in words and state in {None, device.state}

        devices = {device.path: self._device(device) for device in self._registry.devices}
        paths = [path for path, device in devices.items() if fits(device)]
        found, token = hierarchy.page(paths, request.prefix, request.page_size, request.page_token)
        listed = pack.messages(replace(devices[path], tags=(), commands=()) for path in found)
        return state_pb2.ListDevicesResponse(devices=listed, next_page_token=token)

    def _get_device(self, request: state_pb2.GetDeviceRequest, _: str) -> Message:
        device = self._device(self._registry.find_device(request.path or request.device_id))
        return pack.message(replace(device, commands=rules.descriptions(device.tags)))

    def _list_tags(self, request: state_pb2.ListTagsRequest, _: str) -> Message:
        text, quality = request.text.casefold(), _QUALITIES.get(request.quality)
        classes = {device.device_id: device.device_class for device in self._registry.devices}

        def fits(tag: Tag) -> bool:
            return (
                (quality is None or (tag.last is not None and tag.last.quality is quality))
                and (not request.HasField("stale") or tag.stale is request.stale)
                and (not request.HasField("writable") or tag.writable is request.writable)
                and text in f"{tag.path}\n{tag.description}".casefold()
                and request.device_class in {"", classes[tag.device_id]}
            )

        tags = {path: self._registry.find_tag(path) for path in self._registry.tag_paths}
        paths = [path for path, tag in tags.items() if fits(tag)]
        found, token = hierarchy.page(paths, request.prefix, request.page_size, request.page_token)
        return state_pb2.ListTagsResponse(tags=pack.messages(tags[path] for path in found), next_page_token=token)

    def _get_tag(self, request: state_pb2.GetTagRequest, _: str) -> Message:
        return pack.message(self._registry.find_tag(request.path or request.tag_id))

    def _batch_get_tags(self, request: state_pb2.BatchGetTagsRequest, _: str) -> Message:
        names: list[int | str] = [*request.tag_ids, *request.paths]
        if len(names) > _MAX_NAMED:
            msg = f"{len(names)} tags are asked for, more than {_MAX_NAMED}"
            raise InvalidRequestError(msg)
        found, unknown = [], []
        for name in names:
            try:
                found.append(self._registry.find_tag(name))
            except NotFoundError:
                unknown.append(name)
        answer = FoundTags(
            tags=tuple(found),
            unknown_tag_ids=tuple(name for name in unknown if isinstance(name, int)),
            unknown_paths=tuple(name for name in unknown if isinstance(name, str)),
        )
        return pack.message(answer)

    def _list_plant_nodes(self, request: state_pb2.ListPlantNodesRequest, _: str) -> Message:
        if not 0 <= request.depth <= _MAX_DEPTH:
            msg = f"depth is {request.depth}, not between 0 and {_MAX_DEPTH}"
            raise InvalidRequestError(msg)
        path = request.path.rstrip("/")
        devices = [self._device(self._registry.find_device(device.path)) for device in self._registry.devices]
        nodes = tree.nodes(devices, path, request.depth or 1)
        if path and not nodes:
            raise NotFoundError(hierarchy.unknown("node", path, self._registry.tag_paths))
        return state_pb2.ListPlantNodesResponse(nodes=pack.messages(nodes))

    def _device(self, device: Device) -> Device:
        """A device with what is known of its anomalies."""
        steps = [step for step in self._log.open_episodes if step.device_id == device.device_id]
        return replace(device, open_anomalies=len(steps))

    # --- labels ------------------------------------------------------------------------------------------------------

    def _label_anomaly(self, request: state_pb2.LabelAnomalyRequest, caller: str) -> Message:
        if not request.verdict:
            msg = "verdict is not given; say NOT_A_FAULT or FAULT"
            raise InvalidRequestError(msg)
        reason = request.reason.strip()
        if not reason:
            msg = f"{caller} may not label: say why"
            raise PermissionDeniedError(msg)
        found = self._episode(lambda step: step.episode_id == request.episode_id, f"episode {request.episode_id}")
        label_id, verdict = UUID(request.label_id) if request.label_id else uuid7(), _VERDICTS[request.verdict]
        for one in self._log.episodes:
            for label in one.labels:
                if label.label_id == label_id:
                    if (one.episode_id, label.verdict) == (found.episode_id, verdict):
                        return pack.message(one)
                    msg = f"label {label_id} is {label.verdict} of episode {one.episode_id}"
                    raise ConflictError(msg)
        if found.label is not None:
            msg = f"{found.label.by} said {found.label.verdict} of this episode; withdraw label {found.label.label_id} first"
            raise PreconditionError(msg)
        label = AnomalyLabel(label_id=label_id, verdict=verdict, by=caller, time_us=self._clock(), reason=reason)
        return self._labelled(replace(found, labels=(*found.labels, label)))

    def _withdraw_label(self, request: state_pb2.WithdrawAnomalyLabelRequest, caller: str) -> Message:
        def has(step: Anomaly) -> bool:
            return any(str(one.label_id) == request.label_id for one in step.labels)

        def withdrawn(label: AnomalyLabel) -> AnomalyLabel:
            if str(label.label_id) != request.label_id or label.withdrawn_us is not None:
                return label
            return replace(
                label, withdrawn_us=self._clock(), withdrawn_by=caller, withdrawn_reason=request.reason.strip()
            )

        found = self._episode(has, f"label {request.label_id}")
        return self._labelled(replace(found, labels=tuple(map(withdrawn, found.labels))))

    def _episode(self, wanted: Callable[[Anomaly], bool], name: str) -> Anomaly:
        found = next(filter(wanted, self._log.episodes), None)
        if found is None:
            msg = f"no {name}"
            raise NotFoundError(msg)
        return found

    def _labelled(self, step: Anomaly) -> Message:
        self._publish(step)
        return pack.message(step)

    # --- watches -----------------------------------------------------------------------------------------------------

    def _watch_tags(self, request: state_pb2.WatchTagsRequest, wake: Wake) -> Subscription:
        rate_hz = request.max_rate_hz
        if not math.isfinite(rate_hz) or rate_hz < 0:
            msg = f"max_rate_hz is {rate_hz}, not a number above 0"
            raise InvalidRequestError(msg)
        stream = UpdateSubscription(
            wake,
            wanted=self._selected(request.prefixes),
            period_s=1 / (min(rate_hz, _MAX_RATE_HZ) or _DEFAULT_RATE_HZ),
            current=self._registry.update,
        )
        stream.mark(self._registry.changed_since(0))
        return stream

    def _watch_tag_batches(self, request: state_pb2.WatchTagBatchesRequest, wake: Wake) -> Subscription:
        for name, value, least in (
            ("min_interval_ms", request.min_interval_ms, _MIN_INTERVAL_MS),
            ("heartbeat_ms", request.heartbeat_ms, _MIN_HEARTBEAT_MS),
        ):
            if value and value < least:
                msg = f"{name} is {value}, less than {least}"
                raise InvalidRequestError(msg)
        since = self._registry.revision_of(request.resume_position)
        stream = BatchSubscription(
            wake,
            wanted=self._selected(request.prefixes),
            current=self._registry.update,
            period_s=(request.min_interval_ms or _DEFAULT_INTERVAL_MS) / 1000,
            heartbeat_s=(request.heartbeat_ms or _DEFAULT_HEARTBEAT_MS) / 1000,
            omit_paths=request.omit_paths,
            notice="" if since is None else "resumed",
            position=lambda: self._registry.position,
            clock=self._clock,
        )
        stream.mark(self._registry.changed_since(since or 0))
        return stream

    def _watch_anomalies(self, request: state_pb2.WatchAnomaliesRequest, wake: Wake) -> Subscription:
        wanted = hierarchy.under(request.prefix)
        if request.prefix and not any(map(wanted, self._registry.device_paths)):
            self._registry.find_device(request.prefix)  # raises, and says what there is
        stream = EpisodeSubscription(
            wake, wanted=lambda step: wanted(step.device_path), key=lambda step: step.episode_id
        )
        for step in self._log.open_episodes:
            stream.offer(step)
        return stream

    def _watch_aggregates(self, request: state_pb2.WatchAggregatesRequest, wake: Wake) -> Subscription:
        wanted = self._selected(request.prefixes)
        return WindowSubscription(
            wake,
            wanted=lambda window: (
                request.window_s in {0, window.window_s} and wanted(self._registry.find_tag(window.tag_id).path)
            ),
            clock=self._clock,
        )

    def _selected(self, prefixes: Iterable[str]) -> Callable[[str], bool]:
        """Whether a path is at or under one of some. Raises NotFoundError for one with nothing there."""
        named = list(prefixes)
        matches = [hierarchy.under(prefix) for prefix in named or ("",)]
        for prefix, wanted in zip(named, matches, strict=False):
            if prefix and not any(map(wanted, self._registry.tag_paths)):
                self._registry.find_tag(prefix)  # raises, and says what there is
        return lambda path: any(wanted(path) for wanted in matches)
