"""The wrapping key in Vault: what is asked of it, what each of its answers means, and forgetting against its HTTP API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.errors import ConfigError, MillraceError, UnavailableError
from privacy import forgetting
from privacy.settings import PrivacySettings
from privacy.store import Store, open_store
from privacy.vault import VaultWrapping
from tests.unit.vault_server import KEY, MOUNT, TOKEN, Vault, vault

PLACE = f"/v1/{MOUNT}"
SECRETS = [bytes([number]) * 32 for number in range(5)]


@pytest.fixture
def server() -> Iterator[Vault]:
    with vault() as running:
        yield running


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def wrapping(server: Vault, token: Path) -> VaultWrapping:
    return VaultWrapping(server.reference.removeprefix("vault:"), f"file:{token}")


def test_keys_are_wrapped_many_at_once_and_come_back_in_their_order(server: Vault, wrapping: VaultWrapping) -> None:
    wrapped = wrapping.wrap(SECRETS)
    assert all(one.startswith("vault:v1:") for one in wrapped)
    assert wrapping.unwrap(wrapped) == SECRETS
    assert wrapping.unwrap([]) == []
    assert server.asked == [f"POST {PLACE}/encrypt/{KEY}", f"POST {PLACE}/decrypt/{KEY}"]


def test_what_does_not_open_is_none_and_costs_the_others_nothing(wrapping: VaultWrapping) -> None:
    good, other = wrapping.wrap(SECRETS[:2])
    damaged = good[:-8] + "AAAAAAA="
    assert wrapping.unwrap([damaged, good, "nonsense", other]) == [None, SECRETS[0], None, SECRETS[1]]
    assert wrapping.unwrap([damaged, "nonsense"]) == [None, None]
    assert wrapping.unwrap([damaged]) == [None]


@pytest.mark.security("T-PEOPLE-PRIVACY")
def test_older_versions_are_destroyed_and_not_only_forbidden(server: Vault, wrapping: VaultWrapping) -> None:
    old = wrapping.wrap(SECRETS)
    wrapping.renew()
    new = wrapping.wrap(SECRETS)
    assert wrapping.unwrap([*old, *new]) == SECRETS * 2
    wrapping.renew()  # Vault rotates by itself, too: what is needed stays
    wrapping.drop_before(new)
    wrapping.drop_before(new)
    assert set(server.versions) == {2, 3}
    server.least_decryption = 1  # whoever may, lowers it again
    assert wrapping.unwrap([*old, *new]) == [None] * 5 + SECRETS


@pytest.mark.drill("vault-token")
def test_a_renewed_token_counts_at_once(server: Vault, wrapping: VaultWrapping, token: Path) -> None:
    server.token = "hvs.another"
    with pytest.raises(UnavailableError, match="token"):
        wrapping.wrap(SECRETS)
    token.write_text("hvs.another")
    assert wrapping.unwrap(wrapping.wrap(SECRETS)) == SECRETS


def test_a_token_for_everyday_cannot_destroy(server: Vault, wrapping: VaultWrapping) -> None:
    server.policy = frozenset({"read", "encrypt", "decrypt"})
    wrapping.prepare(first=True)
    assert wrapping.unwrap(wrapping.wrap(SECRETS)) == SECRETS
    for refused in (wrapping.renew, lambda: wrapping.drop_before(wrapping.wrap(SECRETS))):
        with pytest.raises(UnavailableError, match="policies"):
            refused()


@pytest.mark.security("V14.2.4")
@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        ({"sealed": True}, UnavailableError, "sealed or starting"),
        ({"missing": True}, ConfigError, f"vault write -f {MOUNT}/keys/{KEY}"),
        ({"token": "another"}, UnavailableError, "the token"),
    ],
)
def test_troubles_of_vault_are_named_without_the_token(
    server: Vault, wrapping: VaultWrapping, trouble: dict[str, object], error: type[MillraceError], message: str
) -> None:
    for name, value in trouble.items():
        setattr(server, name, value)
    for ask in (lambda: wrapping.prepare(first=False), lambda: wrapping.wrap(SECRETS), lambda: wrapping.unwrap(["x"])):
        with pytest.raises(error, match=message) as caught:
            ask()
        assert TOKEN not in repr(caught.value)


def test_a_vault_that_is_not_there_does_not_answer(token: Path) -> None:
    wrapping = VaultWrapping(f"http://127.0.0.1:9/{MOUNT}/{KEY}", f"file:{token}")
    with pytest.raises(UnavailableError, match="does not answer"):
        wrapping.wrap(SECRETS)


@pytest.mark.parametrize(
    "place",
    ["vault.example/transit/people", "https://vault/people", "https://vault", "https://me:secret@vault/transit/people"],
)
def test_a_place_that_is_none_is_refused_without_being_shown(place: str) -> None:
    with pytest.raises(ConfigError, match="vault:https://HOST") as caught:
        VaultWrapping(place, "env:VAULT_TOKEN")
    assert "secret" not in str(caught.value)


def test_vault_on_a_network_is_reached_over_tls() -> None:
    with pytest.raises(ConfigError, match="https"):
        VaultWrapping("http://vault.example:8200/transit/people", "env:VAULT_TOKEN")


def test_a_token_in_clear_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="privacy.token is not a reference") as caught:  # noqa: RUF043
        PrivacySettings(folder="/data/people", keys="vault:https://vault/transit/people", token="hvs.secret")
    assert "hvs" not in str(caught.value)
    with pytest.raises(ValueError, match="belongs to keys in Vault"):
        PrivacySettings(folder="/data/people", keys="vault:https://vault/transit/people")


@pytest.mark.security("T-PEOPLE-PRIVACY")
def test_somebody_is_forgotten_with_keys_in_vault(server: Vault, token: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    settings = PrivacySettings(folder=str(folder), keys=server.reference, token=f"file:{token}")

    def process() -> Store:
        store = open_store(settings)
        assert store is not None
        store.refresh()
        return store

    # Vault's key is made by people, so nobody knows whether it has wrapped anything.
    with pytest.raises(ConfigError, match="privacy begin"):
        process()
    first = open_store(settings)
    assert first is not None
    first.begin()
    one, other = process(), process()
    ann = one.person_of({"iss": "https://id.example", "sub": "ann-1", "name": "Ann Aalto", "iat": 100})
    bob = one.person_of({"iss": "https://id.example", "sub": "bob-1", "name": "Bob Berg", "iat": 100})
    shutil.copytree(folder, tmp_path / "copy")
    other.refresh()
    assert other.of_subject(ann.subject) == ann
    forgetting.forget(other, ann.subject)
    one.refresh()
    assert one.of_subject(ann.subject) is None
    assert process().everybody() == [bob]
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    with pytest.raises(ConfigError, match="does not open"):
        process()


def test_while_vault_is_away_those_who_are_known_stay_known(server: Vault, token: Path, tmp_path: Path) -> None:
    settings = PrivacySettings(folder=str(tmp_path / "people"), keys=server.reference, token=f"file:{token}")
    store = open_store(settings)
    assert store is not None
    store.begin()
    claims = {"iss": "https://id.example", "sub": "ann-1", "name": "Ann Aalto", "iat": 100}
    ann = store.person_of(claims)
    server.sealed = True
    with pytest.raises(UnavailableError, match="sealed"):
        store.refresh()
    assert store.person_of(claims) == ann
    late = open_store(settings)
    assert late is not None
    with pytest.raises(UnavailableError, match="sealed"):
        late.refresh()
    with pytest.raises(UnavailableError, match="cannot be read yet"):
        late.of_subject(ann.subject)
