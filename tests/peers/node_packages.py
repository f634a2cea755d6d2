"""Packages of Node.js as a package.json pins them, installed once per text of it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch


def node_with(package: Path, minimum: int = 18) -> tuple[str, Mapping[str, str]]:
    """The `node` command, and the environment in which it finds the dependencies of a package.json.

    No script of a package is run: only what works as it is published may be named there. Raises
    `PeerMissingError` without Node.js of at least this major version or npm, or when a package cannot be had.
    """
    command = shutil.which("node")
    if command is None:
        raise PeerMissingError(f"node: not installed (Node.js {minimum} or later is needed)")
    words = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.match(r"v(\d+)", words)
    if match is None or int(match[1]) < minimum:
        raise PeerMissingError(f"node: {words.strip()} is too old (Node.js {minimum} or later is needed)")
    text = package.read_bytes()
    with fetching(f"node-{hashlib.sha256(text).hexdigest()[:16]}") as entry:
        done = entry / "installed"
        if not done.exists():
            (entry / "package.json").write_bytes(text)
            install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            run_fetch([*install, "--silent"], what="packages of Node.js", cwd=entry)
            done.touch()
        return command, os.environ | {"NODE_PATH": str(entry / "node_modules")}
