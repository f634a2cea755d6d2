"""Chromium without windows: the one on PATH, else Debian's, unpacked into the cache with what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.peers.cache import PeerMissingError, fetching, run_fetch
from tests.peers.debian import unpacked

__all__ = ["chromium"]

_PACKAGE: Final = "chromium-headless-shell"
_FONTS: Final = ("fonts-inter", "fonts-jetbrains-mono")
"""Those that the pages name first, so that pictures are the same everywhere."""


def chromium() -> tuple[str, Mapping[str, str]]:
    """The program and the environment to run it in. Raises `PeerMissingError`."""
    found = shutil.which(_PACKAGE) or shutil.which("chromium")
    if found is not None:
        return found, dict(os.environ)
    with fetching("chromium-needs") as entry:
        needs = _lacking(entry / "packages")
    root = unpacked("chromium", [_PACKAGE, *needs, *_FONTS])
    libraries = [folder for folder in (root / "usr/lib").rglob("*") if folder.is_dir()]
    environment = os.environ | {
        "LD_LIBRARY_PATH": ":".join(str(folder) for folder in libraries if any(folder.glob("*.so*"))),
        "FONTCONFIG_FILE": str(_font_settings(root)),
    }
    return str(root / "usr/lib/chromium" / _PACKAGE), environment


def _lacking(kept: Path) -> list[str]:
    """Packages that it needs and this machine lacks, as apt would choose them; `kept` has them."""
    if shutil.which("apt-get") is None:
        raise PeerMissingError("chromium: not installed, and this is no Debian to fetch its package on")
    if os.geteuid() == 0 and not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        run_fetch(["apt-get", "update", "-qq"], what="Debian's package lists for chromium")
    if kept.exists():
        return kept.read_text().split()
    simulate = ["apt-get", "install", "--simulate", "--no-install-recommends", _PACKAGE]
    words = run_fetch(simulate, what="what chromium needs from Debian")
    needs = [line.split()[1] for line in words.splitlines() if line.startswith("Inst ")]
    kept.write_text("\n".join(name for name in needs if name != _PACKAGE))
    return [name for name in needs if name != _PACKAGE]


def _font_settings(root: Path) -> Path:
    path = root / "fonts.conf"
    if not path.exists():
        path.write_text(
            '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
            f"<dir>{root / 'usr/share/fonts'}</dir>"
            '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
            "</fontconfig>\n"
        )
    return path
