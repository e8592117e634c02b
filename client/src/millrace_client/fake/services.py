"""The two services of the fake plant: a handler a method, from request to response. No locks; the plant holds its own around each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from google.protobuf.message import Message

from millrace_client._proto.millrace.v1 import commands_pb2, state_pb2
from millrace_client.calls import Method, commands, state
from millrace_client.errors import InvalidRequestError
from millrace_client.fake import hierarchy, pack
from millrace_client.fake.book import Book, Control, command_id
from millrace_client.fake.registry import Registry
from millrace_client.fake.subscriptions import (
    CommandSubscription,
    EpisodeSubscription,
    Subscription,
    TagSubscription,
)
from millrace_client.results import Anomaly, Command, CommandState

_MAX_RATE_HZ, _DEFAULT_RATE_HZ = 100.0, 4.0
Wake = Callable[[], None]


class Gateway(Protocol):
    """Who carries commands out."""

    def submitted(self, command: Command) -> None:
        """A new command was submitted."""

    def controlled(self, control: Control) -> None:
        """A cancellation or an approval was accepted."""


class Services:
    """Handlers by method. A unary one takes request and caller, a streaming one request and what wakes its reader."""

    def __init__(self, registry: Registry, book: Book, gateway: Gateway, clock: Callable[[], int]) -> None:
        self.episodes: dict[str, Anomaly] = {}
        self._registry = registry
        self._book = book
        self._gateway = gateway
        self._clock = clock
        self.unary: dict[Method, Callable[[Any, str], Message]] = {
            state.LIST_DEVICES: self._list_devices,
            state.GET_DEVICE: self._get_device,
            state.LIST_TAGS: self._list_tags,
            state.GET_TAG: self._get_tag,
            commands.SUBMIT: self._submit,
            commands.GET_COMMAND: self._get_command,
            commands.CANCEL: self._cancel,
            commands.APPROVE: self._approve,
        }
        self.streaming: dict[Method, Callable[[Any, Wake], Subscription]] = {
            state.WATCH_TAGS: self._watch_tags,
            state.WATCH_ANOMALIES: self._watch_anomalies,
            commands.WATCH_COMMAND: self._watch_command,
        }

    # --- state -------------------------------------------------------------------------------------------------------

    def _list_devices(self, request: state_pb2.ListDevicesRequest, _: str) -> Message:
        paths = self._registry.device_paths
        found, token = hierarchy.page(paths, request.prefix, request.page_size, request.page_token)
        devices = pack.messages(replace(self._registry.find_device(path), tags=(), commands=()) for path in found)
        return state_pb2.ListDevicesResponse(devices=devices, next_page_token=token)

    def _get_device(self, request: state_pb2.GetDeviceRequest, _: str) -> Message:
        return pack.message(self._registry.find_device(request.path or request.device_id))

    def _list_tags(self, request: state_pb2.ListTagsRequest, _: str) -> Message:
        found, token = hierarchy.page(self._registry.tag_paths, request.prefix, request.page_size, request.page_token)
        tags = pack.messages(self._registry.find_tag(path) for path in found)
        return state_pb2.ListTagsResponse(tags=tags, next_page_token=token)

    def _get_tag(self, request: state_pb2.GetTagRequest, _: str) -> Message:
        return pack.message(self._registry.find_tag(request.path or request.tag_id))

    def _watch_tags(self, request: state_pb2.WatchTagsRequest, wake: Wake) -> Subscription:
        rate_hz = request.max_rate_hz
        if not math.isfinite(rate_hz) or rate_hz < 0:
            msg = f"max_rate_hz is {rate_hz}, not a number above 0"
            raise InvalidRequestError(msg)
        matches = [hierarchy.under(prefix) for prefix in request.prefixes or ("",)]
        for prefix, wanted in zip(request.prefixes, matches, strict=False):
            if prefix and not any(map(wanted, self._registry.tag_paths)):
                self._registry.find_tag(prefix)  # raises, and says what there is
        stream = TagSubscription(
            wake,
            wanted=lambda path: any(wanted(path) for wanted in matches),
            period_s=1 / (min(rate_hz, _MAX_RATE_HZ) or _DEFAULT_RATE_HZ),
            current=self._registry.update,
        )
        stream.mark(self._registry.with_values())
        return stream

    def _watch_anomalies(self, request: state_pb2.WatchAnomaliesRequest, wake: Wake) -> Subscription:
        wanted = hierarchy.under(request.prefix)
        if request.prefix and not any(map(wanted, self._registry.device_paths)):
            self._registry.find_device(request.prefix)  # raises, and says what there is
        stream = EpisodeSubscription(wake, wanted=wanted)
        for step in sorted(self.episodes.values(), key=lambda step: (step.start_us, step.episode_id)):
            stream.offer(step)
        return stream

    # --- commands ----------------------------------------------------------------------------------------------------

    def _submit(self, request: commands_pb2.SubmitCommandRequest, by: str) -> Message:
        device = self._registry.find_device(request.path or request.device_id)
        command, new = self._book.submit(request, device, by=by, now_us=self._clock())
        if new:
            self._gateway.submitted(command)
        return pack.message(command)

    def _get_command(self, request: commands_pb2.GetCommandRequest, _: str) -> Message:
        return pack.message(self._book.get(command_id(request.command_id)))

    def _watch_command(self, request: commands_pb2.WatchCommandRequest, wake: Wake) -> Subscription:
        return CommandSubscription(wake, self._book.get(command_id(request.command_id)))

    def _cancel(self, request: commands_pb2.ControlCommandRequest, by: str) -> Message:
        command = self._book.get(command_id(request.command_id))
        if command.state is not CommandState.CANCELLED:
            self._book.require_cancellable(command)
            self._gateway.controlled(
                Control(action="CANCEL", command_id=command.command_id, by=by, reason=request.reason)
            )
        return pack.message(command)

    def _approve(self, request: commands_pb2.ControlCommandRequest, by: str) -> Message:
        command = self._book.get(command_id(request.command_id))
        self._book.require_approvable(command, by)
        self._gateway.controlled(Control(action="APPROVE", command_id=command.command_id, by=by, reason=request.reason))
        return pack.message(command)
