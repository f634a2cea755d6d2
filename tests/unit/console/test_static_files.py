"""What the console's pages are made of: nothing inline, nothing from elsewhere, vendored files unchanged."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Final

import pytest

import fastlog.console

STATIC: Final = Path(fastlog.console.__file__).parent / "static"
VENDOR: Final = STATIC / "vendor"
OURS: Final = sorted(path for path in STATIC.rglob("*") if path.is_file() and VENDOR not in path.parents)
MOST_VENDORED: Final = 35_000
"""Bytes, each file with gzip."""


def test_vendored_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((VENDOR / "vendored.json").read_text())
    named = {"vendored.json"}
    for package in manifest["packages"]:
        assert {"name", "version", "licence", "integrity", "why"} <= package.keys()
        assert len((VENDOR / package["licence_file"]).read_text()) > 1000
        named.add(package["licence_file"])
        for row in package["files"]:
            assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"], row
            named.add(row["file"])
    assert {path.name for path in VENDOR.iterdir()} == named


def test_vendored_code_is_small() -> None:
    code = [path for path in VENDOR.iterdir() if path.suffix in (".js", ".mjs", ".css")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in code) < MOST_VENDORED


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    urls = [url for url in re.findall(r"https?://[^\s\"'`)]+", text) if url != "http://www.w3.org/2000/svg"]
    assert urls == []
    assert not re.search(r"\b(eval|innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML)\b", text)
    assert not re.search(r"new Function|document\.write", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text)
        assert re.findall(r"<script(?![^>]*\ssrc=\"/static/)", text) == []


@pytest.mark.parametrize(
    "path", [path for path in OURS if path.suffix in (".js", ".html")], ids=lambda path: path.name
)
def test_what_is_loaded_is_there(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'(?:from|import) "(\.[^"]+)"', text):
        assert (path.parent / name).resolve().is_file(), name
    for name in re.findall(r'"(/static/[^"]+)"', text):
        assert (STATIC / name.removeprefix("/static/")).is_file(), name
