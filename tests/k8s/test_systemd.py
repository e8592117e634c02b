"""The gateway's systemd unit: what systemd says of it, and that it starts what the image starts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "k8s" / "systemd" / "millrace-gateway.service"
MOST_EXPOSED = 20
"""Tenths of systemd's exposure level, 0 to 100."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with an interpreter and a folder that are here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text().replace("/opt/millrace/venv/bin/python", "/usr/bin/python3")
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/millrace/app", "/"))
    return path


def test_systemd_understands_every_line(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.security("T-EDGE-BUFFER", "SR 7.7")
def test_it_is_hardened(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:]


def test_it_starts_what_the_image_starts() -> None:
    image = (ROOT / "k8s" / "images" / "gateway.Containerfile").read_text()
    started = re.findall(r'"([^"]+)"', re.findall(r"^CMD (.*)$", image, re.MULTILINE)[-1])
    assert f"ExecStart=/opt/millrace/venv/bin/python {' '.join(started)}\n" in UNIT.read_text()
    assert "Type=notify\n" in UNIT.read_text()
