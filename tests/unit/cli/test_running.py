"""Signals, exit codes, and what is said at start and stop, with a broker of straw in a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastlog.cli.exit_codes import ExitCode

ROOT = Path(__file__).parents[3]
Started = subprocess.Popen[str]
Start = Callable[..., Started]


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[Started] = []

    def run(*arguments: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.cli.runner_program", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(ROOT)])},
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(process: Started, text: str) -> None:
    """Reads stdout up to a line with `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the program ended without {text!r}: {process.stderr and process.stderr.read()}")


def run_to_end(process: Started) -> tuple[int, str]:
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_then_stopped_by_a_signal(start: Start, number: signal.Signals) -> None:
    process = start("ok")
    wait_for(process, "kcat -b 127.0.0.1:4711 -L")
    wait_for(process, "KafkaProducer")
    process.send_signal(number)
    code, errors = run_to_end(process)
    assert code == ExitCode.STOPPED
    assert "ready: node 1 listens on PLAINTEXT://127.0.0.1:4711" in errors
    assert "durability pagecache: acknowledged writes survive a crash of the broker" in errors
    assert f"{number.name}: stops when requests in work are answered" in errors
    assert errors.rstrip().endswith("broker: stopped")


def test_unclean_stop(start: Start) -> None:
    process = start("dirty")
    wait_for(process, "kcat")
    process.terminate()
    code, errors = run_to_end(process)
    assert code == ExitCode.UNCLEAN
    assert "the next start will check the logs" in errors


def test_second_signal_ends_at_once(start: Start) -> None:
    process = start("slow-stop")
    wait_for(process, "kcat")
    process.terminate()
    wait_for(process, "STOPPING")
    process.terminate()
    code, errors = run_to_end(process)
    assert code == 128 + signal.SIGTERM
    assert "SIGTERM again: ends at once" in errors


def test_signal_during_a_long_start(start: Start) -> None:
    process = start("slow-start")
    wait_for(process, "STARTING")
    process.terminate()
    code, errors = run_to_end(process)
    assert code == ExitCode.STOPPED
    assert "stopped before the start was complete" in errors


def test_start_errors_are_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        expected = {
            ("locked",): "cannot start: /data is in use by process 7",
            ("disk",): "cannot start: /data/.lock: permission denied",
            ("port", port): "cannot start: cannot listen on PLAINTEXT://127.0.0.1:0: the address is in use: "
            "stop what listens there, or choose another port (--listen)",
        }
        for arguments, message in expected.items():
            code, errors = run_to_end(start(*arguments))
            assert code == ExitCode.CANNOT_START
            assert errors.rstrip().endswith(message)
            assert errors.count("\n") == 1
