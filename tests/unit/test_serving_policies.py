"""Policies of commands and alarms: invariants over every case, each built-in policy is needed, and what an installation may add."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cedarpy
import pytest

from base.errors import ConfigError
from serving.caches.plant import covered
from serving.policies import command, engine
from serving.policies.engine import (
    ACKNOWLEDGE,
    ACT_ALONE,
    APPROVE,
    CANCEL,
    COMMAND,
    LABEL,
    SHELVE,
    AlarmAsk,
    Ask,
    LabelAsk,
    Place,
    Policies,
)
from serving.principals import Permission, Principal, grants_of
from tests.unit.http_served import tokens, web
from tests.unit.served import LINE
from tests.unit.test_serving_scopes import as_, submitted

PRESS = Place(
    path="acme/north/forming/line-1/cell-1/press-01", device_class="press", site="north", packml_state="EXECUTE"
)
SCOPES = ("", "acme", "acme/north", "acme/north/forming/line-1", PRESS.path, "acme/nor", "acme/south", f"{PRESS.path}0")
GRANTS = [f"{permission}@{scope}" if scope else str(permission) for permission in Permission for scope in SCOPES]
NAMES = ("ann", "bob")


def who(*grants: str, name: str = "ann", amr: tuple[str, ...] = (), signed_in_us: int = 0) -> Principal:
    return Principal(name, grants_of(grants), amr=frozenset(amr), signed_in_us=signed_in_us)


def wanted(principal: Principal, action: str, submitter: str) -> bool:
    """What the built-in policies are to say, written without them."""
    permission = Permission.APPROVE if action == APPROVE else Permission.COMMAND
    granted = covered(PRESS.path, principal.scopes(permission))
    return granted and not (action == APPROVE and submitter == principal.name)


def cases() -> list[tuple[Principal, str, str]]:
    """Every grant alone, some together, every action, every submitter."""
    pairs = [("command@acme/north", "approve@acme/south"), ("read", "command@acme/south"), ("command", "approve"), ()]
    principals = [who(grant) for grant in GRANTS] + [who(*pair) for pair in pairs]
    return list(itertools.product(principals, (COMMAND, CANCEL, APPROVE), NAMES))


def alarm_cases() -> list[tuple[Principal, str, str, str]]:
    """Every grant alone, both actions, what they are called, with a reason and without."""
    asked = (
        *((ACKNOWLEDGE, "acknowledge"), (ACKNOWLEDGE, "comment"), (SHELVE, "shelve"), (SHELVE, "unshelve")),
        *((SHELVE, "out_of_service"), (SHELVE, "in_service")),
    )
    return [
        (who(grant), action, name, reason) for grant in GRANTS for action, name in asked for reason in ("", "loose")
    ]


def alarm_wanted(principal: Principal, name: str, reason: str) -> bool:
    """What the built-in policies are to say of alarms, written without them."""
    return covered(PRESS.path, principal.scopes(Permission.ALARM)) and (
        name not in ("shelve", "out_of_service") or bool(reason)
    )


def alarms_differ(policies: Policies) -> bool:
    """Whether some case of alarms is decided otherwise than it is to be."""
    return any(
        policies.decide(one, action, PRESS, AlarmAsk(name=name, rule="hot", priority="LOW", reason=reason)).allowed
        is not alarm_wanted(one, name, reason)
        for one, action, name, reason in alarm_cases()
    )


def labels_differ(policies: Policies) -> bool:
    """The same of labels of anomaly episodes: where alarms are granted, and with a reason unless one is withdrawn."""
    return any(
        policies.decide(one, LABEL, PRESS, LabelAsk(name=name, detector="default", reason=reason)).allowed
        is not (covered(PRESS.path, one.scopes(Permission.ALARM)) and (name == "withdraw" or bool(reason)))
        for one in map(who, GRANTS)
        for name in ("not_a_fault", "fault", "withdraw")
        for reason in ("", "loose")
    )


@pytest.mark.security("SR 2.1", "V8.3.1")
def test_the_built_in_policies_say_what_they_are_to_say_in_every_case() -> None:
    policies = Policies()
    for principal, action, submitter in cases():
        found = policies.decide(principal, action, PRESS, Ask(name="start", submitter=submitter))
        assert found.allowed is wanted(principal, action, submitter), (principal, action, submitter)
        assert found.allowed is False or found.policies
    assert policies.decide(who("command"), ACT_ALONE, PRESS, Ask(name="start")).allowed
    assert not alarms_differ(policies)
    assert not labels_differ(policies)


@pytest.mark.security("T-SERVING-RIGHT", "SR 2.1", "SR 3.3")
@pytest.mark.parametrize("missing", Policies().ids)
def test_without_any_one_of_them_some_case_is_decided_otherwise(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = json.loads(cedarpy.policies_to_json_str(engine.BUILT_IN.read_text()))
    kept = {name: one for name, one in parsed["staticPolicies"].items() if one["annotations"]["id"] != missing}
    fewer = tmp_path / "built-in.cedar"
    fewer.write_text(cedarpy.policies_from_json_str(json.dumps(parsed | {"staticPolicies": kept})))
    monkeypatch.setattr(engine, "BUILT_IN", fewer)
    policies = Policies()
    changed = any(
        policies.decide(principal, action, PRESS, Ask(name="start", submitter=submitter)).allowed
        is not wanted(principal, action, submitter)
        for principal, action, submitter in cases()
    )
    alone = policies.decide(who("command"), ACT_ALONE, PRESS, Ask(name="start")).allowed
    assert changed or not alone or alarms_differ(policies) or labels_differ(policies)


@pytest.mark.security("SR 2.1")
def test_several_actions_are_decided_together_as_each_of_them_alone() -> None:
    policies, actions = Policies(), (COMMAND, ACT_ALONE, APPROVE, CANCEL)
    for one in map(who, GRANTS):
        ask = Ask(name="start", submitter=one.name)
        alone = [policies.decide(one, action, PRESS, ask, now_us=1_000_000) for action in actions]
        assert policies.decide_all(one, actions, PRESS, ask, now_us=1_000_000) == alone


# --- an installation's own ------------------------------------------------------------------------------------------------

OWN = """
@id("clear-needs-a-fresh-one-time-password")
@advice("sign in with a one-time password; it is good for five minutes")
forbid (principal, action == Action::"command", resource)
when { context.name == "clear" }
unless { principal.amr.contains("otp") && principal.signedInS <= 300 };

