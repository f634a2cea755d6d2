"""Real Prometheus on a real broker: the format, the rules, and every expression of the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.broker_process import BrokerProcess
from tests.harness.net import free_port, wait_for_port
from tests.harness.observed import ALERTS, alert_expressions, dashboard_expressions
from tests.harness.scrape import get, scrape
from tests.peers.apache_kafka import CONSUMER_GROUPS, KAFKA_3, JavaTools
from tests.peers.prometheus import prometheus_tool

SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "1",
    "num.partitions": "3",
}
# Kept as kafka_exporter has them, although Prometheus' style guide keeps _sum for histograms.
NOT_IN_STYLE = {"kafka_consumergroup_current_offset_sum", "kafka_consumergroup_lag_sum"}
# Nothing of this kind happens to a broker that is well: their expressions have no result.
MAY_BE_EMPTY = {
    *("Errors", "Connections", "Log directories offline", "Segments"),
    "Aborted, refused, waiting",
}


def used_broker(directory: Path) -> tuple[BrokerProcess, int]:
    """A broker that was produced to and consumed from in part: (broker, its HTTP port)."""
    port = free_port()
    broker = BrokerProcess(directory, settings={**SETTINGS, "fastlog.http.port": str(port)})
    broker.start()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 2})
    for number in range(60):
        producer.produce("orders", b"x" * 100, partition=number % 3)
    producer.flush(30)
    how = {"bootstrap.servers": broker.bootstrap, "group.id": "readers", "log_level": 2}
    consumer = Consumer(how | {"enable.auto.commit": "false"})
    consumer.commit(
        offsets=[TopicPartition("orders", 0, 20), TopicPartition("orders", 1, 5)], asynchronous=False
    )
    consumer.close()
    return broker, port


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrokerProcess, int]]:
    """One for all tests here."""
    broker, port = used_broker(tmp_path_factory.mktemp("used"))
    with broker.process:
        yield broker, port
        broker.stop()


def promtool(*args: str, stdin: str = "") -> tuple[int, str]:
    """(exit code, output)."""
    done = subprocess.run(
        [prometheus_tool("promtool"), *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_promtool_finds_nothing_wrong_with_the_metrics(used: tuple[BrokerProcess, int]) -> None:
    _, text = get(used[1], "/metrics")
    _, output = promtool("check", "metrics", stdin=text)
    complaints = output.splitlines()
    assert {line.split()[0] for line in complaints} == NOT_IN_STYLE, output
    assert all("should not have" in line for line in complaints), output


@pytest.mark.timeout(300)
def test_promtool_checks_and_tests_the_rules(tmp_path: Path) -> None:
    code, output = promtool("check", "rules", str(ALERTS))
    assert code == 0, output
    assert f"{len(alert_expressions())} rules found" in output
    tests = tmp_path / "alerts_test.yml"
    tests.write_text((Path(__file__).parent / "alerts_test.yml").read_text().replace("RULES", str(ALERTS)))
    code, output = promtool("test", "rules", str(tests))
    assert code == 0, output


class PrometheusServer:
    """A Prometheus that scrapes one broker every second, by the name that the alerts expect."""

    def __init__(self, port: int) -> None:
        self.port = port

    def api(self, path: str, **parameters: str) -> Any:
        """The data of one API call; fails the test with Prometheus' own words."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from error


@contextmanager
def prometheus(directory: Path, http_port: int) -> Iterator[PrometheusServer]:
    """Runs while the block does; the broker has been scraped a few times when it begins."""
    config = directory / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{ALERTS}']\n"
        "scrape_configs:\n"
        f"  - {{job_name: fastlog, static_configs: [{{targets: ['127.0.0.1:{http_port}']}}]}}\n"
    )
    server = PrometheusServer(free_port())
    command = [
        prometheus_tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{server.port}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_port("127.0.0.1", server.port, process=process)
        deadline = time.monotonic() + 60
        while get(server.port, "/-/ready")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        count = "count_over_time(up{job='fastlog'}[10m])"
        while not (rows := server.api("query", query=count)["result"]) or float(rows[0]["value"][1]) < 4:
            assert time.monotonic() < deadline, (directory / "prometheus.log").read_text()[-2000:]
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.timeout(300)
def test_prometheus_scrapes_and_answers_all_panels(tmp_path: Path, used: tuple[BrokerProcess, int]) -> None:
    broker, port = used
    with prometheus(tmp_path, port) as server:
        (target,) = server.api("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        for panel, expression in dashboard_expressions():
            concrete = expression.replace("$__rate_interval", "1m")
            concrete = re.sub(r"\$(instance|api|group)", ".*", concrete)
            result = server.api("query", query=concrete)["result"]
            assert result or panel in MAY_BE_EMPTY, f"{panel}: {concrete}"
        lag = server.api("query", query="kafka_consumergroup_lag_sum{topic='orders'}")["result"]
        assert [row["value"][1] for row in lag] == ["15"]
        # A histogram in OpenMetrics, which Prometheus asks for, is still one.
        median = (
            "histogram_quantile(0.5, sum by (le) (fastlog_request_duration_seconds_bucket{api='Produce'}))"
        )
        assert 0 < float(server.api("query", query=median)["result"][0]["value"][1]) < 30
        rules = server.api("rules")["groups"][0]["rules"]
        assert {rule["name"] for rule in rules} == set(alert_expressions())
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        # Free room is the machine's: what else writes to its disk may make those two alerts pend.
        firing = {rule["name"] for rule in rules if rule["alerts"]}
        assert firing <= {"FastlogDiskFilling", "FastlogDiskAlmostFull"}, broker.log_text[-2000:]


@pytest.mark.java
@pytest.mark.timeout(300)
def test_lag_is_what_kafka_consumer_groups_shows(used: tuple[BrokerProcess, int]) -> None:
    broker, port = used
    output = JavaTools(KAFKA_3).run(
        CONSUMER_GROUPS,
        "--bootstrap-server",
        broker.bootstrap,
        "--describe",
        "--group",
        "readers",
        heap="256m",
    )
    shown = {
        int(partition): (int(offset), int(end), int(lag))
        for partition, offset, end, lag in re.findall(
            r"^readers +orders +(\d+) +(\d+) +(\d+) +(\d+)", output.stdout.decode(), re.MULTILINE
        )
    }
    assert shown == {0: (20, 20, 0), 1: (5, 20, 15)}
    found = scrape(port)
    for partition, (offset, end, lag) in shown.items():
        where = {"topic": "orders", "partition": partition}
        assert found.get("kafka_topic_partition_current_offset", **where) == end
        assert found.get("kafka_consumergroup_current_offset", consumergroup="readers", **where) == offset
        assert found.get("kafka_consumergroup_lag", consumergroup="readers", **where) == lag
