"""The gateway's certificate and trust list: made, shown, renewed, trusted, and errors that say what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua.crypto import cert_gen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from base.errors import ConfigError
from connectors.opcua import certificates, expiry, revocation
from connectors.opcua.certificates import CertificateStore, UntrustedError
from connectors.opcua.settings import OpcUaSettings
from edge.__main__ import main

DER = serialization.Encoding.DER
NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "pki", "gw1")


def server_certificate(uri: str = "urn:server", days: int = 30) -> x509.Certificate:
    key = cert_gen.generate_private_key()
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    made: x509.Certificate = cert_gen.generate_self_signed_app_certificate(
        key, "server", {}, names, extended=[ExtendedKeyUsageOID.SERVER_AUTH], days=days
    )
    return made


@pytest.mark.security("T-EDGE-DISK")
def test_the_own_certificate_is_made_once_and_its_key_is_private(store: CertificateStore) -> None:
    own = store.own()
    assert own.uri == "urn:millrace:gw1"
    assert store.own().certificate == own.certificate
    assert (store.folder / "own.pem").stat().st_mode & 0o777 == 0o600
    assert own.certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=1000)


def test_renewal_makes_another_one_and_keeps_the_application_uri(store: CertificateStore) -> None:
    before = store.renew("urn:acme:line1")
    after = store.renew()
    assert after.uri == "urn:acme:line1"
    assert after.certificate != before.certificate
    with pytest.raises(ConfigError, match="is no URI"):
        store.renew("line 1")


@pytest.mark.security("T-PLANT-SERVER", "SR 1.9")
def test_an_unknown_server_is_refused_with_the_command_that_trusts_it(store: CertificateStore) -> None:
    server = server_certificate()
    name = certificates.fingerprint(server)
    with pytest.raises(UntrustedError) as refused:
        store.check(server.public_bytes(DER))
    assert name in str(refused.value)
    command = str(refused.value).partition("run: ")[2]
    assert command == f"python -m edge certificate trust {name[:16]} --pki {store.folder}"
    assert main(command.split()[3:]) == 0
    assert store.check(server.public_bytes(DER)) == server
    assert store.rejected() == []


def test_trust_needs_a_fingerprint_that_is_there(store: CertificateStore) -> None:
    with pytest.raises(ConfigError, match="at least 8 digits"):
        store.trust("ab")
    with pytest.raises(ConfigError, match="0 rejected certificates"):
        store.trust("ab" * 10)
    server = server_certificate()
    with pytest.raises(UntrustedError):
        store.check(server.public_bytes(DER))
    sha1 = certificates.thumbprint(server).upper()
    assert store.trust(":".join(sha1[at : at + 2] for at in range(0, 40, 2))) == server


@pytest.mark.security("SR 1.9")
def test_a_trusted_certificate_that_has_expired_is_refused(store: CertificateStore) -> None:
    server = server_certificate(days=1)
    with pytest.raises(UntrustedError):
        store.check(server.public_bytes(DER))
    store.trust(certificates.fingerprint(server))
    with pytest.raises(UntrustedError, match="is not valid at"):
        store.check(server.public_bytes(DER), now=datetime.now(UTC) + timedelta(days=2))


class Authority:
    """Signs servers' certificates, and lists of those that it has revoked."""

    def __init__(self, name: str = "authority") -> None:
        self._key = cert_gen.generate_private_key()
        self.certificate = cert_gen.generate_self_signed_app_certificate(self._key, name, {}, [], extended=[])

    def sign(self) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier("urn:server")]
        request = cert_gen.generate_app_certificate_signing_request(
            cert_gen.generate_private_key(), "server", {}, names, extended=[ExtendedKeyUsageOID.SERVER_AUTH]
        )
        signed: x509.Certificate = cert_gen.sign_certificate_request(request, self.certificate, self._key)
        return signed

    def revoke(self, *revoked: x509.Certificate, until: datetime = NOW + timedelta(days=7)) -> bytes:
        """A list in DER."""
        made = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        made = made.last_update(min(NOW, until) - timedelta(days=1)).next_update(until)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(NOW).build()
            made = made.add_revoked_certificate(entry)
        return made.sign(self._key, hashes.SHA256()).public_bytes(DER)


@pytest.fixture
def authority(store: CertificateStore) -> Authority:
    """It is trusted."""
    made = Authority()
    (store.folder / "trusted").mkdir(parents=True)
    (store.folder / "trusted" / "authority.pem").write_bytes(made.certificate.public_bytes(serialization.Encoding.PEM))
    return made


def test_a_certificate_signed_by_a_trusted_authority_is_trusted(store: CertificateStore, authority: Authority) -> None:
    server = authority.sign()
    assert store.check(server.public_bytes(DER)) == server
    with pytest.raises(UntrustedError):
        store.check(Authority().sign().public_bytes(DER))


