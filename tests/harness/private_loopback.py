"""A loopback of their own for programs whose ports are fixed: nothing else listens on it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from tests.peers import PeerMissingError

_ROOT: Final = Path(__file__).resolve().parents[2]
# linux/sockios.h and linux/if.h.
_SET_FLAGS: Final = 0x8914
_UP: Final = 0x1


def run_apart(module: str, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module` in a network of its own; its output is one text.

    The module calls `enter` first. Raises `PeerMissingError` where a process may not have such a network.
    """
    apart = ["unshare", "--user", "--map-root-user", "--net"]
    if shutil.which("unshare") is None:
        raise PeerMissingError("a network namespace needs the command unshare (util-linux)")
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise PeerMissingError(f"network namespaces are not permitted here: {tried.stderr.strip()}")
    command = [*apart, sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, cwd=_ROOT, env=_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            words, _ = process.communicate(timeout=timeout)
        except BaseException:
            # What it started ends with it.
            process.terminate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, words)


def enter() -> None:
    """Brings the loopback up; SIGTERM ends the program as an exception does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _environment() -> Mapping[str, str]:
    """Without the servers that the caller's tests may use: they are out of reach."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FASTLOG_TEST_")}
