"""Code roots: folders of our packages from which TaskManagers run and jobs are submitted.

Enters: a source tree with the packages of a deployable (the checkout, or what an image would hold). Leaves: `data/code/<root>`, named by
version and content, complete when it has its name and never changed afterwards; and the link `data/code/active` to the one root that is in
use. A TaskManager resolves the link once, when its process starts, and has that root on PYTHONPATH, which thread mode's interpreter and
the submitting client both honour. Only `up`, while nothing of Flink runs, and `deploy` move the link (docs/adr/0019-code-roots.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from stack.config import ROOT, StackConfig
from stack.errors import StackError

_SUFFIXES = (".py", ".avsc", ".json", ".sql", ".yaml", ".toml")
_DIGITS = 12


def folder(config: StackConfig) -> Path:
    """Where all roots of the instance are."""
    return config.data / "code"


def link(config: StackConfig) -> Path:
    """The link to the active root."""
    return folder(config) / "active"


def path(config: StackConfig, name: str) -> Path:
    """Folder of a root."""
    return folder(config) / name


def packages() -> tuple[str, ...]:
    """What jobs need of ours, as their image has it."""
    table = tomllib.loads((ROOT / "k8s" / "images" / "deployables.toml").read_text())
    return tuple(table["jobs"]["packages"])


def name_of(source: Path) -> str:
    """Name that a root made from this tree has: version and content."""
    digest = hashlib.sha256()
    for file in _files(source):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(source)}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{_version()}-{digest.hexdigest()[:_DIGITS]}"


def build(config: StackConfig, source: Path) -> str:
    """Make the root of this tree unless it is there; its name. StackError when the one that is there was changed."""
    name = name_of(source)
    target = path(config, name)
    if target.exists():
        if name_of(target) != name:
            msg = f"{target} was changed after it was written; delete it while no job runs, or restore it"
            raise StackError(msg)
        return name
    scratch = folder(config) / f".{name}.{os.getpid()}"
    for file in _files(source):
        copy = scratch / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        copy.chmod(0o444)
    try:
        scratch.rename(target)
    except OSError:  # another process was faster: its content is the same
        shutil.rmtree(scratch)
    return name


def active(config: StackConfig) -> Path:
    """Folder of the active root; StackError when there is none yet."""
    try:
        return link(config).resolve(strict=True)
    except OSError as error:
        msg = f"there is no active code root in {folder(config)}; `./millrace up` makes one"
        raise StackError(msg) from error


def activate(config: StackConfig, name: str) -> None:
    """Move the link, at once and for good; processes that run keep the root they started with."""
    path(config, name).resolve(strict=True)
    scratch = folder(config) / f".active.{os.getpid()}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(name)
    scratch.replace(link(config))


def of_process(config: StackConfig, pid: int) -> str:
    """Root that a process was started with; empty when it has none, or is gone."""
    import psutil

    try:
        found = psutil.Process(pid).environ().get("PYTHONPATH", "")
    except psutil.Error:
        return ""
    return Path(found).name if Path(found).parent == folder(config).resolve() else ""


def prune(config: StackConfig, *, keep: Iterable[str], newest: int) -> list[str]:
    """Delete roots but the `newest` ones and those to `keep`; names of the deleted. What a broken build left goes too."""
    known = [one for one in folder(config).iterdir() if one.is_dir() and not one.is_symlink()]
    whole = sorted((one for one in known if not one.name.startswith(".")), key=_age, reverse=True)
    kept = {*keep, active(config).name, *(one.name for one in whole[:newest])}
    gone = [one for one in known if one.name not in kept]
    for one in gone:
        shutil.rmtree(one)
    return [one.name for one in gone]


def _age(root: Path) -> int:
    return root.stat().st_mtime_ns


def _files(tree: Path) -> Iterator[Path]:
    for package in packages():
        for file in sorted((tree / package).rglob("*")):
            if file.suffix in _SUFFIXES and "__pycache__" not in file.parts:
                yield file


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
