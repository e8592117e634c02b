"""The documented decoder in JavaScript reads what Python writes: docs/examples/decode_frame.mjs against `schemas.frame`."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import codec, frame
from tests.contract import examples, golden_files

ROOT = Path(__file__).parents[2]
DECODER = ROOT / "docs" / "examples" / "decode_frame.mjs"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None, reason="node is not installed; the JavaScript decoder is checked where it is"
)


def run_decoder(path: Path) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run([NODE, DECODER, path], capture_output=True, text=True, timeout=60, check=False)


def expected(decoded: frame.Frame) -> dict[str, Any]:
    """What the decoder prints of a frame: 64-bit integers and the floats JSON lacks as text, columns as arrays."""

    def number(value: float) -> float | str:
        if math.isfinite(value):
            return "-0" if value == 0 and math.copysign(1, value) < 0 else value
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")

    shown: dict[str, Any] = {}
    for name, value in examples.frame_record(decoded).items():
        if isinstance(value, np.ndarray):
            shown[name] = [number(item) for item in value.tolist()]
        elif name in {"lane", "samples"} or value is None:
            shown[name] = value
        else:
            shown[name] = str(value)
    return shown | {"computed_checksum": str(decoded.computed_checksum())}


def random_frame(seed: int) -> frame.Frame:
    """A frame of any size with random bits, positive and negative ids and times on both sides of 1970."""
    rng = np.random.default_rng(seed)
    samples = int(rng.integers(1, 2_000))
    return frame.build(
        gateway_id="gw-süd-1",
        epoch=examples.EPOCH,
        lane=int(rng.integers(0, 2**31)),
        stream=frame.Stream(seed % 3),
        sequence=int(rng.integers(0, 2**62)),
        closed_time_us=examples.T0_US,
        clock_status=frame.ClockStatus.UNKNOWN,
        registry_version=int(rng.integers(0, 2**40)),
        tag_id=rng.integers(-(2**31), 2**31, samples).astype(np.int32),
        time_us=rng.integers(-(2**30), 2**30, samples) * (1 if seed else -1),
        value=np.round(rng.normal(0, 1e6, samples), 3),
        quality=rng.integers(0, 2**16, samples).astype(np.uint16),
    )


def test_the_golden_frame_is_read_the_same() -> None:
    path = golden_files.path_of(codec.all_schemas()["TelemetryFrame"][0], "hex")
    result = run_decoder(path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == expected(frame.decode(bytes.fromhex(path.read_text())))


@pytest.mark.parametrize("seed", range(3))
def test_other_frames_are_read_the_same(seed: int, tmp_path: Path) -> None:
    message = frame.encode(random_frame(seed))
    path = tmp_path / "frame.hex"
    path.write_text(message.hex())
    result = run_decoder(path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == expected(frame.decode(message))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda message: message[:-1], "truncated"),
        (lambda message: message + b"\0", "trailing bytes"),
        (lambda message: b"\xc3\x02" + message[2:], "not a TelemetryFrame v1"),
    ],
)
def test_damage_is_refused(damage: Any, error: str, tmp_path: Path) -> None:
    path = tmp_path / "frame.hex"
    path.write_text(damage(frame.encode(examples.frame())).hex())
    result = run_decoder(path)
    assert result.returncode != 0
    assert error in result.stderr


def test_the_decoder_names_the_fingerprint_of_version_one() -> None:
    header = codec.all_schemas()["TelemetryFrame"][0].header.hex()
    assert f'HEADER = "{header}"' in DECODER.read_text()
    assert header in (ROOT / "docs" / "columns.md").read_text()
