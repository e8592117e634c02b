"""The server of both faces, gRPC and HTTP: caches, handlers, services, health and reflection wired together; start, readiness, drain.

Enters: a `ServingConfig`, a log of requests, one of audit events. Leaves: a listening server whose health turns SERVING per service once
that service's caches are current. Who feeds the caches is not its business: `__main__` connects Kafka, tests apply
messages themselves.

Over 350 lines: the one place where the parts of the server are put together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health  # type: ignore[attr-defined]
from prometheus_client import CollectorRegistry

from base import endpoint, server_tls
from base.errors import ConfigError, UnavailableError
from connectors.postgres.pool import ReadPool, WritePool
from historian import accounting
from privacy.store import open_store
from schemas.proto.millrace.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    commands_pb2,
    commands_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    line_pb2,
    line_pb2_grpc,
    state_pb2,
    state_pb2_grpc,
    work_pb2,
    work_pb2_grpc,
)
from serving import metrics
from serving.access import Access
from serving.at_machine import at_machine
from serving.caches import feeds
from serving.caches.alarm_answers import AlarmAnswers
from serving.caches.alarm_job import AlarmJob
from serving.caches.alarms import Alarms
from serving.caches.command_book import CommandBook
from serving.caches.device_states import DeviceStates
from serving.caches.episodes import Episodes
from serving.caches.feeds import Feed, News
from serving.caches.gateways import Gateways
from serving.caches.labels import AnomalyLabels
from serving.caches.liveness import Liveness
from serving.caches.origins import Origins
from serving.caches.plant import Plant
from serving.caches.plant_tree import PlantTree
from serving.caches.progress import Progress
from serving.caches.values import LastValues
from serving.caches.wakeup import Streams
from serving.config import ServingConfig
from serving.gate import Gate
from serving.handlers.alarm_figures import AlarmFigures
from serving.handlers.alarm_records import AlarmRecords
from serving.handlers.alarm_views import Views
from serving.handlers.alarms import AlarmHandlers
from serving.handlers.answers import AnswerHandlers
from serving.handlers.audit import AuditHandlers
from serving.handlers.budget import Budget
from serving.handlers.commands import CommandHandlers
from serving.handlers.health import Assessment
from serving.handlers.history import HistoryHandlers
from serving.handlers.labels import LabelHandlers
from serving.handlers.line import LineHandlers
from serving.handlers.production import ProductionHandlers
from serving.handlers.records import RecordHandlers
from serving.handlers.state import StateHandlers
from serving.handlers.watching import WatchHandlers
from serving.handlers.work_entry import WorkEntry
from serving.handlers.work_lists import WorkLists
from serving.http.server import HttpServer, http_server
from serving.limits import Limits
from serving.load import Load
from serving.machine_acks import MachineAcks
from serving.metrics import CallMetrics
from serving.oidc.code_flow import CodeFlow
from serving.oidc.provider import Provider
from serving.policies import names
from serving.policies.engine import Policies
from serving.record_log import RecordLog
from serving.rpc import reflect
from serving.rpc.alarm_service import AlarmService
from serving.rpc.audit_service import AuditService
from serving.rpc.command_service import CommandService
from serving.rpc.history_service import HistoryService
from serving.rpc.interceptor import RpcGate
from serving.rpc.labelling import Labelling
from serving.rpc.line_service import LineService
from serving.rpc.state_service import StateService
from serving.rpc.work_service import WorkService
from serving.sessions import Sessions, keys_of
from serving.sign_outs import SignOuts
from serving.signing import Signing
from serving.trail import Trail

log = logging.getLogger(__name__)

STATE_SERVICE: str = state_pb2.DESCRIPTOR.services_by_name["StateService"].full_name
COMMAND_SERVICE: str = commands_pb2.DESCRIPTOR.services_by_name["CommandService"].full_name
HISTORY_SERVICE: str = history_pb2.DESCRIPTOR.services_by_name["HistoryService"].full_name
LINE_SERVICE: str = line_pb2.DESCRIPTOR.services_by_name["LineService"].full_name
WORK_SERVICE: str = work_pb2.DESCRIPTOR.services_by_name["WorkService"].full_name
AUDIT_SERVICE: str = audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name
ALARM_SERVICE: str = alarms_pb2.DESCRIPTOR.services_by_name["AlarmService"].full_name
SERVICES = (
    STATE_SERVICE,
    COMMAND_SERVICE,
    HISTORY_SERVICE,
    LINE_SERVICE,
    WORK_SERVICE,
    AUDIT_SERVICE,
    ALARM_SERVICE,
)
_APART = frozenset({COMMAND_SERVICE, ALARM_SERVICE})
"""Services that wait for topics of their own."""
PLANNER = "millrace_planner"

_OPTIONS = (
    # A second server on the same port must fail, not take half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 1 << 20),
    # Watches can be silent for long: find dead clients, and let clients keep their connections alive.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Clients come back through the balancer now and then; streams have a minute to end, and resume.
    ("grpc.max_connection_age_ms", 6 * 3_600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.max_concurrent_streams", 1_000),
)


@dataclass(kw_only=True)
class Server:
    """A server made by `build`. `port` is set by `start`, for a `listen` that ends in `:0`."""

    config: ServingConfig
    plant: Plant
    values: LastValues
    liveness: Liveness
    episodes: Episodes
    labels: AnomalyLabels
    book: CommandBook
    news: News
    sign_outs: SignOuts
    database: ReadPool
    planning: WritePool
    state: StateHandlers
    commands: CommandHandlers
    history: HistoryHandlers
    records: RecordHandlers
    line: LineHandlers
    alarms: AlarmHandlers
    machine_acks: MachineAcks
    streams: Streams
    gate: Gate
    policies: Policies
    budget: Budget
    http: HttpServer | None
    rpc_gate: RpcGate
    health: health.HealthServicer
    grpc: grpc.aio.Server
    metrics: CollectorRegistry
    port: int = 0
    listening: endpoint.Endpoint | None = None
    watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises ConfigError when an address cannot be had."""
        self.listening = endpoint.start(self.config.metrics, self.metrics)
        listen, tls = self.config.listen, self.config.tls
        if self.http is not None:
            self.http.bind()
        try:
            if tls.enabled:
                self.port = self.grpc.add_secure_port(listen, server_tls.grpc_credentials(tls))
            else:
                self.port = self.grpc.add_insecure_port(listen)
        except RuntimeError as error:
            msg = f"listen {listen} cannot be had: {error}; is another server running there?"
            raise ConfigError(msg) from error
        for service in ("", *SERVICES):
            await self.health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self.grpc.start()
        if self.http is not None:
            await self.http.start()
        self.watching = asyncio.create_task(self.gate.run())
        self.gate.trail.changed("policy:load", before="", after=self.policies.version)
        security = "mutual TLS" if tls.client_ca else "TLS" if tls.enabled else "none, loopback only"
        log.info("listening", extra={"address": listen, "port": self.port, "security": security})

    async def set_ready(self, service: str) -> None:
        """Say that a service's caches are current; the server as a whole is ready when state and commands are.

        Alarms are switched on or not: they make no server wait.
        """
        handlers: dict[str, StateHandlers | CommandHandlers | AlarmHandlers] = {
            STATE_SERVICE: self.state,
            COMMAND_SERVICE: self.commands,
            ALARM_SERVICE: self.alarms,
        }
        handlers[service].ready = True
        if service in {STATE_SERVICE, COMMAND_SERVICE}:  # which need the topic to be read (`feeds`)
            self.sign_outs.current = True
        serving = health_pb2.HealthCheckResponse.SERVING
        # History and the line need what the state needs. Whether the database answers is each call's matter, and GetLineHealth's.
        for one in tuple(one for one in SERVICES if one not in _APART) if service == STATE_SERVICE else (service,):
            await self.health.set(one, serving)
        if self.state.ready and self.commands.ready:
            await self.health.set("", serving)
        log.info("ready", extra={"ready": service, "tags": len(self.values), "registry_version": self.plant.version})

    def feeds(self) -> tuple[Feed, ...]:
        """Topics that keep the caches current."""
        return feeds.feeds(
            plant=self.plant,
            values=self.values,
            liveness=self.liveness,
            episodes=self.episodes,
            labels=self.labels,
            book=self.book,
            news=self.news,
            sign_outs=self.sign_outs,
            signing=self.commands.signing,
            alarms=self.alarms.alarms,
            answers=self.alarms.answers,
            machine_acks=self.machine_acks,
            state=STATE_SERVICE,
            commands=COMMAND_SERVICE,
            alarm=ALARM_SERVICE,
        )

    async def stop(self) -> None:
        """Drain: refuse new calls, end the streams so that their callers go elsewhere, let unary calls finish."""
        await self.health.enter_graceful_shutdown()
        self.streams.end_all(UnavailableError("the server is stopping; connect again"))
        async with asyncio.TaskGroup() as faces:
            faces.create_task(_stopped(self.grpc, self.config.drain_s))
            if self.http is not None:
                faces.create_task(self.http.stop())
        if self.watching is not None:
            self.watching.cancel()
            await asyncio.gather(self.watching, return_exceptions=True)
            self.watching = None
        await self.gate.trail.close()
        await self.database.close()
        await self.planning.close()
        if self.listening is not None:
            await asyncio.to_thread(self.listening.close)
            self.listening = None


