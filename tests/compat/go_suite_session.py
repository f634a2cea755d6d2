"""One run of a Go module's own test suite, with the brokers that it expects at the ports that it expects.

    python -m tests.compat.go_suite_session SUITE PROGRAM DIRECTORY PATTERN

It is run apart (`tests.harness.private_loopback`). Its exit code is that of the suite, or 3 when
a broker failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.private_loopback import enter

_TOXIPROXY: Final = 8474
_SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    # The suite about compaction waits for the whole of it; an early cleaner would leave the rest for later.
    "log.cleaner.backoff.ms": "500",
    "log.cleaner.min.cleanable.ratio": "0.01",
}


class _Proxies(BaseHTTPRequestHandler):
    """As much of toxiproxy as sarama asks for where it cuts no connection: all its proxies are there."""

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        self._answer(200, json.dumps({"name": name, "enabled": True}).encode())

    def do_POST(self) -> None:
        self._answer(204 if self.path == "/reset" else 501, b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _toxiproxy() -> Iterator[Mapping[str, str]]:
    with ThreadingHTTPServer(("127.0.0.1", _TOXIPROXY), _Proxies) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {"TOXIPROXY_ADDR": f"http://127.0.0.1:{_TOXIPROXY}", "KAFKA_VERSION": "3.9.1"}
        finally:
            server.shutdown()
            thread.join()


def _brokers(suite: str, directory: Path, ending: ExitStack) -> list[BrokerProcess]:
    """kafka-go wants one broker; sarama a cluster of five, where its own has toxiproxy's ports."""
    if suite == "kafka-go":
        brokers = [BrokerProcess(directory, settings=_SETTINGS)]
        ports = [9092]
    else:
        keeper = ending.enter_context(KeeperProcess(directory / "keeper"))
        ports = list(range(29091, 29096))
        brokers = [
            BrokerProcess(
                directory / f"broker-{node}",
                settings={"broker.id": str(node), "zookeeper.connect": keeper.address, **_SETTINGS},
            )
            for node in range(1, 6)
        ]
    for broker, port in zip(brokers, ports, strict=True):
        broker.port = port
        broker.launch()
        # A clean stop of five, one after another, takes longer than the suite.
        ending.callback(broker.kill)
    for broker in brokers:
        broker.wait()
    return brokers


def main() -> int:
    """Starts all, runs the suite, ends all."""
    suite, program, directory, pattern = sys.argv[1:]
    enter()
    with ExitStack() as ending:
        brokers = _brokers(suite, Path(directory), ending)
        more = {} if suite == "kafka-go" else ending.enter_context(_toxiproxy())
        command = [program, "-test.v", "-test.timeout=240s", f"-test.run={pattern}"]
        done = subprocess.run(command, cwd=directory, env=os.environ | more, check=False)
        for broker in brokers:
            if broker.process.poll() is not None or "Traceback" in broker.log_text:
                print(broker.log_text[-4000:])
                return 3
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
