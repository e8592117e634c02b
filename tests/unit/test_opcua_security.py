"""Sessions with security against a real server: policies, modes, users, trust on both sides, and what is said when one is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from asyncua import Server, ua
from asyncua.crypto import cert_gen
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from base.ids import now_us
from browse import command as browse
from connectors.opcua import certificates
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.connector import OpcUaConnector
from connectors.opcua.settings import OpcUaSettings
from edge.__main__ import main as edge
from schemas.events import EventKind
from tests.integration.gateway_support import MemorySink, free_port, tag, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE_S = 60
URI = "urn:test:secured"


class _Users:
    """Lets in one user by name, and one by certificate."""

    def __init__(self) -> None:
        self.certificate = b""

    def get_user(
        self, _server: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        if username is not None:
            return User(UserRole.User, name=username) if (username, password) == ("operator", "secret") else None
        return User(UserRole.User) if certificate and bytes(certificate) == self.certificate else None


class Secured:
    """The server: asks for a user; trusts the certificates whose fingerprints are in `trusted`, or all."""

    def __init__(self) -> None:
        self.url = f"opc.tcp://127.0.0.1:{free_port()}/secured"
        self.users = _Users()
        self.trusted: set[str] | None = None
        self.server = Server(iserver=InternalServer(user_manager=self.users))

    async def start(self, folder: Path) -> None:
        key = cert_gen.generate_private_key()
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(URI)]
        made = cert_gen.generate_self_signed_app_certificate(
            key, "secured", {}, names, extended=[ExtendedKeyUsageOID.SERVER_AUTH]
        )
        self.certificate = made
        (folder / "key.pem").write_bytes(cert_gen.dump_private_key_as_pem(key))
        (folder / "own.der").write_bytes(made.public_bytes(serialization.Encoding.DER))
        await self.server.init()
        self.server.set_endpoint(self.url)
        await self.server.set_application_uri(URI)
        self.server.set_security_policy(
            [
                ua.SecurityPolicyType.NoSecurity,
                ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
                ua.SecurityPolicyType.Basic256Sha256_Sign,
                ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
                ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
            ]
        )
        await self.server.load_certificate(str(folder / "own.der"))
        await self.server.load_private_key(str(folder / "key.pem"))
        self.server.set_certificate_validator(self._validate)
        await self.server.register_namespace("urn:test:machine")
        await self.server.nodes.objects.add_variable(ua.NodeId("a", 2), "a", 5.0)
        await self.server.start()

    async def _validate(self, certificate: x509.Certificate, _application: Any) -> None:
        if self.trusted is not None and certificates.fingerprint(certificate) not in self.trusted:
            raise ua.uaerrors.BadCertificateUntrusted


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    made = Secured()
    await made.start(tmp_path_factory.mktemp("server"))
    yield made
    await made.server.stop()


class Connected:
    """A connector that runs with these settings."""

    def __init__(
        self, server: Secured, store: CertificateStore, *, ahead: timedelta = timedelta(), **settings: Any
    ) -> None:
        """Its clock is `ahead`."""

        def clock() -> int:
            return now_us() + int(ahead.total_seconds() * 1e6)

        self.sink = MemorySink()
        known = OpcUaSettings(endpoint=server.url, reconnect_min_s=0.1, reconnect_max_s=0.2, **settings)
        self.connector = OpcUaConnector(known, name="ua", sink=self.sink, clock=clock, certificates=store)
        only = tag(1, "ua:nsu=urn:test:machine;s=a")
        self.connector.update({only.address: only}, frozenset())

    async def __aenter__(self) -> Connected:
        self._task = asyncio.create_task(self.connector.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def reads(self) -> None:
        await until(lambda: self.sink.values(1) == [5.0], timeout_s=PATIENCE_S, what=self.connector.status()["problem"])

    async def says(self, text: str) -> str:
        def problem() -> str:
            found: str = self.connector.status()["problem"]
            return found if text in found else ""

        return await until(problem, timeout_s=PATIENCE_S, what=text)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "pki", "gw1")


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("secret\n")
    return f"file:{tmp_path / 'password'}"


async def trust(server: Secured, store: CertificateStore, secret: str) -> None:
    """The gateway's first attempt, and a person who looks at it."""
    async with Connected(
        server, store, security_policy="Basic256Sha256", username="operator", password=secret
    ) as first:
        problem = await first.says("is not trusted")
    (shown,) = store.rejected()
    assert certificates.fingerprint(shown) in problem
    store.trust(certificates.fingerprint(shown)[:16])


@pytest.mark.security("T-PLANT-VALUES", "SR 4.3")
@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        ("Basic256Sha256", "SignAndEncrypt"),
        ("Basic256Sha256", "Sign"),
        ("Aes128_Sha256_RsaOaep", "SignAndEncrypt"),
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt"),
    ],
)
async def test_policies_and_modes(
    server: Secured, store: CertificateStore, secret: str, policy: str, mode: str
) -> None:
    await trust(server, store, secret)
    user: dict[str, Any] = {"username": "operator", "password": secret}
    async with Connected(server, store, security_policy=policy, security_mode=mode, **user) as under_test:
        await under_test.reads()
        assert certificates.fingerprint(store.own().certificate) in under_test.connector.status()["certificate"]


