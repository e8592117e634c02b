"""Locks between processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from base import files, locks

HOLDER = """
import sys
from pathlib import Path
from base import locks
held = locks.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_one_at_a_time_and_the_next_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.take(path, wait=False), pytest.raises(BlockingIOError):
        locks.take(path, wait=False)
    locks.take(path, wait=False).close()


def test_who_waits_has_it_next(tmp_path: Path) -> None:
    path, had = tmp_path / "lock", threading.Event()

    def second() -> None:
        with locks.take(path):
            had.set()

    with locks.take(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not had.wait(0.2)
    waiting.join()
    assert had.is_set()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            locks.take(path, wait=False)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    locks.take(path, wait=False).close()


def test_mode_content_and_inheritance_are_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.take(path, mode=files.OWNERS) as held:
        assert stat.S_IMODE(path.stat().st_mode) == files.OWNERS
        assert not os.get_inheritable(held.fileno())
    path.write_text("what was there stays")
    with locks.take(path, inheritable=True) as held:
        assert os.get_inheritable(held.fileno())
    assert path.read_text() == "what was there stays"
