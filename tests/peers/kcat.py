"""kcat: the one on PATH, else Debian's package unpacked into the cache (no root needed)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from tests.peers.debian import library_path, unpacked

_PACKAGES = ("kcat", "librdkafka1", "libyajl2")


def kcat() -> tuple[str, Mapping[str, str]]:
    """The command and the environment to run it in."""
    command = shutil.which("kcat") or shutil.which("kafkacat")
    if command is not None:
        return command, dict(os.environ)
    root = unpacked("kcat", _PACKAGES)
    return str(root / "usr/bin/kcat"), library_path(root)
