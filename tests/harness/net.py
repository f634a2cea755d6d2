"""Ports and readiness of processes under test."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from typing import Final

# Below the ports that the kernel gives to connections: a broker that restarts finds its port still free.
_PORTS: Final = range(11_000, 32_000)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment.

    By chance, so that tests which run at the same time do not get the same one.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_for_port(
    host: str, port: int, *, process: subprocess.Popen[bytes] | None = None, timeout: float = 30
) -> None:
    """Returns when the port accepts; raises when the process ends first or the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}") from None
            if time.monotonic() > deadline:
                raise TimeoutError(f"{host}:{port} does not answer after {timeout} s") from None
            time.sleep(0.01)
