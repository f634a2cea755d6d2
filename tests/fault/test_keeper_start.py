"""Starts of a keeper that cannot be, or that lose something: what it says, with real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.keeper_process import KeeperProcess
from tests.harness.net import free_port


def keeper(*arguments: str, umask: int = 0o022) -> str:
    """Runs a keeper that must not start; returns what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "fastlog.cli.keeper_main", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        umask=umask,
    )
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_what_it_cannot_listen_on(tmp_path: Path) -> None:
    data = tmp_path / "above" / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = keeper("--listen", address, "--data-dir", str(data), umask=0)
    assert f"cannot listen on {address}: the address is in use" in said
    assert "failed" not in said
    for path in (data.parent, data, data / "journal"):
        assert path.stat().st_mode & 0o777 == 0o700, path
    said = keeper("--listen", "no-such-host.invalid:2181", "--data-dir", str(data))
    assert "cannot listen on no-such-host.invalid:2181: the host name cannot be resolved" in said
    assert "failed" not in said


@pytest.mark.parametrize(
    "wrong",
    [
        ["--listen", "localhost:port"],
        ["--listen", "a:1,b:2"],
        ["--listen", "localhost:2181/path"],
        ["--tick-ms", "x"],
        ["--tick-ms", "9"],
    ],
)
def test_wrong_command_lines(tmp_path: Path, wrong: list[str]) -> None:
    said = keeper("--data-dir", str(tmp_path / "data"), *wrong)
    expected = f"{wrong[1]!r} is not one HOST:PORT" if wrong[0] == "--listen" else "must be 10 to 3600000"
    assert said.splitlines()[-1] == f"fastlog-keeper: error: argument {wrong[0]}: {expected}"
    assert not (tmp_path / "data").exists()


def test_a_second_one_is_told_what_to_do(tmp_path: Path) -> None:
    with KeeperProcess(tmp_path) as running:
        said = keeper("--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(running.directory / "data"))
    assert "is in use by process" in said
    assert "(--data-dir)" in said
    assert "broker" not in said


@pytest.mark.parametrize("at", [0.2, 0.5])
def test_what_is_cut_off_the_journal_is_named(tmp_path: Path, at: float) -> None:
    running = KeeperProcess(tmp_path)
    for _ in range(5):
        # Each start is a change.
        with running:
            pass
    (log,) = (tmp_path / "data" / "journal").glob("*.log")
    content = bytearray(log.read_bytes())
    content[int(len(content) * at)] ^= 1
    log.write_bytes(content)
    data = str(tmp_path / "data")
    assert "cannot be read" in keeper("--listen", f"127.0.0.1:{free_port()}", "--data-dir", data)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "fastlog.cli.keeper_main", "--allow-data-loss"),
            *("--listen", f"127.0.0.1:{free_port()}", "--data-dir", data),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stderr is not None
        said = ""
        while "ready" not in said and (line := process.stderr.readline()):
            said += line
        process.terminate()
    (kept,) = (tmp_path / "data" / "journal").glob("*.corrupt")
    assert f"kept in {kept}" in said
    assert "bytes were cut off the journal" in said
