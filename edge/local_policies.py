"""Policies between the parts of a gateway: samples in, events and commands of rules out.

Who calls: `edge.gateway` and, with samples, `edge.pipeline`; in the event loop. A rule's write goes the way of every command: journal,
interlocks, one at a time per device, read-back, acknowledgement. An error in here costs the samples nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base.ids import Clock, uuid7
from connectors.readings import Notice, Write
from edge import policy_file
from edge.policies import Fired, Policies
from edge.policy_file import PolicyFile
from schemas.commands import CommandRequest
from schemas.definitions import TagDefinition
from schemas.events import EventKind
from stages.thinning.deadband import Batch

log = logging.getLogger(__name__)

_EXPIRES_US = 10_000_000


class LocalPolicies:
    """Policies of one gateway. `submit` takes a command over, `notice` an event."""

    def __init__(
        self,
        *,
        gateway_id: str,
        site: str,
        clock: Clock,
        notice: Callable[[Notice], None],
        submit: Callable[[CommandRequest], Coroutine[Any, Any, None]],
    ) -> None:
        self._gateway_id, self._site, self._clock = gateway_id, site, clock
        self._notice, self._submit = notice, submit
        self._policies = Policies(clock=clock, say=self._say)
        self._submitting: set[asyncio.Task[None]] = set()

    @staticmethod
    def read(path: Path | None) -> PolicyFile:
        """The policies of a file, none without one; raises ConfigError."""
        return PolicyFile() if path is None else policy_file.load(path)

    def use(self, file: PolicyFile) -> None:
        """Go over to other policies."""
        self._policies.use(file)

    def update(self, tags: Sequence[TagDefinition]) -> None:
        """Take over the registry's tags."""
        self._policies.update(tags)

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return self._policies.status()

    def refusal(self, request: CommandRequest, writes: Sequence[Write]) -> str:
        """Why a command must not be carried out now."""
        return self._policies.refusal(request, {write.tag.name: write.value for write in writes})

    def on_samples(self, tag_id: NDArray[np.int32], batch: Batch) -> None:
        """What machines said."""
        if self._policies.wanted:
            try:
                columns = (tag_id.tolist(), batch.time_us.tolist(), batch.value.tolist(), batch.quality.tolist())
                self._act(self._policies.observe(*columns))
            except Exception:
                log.exception("policies failed")

    def tick(self) -> None:
        """Time has passed."""
        try:
            self._act(self._policies.tick())
        except Exception:
            log.exception("policies failed")

    def _act(self, fired: Iterable[Fired]) -> None:
        for one in fired:
            attributes = {"policy": one.rule.name, "when": one.rule.when}
            text = one.rule.event or "its condition has become true"
            if one.held_back:
                attributes["held_back"] = one.held_back
                text = f"{text}; nothing is written: {one.held_back}"
            if one.write:
                request = self._request(one)
                attributes["command_id"] = str(request.command_id)
                task = asyncio.create_task(self._submit(request))
                self._submitting.add(task)
                task.add_done_callback(self._submitted)
            self._say(one.device_id, f"rule {one.rule.name}: {text}", attributes)

    def _request(self, fired: Fired) -> CommandRequest:
        now_us = self._clock()
        return CommandRequest(
            command_id=uuid7(now_us),
            device_id=fired.device_id,
            gateway_id=self._gateway_id,
            site=self._site,
            name="write",
            parameters=dict(fired.write),
            submitted_by=f"policy:{fired.rule.name}",
            submitted_us=now_us,
            expires_us=now_us + _EXPIRES_US,
        )

    def _submitted(self, task: asyncio.Task[None]) -> None:
        self._submitting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the command of a rule cannot be recorded", exc_info=error)

    def _say(self, device_id: int, text: str, attributes: Mapping[str, str]) -> None:
        self._notice(
            Notice(kind=EventKind.STATE, device_id=device_id, time_us=self._clock(), text=text, attributes=attributes)
        )
