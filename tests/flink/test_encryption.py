"""Who encrypts in the Java processes of the jobs' image: the library in C, and Java itself for the rest."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from stack import flink, java
from stack.config import ROOT

SECURITY = ROOT / "flink-conf" / "java.security"
AMAZON = "AmazonCorrettoCryptoProvider"
PROGRAM = """
import json
from pyflink.java_gateway import get_gateway
jvm = get_gateway().jvm
cipher = jvm.javax.crypto.Cipher.getInstance("AES/GCM/NoPadding")
engine = jvm.javax.net.ssl.SSLContext.getDefault().createSSLEngine()
print(json.dumps({
    "all": [one.getName() for one in jvm.java.security.Security.getProviders()],
    "cipher": cipher.getProvider().getName(),
    "tls": "TLSv1.3" in list(engine.getSupportedProtocols()),
}))
"""


def providers(folder: Path, *options: str) -> dict[str, object]:
    """What a Java process of that class path says of them."""
    environment = os.environ | {
        # The only way of PyFlink's own gateway to a jar beside the wheel's.
        "HADOOP_CLASSPATH": f"{flink.lib_dir()}/*",
        "FLINK_CONF_DIR": str(folder),
        "JAVA_HOME": str(java.home()),
        "JAVA_TOOL_OPTIONS": " ".join(options),
    }
    (folder / "config.yaml").write_text("parallelism.default: 1\n")
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the provider's library is for x86-64; elsewhere Java encrypts"
)
def test_the_image_encrypts_in_c_and_keeps_what_java_has(tmp_path: Path) -> None:
    own = providers(tmp_path)
    found = providers(tmp_path, f"-Djava.security.properties={SECURITY}")
    assert own["cipher"] == "SunJCE"
    assert found == {"all": [AMAZON, *own["all"]], "cipher": AMAZON, "tls": True}  # type: ignore[misc]


def test_the_image_has_the_file() -> None:
    text = (ROOT / "k8s" / "images" / "jobs.Containerfile").read_text()
    assert "COPY flink-conf/java.security /opt/flink/java.security" in text
    assert "cat /opt/flink/java.security >>" in text
