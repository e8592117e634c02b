"""Names of people, for those who may see them: `GET /api/v1/people?id=person-…`. Records have subject ids alone.

Who acts on machines or checks those who do sees names; a caller that may read values and nothing else sees ids. Contacts are nowhere here.
"""

from __future__ import annotations

from base.errors import InvalidRequestError, PermissionDeniedError
from privacy.person import is_subject
from privacy.store import Store
from serving.gate import Kind, Method
from serving.http.face import Endpoint, Exchange, Face
from serving.http.own import json_answer
from serving.http.requests import query_of
from serving.http.rows import API
from serving.principals import Permission, Principal, current

PEOPLE = f"{API}/people"
MOST = 200
SEERS = (Permission.COMMAND, Permission.APPROVE, Permission.PLAN, Permission.ALARM, Permission.AUDIT)


def endpoints(face: Face, people: Store | None) -> dict[str, dict[str, Endpoint]]:
    """By address and verb."""
    return {PEOPLE: {"GET": names(face, people)}}


def names(face: Face, people: Store | None) -> Endpoint:
    """GET /people?id=…: the name of each; null for somebody who was forgotten, or never was."""

    async def work(exchange: Exchange) -> None:
        require(current.get())
        asked = list(dict.fromkeys(query_of(exchange.scope).get("id", [])))
        if not 0 < len(asked) <= MOST or not all(map(is_subject, asked)):
            msg = f"id is a subject id such as person-k3q7vxt2m5hd4e6n, once for each of at most {MOST} people"
            raise InvalidRequestError(msg, field="id")
        found = {one: None if people is None else people.of_subject(one) for one in asked}
        listed = [{"id": one, "name": person.shown if person else None} for one, person in found.items()]
        await json_answer(exchange, 200, {"people": listed})

    return Endpoint(face, Method(name=f"GET {PEOPLE}", kind=Kind.READ, needs=None), work)


def require(principal: Principal) -> None:
    """Raise PermissionDeniedError for a caller that sees no names."""
    if not principal.allow & set(SEERS):
        msg = f"{principal.name} sees no names of people: that needs one of {', '.join(SEERS)}"
        raise PermissionDeniedError(msg)
