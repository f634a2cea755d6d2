"""Probes and the HTTP port through the life of a broker: slow start, serving, draining, the end."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlog.cli.exit_codes import ExitCode
from fastlog.config import BrokerConfig
from fastlog.native import Log
from fastlog.storage.log_manager import LogManager
from tests.harness.batches import batch
from tests.harness.broker_process import BrokerProcess
from tests.harness.scrape import probe, scrape
from tests.harness.waiting import wait_until
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RunningBroker
from tests.integration.test_metrics import http_port, until


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Threads that wait for starts and stops."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        yield threads


class SlowOpening:
    """`Log.open` that waits for each log until it is let through."""

    def __init__(self) -> None:
        self.turns = threading.Semaphore(0)

    def __call__(self, path: str, *args: Any, **how: Any) -> Log:
        assert self.turns.acquire(timeout=30)
        return Log.open(path, *args, **how)


def test_a_slow_recovery_is_alive_but_not_ready(
    start_broker: BrokerFactory,
    pool: concurrent.futures.ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"fastlog.http.port": "0", "num.recovery.threads.per.data.dir": "2"}
    broker = start_broker(**settings)
    with broker.connect() as client:
        for name in ("a", "b", "c"):
            make_topic(client, name)
            client.ask(produce(name, batch(b"x")), 9)
    broker.stop()
    # As after a crash.
    (broker.directory / ".kafka_cleanshutdown").unlink()
    slow = SlowOpening()
    monkeypatch.setitem(LogManager.__init__.__kwdefaults__, "open_log", slow)
    started = pool.submit(broker.start)
    until(lambda: broker._broker is not None and broker.broker.http_endpoint is not None)
    port = http_port(broker)
    # The directory itself is not there before it is looked at.
    until(lambda: [len(of["opening"]) for of in probe(port, "/startupz")[1].get("log_dirs", ())] == [2])

    assert probe(port, "/livez")[0] == 200
    assert probe(port, "/readyz") == (503, {"status": "starting"})
    status, shown = probe(port, "/startupz")
    assert status == 503
    assert (shown["status"], shown["step"]) == ("starting", "reading the metadata and opening logs")
    assert (shown["partitions_total"], shown["partitions_opened"]) == (3, 0)
    (directory,) = shown["log_dirs"]
    assert directory["clean_shutdown"] is False
    assert set(directory["opening"]) < {"a-0", "b-0", "c-0"}
    found = scrape(port)
    assert (found.get("fastlog_ready"), found.get("fastlog_phase", phase="starting")) == (0, 1)
    assert found.get("fastlog_startup_partitions", log_dir=broker.directory, state="total") == 3

    slow.turns.release()
    until(lambda: probe(port, "/startupz")[1]["partitions_opened"] == 1)
    assert not started.done()
    slow.turns.release(2)
    started.result(timeout=30)
    status, shown = probe(port, "/startupz")
    assert (status, shown["status"], shown["partitions_opened"]) == (200, "started", 3)
    assert shown["log_dirs"][0]["bytes_checked"] == 3 * len(batch(b"x"))
    assert probe(port, "/readyz") == (200, {"status": "ready"})
    assert scrape(port).get("fastlog_startup_seconds") > 0


def test_a_broker_that_drains_is_not_ready(
    start_broker: BrokerFactory, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    broker = start_broker(**{"fastlog.http.port": "0"})
    port = http_port(broker)
    with broker.connect() as client:
        make_topic(client, "t")
        for _ in range(24):
            client.ask(produce("t", batch(bytes(1_000_000))), 9)
        # An answer of 24 MB that nobody takes: the stop waits for it.
        client.send(fetch("t", 0, partition_max_bytes=1 << 26, max_bytes=1 << 26), 11)
        until(lambda: scrape(port).sum("fastlog_requests_total", api="Fetch") == 1)
        assert scrape(port).sum("fastlog_request_duration_seconds_count", api="Fetch") == 0
        stopped = pool.submit(broker.stop)
        until(lambda: probe(port, "/readyz")[0] == 503)
        assert probe(port, "/readyz")[1] == {"status": "stopping"}
        assert probe(port, "/livez")[0] == 200
        assert probe(port, "/startupz")[0] == 200
        assert scrape(port).get("fastlog_phase", phase="stopping") == 1
        assert not stopped.done()
        client.receive_frame()
        assert stopped.result(timeout=30)
    with pytest.raises(urllib.error.URLError, match="refused"):
        probe(port, "/livez")


def test_a_broker_without_a_log_directory_is_not_ready(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"fastlog.http.port": "0"})
    port = http_port(broker)
    directories = broker.broker.services.logs.directories

    async def fail() -> None:
        broker.broker.services.logs.dir_failed(directories[0].path, "test")

    broker.run(fail())
    assert broker.failures == ["test"]
    shown = {"status": "no log directory is online", "offline_log_dirs": [str(directories[0].path)]}
    assert probe(port, "/readyz") == (503, shown)
    assert probe(port, "/livez")[0] == 200


def test_a_configured_port_must_be_free(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "a", settings={"fastlog.http.port": "0"}) as first:
        (line,) = [text for text in first.log_text.splitlines() if "metrics and health are on" in text]
        port = int(line.rsplit(":", 1)[1])
        wait_until(lambda: probe(port, "/readyz")[0] == 200, "the first is not ready", seconds=30)
        second = BrokerProcess(tmp_path / "b", settings={"fastlog.http.port": str(port)})
        with pytest.raises(AssertionError, match="did not start"):
            second.start()
        assert second.process.wait(timeout=30) == ExitCode.CANNOT_START
        assert (
            f"cannot serve metrics and health on 127.0.0.1:{port}: Address already in use" in second.log_text
        )
        assert "Traceback" not in second.log_text


def test_a_default_port_that_is_taken_is_no_reason_not_to_start(
    start_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        original = BrokerConfig.from_settings.__func__

        def with_that_default(cls: type[BrokerConfig], *args: Any, **how: Any) -> BrokerConfig:
            config: BrokerConfig = original(cls, *args, **how)
            return replace(config, http_port=port, http_port_is_set=False)

        monkeypatch.setattr(BrokerConfig, "from_settings", classmethod(with_that_default))
        broker: RunningBroker = start_broker()
    assert broker.broker.http_endpoint is None
    assert f"metrics and health are not served: 127.0.0.1:{port} is in use" in caplog.text
    with broker.connect() as client:
        make_topic(client, "t")


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/readyz", "/startupz", "/nothing"])
def test_no_web_page_reads_it_by_a_name_of_its_own(start_broker: BrokerFactory, path: str) -> None:
    port = http_port(start_broker(**{"fastlog.http.port": "0", "fastlog.http.allowed.hosts": "ours.example"}))
    expected = {"127.0.0.1:%d": True, "localhost": True, "ours.example": True, "evil.example.com:%d": False}
    for host, taken in expected.items():
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            named = host % port if "%d" in host else host
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n".encode())
            status = int(client.makefile("rb").readline().split()[1])
        assert (status != 421) == taken, (host, status)
