"""The command line tool `fastlog` as a process of its own."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys

from tests.harness.fork_server import ForkServer


def fastlog_command(*args: str) -> list[str]:
    """The command line, for those that talk to it while it runs."""
    return [sys.executable, "-m", "fastlog.cli.tool.main", *args]


@functools.cache
def _server() -> ForkServer:
    server = ForkServer()
    atexit.register(server.close)
    return server


def fastlog(
    *args: str, stdin: bytes = b"", bootstrap: str | None = None, code: int | None = 0, timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end. `code` is the exit status that is expected, None for any."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOG_")}
    if bootstrap is not None:
        environment["FASTLOG_BOOTSTRAP_SERVERS"] = bootstrap
    done = _server().run(args, stdin, environment, timeout)
    words = done.stderr.decode(errors="replace")
    assert code is None or done.returncode == code, f"fastlog {args} exited with {done.returncode}: {words}"
    assert "Traceback" not in words, words
    return done
