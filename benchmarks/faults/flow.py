"""Watching the line from its two ends while it is broken: which devices have fresh samples in SQL, and how many samples are on their way.

Fresh: for every device one tag that is sampled often is looked for in the samples themselves, among the rows of the last `FRESH_S`. On
their way: what the gateways say they have produced, less what the ledger has. A part that does not answer is asked again; meanwhile no
device is fresh, or the gateways' last word stands.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import psycopg

from stack import postgres
from stack.config import StackConfig
from stack.services import all_services

FRESH_S = 3.0
"""A device without a sample younger than this does not flow: three times what a sample takes on a busy day."""
SPARE_S = 2.0
"""A line keeps up when less than this much of its load is on its way."""
_LOOK_S = 0.2
_ASK_S = 0.5
_CONNECT_S = 2
_ANSWER_S = 2.0

_WATCHED = """
SELECT DISTINCT ON (device_id) tag_id FROM tags WHERE historise = 'ALL' ORDER BY device_id, period_ms, tag_id
"""
_LOOK = """
SELECT (SELECT count(DISTINCT tag_id) FROM samples WHERE time > now() - make_interval(secs => %s) AND tag_id = ANY (%s)),
       (SELECT coalesce(sum(stored + rejected + suppressed - calculated), 0)::bigint FROM ledger WHERE stream <> 2)
"""


@dataclass(frozen=True, slots=True)
class Look:
    """One look; `at_s` is monotonic and taken when the answer had come. `silent`: devices without a fresh sample."""

    at_s: float
    silent: int
    produced: int
    accounted: int

    @property
    def lag(self) -> int:
        """Samples on their way."""
        return self.produced - self.accounted


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """What the looks after a fault come to. Seconds since the fault was over; None: not within the looks."""

    samples_s: float | None
    lag_s: float | None
    silent_s: float
    level: int
    largest_lag: int


def measure(looks: Sequence[Look], *, broken_s: float, over_s: float, level: int) -> Flow:
    """Times until the last silence and the last lag above `level` were over. Pure.

    A line that has been silent at no time is back after 0 s. Looks that could not be made are no looks: a silence lasts from the look
    that has seen it to the next that has seen none.
    """
    after = [one for one in looks if one.at_s >= broken_s]
    silent_s = sum(later.at_s - one.at_s for one, later in itertools.pairwise(after) if one.silent or later.silent)
    return Flow(
        samples_s=_back([(one.at_s, one.silent == 0) for one in after], over_s),
        lag_s=_back([(one.at_s, one.lag <= level) for one in after], over_s),
        silent_s=silent_s,
        level=level,
        largest_lag=max((one.lag for one in after), default=0),
    )


def _back(looks: Sequence[tuple[float, bool]], over_s: float) -> float | None:
    bad = [number for number, (_, good) in enumerate(looks) if not good]
    if not bad:
        return 0.0
    if bad[-1] + 1 == len(looks):
        return None
    return max(0.0, looks[bad[-1] + 1][0] - over_s)


def level_of(looks: Sequence[Look]) -> int:
    """The lag that is normal: the largest of these looks, or SPARE_S of the load that they show if that is more. Pure."""
    first, last = looks[0], looks[-1]
    load = (last.produced - first.produced) / max(last.at_s - first.at_s, 1e-3)
    return max([round(SPARE_S * load), *(one.lag for one in looks)])


class FlowWatch:
    """Looks on threads of its own while it is open; what went wrong in one is raised by `looks`."""

    def __init__(self, config: StackConfig) -> None:
        self._dsn = postgres.dsn(config)
        self._gateways = {one.name: one.address for one in all_services(config) if one.name.startswith("gateway-")}
        self._produced: dict[str, int] = {}
        self._accounted = 0
        self._looks: list[Look] = []
        self._tag_ids: list[int] = []
        self._done = threading.Event()
        self._failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=f"flow-{name}")
            for name, work in (("sql", self._watch), ("gateways", self._ask))
        ]

    def __enter__(self) -> Self:
        with psycopg.connect(self._dsn) as connection:
            self._tag_ids = [tag_id for (tag_id,) in connection.execute(_WATCHED).fetchall()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def looks(self, since_s: float = 0.0) -> list[Look]:
        """Looks since a moment of the monotonic clock."""
        if self._failure is not None:
            raise self._failure
        return [one for one in self._looks if one.at_s >= since_s]

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by `looks`, which every round asks
            self._failure = error

    def _watch(self) -> None:
        connection: psycopg.Connection[tuple[int, int]] | None = None
        while not self._done.wait(_LOOK_S):
            try:
                if connection is None:
                    connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=_CONNECT_S)
                row = connection.execute(_LOOK, (FRESH_S, self._tag_ids)).fetchone()
            except psycopg.OperationalError:
                connection = None
                fresh = 0
            else:
                assert row is not None
                fresh, self._accounted = row
            produced = sum(self._produced.values())
            self._looks.append(Look(time.monotonic(), len(self._tag_ids) - fresh, produced, self._accounted))
        if connection is not None:
            connection.close()

    def _ask(self) -> None:
        while not self._done.wait(_ASK_S):
            for name, address in self._gateways.items():
                try:
                    with urllib.request.urlopen(f"{address}/status", timeout=_ANSWER_S) as answer:
                        lanes = json.loads(answer.read())["lanes"]
                except (OSError, http.client.HTTPException):  # killed or paused: its last word stands
                    continue
                self._produced[name] = sum(one["produced_samples"] for one in lanes if one["stream"] != "REPLAY")
