"""The Kubernetes files: what the operator's resource definition allows, the same Flink settings as the stack, loadable configuration."""

from __future__ import annotations

import gzip
import tomllib
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from authority import vouch
from authority.vouch import Voucher, VouchSettings
from base import settings
from base.signing_key import Signer
from base.toml import to_toml
from connectors.kafka.connection import UNGROUPED
from ingestion.settings import ServiceSettings
from jobs.config import JobConfig
from jobs.flink.shards import SUPPORTED_PARALLELISM
from schemas.signing_keys import KeyBook
from schemas.topics import SIGNING_KEYS, TOPICS, Access
from serving.config import ServingConfig, SigningSettings
from serving.http.own import ALIVE, READY
from serving.signing import Signing
from tests.k8s.installed import Cluster

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "k8s" / "images"
CRD = Path(__file__).with_name("flinkdeployments.flink.apache.org-v1.yml.gz")
PODS = ("ingestion", "notifier", "serving", "vouch")
"""Those that no operator makes."""
JOBS = ("telemetry", "historian", "commands", "alarms")
# Versions that the operator learnt after the published artifact (README.md beside this file).
LATER_VERSIONS = ["v2_0", "v2_1", "v2_2", "v2_3"]


def strict(schema: Any) -> Any:
    """The schema with unknown fields forbidden: Kubernetes drops them without a word, a typing error included."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@cache
def validator() -> Draft202012Validator:
    definition = yaml.load(gzip.decompress(CRD.read_bytes()), Loader=yaml.CSafeLoader)
    (version,) = [found for found in definition["spec"]["versions"] if found["name"] == "v1beta1"]
    schema = deepcopy(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    schema["properties"]["spec"]["properties"]["flinkVersion"]["enum"] += LATER_VERSIONS
    return Draft202012Validator(strict(schema))


def deployment(job: str) -> dict[str, Any]:
    (document,) = yaml.safe_load_all((ROOT / "k8s" / f"{job}.yaml").read_text())
    assert isinstance(document, dict)
    return document


def documents_of(name: str) -> dict[str, Any]:
    """By kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((ROOT / "k8s" / f"{name}.yaml").read_text())}


def pod_of(documents: dict[str, Any]) -> dict[str, Any]:
    return dict(documents["Deployment"]["spec"]["template"]["spec"])


def config_map() -> dict[str, str]:
    documents = list(yaml.safe_load_all((ROOT / "k8s" / "common.yaml").read_text()))
    (found,) = [document for document in documents if document["kind"] == "ConfigMap"]
    return dict(found["data"])


@pytest.mark.parametrize("job", JOBS)
def test_the_operator_accepts_the_deployment(job: str) -> None:
    assert [error.message for error in validator().iter_errors(deployment(job))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "job", "paralelism"), 2),
        (("spec", "flinkVersion"), "v3_0"),
        (("spec", "taskManager", "resource", "cpu"), "1"),
        (("spec", "job", "upgradeMode"), "hope"),
        (("spec", "podTemplate", "spec", "container"), []),
    ],
)
def test_the_definition_refuses_mistakes(path: tuple[str, ...], value: Any) -> None:
    wrong = deployment("telemetry")
    node = wrong
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    assert list(validator().iter_errors(wrong))


@pytest.mark.security("T-JOBS-CODE")
@pytest.mark.parametrize("job", JOBS)
def test_flink_is_configured_as_in_the_stack(job: str) -> None:
    here = deployment(job)["spec"]["flinkConfiguration"]
    stack = yaml.safe_load((ROOT / "flink-conf" / "config.yaml").read_text())
    # What decides about correctness and state must be there; sizes and timings of one machine need not.
    needed = ("python.", "classloader.", "env.", "state.", "execution.checkpointing.", "restart-strategy.")
    for key, value in stack.items():
        if key in here or key.startswith(needed):
            assert here.get(key) == (str(value).lower() if isinstance(value, bool) else str(value)), key


@pytest.mark.parametrize("job", JOBS)
def test_the_job_can_read_its_configuration_and_runs_at_its_parallelism(job: str) -> None:
    spec, text = deployment(job)["spec"]["job"], config_map()[f"{job}.toml"]
    config = settings.parse(JobConfig, tomllib.loads(text), where=f"{job}.toml")
    assert config.parallelism == spec["parallelism"]
    assert config.parallelism in SUPPORTED_PARALLELISM
    arguments = spec["args"]
    assert arguments[arguments.index("--config") + 1] == f"/etc/millrace/{job}.toml"
    module = arguments[arguments.index("-pym") + 1]
    assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists()


