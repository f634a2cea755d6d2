"""Signals, exit codes, and what is said at start and stop, with a broker of straw in a real process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fastlog.cli.exit_codes import ExitCode

ROOT = Path(__file__).parents[4]
Started = subprocess.Popen[str]
Start = Callable[..., Started]


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[Started] = []

    def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.cli.broker.runner_program", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(ROOT)]),
                **(environment or {}),
            },
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


def test_a_loop_that_hangs_is_left(start: Start) -> None:
    process = start("hung-loop")
    wait_for(process, "HANGS")
    process.terminate()
    code, errors = run_to_end(process)
    assert code == ExitCode.UNCLEAN
    assert "the event loop has stood still for 1 s: ends without flushing" in errors


def test_a_second_signal_is_heard_although_the_loop_hangs(start: Start) -> None:
    process = start("hung-loop")
    wait_for(process, "HANGS")
    process.terminate()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    code, errors = run_to_end(process)
    assert code == 128 + signal.SIGINT
    assert "SIGINT again: ends at once" in errors


@pytest.mark.parametrize(("behaviour", "sign"), [("hung-thread", "kcat"), ("hung-start", "STARTING")])
def test_a_thread_or_a_task_that_never_comes_back_is_left(start: Start, behaviour: str, sign: str) -> None:
    """The interpreter would wait for it."""
    process = start(behaviour)
    wait_for(process, sign)
    process.terminate()
    code, errors = run_to_end(process)
    assert code == ExitCode.STOPPED
    assert "does not come back, the process ends without it" in errors


def test_a_reload_that_hangs_takes_nothing_along(start: Start) -> None:
    process = start("hung-reload")
    wait_for(process, "kcat")
    process.send_signal(signal.SIGHUP)
    wait_for(process, "RELOADED")
    process.send_signal(signal.SIGHUP)
    process.terminate()
    code, errors = run_to_end(process)
    assert code == ExitCode.STOPPED
    assert "SIGHUP: the configuration is still being read since the last one" in errors
    assert "ends without it" not in errors


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


def test_a_start_that_may_work_in_a_moment_is_one_to_try_again(start: Start) -> None:
    code, errors = run_to_end(start("no-servers"))
    assert code == ExitCode.FAILED
    assert errors.endswith("cannot start: no ZooKeeper server was reached: zookeeper.connect is zk:1\n")


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(30)
        self.environment = {"NOTIFY_SOCKET": str(path)}

    def until(self, wanted: str) -> list[str]:
        """Lines of the messages up to the one that has `wanted`, this one included."""
        lines: list[str] = []
        while wanted not in lines:
            lines += self.socket.recv(4096).decode().split("\n")
        return lines


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    with made.socket:
        yield made


def test_systemd_is_told_of_start_reload_and_stop(start: Start, manager: Manager) -> None:
    process = start("ok", environment={**manager.environment, "WATCHDOG_USEC": "90000"})
    lines = manager.until("READY=1")
    assert lines[0] == "STATUS=starting"
    assert "STOPPING=1" not in lines
    # Not one of the beats that were sent before the start was over.
    assert len([line for line in manager.until("WATCHDOG=1") if line.startswith("EXTEND_TIMEOUT")]) == 0
    process.send_signal(signal.SIGHUP)
    assert manager.until("RELOADING=1") + manager.until("READY=1")
    wait_for(process, "RELOADED")
    process.terminate()
    manager.until("STOPPING=1")
    assert process.wait(timeout=30) == ExitCode.STOPPED


@pytest.mark.parametrize("ours", [True, False])
def test_a_long_start_asks_for_time_and_feeds_the_watchdog(
    start: Start, manager: Manager, ours: bool
) -> None:
    watchdog = {"WATCHDOG_USEC": "90000"} | ({} if ours else {"WATCHDOG_PID": "1"})
    process = start("slow-start", environment={**manager.environment, **watchdog})
    wait_for(process, "STARTING")
    assert "READY=1" not in manager.until("EXTEND_TIMEOUT_USEC=30000000")
    if ours:
        for _ in range(3):
            manager.until("WATCHDOG=1")
    process.terminate()
    lines = manager.until("STOPPING=1")
    assert "READY=1" not in lines
    assert ours or "WATCHDOG=1" not in lines


def test_a_socket_that_is_gone_is_no_reason_not_to_run(start: Start, tmp_path: Path) -> None:
    process = start("ok", environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    wait_for(process, "kcat")
    process.terminate()
    assert run_to_end(process)[0] == ExitCode.STOPPED


def test_at_a_terminal_a_hangup_stops(start: Start) -> None:
    """There is nobody left who could stop it; and the log has nowhere to go."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.cli.broker.runner_program", "ok"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(ROOT)])},
    )
    try:
        wait_for(process, "kcat")
        process.send_signal(signal.SIGHUP)
        code, errors = run_to_end(process)
    finally:
        os.close(ours)
        os.close(theirs)
        process.kill()
    assert (code, "SIGHUP: stops when" in errors) == (ExitCode.STOPPED, True)


@pytest.mark.parametrize("name", ["fastlog-broker", "fastlog-keeper"])
def test_a_unit_starts_a_program_with_options_that_it_has(name: str) -> None:
    (unit,) = (ROOT / "docs" / "systemd").glob(f"{name.removesuffix('-broker')}.service")
    (command,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    program, *words = command.removeprefix("ExecStart=/usr/bin/").split()
    assert program == name
    module = {"fastlog-broker": "broker.main", "fastlog-keeper": "keeper_main"}[name]
    text = subprocess.run(
        [sys.executable, "-m", f"fastlog.cli.{module}", "-h"], capture_output=True, text=True, check=True
    ).stdout
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"^  {option} [A-Z]", text, re.MULTILINE), option


def test_the_unit_that_is_shipped_is_one_for_this_program() -> None:
    unit = (ROOT / "docs" / "systemd" / "fastlog.service").read_text()
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "NoNewPrivileges=yes"):
        assert f"\n{line}\n" in unit
    forever = f"RestartPreventExitStatus={ExitCode.BAD_CONFIGURATION:d} {ExitCode.CANNOT_START:d}"
    assert f"\n{forever}\n" in unit
