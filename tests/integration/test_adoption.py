"""A data directory made by hand as Kafka 3.x leaves it: it opens, serves its records and takes new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastlog.base.uuids import format_uuid, parse_uuid
from fastlog.native import build_batch, read_batches
from tests.harness.batches import batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, metadata, produce
from tests.integration.running import RunningBroker

TOPIC_ID = parse_uuid("vPeOCWypqUOSepEvx0cbog")
LOG = "00000000000000000000.log"


def write_partition(path: Path, batches: list[bytes], *, topic_id: bytes | None, epoch: int) -> None:
    path.mkdir(parents=True)
    (path / LOG).write_bytes(b"".join(batches))
    # Empty indexes are what Kafka makes for a segment smaller than the index interval.
    (path / LOG.replace(".log", ".index")).touch()
    (path / LOG.replace(".log", ".timeindex")).touch()
    (path / "leader-epoch-checkpoint").write_text(f"0\n1\n{epoch} 0\n")
    if topic_id is not None:
        (path / "partition.metadata").write_text(f"version: 0\ntopic_id: {format_uuid(topic_id)}")


def kafka_directory(root: Path) -> None:
    root.mkdir()
    (root / "meta.properties").write_text(
        "#\n#Mon Nov 24 03:55:00 UTC 2025\nnode.id=1\ndirectory.id=Yg_HKShyE5YAAAAAAAAAAw\nversion=1\n"
        "cluster.id=5L6g3nShT-eMCtK--X86sw\n"
    )
    for number in range(2):
        batches = [
            build_batch(
                [(b"k", b"p%d-%d" % (number, offset), [("h", b"v")], 1_700_000_000_000 + offset)],
                codec="zstd",
                base_offset=offset,
                leader_epoch=3,
                producer_id=900,
                producer_epoch=0,
                base_sequence=offset,
            )
            for offset in range(5)
        ]
        write_partition(root / f"orders-{number}", batches, topic_id=TOPIC_ID, epoch=3)
    write_partition(
        root / "__consumer_offsets-0",
        [build_batch([(b"k", b"v", [], 0)], leader_epoch=0)],
        topic_id=None,
        epoch=0,
    )
    write_partition(root / "__cluster_metadata-0", [b"not a log of ours"], topic_id=None, epoch=0)
    write_partition(root / "gone-0.0123456789abcdef0123456789abcdef-delete", [b"x"], topic_id=None, epoch=0)
    (root / "recovery-point-offset-checkpoint").write_text("0\n2\norders 0 5\norders 1 5\n")
    (root / "log-start-offset-checkpoint").write_text("0\n1\norders 1 2\n")
    (root / ".kafka_cleanshutdown").write_text('{"version":0,"brokerEpoch":12}')


def values(broker: RunningBroker, partition: int, offset: int = 0) -> list[bytes | None]:
    with broker.connect() as client:
        answer = client.ask(fetch(TOPIC_ID, offset, partition=partition), 13)
        (row,) = answer.responses[0].partitions
        assert row.error_code == 0
        return [value for _, _, _, value, _ in read_batches(row.records)]


def test_a_directory_of_kafka_is_served_and_goes_on(tmp_path: Path, start_broker: BrokerFactory) -> None:
    kafka_directory(tmp_path / "data-0")
    broker = start_broker()
    with broker.connect() as client:
        answer: Any = client.ask(metadata(create=False), 12)
        assert answer.cluster_id == "5L6g3nShT-eMCtK--X86sw"
        answer = client.ask(metadata("orders", "__consumer_offsets", create=False), 12)
        orders, offsets = answer.topics
        assert (orders.topic_id, len(orders.partitions), orders.error_code) == (TOPIC_ID, 2, 0)
        assert offsets.is_internal
        # Epoch 3 belongs to Kafka's leader: this one leads in the next.
        assert {partition.leader_epoch for partition in orders.partitions} == {4}
        assert values(broker, 0) == [b"p0-%d" % offset for offset in range(5)]
        assert values(broker, 1, 2) == [b"p1-%d" % offset for offset in range(2, 5)]
        answer = client.ask(produce("orders", batch(b"new")), 8)
        assert answer.responses[0].partition_responses[0].base_offset == 5
        # The producer of Kafka's days goes on in its sequence, and a repeat is not written twice.
        more = build_batch(
            [(b"k", b"next", [], 1_700_000_000_005)], producer_id=900, producer_epoch=0, base_sequence=5
        )
        for _ in range(2):
            answer = client.ask(produce("orders", more, partition=1), 8)
            row = answer.responses[0].partition_responses[0]
            assert (row.error_code, row.base_offset) == (0, 5)
    assert broker.stop()
    assert (broker.directory / "__cluster_metadata-0" / LOG).read_bytes() == b"not a log of ours"
    properties = (broker.directory / "meta.properties").read_text()
    assert "node.id=1" in properties
    assert "directory.id=Yg_HKShyE5YAAAAAAAAAAw" in properties
    broker.start()
    assert values(broker, 0) == [*(b"p0-%d" % offset for offset in range(5)), b"new"]
    with broker.connect() as client:
        (orders,) = client.ask(metadata("orders", create=False), 12).topics
        assert {partition.leader_epoch for partition in orders.partitions} == {4}
