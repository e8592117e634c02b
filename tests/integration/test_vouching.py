"""Signatures where cert-manager issues: the files of `k8s/` with a real broker, the program that vouches and a gateway as processes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from base import settings as read
from base.errors import SchemaError
from base.ids import now_us
from base.settings import KafkaSettings
from base.signing_key import Signer
from base.toml import to_toml
from connectors.kafka import client as kafka
from jobs.config import JobConfig
from jobs.signing_keys import KeyTable
from schemas import command_signatures, frame, topics
from schemas.frame import Stream
from schemas.signing_keys import SERVING
from serving.config import ServingConfig
from serving.signing import Signing as ServingSigning
from stages.intake.signatures import FrameGuard
from tests.integration.gateway_process import ROOT, GatewayProcess
from tests.integration.gateway_support import free_port, until
from tests.integration.test_gateway import Counting, opcua_tag, serve_opcua
from tests.integration.test_gateway_opcua import Machine
from tests.k8s.installed import Cluster, documents
from tests.unit.test_command_signatures import request

EXAMPLE = "gateway-gw-north-1"


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine(free_port())
    yield made
    await made.stop()


class Installed:
    """What is applied to a cluster, as far as signatures go. The gateway of the example has the name of this one."""

    def __init__(self, folder: Path, broker: KafkaSettings) -> None:
        self.cluster, self.broker = Cluster(folder), broker
        self.gateway = GatewayProcess(folder, broker, free_port())
        self.holder = f"gateway-{self.gateway.gateway_id}"
        self._vouch: subprocess.Popen[bytes] | None = None
        self._keys: KeyTable | None = None
        for name in ("millrace-signers", "millrace-signing-serving", "millrace-signing-replay"):
            self.cluster.issue(name)
        self.issue(generation=1)

    def issue(self, generation: int) -> Signer:
        """Another certificate of the gateway, in the cluster and carried to the plant."""
        unit = {"organizationalUnits": [str(generation)]}
        made = self.cluster.issue(f"millrace-signing-{EXAMPLE}", commonName=self.holder, subject=unit)
        pod = next(one for one in documents("vouch") if one["kind"] == "Deployment")["spec"]["template"]["spec"]
        self.cluster.mount("vouch", pod)
        for name in ("tls-combined.pem", "ca.crt"):
            new = self.gateway.folder / f"{name}.new"
            new.write_bytes(made[name])
            new.replace(self.gateway.folder / name)
        return Signer.of(made["tls-combined.pem"])

    def vouch(self, *revoked: str) -> None:
        """Write the configuration of the program, and start it where it does not run."""
        (text,) = [one["data"]["vouch.toml"] for one in documents("vouch") if one["kind"] == "ConfigMap"]
        values = self.cluster.configuration("vouch", text)
        values |= {"kafka": {"bootstrap_servers": self.broker.bootstrap_servers}, "revoked": list(revoked)}
        values["metrics"] = {"port": 0}
        file = self.cluster.folder / "vouch.toml"
        file.write_text(to_toml(values))
        if self._vouch is None:
            # The interval is for clusters; a test does not wait for it.
            program = "import authority.vouch as it, sys; it._EVERY_S = 0.1; sys.exit(it.main())"
            self._vouch = subprocess.Popen([sys.executable, "-c", program, "--config", str(file)], cwd=ROOT)

    def keys(self) -> KeyTable:
        """As the telemetry job knows them."""
        (text,) = [one["data"]["telemetry.toml"] for one in documents("common") if one["kind"] == "ConfigMap"]
        (job,) = documents("telemetry")
        self.cluster.mount("telemetry", job["spec"]["podTemplate"]["spec"])
        config = read.parse(JobConfig, self.cluster.configuration("telemetry", text), where="telemetry.toml")
        assert config.signatures.required
        table = self._keys = KeyTable.of(self.broker, config.signatures)
        table.open()
        return table

    def serving(self) -> ServingSigning:
        """As serving signs commands."""
        found = {one["kind"]: one for one in documents("serving")}
        self.cluster.mount("serving", found["Deployment"]["spec"]["template"]["spec"])
        values = self.cluster.configuration("serving", found["ConfigMap"]["data"]["serving.toml"])
        values = {key: values[key] for key in ("kafka", "signing")} | {"listen": "127.0.0.1:0"}
        config = read.parse(ServingConfig, values, where="serving.toml")
        signing = ServingSigning(config.signing)
        for message in kafka.read_to_end(self.broker, topics.SIGNING_KEYS.name):
            with suppress(SchemaError):  # the topic is shared with other tests, whose authority is another one
                signing.apply_key(message.value() or b"")
        return signing

    def sent(self) -> list[bytes]:
        """Kafka values of the gateway's frames."""
        found = kafka.read_to_end(self.broker, topics.FRAMES.for_site(self.gateway.site))
        return [one.value() or b"" for one in found]

    def signers(self) -> set[str | None]:
        """Keys that have signed them."""
        return {frame.decode(one).key_id for one in self.sent()}

    def close(self) -> None:
        if self._keys is not None:
            self._keys.close()
        if self.gateway.process is not None:
            self.gateway.kill()
        if self._vouch is not None:
            self._vouch.terminate()
            assert self._vouch.wait(30) == 0


