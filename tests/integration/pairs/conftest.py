"""A directory whose disk takes no time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """In memory, where the machine has such a place: these tests make thousands of files."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="fastlog-test-") as path:
        yield Path(path)
