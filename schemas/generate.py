"""Generates the Python code of the .proto files: `python -m schemas.generate`, also `just proto`.

Enters: `schemas/proto/**/*.proto`. Leaves: `_pb2.py`, `_pb2.pyi` and `_pb2_grpc.py` beside each, which are committed, so that
installing needs no compiler; a test generates them again and compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from base.errors import SchemaError

ROOT = Path(__file__).resolve().parent.parent
PROTO_DIR = ROOT / "schemas" / "proto"


def generate(target: Path = ROOT) -> list[Path]:
    """Write the generated files under `target`, in the same folders; returns them. Raises SchemaError when a file does not compile."""
    from grpc_tools import protoc  # type: ignore[import-untyped]  # a development dependency

    sources = sorted(str(path.relative_to(ROOT)) for path in PROTO_DIR.rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *outputs, *sources]):
        msg = f"protoc failed on {', '.join(sources)}; its messages are above"
        raise SchemaError(msg)
    stems = [(target / source).with_suffix("") for source in sources]
    return [stem.with_name(stem.name + end) for stem in stems for end in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")]


if __name__ == "__main__":
    for written in generate():
        sys.stdout.write(f"{written.relative_to(ROOT)}\n")