@pytest.fixture
def installed(tmp_path: Path, kafka: str) -> Iterator[Installed]:
    made = Installed(tmp_path, KafkaSettings(bootstrap_servers=kafka))
    made.gateway.make_topics()
    yield made
    made.close()


@pytest.mark.security("T-KAFKA-FORGE")
@pytest.mark.drill("gateway-signing-key")
async def test_signatures_are_required_where_cert_manager_issues(installed: Installed, machine: Machine) -> None:
    gateway, first = installed.gateway, installed.issue(generation=1)
    await machine.start(["d1.a"])
    files = {"key": str(gateway.folder / "tls-combined.pem"), "authority": str(gateway.folder / "ca.crt")}
    gateway.changes = {**serve_opcua(machine), "signatures": {"enabled": True, **files}}
    gateway.register([opcua_tag(gateway, 0, "d1.a")], version=1)
    gateway.start()
    await gateway.until_status(lambda status: status["connectors"][0]["connected"], what="the machine")
    counting = Counting(machine, "d1.a")
    try:
        # Nobody vouches yet: what is collected waits in the buffer.
        await gateway.until_status(lambda status: status["buffer"]["oldest_us"] > 0, what="frames that wait")
        assert installed.sent() == []
        installed.vouch()
        await until(lambda: installed.signers() == {first.id}, what="signed frames")
        keys = installed.keys()
        guard = FrameGuard(keys.find, unsigned_until_us=0)
        sent = installed.sent()
        assert {guard.problem(one, frame.decode(one), now_us()) for one in sent} == {""}
        bare = frame.encode(dataclasses.replace(frame.decode(sent[0]), signature=None, key_id=None))
        assert guard.problem(bare, frame.decode(bare), now_us())

        # Commands: serving's key is vouched for as the gateways' are.
        signed = installed.serving().sign(request())
        assert signed.key_id.startswith(f"{SERVING}.1.")
        assert command_signatures.problem(signed, keys.find, (SERVING,), now_us()) == ""

        # Another key while everything runs: frames go on, with the new key once it is told.
        second = installed.issue(generation=1)
        assert second.id != first.id
        await until(lambda: installed.signers() == {first.id, second.id}, what="frames with the second key")
        sent = installed.sent()
        assert {guard.problem(one, frame.decode(one), now_us()) for one in sent} == {""}

        # The generation is revoked: both keys count no more. The next one does.
        installed.vouch(f"{installed.holder}.1")
        await until(lambda: "was revoked" in guard.problem(sent[-1], frame.decode(sent[-1]), now_us()), what="revoked")
        third = installed.issue(generation=2)
        await until(lambda: third.id in installed.signers(), what="frames with the third key")
        newest = installed.sent()[-1]
        assert frame.decode(newest).key_id == third.id
        assert guard.problem(newest, frame.decode(newest), now_us()) == ""
    finally:
        await counting.stop()
    assert await gateway.terminate() == 0
    for stream in (Stream.LIVE, Stream.BACKFILL):
        sequences = sorted(one.sequence for one in gateway.frames() if one.stream is stream)
        assert sequences == list(range(len(sequences))), "no frame is lost for another key"
