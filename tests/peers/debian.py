"""Debian's packages, unpacked into the cache: no root is needed, and nothing of the machine changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """The root folder of these packages; `name` is the cache entry and the word in messages.

    Dependencies are not followed: `packages` has those that a small installation lacks. Raises
    `PeerMissingError` where there is no apt-get, or when a package cannot be had.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PeerMissingError(f"{name}: not installed, and this is no Debian to fetch its package on")
    with fetching(name) as entry:
        done, root = entry / "unpacked", entry / "root"
        wanted = "\n".join(packages)
        if not (done.exists() and done.read_text() == wanted):
            if os.geteuid() == 0:
                run_fetch(["apt-get", "update", "-qq"], what=f"Debian's package lists for {name}")
            run_fetch(["apt-get", "download", "-qq", *packages], what=f"{name} from Debian", cwd=entry)
            for package in sorted(entry.glob("*.deb")):
                run_fetch(["dpkg-deb", "--extract", str(package), str(root)], what=f"unpack {package.name}")
                package.unlink()
            done.write_text(wanted)
        return root


def library_path(root: Path, *more: Path) -> Mapping[str, str]:
    """The environment in which programs below `root` find its shared libraries, and those in `more`."""
    folders = [*(root / "usr/lib").glob("*-linux-gnu"), *(root / "lib").glob("*-linux-gnu"), *more]
    return os.environ | {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in folders)}
