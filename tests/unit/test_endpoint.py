"""The HTTP endpoint of a service, with a real server on a free port."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus

import pytest
from prometheus_client import Counter

from base import endpoint
from base.endpoint import Answer, Endpoint
from base.errors import ConfigError
from base.settings import EndpointSettings


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def listening() -> Iterator[Endpoint]:
    registry = endpoint.new_registry()
    Counter("millrace_test_things", "Things", registry=registry).inc(3)
    pages = {"/health": lambda: Answer({"healthy": False}, HTTPStatus.SERVICE_UNAVAILABLE)}
    made = endpoint.serve("127.0.0.1", 0, registry, pages)
    yield made
    made.close()


def test_metrics_are_prometheus_text_with_the_process_beside_them(listening: Endpoint) -> None:
    status, text = get(listening.port, "/metrics")
    assert status == 200
    assert "millrace_test_things_total 3.0" in text
    assert "process_resident_memory_bytes" in text


def test_pages_are_json_with_their_own_status(listening: Endpoint) -> None:
    status, text = get(listening.port, "/health")
    assert (status, json.loads(text)) == (503, {"healthy": False})


def test_other_paths_and_methods_are_refused_in_words(listening: Endpoint) -> None:
    assert get(listening.port, "/") == (404, '{"error": "no /; there are /health, /metrics"}')
    assert get(listening.port, "/metrics", "POST")[0] == 405


def test_a_taken_port_is_named(listening: Endpoint) -> None:
    with pytest.raises(ConfigError, match=f"127.0.0.1:{listening.port} cannot be had"):
        endpoint.start(EndpointSettings(port=listening.port), endpoint.new_registry())


def test_port_0_is_no_endpoint() -> None:
    assert endpoint.start(EndpointSettings(), endpoint.new_registry()) is None


def test_a_loop_that_hangs_looks_silent() -> None:
    def hangs() -> Answer:
        raise TimeoutError

    made = endpoint.serve("127.0.0.1", 0, endpoint.new_registry(), {"/health": hangs})
    try:
        with pytest.raises(http.client.RemoteDisconnected):
            get(made.port, "/health")
    finally:
        made.close()


async def test_pages_of_an_event_loop_are_asked_from_the_server_s_threads() -> None:
    async def page() -> Answer:
        return Answer({"loop": asyncio.get_running_loop() is loop})

    loop = asyncio.get_running_loop()
    made = endpoint.serve("127.0.0.1", 0, endpoint.new_registry(), {"/p": partial(endpoint.from_loop, loop, page)})
    try:
        assert await asyncio.to_thread(get, made.port, "/p") == (200, '{"loop": true}')
    finally:
        await asyncio.to_thread(made.close)
