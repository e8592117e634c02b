"""Tokens of an OpenID Connect issuer: whom they stand for, and every way in which they are refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from base.errors import ConfigError, UnavailableError
from schemas.sign_outs import SignOut
from serving.access import Access
from serving.oidc.code_flow import CodeFlow, safe_return
from serving.oidc.keys import read_jwks
from serving.oidc.provider import Endpoints, Provider
from serving.oidc.settings import OidcSettings, RoleSettings
from serving.oidc.verifier import MAX_TOKEN, Verifier
from serving.principals import Permission, UnauthenticatedError
from serving.sessions import COOKIE, Sessions, fixed
from serving.sign_outs import SignOuts
from tests.unit import issued
from tests.unit.issued import EC, ISSUER, NOW_S, OTHER, RSA, SETTINGS, raw, token
from tests.unit.served import RequestList


def verifier(settings: OidcSettings = SETTINGS, now_s: float = NOW_S) -> Verifier:
    made = Verifier(settings, clock=lambda: int(now_s * 1e6))
    made.set_keys(issued.keys(RSA, EC))
    return made


# --- good tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-PEOPLE-SHARED", "SR 1.1", "SR 1.4", "V10.3.3", "V10.5.2")
@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256")])
def test_a_good_token_stands_for_its_subject(key: RSAKey | ECKey, alg: str) -> None:
    found = verifier().principal(token(key, alg))
    assert found.name == "6f1c1d3e"
    assert found.allow == {Permission.READ, Permission.COMMAND}
    assert found.until_us == (NOW_S + 600) * 1_000_000


@pytest.mark.security("V10.3.2")
def test_roles_add_up_and_unknown_ones_allow_nothing() -> None:
    check = verifier()
    assert check.principal(token(realm_access={"roles": ["operators", "leads"]})).allow == set(Permission) & {
        Permission.READ,
        Permission.COMMAND,
        Permission.APPROVE,
    }
    for nothing in ({"roles": ["other"]}, {"roles": "other"}, {}, "operators", None):
        assert check.principal(token(realm_access=nothing)).allow == set()


SCOPED = OidcSettings(
    issuer=ISSUER,
    roles=(
        RoleSettings(name="operator", allow=("read", "command@acme/north")),
        RoleSettings(name="lead@home", allow=("approve",)),
    ),
)


@pytest.mark.security("V10.3.2", "SR 2.1")
@pytest.mark.parametrize(
    ("role", "grants"),
    [
        ("operator", {"read", "command@acme/north"}),
        ("operator@acme", {"read@acme", "command@acme/north"}),
        ("operator@acme/north/forming", {"read@acme/north/forming", "command@acme/north/forming"}),
        ("operator@acme/south", {"read@acme/south"}),
        ("operator@acme/nor", {"read@acme/nor"}),
        ("operator@/acme/north/", {"read@acme/north", "command@acme/north"}),
        ("lead@home", {"approve"}),
        ("lead@home/too", set()),
        ("lead", set()),
        ("operator@", set()),
        ("operator@*", set()),
        ("operator@acme/\x07", set()),
        ("@acme", set()),
    ],
)
def test_a_role_for_a_part_of_the_plant_allows_it_there_and_never_more(role: str, grants: set[str]) -> None:
    found = verifier(SCOPED).principal(token(realm_access=None, roles=[role])).grants
    assert set(map(str, found)) == grants


@pytest.mark.security("V9.2.3", "V9.2.4", "V10.3.1")
def test_an_audience_among_several_and_a_client_by_its_other_claim() -> None:
    assert verifier().principal(token(aud=["account", issued.AUDIENCE], azp=None, client_id="millrace-page"))


@pytest.mark.security("V9.2.1")
def test_clocks_may_differ_a_little() -> None:
    assert verifier(now_s=NOW_S + 629).principal(token())
    assert verifier(now_s=NOW_S - 29).principal(token())


# --- refused --------------------------------------------------------------------------------------------------------------


def with_public_key_as_secret() -> str:
    """What a server that takes HS256 would check with the issuer's public key, which everybody has."""
    text = raw({"alg": "HS256", "kid": "rsa-1"}).rpartition(".")[0]
    signature = hmac.new(RSA.as_pem(private=False), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


HMAC = OctKey.import_key("x" * 64, {"kid": "rsa-1"})
UNKNOWN = RSAKey.generate_key(2048, {"kid": "rsa-2"})

REFUSED = {
    "none": (raw({"alg": "none", "kid": "rsa-1"}), "not signed with"),
    "None, spelt otherwise": (raw({"alg": "nOnE", "kid": "rsa-1"}), "not signed with"),
    "no algorithm": (raw({"kid": "rsa-1"}), "not signed with"),
    "symmetric": (token(HMAC, "HS256"), "not signed with"),
    "confusion: the public key as a secret": (with_public_key_as_secret(), "not signed with"),
    "confusion: a key of another kind": (raw({"alg": "ES256", "kid": "rsa-1"}, "AAAA"), "signature"),
    "somebody else's key": (token(OTHER), "signature"),
    "no signature": (token().rpartition(".")[0] + ".", "signature"),
    "wrong issuer": (token(iss="https://id.example.com/realms/other"), "another issuer"),
    "issuer with a slash more": (token(iss=ISSUER + "/"), "another issuer"),
    "no issuer": (token(iss=None), "another issuer"),
    "wrong audience": (token(aud="grafana"), "not for 'millrace-api'"),
    "an id token": (token(aud="millrace-page"), "not for 'millrace-api'"),
    "no audience": (token(aud=None), "not for 'millrace-api'"),
    "wrong client": (token(azp="somebody"), "client"),
    "two clients that differ": (token(client_id="somebody"), "client"),
    "no client": (token(azp=None), "client"),
    "expired": (token(exp=NOW_S - 31), "is over"),
    "no end": (token(exp=None), "no end"),
    "an end that is no number": (token(exp="2100-01-01"), "no token"),
    "an end that is true": (token(exp=True), "no token"),
    "an end that is not a number": (token(exp=float("nan")), "is over"),
    "good for ever": (token(exp=NOW_S + 10**9), "for longer than"),
    "good for ever and ever": (token(exp=float("inf")), "for longer than"),
    "not yet valid": (token(nbf=NOW_S + 31), "not good yet"),
    "made tomorrow": (token(iat=NOW_S + 86_400), "not good yet"),
    "unknown key": (token(UNKNOWN), "does not have"),
    "no key": (raw({"alg": "RS256"}), "no token"),
    "a key's number": (raw({"alg": "RS256", "kid": 7}), "no token"),
    "oversized": (token(padding="x" * MAX_TOKEN), "more than 8192"),
    "its own key": (raw({"alg": "RS256", "kid": "rsa-1", "jwk": OTHER.as_dict(private=False)}), "more than names"),
    "a key's address": (raw({"alg": "RS256", "kid": "rsa-1", "jku": "https://evil.example.com/jwks"}), "more than names"),
    "a certificate's address": (raw({"alg": "RS256", "kid": "rsa-1", "x5u": "https://evil.example.com"}), "more than names"),
    "its own certificate": (raw({"alg": "RS256", "kid": "rsa-1", "x5c": ["MII"]}), "more than names"),
    "something critical": (raw({"alg": "RS256", "kid": "rsa-1", "crit": ["exp"]}), "more than names"),
    "another type": (token(header={"typ": "logout+jwt"}), "no token"),
    "no subject": (token(sub=None), "subject"),
    "an empty subject": (token(sub=""), "subject"),
    "a long subject": (token(sub="x" * 65), "subject"),
    "a subject that is of who acts at a machine": (token(sub="machine: otto"), "subject is a name of who acts"),
    "a subject that breaks lines": (token(sub="alice\nadmin"), "subject"),
    "a header that is no object": ("W10." + token().partition(".")[2], "no token"),
    "a header that is no JSON": ("eyJ." + token().partition(".")[2], "no token"),
    "two parts": (token().rpartition(".")[0], "no token"),
    "five parts, as an encrypted one": (token() + ".x.y", "no token"),
    "not ASCII": (token().replace(".", ".é", 1), "no token"),
    "nothing": ("..", "no token"),
}  # fmt: skip


@pytest.mark.security("T-SERVING-TOKEN", "SR 4.3", "V6.8.1", "V6.8.2", "V9.1.2", "V9.1.3", "V9.2.1", "V9.2.2", "V9.2.3")
@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_token_is_refused(case: str) -> None:
    bad, message = REFUSED[case]
    with pytest.raises(UnauthenticatedError) as caught:
        verifier().principal(bad)
    assert message in str(caught.value)
    assert bad[-40:] not in str(caught.value)


@pytest.mark.security("V6.8.2", "V9.1.1")
def test_every_part_of_a_token_counts() -> None:
    good = token()
    check = verifier()
    for at in range(0, len(good) - 1, 7):
        changed = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        with pytest.raises(UnauthenticatedError):
            check.principal(changed)


@pytest.mark.security("T-ISSUER-KEYS", "V9.1.3")
@pytest.mark.drill("issuer-keys")
def test_a_key_that_was_rotated_out_is_good_no_more() -> None:
    check = verifier()
    found = check.principal(token())
    assert check.knows(found.credential)
    assert check.set_keys(issued.keys(EC))
    assert not check.knows(found.credential)
    with pytest.raises(UnauthenticatedError, match="does not have"):
        check.principal(token())


@pytest.mark.security("V9.2.2")
@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {
            "kty": "RSA",
            "kid": "a",
            "e": "AQAB",
            "n": base64.urlsafe_b64encode(b"\xb1" * 127 + b"\x0b").decode().rstrip("="),
        },
        {**RSA.as_dict(private=False), "use": "enc"},
        {**RSA.as_dict(private=False), "kid": ""},
        {**ECKey.generate_key("P-384", {"kid": "a"}).as_dict(private=False)},
        {"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"},
    ],
)
def test_a_key_that_is_not_for_this_is_not_taken(entry: dict[str, str]) -> None:
    assert read_jwks(json.dumps({"keys": [entry]}).encode()) == {}


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [1]}', b"\xff"])
def test_what_is_no_document_of_keys_is_an_error(document: bytes) -> None:
    with pytest.raises(ConfigError, match="no JWKS"):
        read_jwks(document)


