"""The HTTP face of a server: built beside the gRPC face on the same services and the same gate, started and drained with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from serving.caches.plant import Plant
from serving.caches.values import LastValues
from serving.config import ServingConfig
from serving.gate import Gate
from serving.http import people, push
from serving.http.app import App
from serving.http.caching import Caching
from serving.http.calls import Services
from serving.http.face import Endpoint, Face
from serving.http.i3x import endpoints as i3x
from serving.http.listener import Listener
from serving.http.security import Origins
from serving.oidc.code_flow import CodeFlow
from serving.record_log import RecordLog
from serving.sessions import Sessions
from serving.sign_outs import SignOuts

log = logging.getLogger(__name__)


class HttpServer:
    """Made by `http_server`. `port` is known once it has started."""

    def __init__(self, config: ServingConfig, face: Face, more: Mapping[str, dict[str, Endpoint]]) -> None:
        self._config, self._face = config, face
        settings = config.http
        app = App(face, more, Path(settings.page) if settings.page else None)
        self.addresses = app.addresses
        self._listener = Listener(app, settings, config.tls, drain_s=config.drain_s)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.port

    def bind(self) -> None:
        """Take the address. Raises ConfigError when it cannot be had."""
        settings, tls = self._config.http, self._config.tls.enabled
        self._listener.bind()
        self._face.origins = Origins(settings.origins, listen=settings.listen, port=self.port, tls=tls)

    async def start(self) -> None:
        """Answer requests."""
        settings = self._config.http
        await self._listener.start()
        log.info("HTTP listens", extra={"address": settings.listen, "port": self.port, "page": settings.page})

    async def stop(self) -> None:
        """Drain: not ready any more, streams have been ended, answers under way finish."""
        self._face.stopping.set()
        await self._listener.stop()


def http_server(
    config: ServingConfig,
    servicers: Mapping[str, object],
    gate: Gate,
    sessions: Sessions,
    sign_outs: SignOuts,
    *,
    plant: Plant,
    last: LastValues,
    ready: Callable[[], bool],
    code_flow: CodeFlow | None = None,
    records: RecordLog,
) -> HttpServer | None:
    """The HTTP face; None when the configuration has none. `records`: where what browsers enter becomes durable.

    Raises ConfigError for a page that cannot be served.
    """
    if not config.http.listen:
        return None
    caching = Caching(closed_s=config.http.cache_closed_s, shared=config.http.shared_cache)
    face = Face(
        services=Services(servicers),
        gate=gate,
        sessions=sessions,
        sign_outs=sign_outs,
        caching=caching,
        tls=config.browsers_over_tls,
        ready=ready,
        code_flow=code_flow,
    )
    more = {
        **i3x.endpoints(face, plant, last),
        **push.endpoints(face, config.http.push_key, records),
        **people.endpoints(face, gate.access.people),
    }
    return HttpServer(config, face, more)
