"""Admin interface of the simulator: routes over `Service`, JSON both ways.

GET    /health          200 when serving and journalling, 503 otherwise
GET    /status          counts, devices, servers
GET    /faults          faults in force and to come
POST   /faults          {device, tag, kind, start_s, duration_s, repeat_s, and the kind's parameters} -> the fault with its id
DELETE /faults[/<id>]   one, or all
POST   /pause           stop emitting; answers when everything emitted has left and is in the journal
POST   /resume          go on
POST   /flush           answers when everything emitted is in the journal
POST   /past            {days}: begin to send the days before the start of a line's machines, as historical values
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from base.errors import ConflictError, InvalidRequestError, MillraceError, NotFoundError
from simulator.admin_http import HttpError, Request
from simulator.fault_effects import Fault
from simulator.fault_kinds import FaultKind, FaultRequest

_STATUS = {
    ConflictError: HTTPStatus.CONFLICT,
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    NotFoundError: HTTPStatus.NOT_FOUND,
}
MOST_PAST_DAYS = 7
_TIMES = ("start_s", "duration_s", "repeat_s")


class Service(Protocol):
    """What the interface controls."""

    def health(self) -> list[str]:
        """What is wrong; empty when nothing is."""

    def status(self) -> dict[str, Any]:
        """Counts and states."""

    def faults(self) -> list[dict[str, Any]]:
        """Faults, described."""

    def add_fault(self, request: FaultRequest) -> Fault:
        """Put a fault on."""

    def remove_faults(self, fault_id: int | None) -> list[Fault]:
        """Take one fault off, or all."""

    async def pause(self) -> None:
        """Stop emitting, and let out what was emitted."""

    def resume(self) -> None:
        """Emit again."""

    async def flush(self) -> None:
        """Wait until the journal has everything."""

    async def send_past(self, days: int) -> dict[str, Any]:
        """Begin to send a past."""


def fault_request(fields: Any) -> FaultRequest:
    """Fault request of flat fields; everything that is no field of its own is a parameter of the kind."""
    if not isinstance(fields, Mapping):
        msg = "a fault is an object with device, kind and, for most kinds, tag"
        raise InvalidRequestError(msg)
    try:
        kind = FaultKind(fields.get("kind", ""))
    except ValueError:
        msg = f"kind is {fields.get('kind')!r}; known: {', '.join(FaultKind)}"
        raise InvalidRequestError(msg) from None
    times: dict[str, float] = {}
    for name in _TIMES:
        value = fields.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            msg = f"{name} is {value!r}, not a number of seconds"
            raise InvalidRequestError(msg)
        times[name] = float(value)
    parameters = dict(fields.get("parameters", {}))
    parameters |= {k: v for k, v in fields.items() if k not in {"device", "tag", "kind", "parameters", *_TIMES}}
    return FaultRequest(
        device=str(fields.get("device", "")),
        tag=str(fields.get("tag") or ""),
        kind=kind,
        parameters=parameters,
        **times,
    )


def _days(body: Any) -> int:
    days = body.get("days", MOST_PAST_DAYS) if isinstance(body, Mapping) else None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_PAST_DAYS:
        msg = f"days is {days!r}, not a whole number from 1 to {MOST_PAST_DAYS}"
        raise InvalidRequestError(msg)
    return days


class Control:
    """The handler of `admin_http.serve`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, request: Request) -> tuple[HTTPStatus, Any]:
        """Answer one request."""
        try:
            return await self._route(request)
        except MillraceError as error:
            status = _STATUS.get(type(error), HTTPStatus.SERVICE_UNAVAILABLE)
            raise HttpError(status, str(error)) from error

    async def _route(self, request: Request) -> tuple[HTTPStatus, Any]:  # noqa: PLR0911 - one for each route
        service, ok = self._service, HTTPStatus.OK
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["health"]:
                wrong = service.health()
                return HTTPStatus.SERVICE_UNAVAILABLE if wrong else ok, {"healthy": not wrong, "problems": wrong}
            case "GET", ["status"]:
                return ok, service.status()
            case "GET", ["faults"]:
                return ok, service.faults()
            case "POST", ["faults"]:
                fault = service.add_fault(fault_request(request.body))
                return HTTPStatus.CREATED, fault.describe(fault.from_us)
            case "DELETE", ["faults", *rest]:
                chosen = rest[0] if rest else request.query.get("id")
                if chosen is not None and not chosen.isdecimal():
                    raise HttpError(HTTPStatus.BAD_REQUEST, f"{chosen!r} is no number of a fault")
                removed = service.remove_faults(None if chosen is None else int(chosen))
                return ok, {"removed": [fault.id for fault in removed]}
            case "POST", ["pause"]:
                await service.pause()
                return ok, service.status()
            case "POST", ["resume"]:
                service.resume()
                return ok, service.status()
            case "POST", ["flush"]:
                await service.flush()
                return ok, service.status()
            case "POST", ["past"]:
                return HTTPStatus.ACCEPTED, await service.send_past(_days(request.body))
            case method, _:
                raise HttpError(HTTPStatus.NOT_FOUND, f"no {method} {request.path} here")