@pytest.mark.security("SR 7.6")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"issuer": "http://id.example.com"}, "begins with https://"),
        ({"issuer": "ftp://id"}, "begins with https://"),
        ({"algorithms": ("HS256",)}, "oidc.algorithms has 'HS256'"),
        ({"audience": "millrace-page"}, "an id token would then pass"),
        ({"audience": ""}, "an id token would then pass"),
        ({"roles": ()}, "nobody who signs in could do anything"),
        ({"client": "other"}, "not among oidc.clients"),
    ],
)
def test_settings_that_would_open_a_door_are_refused(changed: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "issuer": ISSUER,
        "client": "millrace-page",
        "clients": ("millrace-page",),
        "roles": (RoleSettings(name="a", allow=("read",)),),
    }
    with pytest.raises(ValueError, match=message):
        OidcSettings(**(good | changed))  # type: ignore[arg-type]


# --- the issuer's documents -----------------------------------------------------------------------------------------------


class Documents:
    """An issuer's documents, and what was asked of it."""

    def __init__(self, *keys: RSAKey | ECKey) -> None:
        self.keys = issued.jwks(*keys)
        self.discovery: dict[str, object] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/certs",
        }
        self.answer: dict[str, object] = {}
        self.forms: list[Mapping[str, str]] = []
        self.down = False

    def get(self, url: str) -> bytes:
        if self.down:
            msg = "the issuer cannot be reached"
            raise UnavailableError(msg)
        return self.keys if url == f"{ISSUER}/certs" else json.dumps(self.discovery).encode()

    def post(self, url: str, form: Mapping[str, str]) -> bytes:
        assert url == f"{ISSUER}/token"
        self.forms.append(form)
        return json.dumps(self.answer).encode()


