"""Who vouches for signing keys, without a broker: which files count, what the topic is to say, what stays revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from authority import telling, vouch
from authority.authority import Authority
from authority.book import Usage
from authority.signing_keys import AFTER
from base.errors import ConfigError
from base.signing_key import Signer
from base.toml import to_toml
from schemas.signing_keys import SigningKey

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)


class Place:
    """The program's files, and the topic in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, Authority(folder / "authority")
        self.signers, self.config = folder / "signers", folder / "vouch.toml"
        self.signers.mkdir()
        self.topic, self.reads = dict[str, SigningKey](), 0
        self.authority.issue("other", Usage.CLIENT)
        self.write()

    def write(self, *revoked: str) -> None:
        authority = {"certificate": str(self.authority.root_file), "key": str(self.authority.folder / "ca.key")}
        kafka = {"bootstrap_servers": "nowhere:1"}
        values = {"signers": str(self.signers), "authority": authority, "kafka": kafka, "revoked": list(revoked)}
        self.config.write_text(to_toml(values))

    def signer(self, name: str, *, file: str = "", authority: Authority | None = None) -> Signer:
        issuing = authority or self.authority
        issuing.issue(name, Usage.CLIENT)
        text = issuing.file(name).read_bytes()
        (self.signers / f"{file or name}.pem").write_bytes(text)
        return Signer.of(text)

    def told(self, *_: object) -> dict[str, SigningKey]:
        self.reads += 1
        return dict(self.topic)

    def tell(self, _settings: object, _prove: object, said: dict[str, SigningKey], wanted: list[SigningKey]) -> int:
        new = {one.key_id: one for one in wanted if said.get(one.key_id) != one}
        self.topic |= new
        return len(new)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setattr(telling, "told", made.told)
    monkeypatch.setattr(telling, "tell", made.tell)
    monkeypatch.setattr(vouch, "now_us", lambda: NOW_US)
    return made


def test_a_key_counts_for_a_week_longer_than_its_certificate(place: Place) -> None:
    signer = place.signer("gateway-a")
    assert vouch.Voucher(place.config).look() == 1
    (entry,) = [one for one in place.authority.entries() if one.name == "gateway-a"]
    (key,) = place.topic.values()
    assert key == SigningKey(
        key_id=signer.id,
        holder="gateway-a",
        public=signer.public,
        from_us=NOW_US,
        until_us=int((entry.expires + AFTER).timestamp() * 1e6),
    )


def test_the_broker_is_asked_when_something_has_changed_and_now_and_then(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher, signer = vouch.Voucher(place.config), place.signer("serving")
    assert [voucher.look() for _ in range(3)] == [1, 0, 0]
    assert place.reads == 1
    # Another key of the same name; the first one stays, for what it has signed.
    other = place.signer("serving")
    assert voucher.look() == 1
    assert place.topic.keys() == {signer.id, other.id}
    # The topic was lost: nothing here has changed.
    monkeypatch.setattr(vouch, "_AGAIN_S", 0.0)
    place.topic.clear()
    place.write()
    place.signer("serving")
    assert voucher.look() == 1
    place.topic.clear()
    assert voucher.look() == 1


def test_a_file_that_cannot_be_vouched_for_stops_no_other(place: Place, tmp_path: Path) -> None:
    good = place.signer("gateway-a")
    place.signer("gateway-b", authority=Authority(tmp_path / "another"))
    place.signer("other")
    place.signer("gateway-")
    (place.signers / "text.pem").write_text("nothing")
    mixed = place.authority.file("gateway-a").read_text().partition("-----BEGIN CERTIFICATE")[0]
    certificate = place.authority.file("other").read_text().partition("-----BEGIN CERTIFICATE")[2]
    (place.signers / "mixed.pem").write_text(f"{mixed}-----BEGIN CERTIFICATE{certificate}")
    voucher = vouch.Voucher(place.config)
    assert voucher.look() == 1
    assert place.topic.keys() == {good.id}
    assert voucher.refused == ["gateway-.pem", "gateway-b.pem", "mixed.pem", "other.pem", "text.pem"]
    assert voucher.keys == 1


def test_a_revoked_generation_stays_revoked_and_the_next_one_counts(place: Place) -> None:
    first, other = place.signer("gateway-a"), place.signer("gateway-a.1")
    voucher = vouch.Voucher(place.config)
    voucher.look()
    second = place.signer("gateway-a")  # renewed: the file of the first key is gone
    place.write("gateway-a.1")
    voucher.look()
    assert {one.key_id for one in place.topic.values() if one.revoked_us == NOW_US} == {first.id, second.id}
    assert place.topic[other.id].revoked_us is None
    # It leaves the list, and its file is there again.
    place.write()
    assert voucher.look() == 0
    place.authority.revoke("gateway-a")
    third = place.signer("gateway-a")
    voucher.look()
    assert place.topic[third.id].revoked_us is None
    assert place.topic[second.id].revoked_us == NOW_US


def test_what_is_revoked_while_it_looks_is_seen_at_the_next_look(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    key, load = place.signer("gateway-a"), vouch.load_settings

    def loaded_before_the_change(config: Path) -> vouch.VouchSettings:
        settings = load(config)
        place.write("gateway-a.1")
        return settings

    voucher = vouch.Voucher(place.config)
    monkeypatch.setattr(vouch, "load_settings", loaded_before_the_change)
    voucher.look()
    assert place.topic[key.id].revoked_us is None
    monkeypatch.setattr(vouch, "load_settings", load)
    voucher.look()
    assert place.topic[key.id].revoked_us == NOW_US


def test_a_certificate_that_is_renewed_for_the_same_key_lengthens_its_time_and_a_shorter_one_takes_nothing(
    place: Place,
) -> None:
    signer = place.signer("gateway-a")

    def until_us(wanted_us: int) -> int:
        known = SigningKey(key_id=signer.id, holder="gateway-a", public=signer.public, from_us=1, until_us=5)
        (found,) = vouch.wanted([vouch.Vouched(signer, wanted_us)], frozenset(), {signer.id: known}, 7)
        assert found.from_us == 1
        return found.until_us

    assert (until_us(9), until_us(3)) == (9, 5)


@pytest.mark.parametrize("wrong", ["gateway-a", "gateway-a.0", "other.1", "gateway-.1", ".1"])
def test_what_is_revoked_is_named_with_its_generation(place: Place, wrong: str) -> None:
    place.write(wrong)
    with pytest.raises(ConfigError, match="it is a signer and its generation, like gateway-gw-north-1"):
        vouch.Voucher(place.config).look()


def test_an_authority_that_cannot_vouch_is_named(place: Place, tmp_path: Path) -> None:
    place.signer("gateway-a")
    other = Authority(tmp_path / "another")
    other.issue("other", Usage.CLIENT)
    own, others = (str(one.folder / "ca.key") for one in (place.authority, other))
    place.config.write_text(place.config.read_text().replace(own, others))
    with pytest.raises(ConfigError, match=r"authority\.key is not the key of authority\.certificate"):
        vouch.Voucher(place.config).look()
