"""`fastlog-broker` as a process: start, stop, and what keeps it from starting."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastlog.cli.exit_codes import ExitCode
from tests.harness.broker_process import BrokerProcess
from tests.harness.metadata_place import metadata_settings
from tests.harness.net import free_port


def run(*arguments: str) -> tuple[int, str]:
    """Runs a broker that is expected not to start: (exit code, stderr)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
    done = subprocess.run(
        [sys.executable, "-m", "fastlog.cli.broker.main", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=environment,
    )
    return done.returncode, done.stderr


def wait_for(broker: BrokerProcess, text: str, times: int = 1) -> None:
    """Until the broker has said it; its port is open a moment before it tells that it is ready."""
    deadline = time.monotonic() + 30
    while broker.log_text.count(text) < times:
        assert time.monotonic() < deadline, broker.log_text
        time.sleep(0.02)


def last_line(text: str) -> str:
    """The last line, which is what a person sees."""
    return text.rstrip().splitlines()[-1]


def test_start_and_stop_and_start_again(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        for number in range(2):
            wait_for(broker, f"kcat -b {broker.bootstrap} -L", number + 1)
            assert f"ready: node 1 listens on PLAINTEXT://{broker.bootstrap}" in broker.log_text
            assert "durability pagecache" in broker.log_text
            assert broker.stop() == ExitCode.STOPPED
            assert last_line(broker.log_text).endswith("broker: stopped")
            assert (broker.data_dir / ".kafka_cleanshutdown").exists()
            broker.start()
        broker.process.send_signal(signal.SIGINT)
        assert broker.process.wait(timeout=30) == ExitCode.STOPPED
    assert "Traceback" not in broker.log_text


def test_durability_mode_is_told(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings={"fastlog.durability": "fsync"}) as broker:
        wait_for(broker, "durability fsync: a write is acknowledged when it is on the disk")


def test_json_log(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings={"fastlog.log.format": "json"}) as broker:
        wait_for(broker, "clients connect to")
        broker.stop()
    messages = [json.loads(line)["message"] for line in broker.log_text.splitlines()]
    assert f"clients connect to {broker.bootstrap}" in messages
    assert messages[-1] == "stopped"


def test_a_hangup_reads_the_configuration_again(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    broker = BrokerProcess(tmp_path)

    def reload(text: str, said: str) -> None:
        properties.write_text(text)
        broker.process.send_signal(signal.SIGHUP)
        wait_for(broker, said)

    properties.write_text("fastlog.log.level=INFO\n")
    broker.start(str(properties))
    try:
        reload("fastlog.log.level=DEBUG\nnum.partitions=7\n", "log level DEBUG, was INFO; what waits")
        assert "for the next start: num.partitions\n" in broker.log_text
        reload("fastlog.log.level=LOUD\n", "nothing changes, the configuration is not valid")
        reload("fastlog.log.level=ERROR\n", "ERROR broker: SIGHUP: the configuration was read again")
        before = broker.log_text
        assert broker.stop() == ExitCode.STOPPED
        assert broker.log_text == before
    finally:
        broker.kill()


def test_a_configuration_that_is_no_file_any_more_is_not_waited_for(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    properties.write_text("fastlog.log.level=INFO\n")
    broker = BrokerProcess(tmp_path)
    broker.start(str(properties))
    try:
        properties.unlink()
        os.mkfifo(properties)
        for number in range(1, 9):
            # More often than the event loop has threads.
            broker.process.send_signal(signal.SIGHUP)
            wait_for(broker, "it is a FIFO, not a regular file", number)
        assert broker.stop() == ExitCode.STOPPED
    finally:
        broker.kill()
    code, errors = run(str(properties))
    assert code == ExitCode.BAD_CONFIGURATION
    assert last_line(errors).endswith("server.properties: cannot be read: it is a FIFO, not a regular file")


def test_a_directory_has_one_broker(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        code, errors = run("--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(broker.data_dir))
        assert code == ExitCode.CANNOT_START
        assert f"{broker.data_dir} is in use by process {broker.process.pid}" in last_line(errors)
        assert "Traceback" not in errors


def test_a_port_has_one_broker(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, errors = run("--listen", address, "--data-dir", str(tmp_path / "data"))
    assert code == ExitCode.CANNOT_START
    assert f"cannot listen on PLAINTEXT://{address}: the address is in use" in last_line(errors)
    assert "Traceback" not in errors


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, errors = run("--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(tmp_path / "file" / "data"))
    assert code == ExitCode.FAILED
    assert f"no log directory is left, the broker stops: [Errno 20] Not a directory: '{tmp_path}" in errors
    assert "Traceback" not in errors


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    code, errors = run("--listen", "192.0.2.1:9092", "--data-dir", str(tmp_path / "data"))
    assert code == ExitCode.CANNOT_START
    assert (
        "cannot listen on PLAINTEXT://192.0.2.1:9092: the address does not belong to this machine" in errors
    )


@pytest.mark.skipif(
    bool(metadata_settings(Path("/"))), reason="the brokers of this run are told their id each time"
)
def test_a_node_id_that_is_not_the_directorys(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings={"node.id": "5"}) as broker:
        wait_for(broker, "ready: node 5")
    code, errors = run(
        "--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(tmp_path / "data"), "--set", "node.id=6"
    )
    assert code == ExitCode.CANNOT_START
    assert "Traceback" not in errors
    with BrokerProcess(tmp_path) as broker:
        # Nobody says an id: the one that the directory remembers.
        wait_for(broker, "ready: node 5", 2)
