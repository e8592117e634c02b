"""Health checks by protocol: each asks something and reads the answer. None of them raises for a service that does not answer.

A connection alone proves nothing: the kernel accepts for a stopped process as long as its backlog has room. Every check ends within
`TIMEOUT_S`, give or take. Called by the table of services, by `up` (is it ready?), by the watch (is it alive?) and by `status`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from pathlib import Path

from base import heartbeat
from stack.health.answer import READY, Health, not_ready, silent

TIMEOUT_S = 3.0
HEARTBEAT_MAX_AGE_S = 5.0
# MQTT 3.1.1: CONNECT with a clean session, a keep-alive of 10 s and no client id; its CONNACK; DISCONNECT.
# With a client id, whoever asks at the same time would end this session, or be ended by it.
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
_CONNACK = b"\x20\x02\x00\x00"
_DISCONNECT = b"\xe0\x00"


def load() -> None:
    """Import the libraries that checks ask with, which takes a while; whoever bounds the time of a check does it before.

    They are not imported with this module: it is part of the table of services, which commands read that ask nobody.
    """
    import confluent_kafka.admin  # noqa: F401
    import grpc_health.v1.health_pb2_grpc  # noqa: F401
    import psycopg  # noqa: F401


def http_health(host: str, port: int, path: str = "/health") -> Health:
    """GET of an admin interface: 200 is ready, any other status is an answer too; its `problems`, if any, are the detail."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return silent(f"no answer to GET {path}: {error or type(error).__name__}")
    finally:
        connection.close()
    if response.status == http.client.OK:
        return READY
    return not_ready(_problems(body) or f"GET {path} is answered with {response.status}")


def https_health(host: str, port: int, path: str, authority: Path) -> Health:
    """GET over TLS of a door that strangers may keep busy: that it does not answer in time is no reason to restart it, and is said."""
    try:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        finally:
            connection.close()
    except ConnectionRefusedError as error:
        return silent(f"no answer to GET {path}: {error}")
    except (OSError, http.client.HTTPException) as error:
        return not_ready(f"no answer to GET {path}: {error or type(error).__name__}")
    return READY if status == http.client.OK else not_ready(f"GET {path} is answered with {status}")


def _problems(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    problems = answer.get("problems", []) if isinstance(answer, dict) else []
    return "; ".join(str(problem) for problem in problems)


def grpc_health(address: str) -> Health:
    """The standard health protocol: SERVING is ready."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()  # a failed call is a Call too
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return silent(f"no answer to a health check: {code.name}")
            return not_ready(f"health check is answered with {code.name}")
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return READY
    return not_ready(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def kafka_health(bootstrap_servers: str) -> Health:
    """A metadata request: one broker or more is ready."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    timeout_ms = int(TIMEOUT_S * 1000)
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "socket.timeout.ms": timeout_ms})
    try:
        brokers = client.list_topics(timeout=TIMEOUT_S).brokers
    except KafkaException as error:
        return silent(f"no answer to a metadata request: {error.args[0].str()}")
    return READY if brokers else not_ready("no broker is registered")


def postgres_health(dsn: str) -> Health:
    """A query. A server that recovers, or has no connection left, answers all the same."""
    import psycopg

    try:
        with psycopg.connect(dsn, connect_timeout=int(TIMEOUT_S)) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        text = " ".join(str(error).split())
        # libpq gives no code for a refused connection; FATAL is what a server says.
        return not_ready(text) if "FATAL:" in text else silent(f"no answer to a query: {text}")
    return READY


def mqtt_health(address: str | tuple[str, int]) -> Health:
    """CONNECT, answered with CONNACK; at the path of a unix socket, or at a host and port."""
    try:
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(address)
            connection.sendall(_CONNECT)
            answer = b""
            while len(answer) < len(_CONNACK) and (part := connection.recv(len(_CONNACK) - len(answer))):
                answer += part
            if answer == _CONNACK:
                with contextlib.suppress(OSError):  # it answered; a goodbye that nobody hears takes nothing from that
                    connection.sendall(_DISCONNECT)
    except OSError as error:
        return silent(f"no answer to CONNECT: {error or type(error).__name__}")
    if answer == _CONNACK:
        return READY
    return not_ready(f"CONNECT is answered with {answer.hex(' ')}") if answer else silent("CONNECT is not answered")


def heartbeat_health(path: Path) -> Health:
    """A file whose time advances."""
    age_s = heartbeat.age_s(path, time.time())
    if age_s is None:
        return silent("no heartbeat yet")
    return READY if age_s <= HEARTBEAT_MAX_AGE_S else silent(f"last heartbeat {age_s:.0f} s ago")
