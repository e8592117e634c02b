"""Calls of StateService."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import state_pb2
from millrace_client.calls.method import Call, DeviceRef, Method, TagRef, device_of, message, tags_of, texts
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

_SERVICE = "StateService"
LIST_DEVICES = Method(_SERVICE, "ListDevices", state_pb2.ListDevicesRequest, state_pb2.ListDevicesResponse)
GET_DEVICE = Method(_SERVICE, "GetDevice", state_pb2.GetDeviceRequest, state_pb2.Device)
LIST_TAGS = Method(_SERVICE, "ListTags", state_pb2.ListTagsRequest, state_pb2.ListTagsResponse)
GET_TAG = Method(_SERVICE, "GetTag", state_pb2.GetTagRequest, state_pb2.Tag)
BATCH_GET_TAGS = Method(_SERVICE, "BatchGetTags", state_pb2.BatchGetTagsRequest, state_pb2.BatchGetTagsResponse)
LIST_PLANT_NODES = Method(_SERVICE, "ListPlantNodes", state_pb2.ListPlantNodesRequest, state_pb2.ListPlantNodesResponse)
WATCH_TAGS = Method(_SERVICE, "WatchTags", state_pb2.WatchTagsRequest, state_pb2.TagUpdate, streaming=True)
WATCH_TAG_BATCHES = Method(
    _SERVICE, "WatchTagBatches", state_pb2.WatchTagBatchesRequest, state_pb2.TagBatch, streaming=True
)
# Idempotent because the label's id is made here, before the first try.
LABEL_ANOMALY = Method(_SERVICE, "LabelAnomaly", state_pb2.LabelAnomalyRequest, state_pb2.Anomaly)
WITHDRAW_LABEL = Method(_SERVICE, "WithdrawAnomalyLabel", state_pb2.WithdrawAnomalyLabelRequest, state_pb2.Anomaly)
WATCH_ANOMALIES = Method(_SERVICE, "WatchAnomalies", state_pb2.WatchAnomaliesRequest, state_pb2.Anomaly, streaming=True)
WATCH_AGGREGATES = Method(
    _SERVICE, "WatchAggregates", state_pb2.WatchAggregatesRequest, state_pb2.WatchAggregatesResponse, streaming=True
)
METHODS = (
    LIST_DEVICES,
    GET_DEVICE,
    LIST_TAGS,
    GET_TAG,
    BATCH_GET_TAGS,
    LIST_PLANT_NODES,
    WATCH_TAGS,
    WATCH_TAG_BATCHES,
    LABEL_ANOMALY,
    WITHDRAW_LABEL,
    WATCH_ANOMALIES,
    WATCH_AGGREGATES,
)


def list_devices(
    prefix: str,
    page_size: int,
    page_token: str,
    *,
    device_class: str = "",
    text: str = "",
    state: DeviceState | None = None,
) -> Call[Page[Device]]:
    """A page of the devices at or under a path."""
    request = message(
        state_pb2.ListDevicesRequest,
        prefix=prefix,
        page_size=page_size,
        page_token=page_token,
        device_class=device_class,
        text=text,
        state=f"DEVICE_STATE_{state}" if state else None,
    )
    return Call(LIST_DEVICES, request, unpack.page(Device, "devices"))


def get_device(device: DeviceRef) -> Call[Device]:
    """A device with its tags."""
    return Call(GET_DEVICE, message(state_pb2.GetDeviceRequest, **device_of(device)), partial(unpack.result, Device))


def list_tags(
    prefix: str,
    page_size: int,
    page_token: str,
    *,
    quality: Quality | None = None,
    stale: bool | None = None,
    writable: bool | None = None,
    text: str = "",
    device_class: str = "",
) -> Call[Page[Tag]]:
    """A page of the tags at or under a path."""
    request = message(
        state_pb2.ListTagsRequest,
        prefix=prefix,
        page_size=page_size,
        page_token=page_token,
        quality=f"QUALITY_{quality}" if quality else None,
        stale=stale,
        writable=writable,
        text=text,
        device_class=device_class,
    )
    return Call(LIST_TAGS, request, unpack.page(Tag, "tags"))


def get_tag(tag: TagRef) -> Call[Tag]:
    """A tag with its last value."""
    tag = tag.tag_id if isinstance(tag, Tag) else tag
    key = {"path": tag} if isinstance(tag, str) else {"tag_id": tag}
    return Call(GET_TAG, message(state_pb2.GetTagRequest, **key), partial(unpack.result, Tag))


def batch_get_tags(tags: TagRef | Iterable[TagRef]) -> Call[FoundTags]:
    """Several tags in one call."""
    tag_ids, paths = tags_of(tags)
    request = message(state_pb2.BatchGetTagsRequest, tag_ids=tag_ids, paths=paths)
    return Call(BATCH_GET_TAGS, request, partial(unpack.result, FoundTags))


def list_plant_nodes(path: str, depth: int) -> Call[tuple[PlantNode, ...]]:
    """Part of the plant's tree."""
    request = message(state_pb2.ListPlantNodesRequest, path=path, depth=depth)
    return Call(LIST_PLANT_NODES, request, unpack.results(PlantNode, "nodes"))


