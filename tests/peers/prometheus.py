"""Prometheus and promtool: those on PATH, else Debian's package unpacked into the cache (no root needed)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch


def prometheus_tool(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    command = shutil.which(name)
    if command is not None:
        return command
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PeerMissingError(f"{name}: not installed, and this is no Debian to fetch its package on")
    with fetching("prometheus") as entry:
        done = entry / "unpacked"
        if not done.exists():
            if os.geteuid() == 0:
                run_fetch(["apt-get", "update", "-qq"], what="Debian's package lists for prometheus")
            run_fetch(["apt-get", "download", "-qq", "prometheus"], what="prometheus from Debian", cwd=entry)
            (package,) = entry.glob("*.deb")
            run_fetch(
                ["dpkg-deb", "--extract", str(package), str(entry / "root")], what=f"unpack {package.name}"
            )
            package.unlink()
            done.touch()
        return str(Path(entry, "root/usr/bin", name))
