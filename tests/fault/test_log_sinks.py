"""A broker serves and stops whatever becomes of its standard streams."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

from fastlog.cli.exit_codes import ExitCode
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.net import free_port
from tests.harness.scrape import scrape
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient

_SET_PIPE_SIZE = 1031


def redirected(directory: Path, how: str, **settings: str) -> BrokerProcess:
    command = ["bash", "-c", f'exec "$0" "$@" {how}', sys.executable, "-m", "fastlog.cli.broker.main"]
    return BrokerProcess(directory, command=command, settings=settings)


@pytest.mark.parametrize(
    "how", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
)
def test_streams_that_are_closed_or_full(tmp_path: Path, how: str) -> None:
    with redirected(tmp_path, how) as broker:
        with RawClient(broker.port, timeout=20) as client:
            assert client.ask(ApiVersionsRequest(), 0).error_code == 0
        # No file of the data may have the number of a standard stream.
        standard = [os.readlink(f"/proc/{broker.process.pid}/fd/{number}") for number in range(3)]
        assert not any(str(broker.data_dir) in path or "socket" in path for path in standard)
        assert broker.stop() == ExitCode.STOPPED


def test_a_reader_that_hangs(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(held, _SET_PIPE_SIZE, 4096)
    os.write(held, bytes(4096))
    port = free_port()
    settings = {"fastlog.http.port": str(port), "fastlog.log.level": "DEBUG"}
    try:
        with redirected(tmp_path, f">{pipe} 2>&1", **settings) as broker:
            for _ in range(3):
                with RawClient(broker.port, timeout=20) as client:
                    assert client.ask(ApiVersionsRequest(), 0).error_code == 0
            # Nothing is lost while the queue has room.
            assert scrape(port).get("fastlog_log_lines_lost_total") == 0
            assert broker.stop() == ExitCode.STOPPED
    finally:
        os.close(held)


def test_a_reader_that_comes_back_gets_what_was_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(held, _SET_PIPE_SIZE, 4096)
    os.write(held, bytes(4095) + b"|")
    found = b""

    def look(text: bytes) -> bool:
        nonlocal found
        try:
            found += os.read(held, 65536)
        except BlockingIOError:
            return False
        return text in found

    try:
        with redirected(tmp_path, f"2>{pipe}") as broker:
            wait_until(lambda: look(b"ready: node 1"), lambda: repr(found), seconds=30)
            assert broker.stop() == ExitCode.STOPPED
            wait_until(lambda: look(b"broker: stopped\n"), lambda: repr(found), seconds=30)
    finally:
        os.close(held)
