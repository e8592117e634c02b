"""Generates the Python code of the .proto files: `python -m schemas.generate`, also `just proto`.

Enters: `schemas/proto/**/*.proto`. Leaves: committed Python code, so that installing needs no compiler; a test generates it again and
compares. There are two copies of it:

- beside the .proto files, for everything in this repository: `_pb2.py`, `_pb2.pyi` and `_pb2_grpc.py`; and `described.binpb`, the files
  with their comments, for reflection;
- in the distribution `millrace-client`, which imports nothing of ours: `_pb2.py` and `_pb2.pyi`. It has no `_pb2_grpc.py`: that would ask
  for the grpcio of this environment or newer.

A process may load both copies, of different versions even, and protobuf keeps one registry of full names per process. So the client's copy
has a package of its own, `millrace_client.v1`. The bytes on the wire are the same: messages do not carry their names.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from base.errors import SchemaError

ROOT = Path(__file__).resolve().parent.parent
PROTO_DIR = ROOT / "schemas" / "proto"
DESCRIBED = Path("schemas") / "proto" / "described.binpb"
"""The .proto files with their comments, which generated code does not have: what reflection shows."""
CLIENT_SOURCE = Path("client") / "src"
CLIENT_PROTO = Path("millrace_client") / "_proto"

_OURS = ("python", "pyi", "grpc_python")
_CLIENTS = ("python", "pyi")
_ENDS = {"python": "_pb2.py", "pyi": "_pb2.pyi", "grpc_python": "_pb2_grpc.py"}


def generate(target: Path = ROOT) -> list[Path]:
    """Write both copies under `target`, in the repository's folders; returns the files. Raises SchemaError when a file does not compile."""
    sources = sorted(PROTO_DIR.rglob("*.proto"))
    written = _compile(ROOT, [path.relative_to(ROOT) for path in sources], target, _OURS)
    written.append(_describe([path.relative_to(ROOT) for path in sources], target / DESCRIBED))
    with tempfile.TemporaryDirectory() as folder:
        staged = []
        for path in sources:
            staged.append(CLIENT_PROTO / path.relative_to(PROTO_DIR))
            (Path(folder) / staged[-1]).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / staged[-1]).write_text(for_client(path.read_text()))
        written += _compile(Path(folder), staged, target / CLIENT_SOURCE, _CLIENTS)
    return written


def for_client(proto: str) -> str:
    """Text of a .proto file as the client compiles it: in the client's package, importing the client's copies.

    Raises SchemaError for a file that is not in a package `millrace.*`.
    """
    if not re.search(r"^package millrace\.v\d+;$", proto, re.MULTILINE):
        msg = "every .proto file has a line `package millrace.vNUMBER;`"
        raise SchemaError(msg)
    text = proto.replace('import "schemas/proto/', f'import "{CLIENT_PROTO.as_posix()}/')
    # The package, and types named in full, with or without a dot in front.
    return re.sub(r"(?<!\w)(?<!\w\.)millrace\.(?=v\d)", "millrace_client.", text)


def _describe(sources: list[Path], target: Path) -> Path:
    from grpc_tools import protoc  # type: ignore[import-untyped]  # a development dependency

    target.parent.mkdir(parents=True, exist_ok=True)
    options = [
        f"-I{ROOT}",
        f"-I{Path(protoc.__file__).parent / '_proto'}",
        "--include_source_info",
        f"--descriptor_set_out={target}",
    ]
    if protoc.main(["protoc", *options, *map(str, sources)]):
        msg = f"protoc failed on {', '.join(map(str, sources))}; its messages are above"
        raise SchemaError(msg)
    return target


def _compile(root: Path, sources: list[Path], target: Path, kinds: tuple[str, ...]) -> list[Path]:
    """Compile `sources`, relative to `root`, into the same folders under `target`; returns the files."""
    from grpc_tools import protoc  # a development dependency

    target.mkdir(parents=True, exist_ok=True)
    well_known = Path(protoc.__file__).parent / "_proto"
    outputs = [f"--{kind}_out={target}" for kind in kinds]
    if protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *outputs, *map(str, sources)]):
        msg = f"protoc failed on {', '.join(map(str, sources))}; its messages are above"
        raise SchemaError(msg)
    stems = [(target / source).with_suffix("") for source in sources]
    return [stem.with_name(stem.name + _ENDS[kind]) for stem in stems for kind in kinds]


if __name__ == "__main__":
    for path in generate():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
