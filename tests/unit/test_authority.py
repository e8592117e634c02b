"""The certificate authority: what it makes is taken by OpenSSL for what it is meant for, and for nothing else."""

from __future__ import annotations

import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from authority.authority import LIFE, Authority
from authority.book import RENEW_BEFORE, AuthorityError, Usage
from base import files

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority(tmp_path / "authority", clock=clock)


def certificate(authority: Authority, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(
        authority.file(name).read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2]
    )


def openssl(authority: Authority, name: str, purpose: str, at: datetime) -> str:
    """What `openssl verify` says."""
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(authority.root_file), "-purpose", purpose]
    command += ["-attime", str(int(at.timestamp())), str(authority.file(name))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


@pytest.mark.security("SR 1.8", "V11.6.1")
def test_openssl_takes_a_certificate_for_its_purpose_and_its_time(authority: Authority) -> None:
    authority.issue("kafka", Usage.SERVER, ["127.0.0.1", "localhost"])
    authority.issue("gateway-north", Usage.CLIENT)
    assert openssl(authority, "kafka", "sslserver", NOW) == ""
    assert openssl(authority, "gateway-north", "sslclient", NOW) == ""
    assert openssl(authority, "gateway-north", "sslclient", NOW + LIFE - timedelta(seconds=1)) == ""
    assert "purpose" in openssl(authority, "gateway-north", "sslserver", NOW)
    assert "purpose" in openssl(authority, "kafka", "sslclient", NOW)
    assert "expired" in openssl(authority, "kafka", "sslserver", NOW + LIFE + timedelta(seconds=1))
    assert "not yet valid" in openssl(authority, "kafka", "sslserver", NOW - timedelta(hours=1))


def test_a_client_finds_the_server_by_each_of_its_addresses_and_by_no_other(authority: Authority) -> None:
    authority.issue("kafka", Usage.SERVER, ["127.0.0.1", "localhost"])
    root = x509.load_pem_x509_certificate(authority.root_file.read_bytes())
    policy = PolicyBuilder().store(Store([root])).time(NOW)
    policy.build_server_verifier(x509.DNSName("localhost")).verify(certificate(authority, "kafka"), [])
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("elsewhere")).verify(certificate(authority, "kafka"), [])


@pytest.mark.security("SR 1.8", "V12.3.4")
def test_another_authority_with_the_same_names_is_another(authority: Authority, tmp_path: Path, clock: Clock) -> None:
    other = Authority(tmp_path / "other", clock=clock)
    for one in (authority, other):
        one.issue("kafka", Usage.SERVER, ["localhost"])
    other.root_file.write_bytes(authority.root_file.read_bytes())
    assert "unable to get local issuer" in openssl(other, "kafka", "sslserver", NOW)


@pytest.mark.security("SR 1.8")
def test_a_certificate_signs_no_other(authority: Authority) -> None:
    authority.issue("gateway-north", Usage.CLIENT)
    found = certificate(authority, "gateway-north")
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not found.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


@pytest.mark.security("T-EDGE-DISK", "SR 1.5")
def test_keys_are_readable_by_their_owner_alone(authority: Authority) -> None:
    authority.issue("kafka", Usage.SERVER)
    assert authority.folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in authority.folder.iterdir()}
    assert modes.pop("ca.pem") == 0o644
    assert modes == dict.fromkeys(("ca.key", "kafka.pem", "certificates.json", "lock"), 0o600)


@pytest.mark.security("SR 1.5", "V11.2.2")
def test_what_is_due_is_renewed_and_nothing_before(authority: Authority, clock: Clock) -> None:
    assert authority.ensure("kafka", Usage.SERVER, ["localhost"])
    first = certificate(authority, "kafka")
    clock.now += LIFE - RENEW_BEFORE - timedelta(seconds=1)
    assert not authority.ensure("kafka", Usage.SERVER, ["localhost"])
    clock.now += timedelta(seconds=1)
    assert authority.ensure("kafka", Usage.SERVER, ["localhost"])
    second = certificate(authority, "kafka")
    assert second.subject == first.subject
    assert second.public_key() != first.public_key()
    assert openssl(authority, "kafka", "sslserver", NOW + LIFE + timedelta(days=1)) == ""


