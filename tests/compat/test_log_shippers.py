"""rsyslog and syslog-ng follow a file into a topic; rsyslog's consumer writes it back into a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.harness.app_process import AppProcess
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.log_shippers import rsyslog, syslog_ng

LINES = [f'line {number}: häufig, "quoted", 100 %' for number in range(200)]
RSYSLOG = """
global(workDirectory="{directory}" net.enableDNS="off")
module(load="imfile")
module(load="imkafka")
module(load="omkafka")
template(name="line" type="string" string="%msg%")
template(name="row" type="string" string="%rawmsg%\\n")
input(type="imfile" file="{directory}/source.log" tag="app" ruleset="ship")
ruleset(name="ship") {{
    action(type="omkafka" broker=["{bootstrap}"] topic="rsyslog" key="{key}" template="line"
           confParam=["compression.codec=lz4", "enable.idempotence=true", "linger.ms=5"])
}}
input(type="imkafka" broker=["{bootstrap}"] topic="rsyslog" consumergroup="rsyslog" ruleset="back"
      confParam=["auto.offset.reset=earliest"])
ruleset(name="back") {{
    action(type="omfile" file="{directory}/back.log" template="row")
}}
"""
SYSLOG_NG = """@version: 3.38
source s_file {{ file("{directory}/source.log" flags(no-parse) follow-freq(0.1)); }};
destination d_kafka {{
    kafka-c(bootstrap-servers("{bootstrap}") topic("syslog-ng") key("{key}") message("$MSG")
            config(compression.codec("gzip") queue.buffering.max.ms("5")) sync-send(no));
}};
log {{ source(s_file); destination(d_kafka); }};
"""


def shipped(bootstrap: str, topic: str) -> list[tuple[bytes | None, str]]:
    """Waits for as many records as there are lines; key and value of each."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    wait_until(lambda: topic in admin.list_topics(timeout=10).topics, f"topic {topic}", seconds=30)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "log_level": 2})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[bytes | None, str]] = []

    def look() -> bool:
        for message in consumer.consume(len(LINES), timeout=0.1):
            assert message.error() is None, message.error()
            value = message.value()
            assert value is not None
            found.append((message.key(), value.decode()))
        return len(found) >= len(LINES)

    try:
        wait_until(look, lambda: f"{len(found)} of {len(LINES)}: {found[:3]}", seconds=40, pause=0)
    finally:
        consumer.close()
    return found


def write_config(text: str, broker: BrokerProcess, directory: Path) -> Path:
    """The configuration for this broker, and the file of lines beside it."""
    (directory / "source.log").write_text("".join(f"{line}\n" for line in LINES))
    config = directory / "daemon.conf"
    config.write_text(text.format(directory=directory, bootstrap=broker.bootstrap, key="host-1"))
    return config


@pytest.mark.timeout(180)
def test_rsyslog_ships_and_reads_back(broker: BrokerProcess, tmp_path: Path) -> None:
    """omkafka and imkafka."""
    command, environment = rsyslog(write_config(RSYSLOG, broker, tmp_path))
    back = tmp_path / "back.log"
    with AppProcess(command, tmp_path / "rsyslog.log", environment=environment) as daemon:
        assert shipped(broker.bootstrap, "rsyslog") == [(b"host-1", line) for line in LINES]
        wait_until(
            lambda: back.exists() and back.read_text().splitlines() == LINES,
            lambda: f"{back.read_text()[-200:] if back.exists() else 'no file'}\n{daemon.text[-2000:]}",
            seconds=40,
        )
        assert daemon.terminate() == 0


@pytest.mark.timeout(180)
def test_syslog_ng_ships(broker: BrokerProcess, tmp_path: Path) -> None:
    """kafka-c()."""
    command, environment = syslog_ng(write_config(SYSLOG_NG, broker, tmp_path))
    with AppProcess(command, tmp_path / "syslog-ng.log", environment=environment) as daemon:
        assert shipped(broker.bootstrap, "syslog-ng") == [(b"host-1", line) for line in LINES]
        assert daemon.terminate() == 0
