"""A stream to the ingestion service that is opened again after each end, with growing pauses. Who calls: sender and follower."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from base.errors import UnavailableError
from connectors.pauses import Pauses

log = logging.getLogger(__name__)

Asked = TypeVar("Asked", bound=Message)
Answered = TypeVar("Answered", bound=Message)
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.2, 5.0


class Link:
    """One stream after the other. `problem` is why there is none that answers; empty while there is."""

    def __init__(self) -> None:
        self.problem = "not yet connected"
        self._answered = False

    def answered(self) -> None:
        """The stream that is open has said something."""
        self._answered, self.problem = True, ""

    async def keep(
        self,
        stream: Callable[[], Awaitable[None]],
        waiting: str,
        about: Mapping[str, str],
        lasting: Collection[grpc.StatusCode] = (),
    ) -> None:
        """Run streams for ever; `waiting` is said, with what it is `about`, of each new cause of an end.

        Raises UnavailableError for the statuses that are `lasting`: waiting does not help against these.
        """
        pauses = Pauses(_MIN_PAUSE_S, _MAX_PAUSE_S)
        while True:
            self._answered = False
            try:
                await stream()
                problem = "the ingestion service ended the stream"
            except grpc.aio.AioRpcError as error:
                problem = f"the ingestion service: {error.details()} ({error.code().name})"
                if error.code() in lasting:
                    self.problem = problem
                    raise UnavailableError(problem) from error
            except UnavailableError as error:
                problem = str(error)
            if problem != self.problem:
                log.warning(waiting, extra={**about, "cause": problem})
            self.problem = problem
            await pauses.sleep(connected=self._answered)


def opened(
    channel: grpc.aio.Channel, method: str, request: type[Asked], response: type[Answered]
) -> grpc.aio.StreamStreamCall[Asked, Answered]:
    """A call whose requests are written one by one."""
    call: Any = channel.stream_stream(
        method,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    # Without an iterator of requests, which the stubs do not know.
    made: grpc.aio.StreamStreamCall[Asked, Answered] = call()
    return made
