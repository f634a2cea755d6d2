"""Programs in Go with the libraries that their module names, built once per text of their sources."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch


def go_program(source: Path) -> Path:
    """The executable of the main package in the folder `source`; its go.mod pins what it imports.

    Raises `PeerMissingError` without Go, or when a module cannot be had.
    """
    if shutil.which("go") is None:
        raise PeerMissingError(
            "go: not installed (Go 1.21 or later is needed; it fetches the release it wants)"
        )
    files = sorted(
        path for path in source.iterdir() if path.suffix == ".go" or path.name in ("go.mod", "go.sum")
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    with fetching(f"go-{source.name}-{digest.hexdigest()[:16]}") as entry:
        program = entry / "program"
        if not program.exists():
            unfinished = entry / "unfinished"
            command = ["go", "build", "-mod=readonly", "-o", str(unfinished), "."]
            run_fetch(command, what=f"the Go program {source.name}", cwd=source)
            os.replace(unfinished, program)
        return program
