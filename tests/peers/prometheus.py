"""Prometheus and promtool: those on PATH, else Debian's package unpacked into the cache (no root needed)."""

from __future__ import annotations

import shutil

from tests.peers.debian import unpacked


def prometheus_tool(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    return shutil.which(name) or str(unpacked("prometheus", ["prometheus"]) / "usr/bin" / name)
