"""What the build makes: it is typed, small, asks nobody else, and keeps to the Content-Security-Policy."""

from __future__ import annotations

import json
import re
from pathlib import Path

from stack import node, page

MOST_BYTES = 250_000
# Names of namespaces, which nobody fetches.
_NAMESPACES = re.compile(r"http://www\.w3\.org/[\w/.]+")


def test_types_fit(built: Path) -> None:
    node.run(page.SOURCE, "node_modules/typescript/bin/tsc", "--noEmit")


def test_javascript_is_small(built: Path) -> None:
    assert 20_000 < page.script_bytes() <= MOST_BYTES


def test_a_build_that_is_up_to_date_does_nothing(built: Path) -> None:
    before = (built / "index.html").stat().st_mtime_ns
    assert page.build().startswith("as built")
    assert (built / "index.html").stat().st_mtime_ns == before


def test_nobody_else_is_asked(built: Path) -> None:
    for path in built.rglob("*"):
        if path.suffix in {".js", ".css", ".html", ".webmanifest", ".svg"}:
            assert not re.findall(r"https?://[\w.]+", _NAMESPACES.sub("", path.read_text())), path.name


def test_no_script_or_style_is_inline(built: Path) -> None:
    html = (built / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)


def test_it_can_be_installed(built: Path) -> None:
    manifest = json.loads((built / "manifest.webmanifest").read_text())
    assert manifest["display"] == "standalone"
    assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
    for icon in manifest["icons"]:
        assert (built / icon["src"]).exists()
    # A browser asks for this one from every document that names no icon: an answer in JSON, the way back from the issuer.
    assert (built / "favicon.ico").read_bytes().startswith(b"\0\0\1\0")
    shell = (built / "worker.js").read_text()
    for path in (built / "assets").iterdir():
        assert f"assets/{path.name}" in shell
