"""Where peers are kept between runs, and the lock that lets parallel runs share it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class PeerMissingError(Exception):
    """A real component that a test needs is not on this machine and could not be fetched."""


def cache_dir() -> Path:
    """The cache of fetched peers: `$FASTLOG_PEERS`, else `~/.cache/fastlog-peers`."""
    root = os.environ.get("FASTLOG_PEERS")
    path = Path(root) if root else Path.home() / ".cache" / "fastlog-peers"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def fetching(name: str) -> Iterator[Path]:
    """Holds the lock of one cache entry and yields its directory; `done` inside it marks a whole entry."""
    entry = cache_dir() / name
    entry.mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield entry


def run_fetch(command: Sequence[str], *, what: str, cwd: Path | None = None, seconds: float = 600) -> str:
    """Runs one fetching command and gives its output; failures become `PeerMissingError` with their words."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError as error:
        raise PeerMissingError(f"{what}: the command {command[0]!r} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise PeerMissingError(f"{what}: {command[0]} did not finish in {error.timeout:.0f} s") from error
    if done.returncode != 0:
        words = (done.stdout + done.stderr).strip()[-2000:]
        raise PeerMissingError(f"{what}: {' '.join(command)} failed:\n{words}")
    return done.stdout
