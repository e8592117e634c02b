"""The service put together: gRPC over mutual TLS in front, Kafka behind, health and metrics beside.

Stop (SIGTERM): no stream is taken, streams end once what was taken from them is durable and said to be, for at most `drain_s`. A producer
that has failed for good ends the process: its supervisor starts it anew, and gateways send again what has no answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import grpc
from confluent_kafka.admin import AdminClient

from base import endpoint, server_tls
from base.endpoint import Answer
from base.errors import ConfigError, MillraceError, UnavailableError
from connectors.ingestion.ingestion_pb2 import AppendRequest, AppendResponse, FollowRequest, FollowResponse
from connectors.ingestion.wire import SERVER_OPTIONS, SERVICE
from connectors.kafka import acls
from connectors.kafka.client import AsyncProducer
from ingestion.append import Append
from ingestion.budget import Budget
from ingestion.follow import Follow
from ingestion.metrics import Metrics
from ingestion.rights import IDLE_PERIOD_S, Rights
from ingestion.settings import ServiceSettings
from ingestion.streams import Stream, Streams, status_of

log = logging.getLogger(__name__)

_DELIVERY_MS = 60_000
_LINGER_MS = 2
_SILENT_S = 3 * IDLE_PERIOD_S
Context = grpc.aio.ServicerContext[Any, Any]


class Service:
    """One process's service. `port` is known once it runs."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._registry = endpoint.new_registry()
        self._metrics = Metrics(self._registry)
        self._fatal = asyncio.Event()
        self._budget = Budget(each=settings.limits.gateway_bytes, total=settings.limits.total_bytes)
        self._streams = Streams(settings.limits, self._metrics)
        admin = AdminClient({**settings.kafka.client_config(), "log_level": 3})
        self._rights = Rights(
            lambda: acls.granted(acls.read(admin)),
            changed=lambda: self._streams.look(self._rights),
            needed=lambda: len(self._streams) > 0,
        )
        self._producer = AsyncProducer(
            settings.kafka,
            linger_ms=_LINGER_MS,
            # A gateway sends again for ever; what its producer here could not deliver for so long makes room.
            delivery_timeout_ms=_DELIVERY_MS,
            queue_buffering_max_kbytes=2 * settings.limits.total_bytes >> 10,
        )
        self._append = Append(self._producer, self._rights, self._budget, self._metrics, self._fatal)
        self._follow = Follow(settings.kafka, self._rights, self._metrics)
        self._metrics.in_flight.set_function(lambda: self._budget.taken)
        self._metrics.rights_age.set_function(lambda: self._rights.age_s)
        self.port = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`; raises ConfigError when it cannot, UnavailableError when the producer has failed for good."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((_handlers(self._call),))
        credentials = server_tls.grpc_credentials(self._settings.tls)
        try:
            self.port = server.add_secure_port(self._settings.listen, credentials)
        except RuntimeError as error:
            msg = f"listen {self._settings.listen} cannot be had: {error}; is another server running there?"
            raise ConfigError(msg) from error
        loop, metrics = asyncio.get_running_loop(), self._settings.metrics
        pages = {
            "/health": partial(endpoint.from_loop, loop, self._health),
            "/status": partial(endpoint.from_loop, loop, self._status),
        }
        listening = endpoint.serve(metrics.host, metrics.port, self._registry, pages) if metrics.port else None
        reading = asyncio.create_task(self._rights.run())
        await server.start()
        log.info("listening", extra={"address": self._settings.listen, "port": self.port})
        stopping, failed = asyncio.create_task(stop.wait()), asyncio.create_task(self._fatal.wait())
        try:
            await asyncio.wait({stopping, failed, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            for task in (stopping, failed):
                task.cancel()
            self._streams.end_all()
            await server.stop(self._settings.drain_s + 1.0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            left = await self._producer.close(timeout_s=self._settings.drain_s)
            if listening is not None:
                await asyncio.to_thread(listening.close)
            log.info("stopped", extra={"unconfirmed": left})
        if self._fatal.is_set():
            msg = "the producer has failed for good"
            raise UnavailableError(msg)

    async def _call(self, kind: str, context: Context) -> None:
        """One stream, its end as a status."""
        try:
            with self._streams.opened(kind, context) as stream:
                await self._rights.fresh(stream.principal)
                await self._serve(kind, stream, context)
        except MillraceError as error:
            status = status_of(error)
            self._metrics.refused_streams.labels(status.name).inc()
            log.info("a stream ends", extra={"kind": kind, "status": status.name, "cause": str(error)})
            await context.abort(status, str(error))

    async def _serve(self, kind: str, stream: Stream, context: Context) -> None:
        if kind == "append":
            await self._append.serve(stream, context, self._settings.drain_s)
        else:
            await self._follow.serve(stream, context)

    async def _health(self) -> Answer:
        problems = []
        if self._rights.age_s > _SILENT_S:
            problems.append(f"Kafka does not say what gateways may do: {self._rights.problem}")
        code = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return Answer({"healthy": not problems, "problems": problems}, code)

    async def _status(self) -> Answer:
        return Answer(
            {
                "gateways": self._streams.gateways(),
                "streams": len(self._streams),
                "in_flight_bytes": self._budget.taken,
                "rights_age_s": round(self._rights.age_s, 1),
            }
        )


def _handlers(call: Callable[[str, Context], Awaitable[None]]) -> grpc.GenericRpcHandler[Any, Any]:
    async def append(_requests: object, context: Context) -> None:
        await call("append", context)

    async def follow(_requests: object, context: Context) -> None:
        await call("follow", context)

    methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Append": grpc.stream_stream_rpc_method_handler(
            append,
            request_deserializer=AppendRequest.FromString,
            response_serializer=AppendResponse.SerializeToString,
        ),
        "Follow": grpc.stream_stream_rpc_method_handler(
            follow,
            request_deserializer=FollowRequest.FromString,
            response_serializer=FollowResponse.SerializeToString,
        ),
    }
    return grpc.method_handlers_generic_handler(SERVICE, dict(methods))