def build(config: ServingConfig, requests: RecordLog, events: RecordLog) -> Server:
    """Server with empty caches. Raises ConfigError for a tokens file that cannot be used."""
    registry = endpoint.new_registry()
    plant, values, episodes, streams = Plant(), LastValues(), Episodes(), Streams()
    labels, liveness, gateways = AnomalyLabels(episodes.again), Liveness(plant, values), Gateways(plant)
    news = News(gateways=gateways, progress=Progress(), origins=Origins(plant))
    book = CommandBook(remember_s=config.remember_s)
    dsn = config.postgres.dsn
    observe = metrics.DatabaseMetrics(registry).ended
    database = ReadPool(dsn, config.history, application="serving", observe=observe)
    planning = WritePool(
        config.planner.dsn or dsn, config.history, role=PLANNER, application="serving-work", observe=observe
    )
    state = StateHandlers(
        plant=plant,
        values=values,
        episodes=episodes,
        streams=streams,
        states=DeviceStates(values, liveness, gateways),
        tree=PlantTree(plant, values, episodes, liveness, gateways),
        windows=news.windows,
        max_watched_tags=config.limits.watched_tags,
    )
    limits = Limits(config.limits)
    load = Load(overload_s=config.limits.overload_lag_ms / 1000)
    standing = Alarms()
    alarms = AlarmHandlers(
        alarms=standing,
        answers=AlarmAnswers(),
        job=AlarmJob(),
        plant=plant,
        actions=requests,
        streams=streams,
        load=load,
        views=Views(standing),
    )
    commands = CommandHandlers(
        book=book,
        plant=plant,
        requests=requests,
        streams=streams,
        signing=Signing(config.signing),
        max_expires_ms=config.limits.max_expires_ms,
        admit=limits.device,
    )
    line = LineHandlers(
        plant=plant,
        gateways=gateways,
        events=news.events,
        streams=streams,
        assessment=Assessment(gateways=gateways, progress=news.progress, alarms=alarms.job, database=database),
        measure=partial(accounting.measure, dsn, config.kafka) if dsn else None,
        ready=state.require_ready,
    )
    history = HistoryHandlers(plant=plant, database=database, ready=state.require_ready)
    records = RecordHandlers(plant=plant, database=database, ready=state.require_ready)
    production = ProductionHandlers(plant=plant, database=database, ready=state.require_ready)
    answers = AnswerHandlers(plant=plant, database=database, ready=state.require_ready)
    session_keys = keys_of(config.http.session_key)
    sessions = Sessions(session_keys, length_s=config.http.session_s, tls=config.browsers_over_tls)
    longest_s = max(config.http.session_s, config.oidc.longest_s)
    sign_outs = SignOuts(requests, longest_s=longest_s)
    people, trail = open_store(config.privacy), Trail(events, reads=config.audit.reads)
    issuer = Provider(config.oidc, people) if config.oidc.issuer else None
    tokens = Path(config.tokens) if config.tokens else None
    access = Access(tokens, sessions, issuer, _told(trail, "access:reload"), sign_outs=sign_outs, people=people)
    policies = _policies(config, access, trail)
    budget = Budget(stream_per_s=config.limits.stream_updates_per_s, total_per_s=config.limits.total_updates_per_s)
    gate = Gate(access, limits, load, CallMetrics(registry), trail)
    rpc_gate = RpcGate(gate)
    server = grpc.aio.server(interceptors=(rpc_gate,), options=_OPTIONS)
    watches = WatchHandlers(
        plant=plant,
        values=values,
        streams=streams,
        load=load,
        budget=budget,
        select=lambda plant, prefixes, grown: state.select(plant, prefixes, grown=grown),
        require_ready=state.require_ready,
    )
    checks = health.HealthServicer()
    folder = Path(config.audit.folder) if config.audit.folder else None
    servicers: dict[str, object] = {
        "StateService": (
            state_service := StateService(
                state,
                watches,
                Labelling(
                    LabelHandlers(plant=plant, episodes=episodes, labels=labels, history=records, records=requests),
                    state,
                    policies,
                    trail,
                ),
            )
        ),
        "CommandService": (command_service := CommandService(commands, state, policies, trail)),
        "HistoryService": (history_service := HistoryService(history, records, production, answers, labels)),
        "LineService": (line_service := LineService(line)),
        "AuditService": (audit_service := AuditService(AuditHandlers(folder))),
        "AlarmService": (
            alarm_service := AlarmService(
                alarms,
                AlarmRecords(database=database),
                AlarmFigures(database, plant),
                state,
                policies,
                trail,
                at_machine(commands),
            )
        ),
        "WorkService": (work_service := WorkService(WorkLists(database), WorkEntry(planning))),
    }
    state_pb2_grpc.add_StateServiceServicer_to_server(state_service, server)  # type: ignore[no-untyped-call]
    commands_pb2_grpc.add_CommandServiceServicer_to_server(command_service, server)  # type: ignore[no-untyped-call]
    history_pb2_grpc.add_HistoryServiceServicer_to_server(history_service, server)  # type: ignore[no-untyped-call]
    line_pb2_grpc.add_LineServiceServicer_to_server(line_service, server)  # type: ignore[no-untyped-call]
    audit_pb2_grpc.add_AuditServiceServicer_to_server(audit_service, server)  # type: ignore[no-untyped-call]
    alarms_pb2_grpc.add_AlarmServiceServicer_to_server(alarm_service, server)  # type: ignore[no-untyped-call]
    work_pb2_grpc.add_WorkServiceServicer_to_server(work_service, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflect.add_to(server, (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name))
    made = Server(
        config=config,
        plant=plant,
        values=values,
        liveness=liveness,
        episodes=episodes,
        labels=labels,
        book=book,
        news=news,
        sign_outs=sign_outs,
        database=database,
        planning=planning,
        state=state,
        commands=commands,
        history=history,
        records=records,
        line=line,
        alarms=alarms,
        machine_acks=MachineAcks(commands, standing.again),
        streams=streams,
        gate=gate,
        policies=policies,
        budget=budget,
        http=http_server(
            config,
            servicers,
            gate,
            sessions,
            sign_outs,
            plant=plant,
            last=values,
            ready=lambda: state.ready and commands.ready,
            records=requests,
            code_flow=CodeFlow(issuer, session_keys) if issuer and config.oidc.client else None,
        ),
        rpc_gate=rpc_gate,
        health=checks,
        grpc=server,
        metrics=registry,
    )
    metrics.watch(made, registry)
    return made


def _policies(config: ServingConfig, access: Access, trail: Trail) -> Policies:
    policies = Policies(Path(config.policies) if config.policies else None, _told(trail, "policy:reload"))
    names.tell(config)
    access.follow(lambda: names.tell(config) if policies.refresh() else None)
    return policies


def _told(trail: Trail, action: str) -> Callable[[str, str, str], None]:
    return lambda before, after, cause: trail.changed(action, before=before, after=after, cause=cause)


async def _stopped(server: grpc.aio.Server, drain_s: float) -> None:
    await server.stop(drain_s)