def test_a_hundred_certificates_are_written_down_in_one_pass(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {f"gateway-{number}": (Usage.CLIENT, ()) for number in range(100)}
    lists = list[Path]()
    replace = files.replace_durably

    def watched(path: Path, text: str, *, mode: int) -> None:
        if path.name == "certificates.json":
            lists.append(path)
        replace(path, text, mode=mode)

    monkeypatch.setattr(files, "replace_durably", watched)
    assert authority.ensure_all(wanted) == list(wanted)
    assert authority.ensure_all(wanted) == []
    assert authority.ensure_all({**wanted, "kafka": (Usage.SERVER, ("localhost",))}) == ["kafka"]
    assert len(lists) == 2
    assert {one.name for one in authority.entries()} == {*wanted, "kafka"}
    assert all(authority.file(name).exists() for name in wanted)


def test_a_name_that_is_none_leaves_everything_as_it_was(authority: Authority) -> None:
    with pytest.raises(AuthorityError, match="is no name of a certificate"):
        authority.ensure_all({"good": (Usage.CLIENT, ()), "of two words": (Usage.CLIENT, ())})
    assert authority.entries() == []


def test_another_address_or_a_lost_file_is_made_good(authority: Authority) -> None:
    authority.ensure("kafka", Usage.SERVER, ["localhost"])
    assert authority.ensure("kafka", Usage.SERVER, ["localhost", "kafka.example"])
    authority.file("kafka").unlink()
    assert authority.ensure("kafka", Usage.SERVER, ["localhost", "kafka.example"])
    assert len(authority.entries()) == 1


def test_who_was_killed_between_list_and_file_is_made_good(authority: Authority, clock: Clock) -> None:
    authority.ensure("kafka", Usage.SERVER, ["localhost"])
    old = authority.file("kafka").read_bytes()
    clock.now += LIFE - RENEW_BEFORE
    assert authority.ensure("kafka", Usage.SERVER, ["localhost"])
    authority.file("kafka").write_bytes(old)
    assert authority.ensure("kafka", Usage.SERVER, ["localhost"])
    assert authority.file("kafka").read_bytes() != old
    authority.file("kafka").write_bytes(b"half")
    assert authority.ensure("kafka", Usage.SERVER, ["localhost"])
    assert not authority.ensure("kafka", Usage.SERVER, ["localhost"])


def test_a_new_root_signs_everything_again(authority: Authority) -> None:
    authority.ensure("kafka", Usage.SERVER, ["localhost"])
    authority.root_file.unlink()
    assert authority.ensure("kafka", Usage.SERVER, ["localhost"])
    assert openssl(authority, "kafka", "sslserver", NOW) == ""


def test_nobody_changes_the_list_while_it_is_held(authority: Authority) -> None:
    authority.ensure("gateway-north", Usage.CLIENT)
    other = Authority(authority.folder, clock=lambda: NOW)
    revoking = threading.Thread(target=lambda: other.revoke("gateway-north"))
    with authority.held():
        revoking.start()
        revoking.join(0.2)
        assert revoking.is_alive()
        authority.renew("gateway-north")  # by who holds it
    revoking.join()
    assert not authority.ensure("gateway-north", Usage.CLIENT)
    assert [(one.generation, one.state(NOW)) for one in authority.entries()] == [(1, "revoked")]


@pytest.mark.security("SR 1.4")
def test_a_revoked_name_stays_out_until_it_is_issued_again_under_another_subject(
    authority: Authority, clock: Clock
) -> None:
    authority.ensure("gateway-north", Usage.CLIENT)
    assert authority.revoke("gateway-north") == authority.revoke("gateway-north")
    clock.now += LIFE
    assert not authority.ensure("gateway-north", Usage.CLIENT)
    with pytest.raises(AuthorityError, match="certificates issue gateway-north"):
        authority.renew("gateway-north")
    again = authority.issue("gateway-north", Usage.CLIENT)
    stolen, new = authority.entries()
    assert (stolen.subject, stolen.state(clock.now)) == ("CN=gateway-north,OU=1", "revoked")
    assert (new.subject, new.state(clock.now)) == ("CN=gateway-north,OU=2", "good")
    assert new == again
    assert certificate(authority, "gateway-north").subject.rfc4514_string() == new.subject
    authority.renew("gateway-north")
    assert [one.generation for one in authority.entries()] == [1, 2]


def test_what_cannot_be_done_is_said(authority: Authority) -> None:
    for name in ("ca", "../x", "", "a b", "x" * 65):
        with pytest.raises(AuthorityError, match="is no name of a certificate"):
            authority.issue(name, Usage.CLIENT)
    with pytest.raises(AuthorityError, match="no certificate was issued to nobody; there are none yet"):
        authority.revoke("nobody")
