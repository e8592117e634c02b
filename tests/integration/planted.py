"""Secrets that can be recognised, those of a stack and planted ones, and every place where they must not be seen.

Places: arguments and environments of all processes, looked at all the time; logs; every file of the state folder that somebody else may
read, and every file at all outside of the folders that are for secrets; what commands print.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from stack import render
from stack.config import ROOT, StackConfig

_EVERY_S = 0.1


@dataclass
class Planted:
    """Secrets by what they are, and where they were seen in the process list."""

    secrets: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def new(self, what: str) -> str:
        """One more."""
        self.secrets[what] = f"planted-{uuid4().hex}-{uuid4().hex}"
        return self.secrets[what]

    def take(self, config: StackConfig) -> None:
        """What the stack has made itself: passwords, passphrases, keys. Nothing of it is shorter than 24 random bytes."""
        files = [path for path in sorted(config.secrets.rglob("*")) if path.is_file()]
        for path in (*files, config.config / "session.key"):
            text = path.read_text(errors="replace").strip() if path.exists() else ""
            if "PRIVATE KEY" in text:
                self.secrets[path.name] = text.partition("PRIVATE KEY-----")[2].split()[0]
            elif re.fullmatch(r"[\w+/=-]{32,}", text):
                self.secrets[path.name] = text
        for path in at_rest_keys(config):
            (secret,) = re.findall(r"^[0-9a-f]{16} \S+ (\S{44})$", path.read_text(), re.MULTILINE)[-1:]
            self.secrets[f"at rest of {path.parent.name}"] = secret

    def in_text(self, text: str) -> list[str]:
        """Which of them a text holds."""
        return [what for what, secret in list(self.secrets.items()) if secret in text]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """The process list is looked at for as long."""
        done = threading.Event()
        thread = threading.Thread(target=self._watch, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def in_files(self, folder: Path, private: Iterable[Path], scratch: Path) -> list[str]:
        """Files that hold one and should not: outside of the private folders, or readable by others."""
        patterns = scratch / "patterns"
        patterns.touch(mode=0o600)
        patterns.write_text("\n".join(self.secrets.values()))
        # -s: a file that goes meanwhile is no matter; -D skip: neither are sockets.
        found = subprocess.run(
            ["grep", "-rlasF", "-D", "skip", "-f", str(patterns), str(folder)],
            check=False,
            capture_output=True,
            text=True,
        )
        places = tuple(private)
        return sorted(path for path in found.stdout.splitlines() if not _is_private(Path(path), places))

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(_EVERY_S):
            self.look()

    def look(self) -> None:
        """Arguments and environments of every process, once."""
        for process in Path("/proc").glob("[0-9]*"):
            for kind in ("cmdline", "environ"):
                with contextlib.suppress(OSError):  # it has ended
                    data = (process / kind).read_bytes()
                    if found := self.in_text(data.decode(errors="replace")):
                        program = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
                        self.seen |= {f"{kind} of {program}: {what}" for what in found}


def at_rest_keys(config: StackConfig) -> list[Path]:
    """Files with the keys of what the stack's gateways keep."""
    return sorted(config.data.glob("gateways/*/at-rest.keys"))


def _is_private(path: Path, places: tuple[Path, ...]) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    return any(path.is_relative_to(place) for place in places) and not stat.S_IMODE(mode) & (
        stat.S_IRWXG | stat.S_IRWXO
    )


@contextlib.contextmanager
def shown(secret: str) -> Iterator[None]:
    """A process that has a secret in its arguments, and one that has it in its environment."""
    wait = ["bash", "-c", "read -r"]
    with (
        subprocess.Popen([*wait, secret], stdin=subprocess.PIPE),
        subprocess.Popen(wait, stdin=subprocess.PIPE, env=os.environ | {"PASSWORD": secret}),
    ):
        yield  # both end with their input


def printed(config: StackConfig, *words: str) -> str:
    """What a command prints, on both ends."""
    environment = os.environ | render.instance_environment(config)
    command = [sys.executable, "-m", "cli", *words]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=environment, timeout=300)
    return done.stdout + done.stderr
