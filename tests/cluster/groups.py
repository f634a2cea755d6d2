"""Groups whose coordinator is a member that a test chooses, and what they read and commit."""

from __future__ import annotations

import itertools

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from tests.chaos.truth import committed
from tests.cluster.cluster import OFFSETS_PARTITIONS, PATIENCE_SECONDS, Cluster
from tests.cluster.history import Row
from tests.cluster.load import row_of
from tests.cluster.operator import elect_preferred
from tests.harness.waiting import wait_until


def partition_of(group: str) -> int:
    """The partition of the groups' topic that has a group: Java's hash of its name."""
    code = 0
    for unit in group.encode("ascii"):
        code = (31 * code + unit) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % OFFSETS_PARTITIONS


def groups_by_coordinator(cluster: Cluster, prefix: str) -> dict[int, str]:
    """A group for each member that leads in the groups' topic, which a look for a coordinator makes."""
    consumer = _consumer(cluster.bootstrap, f"{prefix}-first")
    try:
        consumer.subscribe([GROUP_METADATA_TOPIC])
        consumer.poll(1.0)
        cluster.wait_whole(GROUP_METADATA_TOPIC)
    finally:
        consumer.close()
    elect_preferred(cluster, GROUP_METADATA_TOPIC)
    leaders = {index: part.leader for index, part in cluster.look().of(GROUP_METADATA_TOPIC).items()}
    found: dict[int, str] = {}
    for number in itertools.count():
        group = f"{prefix}-{number}"
        found.setdefault(leaders[partition_of(group)], group)
        if found.keys() == set(leaders.values()):
            return found
    raise AssertionError


def read_and_commit(bootstrap: str, group: str, topic: str, count: int) -> list[Row]:
    """Reads so many records or more from where the group is, commits what it has read, and leaves."""
    consumer = _consumer(bootstrap, group)
    rows: list[Row] = []

    def enough() -> bool:
        for message in consumer.consume(min(500, count - len(rows)), 0.5):
            error = message.error()
            assert error is None or error.retriable(), error
            if error is None:
                rows.append(row_of(message))
        return len(rows) >= count

    def done() -> bool:
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            # A coordinator that has just come, or gone.
            assert error.args[0].retriable(), error
            return False
        return True

    try:
        consumer.subscribe([topic])
        wait_until(enough, lambda: f"{group} reads {len(rows)} of {count}", seconds=PATIENCE_SECONDS, pause=0)
        wait_until(done, f"{group} cannot commit", seconds=PATIENCE_SECONDS)
    finally:
        consumer.close()
    return rows


def commits(bootstrap: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """Where the group is, as its coordinator says to anybody."""
    return committed(AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}), group, topic, partitions)


def _consumer(bootstrap: str, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
