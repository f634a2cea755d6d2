"""Files with the keys that Apache Kafka 3.9 ships, as an operator would bring them."""

from __future__ import annotations

from pathlib import Path

from fastlog.config.definitions import find_key
from fastlog.config.keys import Unused
from tests.unit.config.helpers import config_of, write

ZOOKEEPER_STYLE = """\
# a broker of a ZooKeeper cluster
broker.id=0
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kafka-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.retention.check.interval.ms=300000
zookeeper.connect=localhost:2181
zookeeper.connection.timeout.ms=18000
group.initial.rebalance.delay.ms=0
"""
KRAFT_STYLE = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\\
    SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""


def test_zookeeper_style(tmp_path: Path) -> None:
    config = config_of(file=write(tmp_path / "server.properties", ZOOKEEPER_STYLE))
    assert (config.node_id, config.node_id_is_set) == (0, True)
    assert config.log_dirs == (Path("/tmp/kafka-logs"),)  # noqa: S108 - read, not used
    # Kafka's default, since there is a file: every interface.
    assert [str(endpoint) for endpoint in config.listeners.bound] == ["PLAINTEXT://:9092"]
    assert config.layers.settings.notes == ()
    assert config.num_recovery_threads_per_data_dir == 1


def test_kraft_style(tmp_path: Path) -> None:
    config = config_of(file=write(tmp_path / "server.properties", KRAFT_STYLE))
    assert config.node_id == 1
    assert [str(endpoint) for endpoint in config.listeners.advertised] == ["PLAINTEXT://localhost:9092"]
    assert config.listeners.inter_broker == "PLAINTEXT"


def test_what_has_no_effect_says_why() -> None:
    reasons = {
        name: key.unused
        for name in ("zookeeper.clientCnxnSocket", "process.roles")
        if (key := find_key(name))
    }
    assert reasons == {"zookeeper.clientCnxnSocket": Unused.ZOOKEEPER, "process.roles": Unused.KRAFT}