def provider(documents: Documents) -> Provider:
    return Provider(SETTINGS, fetcher=documents, verifier=Verifier(SETTINGS, clock=lambda: NOW_S * 1_000_000))  # type: ignore[arg-type]


async def test_an_unknown_key_is_looked_for_once_and_then_refused() -> None:
    documents = Documents(EC)
    made = provider(documents)
    with pytest.raises(UnavailableError, match="try again"):
        made.principal(token())
    documents.keys = issued.jwks(EC, RSA)
    await made.refresh()
    assert made.principal(token()).name == "6f1c1d3e"
    with pytest.raises(UnauthenticatedError, match="does not have"):
        made.principal(token(UNKNOWN))


@pytest.mark.security("V16.5.2")
async def test_keys_stay_good_while_the_issuer_is_away() -> None:
    documents = Documents(RSA)
    made = provider(documents)
    await made.refresh()
    documents.down = True
    with pytest.raises(UnavailableError):
        await made.refresh()
    assert made.principal(token())


@pytest.mark.security("T-ISSUER-KEYS", "V1.3.6", "V9.1.3", "V10.5.3", "V13.2.5")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"issuer": ISSUER + "/"}, "has to be exactly that"),
        ({"jwks_uri": None, "token_endpoint": f"{ISSUER}/token"}, "less safe"),
        ({"token_endpoint": "http://id.example.com/token"}, "less safe"),
    ],
)
async def test_a_discovery_document_that_leads_astray_is_refused(changed: dict[str, object], message: str) -> None:
    documents = Documents(RSA)
    documents.discovery |= changed
    with pytest.raises(ConfigError, match=message):
        await provider(documents).refresh()


