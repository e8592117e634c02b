"""What calls leave in the audit log: who, what, where, why, by which policy; and what happens while it takes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from audit.copies import Copies
from audit.writer import LogWriter, Record
from base.errors import UnavailableError
from schemas import topics
from schemas.audit import AuditEvent, Outcome
from schemas.proto.millrace.v1 import state_pb2
from serving.access import Access
from serving.config import TrailSettings
from serving.policies.engine import Policies
from serving.rpc.methods import method_of
from serving.trail import WAIT_S, Asked, Trail
from tests.unit.http_served import Web, tokens, web
from tests.unit.served import LINE, METHODS, RequestList, batch, eventually, state_stub

PRESS, OTHER = f"{LINE}/press00", f"{LINE}/press01"
GRANTS = {
    "ann": ["read", "command"],
    "ben": ["read", "approve"],
    "eve": ["read", f"command@{OTHER}"],
    "kim": ["read", "plan@acme/south"],
    "ron": ["read"],
}
TRACE = "0af7651916cd43dd8448eb211c80319c"
RULES = """
@id("start-needs-somebody-else")
forbid (principal, action == Action::"actAlone", resource) when { context.name == "start" };
@id("never-clear")
@advice("ask maintenance")
forbid (principal, action == Action::"command", resource) when { context.name == "clear" };
"""


@asynccontextmanager
async def plant(folder: Path, **settings: Any) -> AsyncIterator[Web]:
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "own.cedar").write_text(RULES)
    given: dict[str, Any] = {
        "tokens": str(tokens(folder / "tokens.toml", **GRANTS)),
        "policies": str(folder / "policies"),
    } | settings
    async with web(**given) as face:
        face.served.server.values.apply(batch({101: 12.5}))
        yield face


def as_(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}-secret", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def command(path: str = PRESS, name: str = "write", **more: object) -> dict[str, object]:
    parameters = {"speed_setpoint": 20.0} if name == "write" else {}
    return {"path": path, "name": name, "parameters": parameters, "reason": "a new mould"} | more


async def submit(face: Web, who: str, body: dict[str, object], status: int = 201) -> str:
    answer = await face.client.post("/api/v1/commands", json=body, headers=as_(who))
    assert answer.status_code == status, answer.text
    return str(answer.json().get("command_id", ""))


@pytest.mark.security("T-SERVING-DENY", "SR 2.8", "V16.2.1")
async def test_a_command_is_an_event_before_it_is_a_request(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        command_id = await submit(face, "ann", command())
        (event,) = await face.served.audited("command:submit")
        assert (event.outcome, event.subject, event.credential) == (Outcome.ALLOW, "ann", "token")
        assert (event.path, event.device_class, event.name) == (PRESS, "press", "write")
        assert (event.command_id, event.operation, event.reason) == (command_id, command_id, "a new mould")
        assert event.policies == ("command-where-granted", "one-person-is-enough-unless-a-policy-says-otherwise")
        assert event.policy_version == face.served.server.policies.version
        assert json.loads(event.before) == {"speed_setpoint": 12.5}
        assert json.loads(event.after) == {"parameters": {"speed_setpoint": 20.0}, "requires_approval": False}
        assert (event.method, event.trace_id) == ("POST /api/v1/commands", TRACE)
        assert event.peer.startswith("127.0.0.1:")
        assert event.time_us <= face.served.request().submitted_us


@pytest.mark.security("T-SERVING-DENY", "SR 2.12")
async def test_a_command_of_two_persons_names_both(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        command_id = await submit(face, "ann", command(name="start"))
        address = f"/api/v1/commands/{command_id}"
        own = await face.client.post(f"{address}/approve", json={}, headers=as_("ann"))
        assert own.status_code == 403
        approved = await face.client.post(f"{address}/approve", json={"reason": "checked"}, headers=as_("ben"))
        assert approved.status_code == 200, approved.text
        await face.client.post(f"{address}/cancel", json={"reason": "not now"}, headers=as_("ann"))
        events = await face.served.audited("command:submit", "command:approve", "command:cancel")
        said = [(event.action, event.outcome, event.subject, event.second, event.reason) for event in events]
        assert said == [
            ("command:submit", "ALLOW", "ann", "", "a new mould"),
            ("command:approve", "DENY", "ann", "", ""),
            ("command:approve", "ALLOW", "ben", "ann", "checked"),
            ("command:cancel", "ALLOW", "ann", "", "not now"),
        ]
        assert {event.operation for event in events if event.command_id} == {command_id}
        assert json.loads(events[0].after)["requires_approval"] is True
        assert "start-needs-somebody-else" in events[0].policies


@pytest.mark.security("SR 2.8", "V16.3.2")
async def test_what_policies_deny_is_an_event_with_the_policy(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        await submit(face, "ann", command(name="clear"), 403)
        await submit(face, "eve", command(), 403)
        forbidden, missing = await face.served.audited("command:submit")
        assert (forbidden.outcome, forbidden.policies) == (Outcome.DENY, ("never-clear",))
        assert "ask maintenance" in forbidden.detail
        assert (missing.outcome, missing.subject, missing.path, missing.policies) == (Outcome.DENY, "eve", PRESS, ())
        assert missing.code == "PERMISSION_DENIED"
        assert not face.served.requests.records


@pytest.mark.security("V16.3.2")
async def test_what_the_gate_denies_is_an_event_too(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        await submit(face, "ron", command(), 403)
        await submit(face, "nobody", command(), 401)
        await face.client.get("/api/v1/tags")
        await face.client.get("/api/v1/tags", headers=as_("ron"))
        async with grpc.aio.insecure_channel(face.served.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await state_stub(channel).ListDevices(state_pb2.ListDevicesRequest())
        events = [event for event in await face.served.audited() if event.action != "policy:load"]
        said = {(event.action, event.outcome, event.subject, event.code) for event in events}
        assert said == {
            ("command:submit", "DENY", "ron", "PERMISSION_DENIED"),
            ("command:submit", "DENY", "", "UNAUTHENTICATED"),
            ("read", "DENY", "", "UNAUTHENTICATED"),
        }
        assert {event.method for event in events if event.action == "read"} == {
            "GET /api/v1/tags",
            "StateService/ListDevices",
        }
        assert "secret" not in str([event.record() for event in events])


@pytest.mark.security("V16.3.4")
async def test_what_fails_after_it_was_let_through_says_so(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        face.served.requests.failure = UnavailableError("no broker")
        await submit(face, "ann", command(), 503)
        await submit(face, "ann", command(f"{LINE}/press99"), 404)
        allowed, failed, unknown = await face.served.audited("command:submit")
        assert (allowed.outcome, failed.outcome, failed.code) == (Outcome.ALLOW, Outcome.ERROR, "UNAVAILABLE")
        assert allowed.operation == failed.operation
        assert (unknown.outcome, unknown.code, unknown.path) == (Outcome.ERROR, "NOT_FOUND", f"{LINE}/press99")


@pytest.mark.security("SR 2.8", "V16.3.1")
async def test_signing_in_and_out_is_in_the_log_and_so_is_failing_to(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        origin = {"origin": face.origin}
        for token, status in (("wrong", 401), ("wrong", 401), ("ann-secret", 201)):
            answer = await face.client.post("/api/v1/session", json={"token": token}, headers=origin)
            assert answer.status_code == status
        gone = await face.client.delete("/api/v1/session", headers=origin | {"x-csrf-token": answer.json()["csrf"]})
        assert gone.status_code == 204
        events = await face.served.audited("sign-in", "sign-out")
        said = [(event.action, event.outcome, event.subject, event.count) for event in events]
        assert said == [
            ("sign-in", "DENY", "", 1),
            ("sign-in", "DONE", "ann", 1),
            ("sign-out", "DONE", "ann", 1),
            ("sign-in", "DENY", "", 1),  # the second one was counted
        ]


async def test_planning_says_where_and_why(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        body = {"material": "M1", "quantity": 5, "scope": "acme/north", "why": "spring"}
        answer = await face.client.put("/api/v1/work/job-orders/J1", json=body, headers=as_("kim"))
        assert answer.status_code == 403, answer.text
        (event,) = await face.served.audited("work:PutJobOrder")
        assert (event.outcome, event.subject, event.path, event.reason) == (Outcome.DENY, "kim", "acme/north", "spring")
        assert json.loads(event.after)["material"] == "M1"


async def test_reads_are_events_only_when_a_setting_says_so(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        await face.client.get("/api/v1/tags", headers=as_("ron"))
        assert not await face.served.audited("read")
    async with plant(tmp_path / "again", audit=TrailSettings(reads=True)) as face:
        await face.client.get("/api/v1/tags", headers=as_("ron"))
        (event,) = await face.served.audited("read")
        assert (event.outcome, event.subject, event.method) == (Outcome.ALLOW, "ron", "GET /api/v1/tags")


@pytest.mark.security("T-AUDIT-STOP", "SR 2.10")
async def test_while_the_log_takes_nothing_commands_wait_and_cancelling_does_not(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        running, trail = face.served, face.served.server.gate.trail
        command_id = await submit(face, "ann", command(name="start"))
        await trail.close()
        running.events.failure = UnavailableError("no broker")
        await face.client.get("/api/v1/tags")  # denied, and its event is lost
        await eventually(lambda: trail.lost == 1)
        before = len(running.requests.records)
        await submit(face, "ann", command(), 503)
        approved = await face.client.post(f"/api/v1/commands/{command_id}/approve", json={}, headers=as_("ben"))
        assert approved.status_code == 503
        assert "audit log" in approved.json()["detail"]
        assert len(running.requests.records) == before
        cancelled = await face.client.post(f"/api/v1/commands/{command_id}/cancel", json={}, headers=as_("ann"))
        assert cancelled.status_code == 200
        await trail.close()
        lost = trail.lost
        running.events.failure = None
        await submit(face, "ann", command(), 503)  # nobody has heard of the broker yet
        await trail.report_lost()
        await submit(face, "ann", command())
        assert sum(told.count for told in await running.audited("audit:lost")) == lost == trail.lost


class Slow:
    """A broker that confirms when it is told to."""

    def __init__(self) -> None:
        self.confirms = asyncio.Event()
        self.records: list[bytes] = []

    async def send(self, topic: str, key: bytes, value: bytes | None) -> object:
        assert topic == topics.AUDIT.name
        assert value is not None
        await self.confirms.wait()
        self.records.append(value)
        return None


def event(subject: str = "ann", **fields: object) -> AuditEvent:
    given = {"service": "serving", "action": "read", "outcome": Outcome.DENY, "subject": subject} | fields
    return AuditEvent(**given)  # type: ignore[arg-type]


@pytest.mark.security("SR 2.10")
async def test_an_answer_waits_for_its_event_only_so_long() -> None:
    now, slow = [100.0], Slow()
    trail = Trail(slow, clock_s=lambda: now[0])
    noted = trail.note(event())
    began = asyncio.get_running_loop().time()
    await trail.settled(noted)
    assert (
        asyncio.get_running_loop().time() - began >= WAIT_S * 0.9
    )  # it was not confirmed, and the answer goes out all the same
    trail.require()
    now[0] += 5.1
    with pytest.raises(UnavailableError, match="audit log"):
        trail.require()
    slow.confirms.set()
    await trail.close()
    trail.require()
    assert (trail.written, trail.lost, len(slow.records)) == (1, 0, 1)


@pytest.mark.security("SR 6.2", "SR 7.2")
async def test_what_is_denied_again_and_again_is_counted() -> None:
    now, kept = [100.0], RequestList()
    trail = Trail(kept, clock_s=lambda: now[0])

    def denied(peer: str, times: int, code: str = "UNAUTHENTICATED") -> None:
        for _ in range(times):
            trail.ended(Asked(method="m", action="", peer=peer, trace_id=""), None, code, "no token")

    denied("10.0.0.1:5", 500)
    denied("10.0.0.2:5", 1)
    denied("10.0.0.1:5", 2, "PERMISSION_DENIED")
    await asyncio.sleep(0)
    assert len(kept.records) == 3
    now[0] += 5
    denied("10.0.0.1:6", 7)  # another connection of the same caller
    trail.flush()
    now[0] += 5.1
    trail.flush()
    await trail.close()
    counts = [AuditEvent.decode(value).count for _, _, value in kept.records]
    assert sorted(counts) == [1, 1, 1, 1, 506]
    denied("10.0.0.2:5", 1)  # a window later it is the first again
    await trail.close()
    assert len(kept.records) == 6


async def test_callers_that_are_too_many_are_counted_together() -> None:
    kept = RequestList()
    trail = Trail(kept)
    for number in range(5_000):
        asked = Asked(method="m", action="", peer=f"10.0.{number // 250}.{number % 250}:5", trace_id="")
        trail.ended(asked, None, "UNAUTHENTICATED", "")
    await trail.close()
    counts = [AuditEvent.decode(value).count for _, _, value in kept.records]
    assert sum(counts) == 5_000
    assert len(counts) <= 1_002


@pytest.mark.security("T-AUDIT-STOP", "SR 2.9")
async def test_a_queue_that_is_full_loses_events_and_says_so() -> None:
    slow = Slow()
    trail = Trail(slow)
    assert all(trail.note(event()) for _ in range(10_000))
    assert trail.note(event()) is None
    with pytest.raises(UnavailableError, match="audit log"):  # the event of a command would be lost as well
        trail.require()
    slow.confirms.set()
    await trail.close()
    assert AuditEvent.decode(slow.records[-1]).action == "audit:lost"
    assert (trail.lost, len(slow.records)) == (1, 10_001)


async def test_what_still_waits_when_the_server_stops_is_in_its_own_log(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    trail = Trail(slow)
    trail.note(event("ann"))
    trail.note(event("ben"))
    await trail.close(within_s=0.01)  # the broker is away, and this returns
    assert trail.lost == 2
    told = [vars(record)["event"]["subject"] for record in caplog.records if "was not written" in record.msg]
    assert told == ["ann", "ben"]


@pytest.mark.security("T-SERVING-POLICY")
def test_policies_that_changed_are_told_with_their_versions(tmp_path: Path) -> None:
    said: list[tuple[str, str, str]] = []
    policies = Policies(tmp_path, lambda *told: said.append(told))
    first = policies.version
    (tmp_path / "own.cedar").write_text(RULES)
    assert policies.refresh()
    assert said == [(first, policies.version, "")]
    assert policies.version != first
    (tmp_path / "own.cedar").write_text("nonsense")
    assert not policies.refresh()
    assert said[1][:2] == (policies.version, policies.version)
    assert "own.cedar" in said[1][2]
    (tmp_path / "own.cedar").unlink()
    assert policies.refresh()
    assert policies.version == first


@pytest.mark.security("T-AUDIT-LEAK", "V16.2.5")
def test_a_tokens_file_that_changed_is_told_without_its_tokens(tmp_path: Path) -> None:
    said: list[tuple[str, str, str]] = []
    path = tokens(tmp_path / "tokens.toml", ann=["read"], ben=["read"])
    access = Access(path, told=lambda *told: said.append(told))
    tokens(path, ann=["read", "command"], kim=["approve@acme"])
    access.refresh()
    assert said == [("ann: read; ben: read", "ann: command, read; kim: approve@acme", "")]
    path.write_text(path.read_text() + "until = 2099-01-01T00:00:00Z\n")
    access.refresh()
    assert said.pop() == ("kim: approve@acme", "kim: approve@acme until 2099-01-01T00:00:00+00:00", "")
    path.write_text("nonsense")
    for _ in range(3):
        access.refresh()
    assert len(said) == 2
    assert "tokens file" in said[1][2]


@pytest.mark.security("SR 2.8")
def test_every_method_that_changes_something_has_an_action() -> None:
    found = {}
    for method in METHODS:
        row = method_of(f"/{method.containing_service.full_name}/{method.name}", streaming=method.server_streaming)
        assert row is not None
        found[row.name] = (row.needs, row.action)
    assert {action for needs, action in found.values() if needs in {"command", "approve"}} == {
        "command:submit",
        "command:cancel",
        "command:approve",
    }
    assert all(action.startswith(("alarm:", "anomaly:")) for needs, action in found.values() if needs == "alarm")
    assert all(action.startswith("work:") for needs, action in found.values() if needs == "plan")
    assert not any(action for needs, action in found.values() if needs == "read")


@pytest.mark.security("T-AUDIT-LEAK", "SR 3.9", "SR 6.1", "V16.4.2")
async def test_the_log_is_read_by_those_who_may_and_where_they_may(tmp_path: Path) -> None:
    grants = {"aud": ["read", "audit"], "nor": ["read", f"audit@{PRESS}"], "ron": ["read"]}
    writer = LogWriter(tmp_path / "log", "plant/audit", tmp_path / "keys", Copies(None, every_s=1))
    said = [
        event(f"s{number}", path=PRESS if number % 3 == 0 else OTHER if number % 3 == 1 else "") for number in range(30)
    ]
    writer.take([Record(offset, one.encode()) for offset, one in enumerate(said)])
    writer.close()
    settings = TrailSettings(folder=str(tmp_path / "log"))
    async with web(tokens=str(tokens(tmp_path / "tokens.toml", **grants)), audit=settings) as face:

        async def read(who: str, status: int = 200, **query: str | int) -> dict[str, Any]:
            answer = await face.client.get("/api/v1/audit", params=query, headers=as_(who))
            assert answer.status_code == status, answer.text
            found: dict[str, Any] = answer.json()
            return found

        whole = await read("aud")
        assert [one["index"] for one in whole["events"]] == list(range(30, -1, -1))
        assert (whole["size"], whole["next_page_token"]) == (31, "")
        assert whole["events"][0]["subject"] == "s29"
        mine = await read("nor")
        assert {one["path"] for one in mine["events"]} == {PRESS}
        assert len(mine["events"]) == 10
        first = await read("aud", page_size=4, path=OTHER)
        second = await read("aud", page_size=100, path=OTHER, page_token=first["next_page_token"])
        assert [one["index"] for one in first["events"] + second["events"]] == list(range(29, 1, -3))
        assert [one["subject"] for one in (await read("aud", person="s7"))["events"]] == ["s7"]
        await read("ron", 403)
        await read("aud", 400, page_token="x")
        await read("aud", 400, page_size=1_001)
        events = await face.served.audited("audit:read")
        assert ("aud", "DONE") in {(one.subject, one.outcome) for one in events}
        assert ("ron", "DENY") in {(one.subject, one.outcome) for one in events}
        (tmp_path / "log" / "checkpoint").unlink()
        await read("aud", 503)
    async with web(tokens=str(tmp_path / "tokens.toml")) as face:
        assert (await face.client.get("/api/v1/audit", headers=as_("aud"))).status_code == 503


async def test_a_start_says_which_policies_are_in_force(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        (event,) = await face.served.audited("policy:load")
        assert (event.outcome, event.after) == (Outcome.DONE, face.served.server.policies.version)