@pytest.mark.security("SR 3.2", "V13.4.1")
def test_the_image_is_the_one_the_container_file_describes() -> None:
    text = (IMAGES / "jobs.Containerfile").read_text()
    assert f"-t {deployment('telemetry')['spec']['image']} " in text
    assert {deployment(job)["spec"]["image"] for job in JOBS} == {deployment("telemetry")["spec"]["image"]}


def test_code_comes_with_the_image_and_not_with_the_job() -> None:
    assert "ENV PYTHONPATH=/opt/millrace/app\n" in (IMAGES / "jobs.Containerfile").read_text()
    for job in JOBS:
        assert "-pyfs" not in deployment(job)["spec"]["job"]["args"]


def test_every_deployable_has_an_image_that_is_made_by_the_step_the_tests_run() -> None:
    table = tomllib.loads((IMAGES / "deployables.toml").read_text())
    assert {path.name.removesuffix(".Containerfile") for path in IMAGES.glob("*.Containerfile")} == set(table)
    for name in table:
        text = (IMAGES / f"{name}.Containerfile").read_text()
        assert f"python3 /src/k8s/images/install.py {name} /opt/millrace " in text
        assert f"docker build -f k8s/images/{name}.Containerfile " in text


def test_serving_is_probed_where_it_listens() -> None:
    documents = {
        document["kind"]: document for document in yaml.safe_load_all((ROOT / "k8s" / "serving.yaml").read_text())
    }
    config = settings.parse(
        ServingConfig, tomllib.loads(documents["ConfigMap"]["data"]["serving.toml"]), where="serving.toml"
    )
    (container,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert config.listen.endswith(f":{ports['grpc']}")
    assert config.http.listen.endswith(f":{ports['https']}")
    for probe, path in (("readinessProbe", READY), ("livenessProbe", ALIVE)):
        assert container[probe]["httpGet"] == {"path": path, "port": "https", "scheme": "HTTPS"}
    assert {port["targetPort"] for port in documents["Service"]["spec"]["ports"]} == set(ports)
    assert documents["Service"]["spec"]["selector"] == documents["Deployment"]["spec"]["selector"]["matchLabels"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for path in (config.tokens, config.http.session_key, config.tls.cert, config.tls.key):
        assert str(Path(path).parent) in mounts


def test_the_certificate_that_serving_reads_is_the_one_that_is_issued() -> None:
    issued = {
        document["metadata"]["name"]: document["spec"]
        for document in yaml.safe_load_all((ROOT / "k8s" / "certificates.yaml").read_text())
        if document["kind"] == "Certificate"
    }
    documents = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "k8s" / "serving.yaml").read_text())}
    config = tomllib.loads(documents["ConfigMap"]["data"]["serving.toml"])
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    secret = issued["millrace-serving"]["secretName"]
    (mounted,) = [one["name"] for one in pod["volumes"] if one.get("secret", {}).get("secretName") == secret]
    (folder,) = [one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] == mounted]
    assert config["tls"] == {"cert": f"{folder}/tls.crt", "key": f"{folder}/tls.key"}
    origin = urlsplit(config["http"]["origins"][0])
    assert origin.hostname in issued["millrace-serving"]["dnsNames"]


def test_the_ingestion_service_has_the_certificate_that_is_issued_and_is_probed_where_it_answers() -> None:
    issued = {
        document["metadata"]["name"]: document["spec"]
        for document in yaml.safe_load_all((ROOT / "k8s" / "certificates.yaml").read_text())
        if document["kind"] == "Certificate"
    }
    documents = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "k8s" / "ingestion.yaml").read_text())}
    config = settings.parse(
        ServiceSettings, tomllib.loads(documents["ConfigMap"]["data"]["ingestion.toml"]), where="ingestion.toml"
    )
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    secrets = {one["secret"]["secretName"]: mounts[one["name"]] for one in pod["volumes"] if one.get("secret")}
    folder = secrets[issued["millrace-ingestion"]["secretName"]]
    assert (config.tls.cert, config.tls.key) == (f"{folder}/tls.crt", f"{folder}/tls.key")
    kafka = config.kafka
    for file in (config.tls.client_ca, kafka.ssl_ca_location, kafka.ssl_certificate_location, kafka.ssl_key_location):
        assert str(Path(file).parent) in secrets.values()
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"grpc": int(config.listen.rpartition(":")[2]), "metrics": config.metrics.port}
    assert pod["terminationGracePeriodSeconds"] > 2 * config.drain_s