# --- access and sessions --------------------------------------------------------------------------------------------------


def bearer(value: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {value}")]


@pytest.mark.security("V6.3.4")
async def test_both_kinds_of_token_pass_the_same_door() -> None:
    made = provider(Documents(RSA))
    await made.refresh()
    sessions = Sessions(fixed(b"k" * 32), length_s=3_600, clock=lambda: NOW_S * 1_000_000)
    access = Access(None, sessions, made)
    assert access.has_tokens
    found = access.authenticate(bearer(token()))
    assert found.allow == {Permission.READ, Permission.COMMAND}
    for nobody in ([], bearer("a-token-of-ours"), [("millrace-principal", "alice")]):
        with pytest.raises(UnauthenticatedError):
            access.authenticate(nobody)


async def test_signing_out_everywhere_ends_tokens_that_the_issuer_made_before() -> None:
    made = provider(Documents(RSA))
    await made.refresh()
    outs = SignOuts(RequestList(), longest_s=86_400, clock=lambda: NOW_S * 1_000_000)
    outs.current = True
    access = Access(None, None, made, sign_outs=outs)
    found = access.authenticate(bearer(token(iat=NOW_S - 60)))
    outs.apply(SignOut(subject=found.name, before_us=(NOW_S - 30) * 1_000_000, by="admin").encode())
    with pytest.raises(UnauthenticatedError, match="signed out everywhere"):
        access.authenticate(bearer(token(iat=NOW_S - 60)))
    with pytest.raises(UnauthenticatedError, match="signed out everywhere"):
        access.recheck(found, Permission.COMMAND)
    assert access.authenticate(bearer(token(iat=NOW_S - 10))).name == found.name


@pytest.mark.security("V7.3.2", "V7.6.1")
async def test_a_session_of_an_issued_token_ends_with_it_and_with_its_key() -> None:
    documents = Documents(RSA)
    made = provider(documents)
    await made.refresh()
    sessions = Sessions(fixed(b"k" * 32), length_s=3_600, clock=lambda: NOW_S * 1_000_000)
    access = Access(None, sessions, made)
    found = access.authenticate(bearer(token()))
    value = sessions.make(credential=found.credential, name=found.name, allow=found.allow, until_us=found.until_us)
    cookie = [("cookie", f"{COOKIE}={value}")]
    again = access.authenticate(cookie)
    assert (again.name, again.allow, again.until_us) == (found.name, found.allow, found.until_us)
    access.recheck(again, Permission.COMMAND)
    before = access.refresh()
    documents.keys = issued.jwks(EC)
    await made.refresh()
    assert access.refresh() != before
    for refused in (lambda: access.authenticate(cookie), lambda: access.recheck(again, None)):
        with pytest.raises(UnauthenticatedError):
            refused()


# --- signing in with the browser ------------------------------------------------------------------------------------------

BACK = "https://plant.example.com/api/v1/sign-in/done"


async def begun(
    documents: Documents, back_to: str = "/trends", *, at_us: int = NOW_S * 1_000_000
) -> tuple[CodeFlow, dict[str, str], str]:
    made = provider(documents)
    await made.refresh()
    flow = CodeFlow(made, fixed(b"k" * 32), clock=lambda: at_us)
    place, cookie = flow.start(BACK, back_to)
    query = dict(pair.split("=", 1) for pair in place.partition("?")[2].split("&"))
    documents.answer = {"access_token": token(azp="millrace-page"), "id_token": identity(query["nonce"])}
    return flow, query, cookie


def identity(nonce: str, **changed: object) -> str:
    return token(**({"aud": "millrace-page", "azp": "millrace-page", "nonce": nonce} | changed))  # type: ignore[arg-type]


@pytest.mark.security("V10.1.1", "V10.2.1")
async def test_a_code_becomes_a_principal_with_the_proof_key() -> None:
    documents = Documents(RSA)
    flow, query, cookie = await begun(documents)
    assert (query["code_challenge_method"], query["response_type"], query["client_id"]) == (
        "S256",
        "code",
        "millrace-page",
    )
    found = await flow.finish(cookie, state=query["state"], code="c1", issuer=ISSUER, redirect_uri=BACK)
    assert (found.principal.name, found.back_to) == ("6f1c1d3e", "/trends")
    form = documents.forms[0]
    assert (form["code"], form["redirect_uri"], form["client_id"]) == ("c1", BACK, "millrace-page")
    assert len(form["code_verifier"]) >= 43
    assert form["code_verifier"] not in " ".join([*query.values(), cookie.partition(".")[2]])


@pytest.mark.security("V7.4.2")
async def test_who_signs_in_in_the_second_of_a_sign_out_is_in() -> None:
    """A token says when it was made in whole seconds: it would be older than a sign-out of a moment before."""
    documents = Documents(RSA)
    flow, query, cookie = await begun(documents, at_us=NOW_S * 1_000_000 + 900_000)
    documents.answer["access_token"] = token(azp="millrace-page", iat=NOW_S)
    found = await flow.finish(cookie, state=query["state"], code="c1", issuer=ISSUER, redirect_uri=BACK)
    assert found.principal.issued_us == NOW_S * 1_000_000 + 900_000


@pytest.mark.security("V6.8.4")
async def test_whoever_is_to_sign_in_again_is_asked_for_the_password() -> None:
    flow, query, _ = await begun(Documents(RSA))
    assert "prompt" not in query
    place, _ = flow.start(BACK, "/", again=True)
    assert "prompt=login" in place.split("&")


@pytest.mark.security("T-ISSUER-KEYS")
async def test_a_key_that_the_issuer_made_for_this_sign_in_is_read_before_the_code_is_lost() -> None:
    """Keycloak makes the key of an algorithm when it first signs with it, and every issuer changes its keys one day."""
    documents = Documents(EC)
    flow, query, cookie = await begun(documents)
    documents.keys = issued.jwks(EC, RSA)
    found = await flow.finish(cookie, state=query["state"], code="c1", issuer=ISSUER, redirect_uri=BACK)
    assert found.principal.name == "6f1c1d3e"


@pytest.mark.security("V7.6.2", "V10.1.2")
async def test_an_answer_that_this_browser_did_not_ask_for_is_refused_before_the_issuer_is_asked() -> None:
    documents = Documents(RSA)
    flow, query, cookie = await begun(documents)
    _, other, other_cookie = await begun(Documents(RSA))
    tampered = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    for shown, state, issuer in (
        ("", query["state"], ""),
        (cookie, other["state"], ""),
        (tampered, query["state"], ""),
        (other_cookie, query["state"], ""),
        (cookie, "", ""),
        (cookie, query["state"], "https://evil.example.com"),
    ):
        with pytest.raises(UnauthenticatedError):
            await flow.finish(shown, state=state, code="c1", issuer=issuer, redirect_uri=BACK)
    assert documents.forms == []


@pytest.mark.security("T-ISSUER-CODE", "V10.2.2", "V10.5.1", "V10.5.2", "V10.5.4")
async def test_tokens_of_another_sign_in_or_person_are_refused() -> None:
    documents = Documents(RSA)
    flow, query, cookie = await begun(documents)
    mine = token(azp="millrace-page")
    for answer in (
        {"access_token": mine, "id_token": identity("another nonce")},
        {"access_token": mine, "id_token": identity(query["nonce"], sub="somebody")},
        {"access_token": mine, "id_token": token()},
        {"access_token": identity(query["nonce"]), "id_token": identity(query["nonce"])},
        {"access_token": mine},
        {"error": "invalid_grant"},
    ):
        documents.answer = dict(answer)
        with pytest.raises(UnauthenticatedError):
            await flow.finish(cookie, state=query["state"], code="c1", issuer="", redirect_uri=BACK)


@pytest.mark.security("V6.5.5")
async def test_a_sign_in_takes_ten_minutes_at_most() -> None:
    documents = Documents(RSA)
    flow, query, cookie = await begun(documents)
    late = CodeFlow(provider(documents), fixed(b"k" * 32), clock=lambda: (NOW_S + 601) * 1_000_000)
    with pytest.raises(UnauthenticatedError, match="too late"):
        await late.finish(cookie, state=query["state"], code="c1", issuer="", redirect_uri=BACK)
    del flow


async def test_a_sign_in_before_the_issuer_has_answered_says_so() -> None:
    flow = CodeFlow(provider(Documents(RSA)), fixed(b"k" * 32))
    with pytest.raises(UnavailableError, match="not answered yet"):
        flow.start(BACK, "/")
    assert Endpoints(authorization="a", token="b", jwks="c").end_session == ""
    await asyncio.sleep(0)


@pytest.mark.security("V1.2.2", "V3.7.2")
@pytest.mark.parametrize(
    "wanted", ["//evil.example.com", "/\\evil", "https://evil.example.com", "trends", "/a\nb", "/" + "x" * 600, ""]
)
def test_the_page_to_come_back_to_is_one_of_ours(wanted: str) -> None:
    assert safe_return(wanted) == "/"
    assert safe_return("/line?range=1h") == "/line?range=1h"
