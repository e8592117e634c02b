"""A server's certificate that changes while it serves: new connections get the new one, and a pair that does not fit is left alone."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from pathlib import Path

import pytest

from authority.authority import Authority
from authority.book import Usage
from base import server_tls
from base.errors import ConfigError
from serving.config import HttpSettings, TlsSettings
from tests.unit.served import served


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.issue("serving", Usage.SERVER, ("127.0.0.1", "localhost"))
    return made


def files(authority: Authority, folder: Path) -> TlsSettings:
    """As cert-manager gives them: two files."""
    folder.mkdir(exist_ok=True)
    for name in ("tls.crt", "tls.key"):
        shutil.copyfile(authority.file("serving"), folder / name)
    return TlsSettings(cert=str(folder / "tls.crt"), key=str(folder / "tls.key"))


async def serial(authority: Authority, port: int, protocol: str) -> str:
    """Of the certificate that is shown."""
    context = ssl.create_default_context(cafile=authority.root_file)
    context.set_alpn_protocols([protocol])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("peercert")
    writer.transport.abort()
    return f"{int(shown['serialNumber'], 16):x}"


@pytest.mark.drill("serving-certificate")
async def test_both_faces_take_a_renewed_certificate_while_they_serve(authority: Authority, tmp_path: Path) -> None:
    tls, before = files(authority, tmp_path / "tls"), authority.newest("serving")
    http = HttpSettings(listen="127.0.0.1:0")
    async with served(tls=tls, http=http, ca=str(authority.root_file)) as running:
        assert before is not None
        assert running.server.http is not None
        faces = {"h2": running.server.port, "http/1.1": running.server.http.port}
        for protocol, port in faces.items():
            assert await serial(authority, port, protocol) == before.serial
        assert len((await running.client.devices_page()).items) == 3
        renewed = authority.renew("serving")
        files(authority, tmp_path / "tls")
        for protocol, port in faces.items():
            found = {await serial(authority, port, protocol) for _ in range(2)}
            assert await serial(authority, port, protocol) == renewed.serial, found
        # A connection that was open goes on.
        assert len((await running.client.devices_page()).items) == 3


async def test_a_key_of_another_certificate_is_said_and_the_one_before_stays(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls, before = files(authority, tmp_path / "tls"), authority.newest("serving")
    assert before is not None
    async with served(tls=tls, ca=str(authority.root_file)) as running:
        assert await serial(authority, running.server.port, "h2") == before.serial
        authority.renew("serving")
        shutil.copyfile(authority.file("serving"), tls.key)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                assert await serial(authority, running.server.port, "h2") == before.serial
        assert [one.message for one in caplog.records].count("the server goes on with its certificate before") == 1
        newest = authority.newest("serving")
        assert newest is not None
        shutil.copyfile(authority.file("serving"), tls.cert)
        assert await serial(authority, running.server.port, "h2") == newest.serial


def test_files_that_do_not_fit_are_named_at_the_start(authority: Authority, tmp_path: Path) -> None:
    tls = files(authority, tmp_path / "tls")
    authority.renew("serving")
    shutil.copyfile(authority.file("serving"), tls.key)
    with pytest.raises(ConfigError, match=r"tls\.crt .* cannot be used: .*the key is the certificate's"):
        server_tls.check(tls)


def test_a_pair_that_could_not_be_loaded_is_tried_again(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls = files(authority, tmp_path / "tls")
    pair = server_tls._Pair(tls)
    authority.renew("serving")
    files(authority, tmp_path / "tls")

    def fails() -> str:
        msg = "moved meanwhile"
        raise OSError(msg)

    with caplog.at_level(logging.ERROR):
        assert [pair.take(fails), pair.take(fails), pair.take(lambda: "new"), pair.take(fails)] == [
            None,
            None,
            "new",
            None,
        ]
    assert len(caplog.records) == 1
