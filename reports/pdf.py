"""HTML as PDF, by the browser of the system: what is printed is what is seen.

Enters: an HTML file. Leaves: a PDF beside it. Chromium is a program of the distribution; it loads the file and nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from base.errors import UnavailableError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_TIMEOUT_S = 120


def write(page: Path, target: Path) -> None:
    """Print the page. Raises UnavailableError without a browser, or when it fails."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        msg = f"no PDF was made: Chromium is missing (package chromium); {page} can be printed from any browser"
        raise UnavailableError(msg)
    with tempfile.TemporaryDirectory(prefix="millrace-report-") as profile:
        command = [
            program,
            "--headless",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            # Its sandbox does not start as root. The page is ours, has no scripts and loads nothing.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            f"--print-to-pdf={target.resolve()}",
            page.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            msg = f"no PDF was made: {program} took longer than {_TIMEOUT_S} s; {page} can be printed from any browser"
            raise UnavailableError(msg) from None
    if done.returncode or not target.exists():
        msg = (
            f"no PDF was made: {program} failed ({done.stderr.strip()[-300:]}); {page} can be printed from any browser"
        )
        raise UnavailableError(msg)