@pytest.mark.security("T-PLANT-SERVER", "SR 1.9")
def test_a_certificate_that_its_authority_has_revoked_is_refused(store: CertificateStore, authority: Authority) -> None:
    server, revoked = authority.sign(), authority.sign()
    (store.folder / "trusted" / "authority.crl").write_bytes(authority.revoke(revoked))
    assert store.check(server.public_bytes(DER)) == server
    with pytest.raises(UntrustedError, match=f"revoked by CN=authority on {NOW:%Y-%m-%d}"):
        store.check(revoked.public_bytes(DER))
    # Even when it is trusted by itself.
    (store.folder / "trusted" / "revoked.der").write_bytes(revoked.public_bytes(DER))
    with pytest.raises(UntrustedError, match="revoked by"):
        store.check(revoked.public_bytes(DER))


def test_a_revocation_list_that_cannot_be_relied_on_refuses(store: CertificateStore, authority: Authority) -> None:
    server, alone = authority.sign(), server_certificate()
    trusted = store.folder / "trusted"
    (trusted / "alone.der").write_bytes(alone.public_bytes(DER))
    # A list of the same name, signed by somebody else.
    (trusted / "authority.crl").write_bytes(Authority().revoke())
    with pytest.raises(UntrustedError, match="list of CN=authority is not signed by an authority that is trusted"):
        store.check(server.public_bytes(DER))
    assert store.check(alone.public_bytes(DER)) == alone
    (trusted / "authority.crl").write_text("rubbish")
    with pytest.raises(ConfigError, match=r"authority\.crl is no revocation list"):
        store.check(alone.public_bytes(DER))


def test_an_old_revocation_list_still_counts_and_is_told(store: CertificateStore, authority: Authority) -> None:
    server = authority.sign()
    old = authority.revoke(server, until=NOW - timedelta(days=1))
    (store.folder / "trusted" / "authority.crl").write_bytes(old)
    with pytest.raises(UntrustedError, match="revoked"):
        store.check(server.public_bytes(DER))
    (one,) = store.revocation_lists()
    assert "should have been replaced on" in revocation.outdated(one, NOW)
    assert revocation.outdated(one, NOW - timedelta(days=2)) == ""


def test_an_end_is_told_from_thirty_days_before() -> None:
    server = server_certificate(days=100)
    end = server.not_valid_after_utc
    told = [expiry.warning(server, "the server's", "renew it", end - timedelta(days=days)) for days in (31, 29, 1, -1)]
    assert told[0] == ""
    assert told[1] == told[2] == f"the server's certificate expires on {end:%Y-%m-%d %H:%M} UTC: renew it"
    assert "has expired on" in told[3]


def test_files_that_are_not_what_they_should_be_are_named(store: CertificateStore, tmp_path: Path) -> None:
    store.own()
    other = CertificateStore(tmp_path / "other", "gw2")
    other.own()
    certificate, key = store.certificate_file, store.folder / "own.pem"
    for first, second, cause in (
        (key, key, "certificate: .* holds a private key, not a certificate"),
        (certificate, certificate, "private_key: .* holds a certificate, not a private key"),
        (tmp_path / "none.der", key, "certificate: .* cannot be read: No such file"),
        (certificate, other.folder / "own.pem", "is not the key of the certificate"),
    ):
        with pytest.raises(ConfigError, match=cause):
            certificates.read_identity(first, second, keys=("certificate", "private_key"))
    (tmp_path / "rubbish.pem").write_text("rubbish")
    with pytest.raises(ConfigError, match=r"is no X\.509 certificate"):
        certificates.read_certificate(tmp_path / "rubbish.pem", key="certificate")


@pytest.mark.security("SR 4.3", "V11.3.2")
def test_a_misspelt_policy_is_an_error_that_lists_the_right_ones() -> None:
    with pytest.raises(
        ValueError, match="security_policy is 'Basic256sha256'; known: Basic256Sha256, Aes128_Sha256_RsaOaep"
    ):
        OpcUaSettings(endpoint="opc.tcp://h", security_policy="Basic256sha256")
    with pytest.raises(ValueError, match="certificate and private_key go together"):
        OpcUaSettings(endpoint="opc.tcp://h", security_policy="Basic256Sha256", certificate="a")
    with pytest.raises(ValueError, match="security_mode is 'Encrypt'"):
        OpcUaSettings(endpoint="opc.tcp://h", security_mode="Encrypt")
    with pytest.raises(ValueError, match="not both"):
        OpcUaSettings(endpoint="opc.tcp://h", username="u", user_certificate="a", user_private_key="b")


def test_the_command_shows_and_renews(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'gateway_id = "gw7"\nsite = "north"\nstate_dir = "{tmp_path / "state"}"\n[kafka]\nbootstrap_servers = "k"\n'
    )
    assert main(["certificate", "show", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "application URI: urn:millrace:gw7" in shown
    assert main(["certificate", "renew", "--application-uri", "urn:acme:gw7", "--config", str(config)]) == 0
    renewed = capsys.readouterr().out
    assert "application URI: urn:acme:gw7" in renewed
    assert main(["certificate", "list", "--config", str(config)]) == 0
    assert main(["certificate", "trust", "123", "--config", str(config)]) == 1
    assert "at least 8 digits" in capsys.readouterr().err