def watch_tags(paths: str | Iterable[str], max_rate_hz: float) -> Call[TagUpdate]:
    """Values of the tags at or under paths; one path may come as it is."""
    request = message(state_pb2.WatchTagsRequest, prefixes=texts(paths), max_rate_hz=max_rate_hz)
    return Call(WATCH_TAGS, request, unpack.update)


def watch_tag_batches(
    paths: str | Iterable[str], min_interval_ms: int, *, resume_position: str, heartbeat_ms: int, omit_paths: bool
) -> Call[TagBatch]:
    """As `watch_tags`, many updates in a message."""
    request = message(
        state_pb2.WatchTagBatchesRequest,
        prefixes=texts(paths),
        min_interval_ms=min_interval_ms,
        resume_position=resume_position,
        heartbeat_ms=heartbeat_ms,
        omit_paths=omit_paths,
    )
    return Call(WATCH_TAG_BATCHES, request, unpack.batch)


def watch_anomalies(prefix: str) -> Call[Anomaly]:
    """Anomaly episodes of the devices at or under a path."""
    request = message(state_pb2.WatchAnomaliesRequest, prefix=prefix)
    return Call(WATCH_ANOMALIES, request, partial(unpack.result, Anomaly))


def label_anomaly(episode: str | Anomaly, verdict: AnomalyVerdict, reason: str, label_id: UUID) -> Call[Anomaly]:
    """Say what an episode was."""
    request = message(
        state_pb2.LabelAnomalyRequest,
        episode_id=episode.episode_id if isinstance(episode, Anomaly) else episode,
        verdict=f"ANOMALY_VERDICT_{verdict}",
        reason=reason,
        label_id=str(label_id),
    )
    return Call(LABEL_ANOMALY, request, partial(unpack.result, Anomaly))


def withdraw_label(label: UUID | str | AnomalyLabel, reason: str) -> Call[Anomaly]:
    """Take a label back."""
    label_id = label.label_id if isinstance(label, AnomalyLabel) else label
    request = message(state_pb2.WithdrawAnomalyLabelRequest, label_id=str(label_id), reason=reason)
    return Call(WITHDRAW_LABEL, request, partial(unpack.result, Anomaly))


def watch_aggregates(paths: str | Iterable[str], window_s: int) -> Call[tuple[Aggregate, ...]]:
    """Windows of the tags at or under paths as they close."""
    request = message(state_pb2.WatchAggregatesRequest, prefixes=texts(paths), window_s=window_s)
    return Call(WATCH_AGGREGATES, request, unpack.results(Aggregate, "aggregates"))
