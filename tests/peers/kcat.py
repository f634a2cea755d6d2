"""kcat: the one on PATH, else Debian's package unpacked into the cache (no root needed)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from tests.peers.cache import PeerMissingError, fetching, run_fetch

_PACKAGES = ("kcat", "librdkafka1", "libyajl2")


def kcat() -> tuple[str, Mapping[str, str]]:
    """The command and the environment to run it in."""
    command = shutil.which("kcat") or shutil.which("kafkacat")
    if command is not None:
        return command, dict(os.environ)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PeerMissingError("kcat: not installed, and this is no Debian to fetch its package on")
    with fetching("kcat") as entry:
        done = entry / "unpacked"
        if not done.exists():
            if os.geteuid() == 0:
                run_fetch(["apt-get", "update", "-qq"], what="Debian's package lists for kcat")
            run_fetch(["apt-get", "download", "-qq", *_PACKAGES], what="kcat from Debian", cwd=entry)
            for package in sorted(entry.glob("*.deb")):
                run_fetch(
                    ["dpkg-deb", "--extract", str(package), str(entry / "root")],
                    what=f"unpack {package.name}",
                )
            done.touch()
        libraries = [str(path) for path in (entry / "root/usr/lib").glob("*-linux-gnu")]
        return str(entry / "root/usr/bin/kcat"), os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)}
