"""The certificates of `k8s/certificates.yaml` as cert-manager makes them, by OpenSSL, and pods' files as Kubernetes mounts them."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_DAYS = "90"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "k8s" / f"{name}.yaml").read_text()))


@dataclass
class Cluster:
    """Secrets below `folder/secrets`, mounted files of each pod below `folder/NAME`."""

    folder: Path
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def issue(self, name: str, **changes: Any) -> dict[str, bytes]:
        """The secret of a Certificate, anew; `changes` of its spec. Its issuer's comes first."""
        kinds = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in documents("certificates")}
        spec = kinds["Certificate", name] | changes
        issuer = kinds["Issuer", spec["issuerRef"]["name"]]
        signer = None if "selfSigned" in issuer else self.secrets[issuer["ca"]["secretName"]]
        self.secrets[spec["secretName"]] = made = _made(self.folder, spec, signer)
        return made

    def mount(self, pod: str, spec: dict[str, Any]) -> Path:
        """Write the files of a pod's secrets where its only container has them, below a folder of its own; the folder.

        Secrets that nobody has made stay away, as those of Strimzi.
        """
        (container,) = spec["containers"]
        places = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        for volume in spec["volumes"]:
            sources = [volume["secret"]] if "secret" in volume else []
            sources += [one["secret"] for one in volume.get("projected", {}).get("sources", ())]
            for source in sources:
                secret = self.secrets.get(source.get("secretName") or source["name"])
                if secret is None:
                    continue
                items = source.get("items") or [{"key": key, "path": key} for key in secret]
                for item in items:
                    file = self.folder / pod / places[volume["name"]].lstrip("/") / item["path"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    replaced = file.with_suffix(".new")
                    replaced.write_bytes(secret[item["key"]])
                    replaced.replace(file)
        return self.folder / pod

    def configuration(self, pod: str, text: str) -> dict[str, Any]:
        """A configuration file with the paths of that pod's mounted files."""
        return dict(_moved(self.folder / pod, tomllib.loads(text)))


def _moved(root: Path, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _moved(root, one) for key, one in value.items()}
    if isinstance(value, list):
        return [_moved(root, one) for one in value]
    if isinstance(value, str) and value.startswith("/etc/millrace"):
        return str(root / value.lstrip("/"))
    return value


def _made(folder: Path, spec: dict[str, Any], signer: dict[str, bytes] | None) -> dict[str, bytes]:
    """Keys of a secret, as cert-manager names them."""
    assert spec["privateKey"]["algorithm"] == "ECDSA"
    assert spec["privateKey"]["size"] == 256
    work = folder / "openssl"
    work.mkdir(parents=True, exist_ok=True)
    run = partial(subprocess.run, cwd=work, check=True, capture_output=True)
    # Go's order of a subject, which cert-manager's is: the unit before the name.
    units = "".join(f"/OU={one}" for one in spec.get("subject", {}).get("organizationalUnits", ()))
    subject = f"{units}/CN={spec['commonName']}" if "commonName" in spec else "/CN=none"
    is_ca = spec.get("isCA", False)
    extensions = f"basicConstraints=critical,CA:{str(is_ca).upper()}\nkeyUsage=critical,"
    extensions += "digitalSignature,keyCertSign" if is_ca else "digitalSignature"
    (work / "extensions").write_text(extensions + "\n")
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key"])
    run(["openssl", "req", "-new", "-key", "key", "-subj", subject, "-out", "request"])
    by = ["-signkey", "key"]
    if signer is not None:
        (work / "ca.crt").write_bytes(signer["tls.crt"])
        (work / "ca.key").write_bytes(signer["tls.key"])
        by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    run(["openssl", "x509", "-req", "-in", "request", "-days", _DAYS, "-extfile", "extensions", *by, "-out", "crt"])
    key, certificate = (work / "key").read_bytes(), (work / "crt").read_bytes()
    found = {"tls.key": key, "tls.crt": certificate, "ca.crt": signer["tls.crt"] if signer else certificate}
    if {"type": "CombinedPEM"} in spec.get("additionalOutputFormats", ()):
        found["tls-combined.pem"] = key + b"\n" + certificate
    return found