@pytest.mark.parametrize("name", PODS)
def test_a_pod_of_ours_has_no_field_that_kubernetes_does_not_know(name: str) -> None:
    # The operator's definition has Kubernetes' own schema of a pod.
    definition: Any = validator().schema
    schema = definition["properties"]["spec"]["properties"]["podTemplate"]
    pod = documents_of(name)["Deployment"]["spec"]["template"]
    assert [error.message for error in Draft202012Validator(schema).iter_errors(pod)] == []
    wrong = deepcopy(pod)
    wrong["spec"]["containers"][0]["readynessProbe"] = {}
    assert list(Draft202012Validator(schema).iter_errors(wrong))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_of_ours_is_whole(name: str) -> None:
    documents = documents_of(name)
    spec, pod = documents["Deployment"]["spec"], documents["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    image = container["image"].removeprefix("millrace-").partition(":")[0]
    assert f"-t {container['image']} " in (IMAGES / f"{image}.Containerfile").read_text()
    if "args" in container:
        assert container["args"][1] in tomllib.loads((IMAGES / "deployables.toml").read_text())[image]["modules"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    ports = {one["name"] for one in container["ports"]}
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert container.get(probe, {}).get("httpGet", {}).get("port") in ports | {None}
    if service := documents.get("Service"):
        assert service["spec"]["selector"] == labels
        assert {one["targetPort"] for one in service["spec"]["ports"]} <= ports
    if "args" in container:
        file = Path(container["args"][container["args"].index("--config") + 1])
        assert file.name in documents["ConfigMap"]["data"]
        (volume,) = [one for one in pod["volumes"] if one.get("configMap")]
        (folder,) = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == volume["name"]]
        assert (folder, volume["configMap"]["name"]) == (str(file.parent), documents["ConfigMap"]["metadata"]["name"])


@pytest.mark.security("T-EDGE-KEY")
def test_the_ingestion_service_may_do_at_kafka_what_gateways_may_and_no_more() -> None:
    documents = documents_of("ingestion")
    user = documents["KafkaUser"]
    secrets = {one["secret"]["secretName"] for one in pod_of(documents)["volumes"] if one.get("secret")}
    assert user["metadata"]["name"] in secrets
    found = {
        (acl["resource"]["type"], acl["resource"].get("name", ""), acl["resource"].get("patternType", "literal")): set(
            acl["operations"]
        )
        for acl in user["spec"]["authorization"]["acls"]
    }
    operations = {Access.WRITE: {"Write"}, Access.READ: {"Read"}}
    wanted = {
        ("topic", topic.for_site(""), "prefix" if topic.per_site else "literal"): operations[topic.gateways]
        for topic in TOPICS
        if topic.gateways is not None
    }
    wanted[("cluster", "", "literal")] = {"Describe", "IdempotentWrite"}
    wanted[("group", "millrace-ungrouped", "literal")] = {"Describe"}
    assert found == wanted


@pytest.mark.security("SR 5.2")
def test_the_ingestion_service_is_reached_at_its_door_and_reaches_kafka_alone() -> None:
    documents = documents_of("ingestion")
    policy, config = documents["NetworkPolicy"]["spec"], tomllib.loads(documents["ConfigMap"]["data"]["ingestion.toml"])
    assert policy["podSelector"]["matchLabels"] == documents["Deployment"]["spec"]["selector"]["matchLabels"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    door, watched = policy["ingress"]
    assert door == {"ports": [{"protocol": "TCP", "port": "grpc"}]}
    assert watched["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    assert watched["from"]
    kafka, names = policy["egress"]
    assert kafka["to"] == [{"podSelector": {"matchLabels": documents["KafkaUser"]["metadata"]["labels"]}}]
    assert kafka["ports"] == [{"protocol": "TCP", "port": int(config["kafka"]["bootstrap_servers"].rpartition(":")[2])}]
    assert {one["port"] for one in names["ports"]} == {53}
    pod = pod_of(documents)
    (container,) = pod["containers"]
    assert (pod["automountServiceAccountToken"], pod["securityContext"]["runAsNonRoot"]) == (False, True)
    image = (IMAGES / "ingestion.Containerfile").read_text()
    assert f"useradd --system --uid {pod['securityContext']['runAsUser']} " in image
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]


def signers() -> dict[str, dict[str, Any]]:
    """Certificates of signers, by their secrets."""
    documents = yaml.safe_load_all((ROOT / "k8s" / "certificates.yaml").read_text())
    issued = [one["spec"] for one in documents if one["kind"] == "Certificate"]
    return {one["secretName"]: one for one in issued if one["issuerRef"]["name"] == "millrace-signers"}


@pytest.mark.security("T-KAFKA-FORGE", "SR 1.8")
def test_every_signer_has_a_key_that_signs_and_opens_nothing_and_is_vouched_for(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.issue("millrace-signers")
    names = set()
    for secret, spec in signers().items():
        assert spec["usages"] == ["digital signature"]
        assert not {"dnsNames", "ipAddresses", "isCA"} & spec.keys()
        assert spec["privateKey"]["rotationPolicy"] == "Always"
        signer = Signer.of(cluster.issue(secret)["tls-combined.pem"])
        assert signer.id.startswith(f"{spec['commonName']}.{spec['subject']['organizationalUnits'][0]}.")
        names.add(spec["commonName"])
    assert {"serving", "replay"} < names
    documents = documents_of("vouch")
    folder = cluster.mount("vouch", pod_of(documents))
    values = cluster.configuration("vouch", documents["ConfigMap"]["data"]["vouch.toml"])
    config = settings.parse(VouchSettings, values, where="vouch.toml")
    assert {one.stem for one in config.signers.glob("*.pem")} == names
    config_file = tmp_path / "vouch.toml"
    config_file.write_text(to_toml(values))
    voucher = Voucher(config_file)
    root, _ = vouch.authority_of(config.authority)
    texts = {one.name: one.read_bytes() for one in config.signers.glob("*.pem")}
    assert len(voucher.signers(texts, root)) == len(names)
    assert voucher.refused == []
    # The key that vouches is in this pod alone; who signs has its own key, and who verifies the certificate.
    assert list(folder.rglob("tls.key")) == [config.authority.key]
    for job in ("telemetry", "commands"):
        mounted = cluster.mount(job, deployment(job)["spec"]["podTemplate"]["spec"])
        assert {one.name for one in mounted.rglob("*") if one.is_file()} == {"ca.crt"}


@pytest.mark.security("T-KAFKA-FORGE", "T-PLANT-MOVE")
def test_signatures_are_required_of_everybody_who_verifies(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    for name in ("millrace-signers", "millrace-signing-serving"):
        cluster.issue(name)
    for job in ("telemetry", "commands"):
        cluster.mount(job, deployment(job)["spec"]["podTemplate"]["spec"])
        values = cluster.configuration(job, config_map()[f"{job}.toml"])
        found = settings.parse(JobConfig, values, where=f"{job}.toml").signatures
        assert (found.required, found.unsigned_until) == (True, "")
        KeyBook.of(found.authority)
    documents = documents_of("serving")
    cluster.mount("serving", pod_of(documents))
    values = cluster.configuration("serving", documents["ConfigMap"]["data"]["serving.toml"])
    signing = settings.parse(SigningSettings, values["signing"], where="serving.toml")
    assert not signing.sign_from
    Signing(signing)


@pytest.mark.security("T-KAFKA-FORGE", "SR 5.2")
def test_who_vouches_may_write_keys_and_nothing_else_and_is_called_by_nobody() -> None:
    documents = documents_of("vouch")
    acls = documents["KafkaUser"]["spec"]["authorization"]["acls"]
    found = {(one["resource"]["type"], one["resource"].get("name", "")): set(one["operations"]) for one in acls}
    assert found == {
        ("topic", SIGNING_KEYS.name): {"Read", "Write"},
        ("cluster", ""): {"IdempotentWrite"},
        ("group", UNGROUPED): {"Describe"},
    }
    assert all("patternType" not in one["resource"] for one in acls)
    secrets = {one["secret"]["secretName"] for one in pod_of(documents)["volumes"] if one.get("secret")}
    assert documents["KafkaUser"]["metadata"]["name"] in secrets
    policy, config = documents["NetworkPolicy"]["spec"], tomllib.loads(documents["ConfigMap"]["data"]["vouch.toml"])
    assert policy["podSelector"]["matchLabels"] == documents["Deployment"]["spec"]["selector"]["matchLabels"]
    assert [one["ports"] for one in policy["ingress"]] == [[{"protocol": "TCP", "port": "metrics"}]]
    kafka, names = policy["egress"]
    assert kafka["to"] == [{"podSelector": {"matchLabels": documents["KafkaUser"]["metadata"]["labels"]}}]
    assert kafka["ports"] == [{"protocol": "TCP", "port": int(config["kafka"]["bootstrap_servers"].rpartition(":")[2])}]
    assert {one["port"] for one in names["ports"]} == {53}
    pod = pod_of(documents)
    assert (pod["automountServiceAccountToken"], pod["securityContext"]["runAsNonRoot"]) == (False, True)
    assert documents["Deployment"]["spec"]["replicas"] == 1


def test_the_historian_has_the_authority_of_its_database() -> None:
    pod = deployment("historian")["spec"]["podTemplate"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one.get("secret")]
    (folder,) = [one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] == volume["name"]]
    said = (ROOT / "k8s" / "common.yaml").read_text()
    assert f"sslmode=verify-full sslrootcert={folder}/{volume['secret']['items'][0]['path']}" in said
