"""A small file system of its own, for tests that fill a disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import PeerMissingError


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """Mounts a tmpfs of that size on `path`; raises `PeerMissingError` where mounting is not permitted."""
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "fastlog-test", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        raise PeerMissingError(f"a full disk needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def free_bytes(path: Path) -> int:
    """Bytes that can still be written there."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