async def test_trust_that_comes_later_is_enough(server: Secured, store: CertificateStore, secret: str) -> None:
    user: dict[str, Any] = {"username": "operator", "password": secret}
    async with Connected(server, store, security_policy="Basic256Sha256", **user) as under_test:
        problem = await under_test.says("python -m edge certificate trust")
        store.trust(problem.partition("trust ")[2].split()[0])
        await under_test.reads()
    (death,) = under_test.sink.of(EventKind.DEATH)
    assert "is not trusted" in death.text


async def test_a_server_that_does_not_trust_the_gateway_is_named_with_the_fix(
    server: Secured, store: CertificateStore, secret: str
) -> None:
    await trust(server, store, secret)
    server.trusted = set()
    user: dict[str, Any] = {"username": "operator", "password": secret}
    try:
        async with Connected(server, store, security_policy="Basic256Sha256", **user) as under_test:
            problem = await under_test.says("does not trust this gateway's certificate")
            own = certificates.fingerprint(store.own().certificate)
            assert own in problem
            server.trusted = {own}
            await under_test.reads()
    finally:
        server.trusted = None


@pytest.mark.security("T-PLANT-READ")
async def test_users_by_name_and_by_certificate(
    server: Secured, store: CertificateStore, secret: str, tmp_path: Path
) -> None:
    async with Connected(server, store, username="operator", password=secret) as by_name:
        await by_name.reads()
    (tmp_path / "wrong").write_text("wrong")
    async with Connected(server, store, username="operator", password=f"file:{tmp_path / 'wrong'}") as wrong:
        await wrong.says("the server refuses operator")
    async with Connected(server, store, username="operator", password=f"file:{tmp_path / 'none'}") as none:
        await none.says("cannot be read")
    await trust(server, store, secret)
    person = CertificateStore(tmp_path / "person", "operator")
    server.users.certificate = person.own().certificate.public_bytes(serialization.Encoding.DER)
    paths: dict[str, Any] = {
        "user_certificate": str(person.certificate_file),
        "user_private_key": str(tmp_path / "person" / "own.pem"),
    }
    async with Connected(server, store, security_policy="Basic256Sha256", **paths) as by_certificate:
        await by_certificate.reads()


@pytest.mark.security("T-PLANT-FLOOD")
async def test_a_certificate_given_as_key_and_a_policy_that_is_not_offered_cost_this_connection_alone(
    server: Secured, store: CertificateStore
) -> None:
    store.own()
    both: dict[str, Any] = {"certificate": str(store.certificate_file), "private_key": str(store.certificate_file)}
    async with Connected(server, store, security_policy="Basic256Sha256", **both) as under_test:
        await under_test.says("holds a certificate, not a private key")
    wanted: dict[str, Any] = {"security_policy": "Aes256_Sha256_RsaPss", "security_mode": "Sign"}
    async with Connected(server, store, **wanted) as not_offered:
        problem = await not_offered.says("the server offers no endpoint with Aes256_Sha256_RsaPss Sign")
        assert "Basic256Sha256 SignAndEncrypt" in problem


async def test_certificates_that_expire_are_told_once(server: Secured, store: CertificateStore, secret: str) -> None:
    await trust(server, store, secret)
    end = server.certificate.not_valid_after_utc
    ahead = end - timedelta(days=29) - datetime.now(UTC)
    user: dict[str, Any] = {"security_policy": "Basic256Sha256", "username": "operator", "password": secret}
    async with Connected(server, store, ahead=ahead, **user) as under_test:
        await under_test.reads()
        (told,) = under_test.connector.status()["warnings"]
        assert told.startswith(f"the server's certificate expires on {end:%Y-%m-%d}")
        under_test.connector._expiry.look()
        assert [one.text for one in under_test.sink.of(EventKind.STATE) if "certificate" in one.attributes] == [told]
    async with Connected(server, store, **user) as calm:
        await calm.reads()
        assert calm.connector.status()["warnings"] == []


async def test_browse_shows_the_gateways_certificate_and_trusts_what_the_gateway_trusts(
    server: Secured, store: CertificateStore, secret: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.own()
    user = ["--username", "operator", "--password", secret]
    secured = [server.url, "--security", "Basic256Sha256,Sign", *user]

    async def browsed(*arguments: str) -> tuple[int, str]:
        status = await asyncio.to_thread(browse.main, arguments)
        return status, capsys.readouterr().err

    status, said = await browsed(*secured)
    assert (status, "--security needs --pki" in said) == (1, True)
    status, said = await browsed(*secured, "--pki", str(store.folder))
    assert (status, "the server's certificate is not trusted" in said) == (1, True)
    assert edge(said.partition("run: python -m edge ")[2].split()) == 0
    written = tmp_path / "plant.yaml"
    status, said = await browsed(*secured, "--pki", str(store.folder), "--write", str(written))
    assert (status, "1 device classes" in said) == (0, True), said
    (connection,) = yaml.safe_load(written.read_text())["sites"][0]["gateways"][0]["connections"]
    assert (connection["security_policy"], connection["security_mode"]) == ("Basic256Sha256", "Sign")
    assert "certificate" not in connection
