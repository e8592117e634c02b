"""Answers of the fake plant about its work: as the test put them in, nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from millrace_client import results
from millrace_client._proto.millrace.v1 import history_pb2
from millrace_client.calls import Method
from millrace_client.calls import answers as calls
from millrace_client.errors import NotFoundError
from millrace_client.fake import pack
from millrace_client.fake.log import Log

_OF_PLACE: dict[Method, tuple[type, str]] = {
    calls.READ_DOWNTIME_PARETO: (results.DowntimeCause, "causes"),
    calls.READ_RELIABILITY: (results.Reliability, "machines"),
    calls.READ_PRODUCTION: (results.PlannedProduction, "orders"),
}
_OF_ONE: dict[Method, tuple[type, str, str]] = {
    calls.READ_GENEALOGY: (results.LotRelation, "relations", "lot"),
    calls.READ_LOT_VALUES: (results.LotValue, "values", "lot"),
    calls.READ_ANOMALY_LOTS: (results.AnomalyLot, "lots", "episode_id"),
    calls.READ_BATCH_DEVIATION: (results.BatchDeviation, "deviations", "batch"),
}
"""What answers are made of, their field, and the field of the request that names what they are of."""


class Answers:
    """Handlers by method. No locks; the plant holds its own around each."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.unary: dict[Method, Callable[[Any, str], Message]] = {calls.READ_CONTROL_CHART: self._chart}
        self.streaming: dict[Method, Any] = {}
        for method, (kind, field) in _OF_PLACE.items():
            self.unary[method] = self._of_place(method, kind, field)
        for one, (kind, field, name) in _OF_ONE.items():
            self.unary[one] = self._of_one(one, kind, field, name)

    def _of_place(self, method: Method, kind: type, field: str) -> Callable[[Any, str], Message]:
        def answer(request: Any, _: str) -> Message:
            found = self._log.answers.get((kind, request.prefix), ())
            return method.response(**{field: pack.messages(found)})

        return answer

    def _of_one(self, method: Method, kind: type, field: str, name: str) -> Callable[[Any, str], Message]:
        def answer(request: Any, _: str) -> Message:
            found = self._known(kind, name, getattr(request, name))
            if kind is results.LotRelation and request.direction:
                found = [one for one in found if one.direction == request.direction]
            return method.response(**{field: pack.messages(found)})

        return answer

    def _chart(self, request: Any, _: str) -> Message:
        (chart, *_others) = self._known(results.ControlChart, "path", request.path)
        (limits,) = pack.messages([chart.limits])
        return history_pb2.ReadControlChartResponse(limits=limits, points=pack.messages(chart.points))

    def _known(self, kind: type, name: str, of: str) -> list[Any]:
        if (kind, of) not in self._log.answers:
            msg = f"there is no {name.removesuffix('_id')} {of!r}"
            raise NotFoundError(msg)
        return list(self._log.answers[kind, of])