@id("ovens-need-a-second-person")
forbid (principal, action == Action::"actAlone", resource)
when { resource.deviceClass == "oven" && context.tags.contains("speed_setpoint") };

@id("setpoints-need-a-reason-and-a-fresh-value")
@advice("give a reason, and look at the value first")
forbid (principal, action == Action::"command", resource)
when { context.name == "write" && (context.reason == "" || context.ageMs < 0 || context.ageMs > 10000) };

@id("no-start-while-aborted")
forbid (principal, action == Action::"command", resource)
when { context.name == "start" && resource.packmlState == "ABORTED" };
"""


@pytest.fixture
def own(tmp_path: Path) -> Policies:
    (tmp_path / "plant.cedar").write_text(OWN)
    return Policies(tmp_path)


@pytest.mark.security("V6.3.3", "V6.8.4", "V10.3.4")
@pytest.mark.parametrize(
    ("principal", "ask", "state", "allowed"),
    [
        (who("command"), Ask(name="clear"), "", False),
        (who("command", amr=("pwd",), signed_in_us=1_000_000), Ask(name="clear"), "", False),
        (who("command", amr=("pwd", "otp"), signed_in_us=1_000_000), Ask(name="clear"), "", True),
        (who("command", amr=("pwd", "otp"), signed_in_us=-299_000_000), Ask(name="clear"), "", True),
        (who("command", amr=("pwd", "otp"), signed_in_us=-301_000_000), Ask(name="clear"), "", False),
        (who("read", amr=("pwd", "otp"), signed_in_us=1_000_000), Ask(name="clear"), "", False),
        (who("command"), Ask(name="write", tags=("a",), reason="trial", age_ms=500), "", True),
        (who("command"), Ask(name="write", tags=("a",), age_ms=500), "", False),
        (who("command"), Ask(name="write", tags=("a",), reason="trial", age_ms=-1), "", False),
        (who("command"), Ask(name="write", tags=("a",), reason="trial", age_ms=10_001), "", False),
        (who("command"), Ask(name="start"), "STOPPED", True),
        (who("command"), Ask(name="start"), "ABORTED", False),
    ],
)
def test_what_an_installation_adds_holds_beside_the_built_in(
    own: Policies, principal: Principal, ask: Ask, state: str, allowed: bool
) -> None:
    place = Place(path=PRESS.path, device_class="press", site="north", packml_state=state)
    assert own.decide(principal, COMMAND, place, ask, now_us=1_000_000).allowed is allowed


@pytest.mark.security("V6.8.4")
def test_the_error_names_the_policy_and_what_would_help(own: Policies) -> None:
    def error(principal: Principal, ask: Ask) -> str:
        return str(own.denied(principal, COMMAND, PRESS, own.decide(principal, COMMAND, PRESS, ask)))

    assert "good for five minutes (policy clear-needs-a-fresh-one-time-password)" in error(
        who("command"), Ask(name="clear")
    )
    assert "nothing permits it; allowed: command@acme/south" in error(who("command@acme/south"), Ask(name="start"))


@pytest.mark.security("T-SERVING-POLICY")
def test_policies_are_read_again_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    policies = Policies(tmp_path)
    assert not policies.refresh()
    file = tmp_path / "plant.cedar"
    file.write_text('@id("nothing-moves") forbid (principal, action == Action::"command", resource);')
    assert policies.refresh()
    assert not policies.decide(who("command"), COMMAND, PRESS, Ask(name="start")).allowed
    file.write_text("forbid (")
    assert not policies.refresh()
    assert not policies.decide(who("command"), COMMAND, PRESS, Ask(name="start")).allowed
    file.unlink()
    assert policies.refresh()
    assert policies.decide(who("command"), COMMAND, PRESS, Ask(name="start")).allowed


@pytest.mark.security("V16.5.3")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permit (", "plant.cedar holds no policies"),
        ("permit (principal, action, resource);", "without @id"),
        (
            '@id("approve-where-granted") permit (principal, action == Action::"approve", resource);',
            "twice: approve-where-granted",
        ),
        (
            '@id("x") permit (principal, action == Action::"command", resource) when { resource.colour == "red" };',
            "colour",
        ),
        ('@id("x") permit (principal, action == Action::"fly", resource);', "fly"),
        ('@id("x") permit (principal == ?principal, action, resource);', "template"),
    ],
)
def test_a_policy_that_does_not_fit_the_schema_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plant.cedar").write_text(text)
    with pytest.raises(ConfigError, match=message):
        Policies(tmp_path)
    with pytest.raises(ConfigError, match="not a folder"):
        Policies(tmp_path / "none")


# --- explain ---------------------------------------------------------------------------------------------------------------


@pytest.mark.security("SR 3.3")
def test_explain_agrees_with_the_decision_in_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    policies = Policies()
    for principal, action, submitter in cases()[::5]:
        grants = [part for grant in sorted(map(str, principal.grants)) for part in ("--grant", grant)]
        if not grants:
            continue
        arguments = ["explain", principal.name, action, PRESS.path, "--submitter", submitter, "--json", *grants]
        status = command.main(arguments)
        said = json.loads(capsys.readouterr().out)
        found = policies.decide(principal, action, PRESS, Ask(name="write", submitter=submitter))
        assert (said["allowed"], tuple(said["policies"])) == (found.allowed, found.policies)
        assert status == (0 if found.allowed else command.DENIED)


def test_explain_reads_the_tokens_file_and_says_what_would_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plant.cedar").write_text(OWN)
    file = tokens(tmp_path / "tokens.toml", ann=["command@acme/north"])
    common = [
        "explain",
        "ann",
        COMMAND,
        PRESS.path,
        "--tokens",
        str(file),
        "--policies",
        str(tmp_path),
        "--name",
        "clear",
    ]
    assert command.main(common) == command.DENIED
    said = capsys.readouterr().out
    assert said.startswith("denied\n")
    assert "good for five minutes" in said
    assert command.main([*common, "--amr", "otp", "--signed-in", "60"]) == 0
    assert "allowed\n  by      command-where-granted" in capsys.readouterr().out
    assert command.main([*common, "--amr", "otp", "--signed-in", "600"]) == command.DENIED
    assert command.main(["explain", "zoe", *common[2:]]) == 1
    assert "has no principal 'zoe'" in capsys.readouterr().err
    assert command.main(["check", str(tmp_path)]) == 0
    assert "12 policies hold" in capsys.readouterr().out


# --- over the wire --------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-PEOPLE-INSIDER")
async def test_a_policy_asks_for_a_second_person_whatever_the_submitter_says(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "plant.cedar").write_text(
        '@id("second-person") forbid (principal, action == Action::"actAlone", resource) when { resource.path like "*/press00" };'
    )
    allow = ["read", "command", "approve"]
    file = tokens(tmp_path / "tokens.toml", ann=allow, bob=allow)
    async with web(tokens=str(file), policies=str(folder)) as face:
        waits = await submitted(face, "ann", f"{LINE}/press00", approval=False)
        assert waits["state"] == "PENDING_APPROVAL"
        goes = await submitted(face, "ann", f"{LINE}/press01", approval=False)
        assert goes["state"] != "PENDING_APPROVAL"
        place = f"/api/v1/commands/{waits['command_id']}/approve"
        own = await face.client.post(place, json={}, headers=as_("ann"))
        assert own.status_code == 403
        assert "somebody else has to approve it" in own.text
        assert (await face.client.post(place, json={}, headers=as_("bob"))).status_code == 200


def test_an_installation_may_say_more_of_alarms_and_explain_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plant.cedar").write_text(
        """
        @id("critical-alarms-come-back-soon")
        @advice("a critical alarm can be shelved for 15 minutes at most")
        forbid (principal, action == Action::"shelve", resource)
        when { context.priority == "CRITICAL" && context.forS > 900 };
        """
    )
    common = [
        "explain",
        "ann",
        SHELVE,
        PRESS.path,
        "--grant",
        "alarm",
        "--policies",
        str(tmp_path),
        "--reason",
        "loose",
    ]
    assert command.main([*common, "--priority", "CRITICAL", "--for-s", "900"]) == 0
    assert command.main([*common, "--priority", "CRITICAL", "--for-s", "901"]) == command.DENIED
    assert "15 minutes at most" in capsys.readouterr().out
    assert command.main([*common, "--priority", "HIGH", "--for-s", "3600"]) == 0
    (tmp_path / "plant.cedar").write_text(
        '@id("too-wide") forbid (principal, action, resource) when { context.tags.contains("x") };'
    )
    with pytest.raises(ConfigError, match=r"plant\.cedar"):
        Policies(tmp_path)
