"""The command line tool `fastlog` as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

_PROGRAM = """
import typer
from fastlog.cli.produce import produce
from fastlog.cli.consume import consume
app = typer.Typer()
app.command()(produce)
app.command()(consume)
app(prog_name="fastlog")
"""


def fastlog_command(*args: str) -> list[str]:
    """The command line."""
    if importlib.util.find_spec("fastlog.cli.main") is None:
        return [sys.executable, "-c", _PROGRAM, *args]
    return [sys.executable, "-m", "fastlog.cli.main", *args]


def fastlog(
    *args: str, stdin: bytes = b"", bootstrap: str | None = None, code: int | None = 0, timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end. `code` is the exit status that is expected, None for any."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOG_")}
    if bootstrap is not None:
        environment["FASTLOG_BOOTSTRAP_SERVERS"] = bootstrap
    done = subprocess.run(
        fastlog_command(*args),
        input=stdin,
        env=environment,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    words = done.stderr.decode(errors="replace")
    assert code is None or done.returncode == code, f"fastlog {args} exited with {done.returncode}: {words}"
    assert "Traceback" not in words, words
    return done
