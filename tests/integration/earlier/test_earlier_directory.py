"""A data directory that an earlier build has left: everything is there, under the same ids.

`8539c2e.zip` was written by that commit's broker: the topics `orders` and `compacted` with settings of their
own, thirty records of an idempotent producer, offsets that the group `readers` has committed, settings of
brokers and groups, and a topic that was deleted. Its `fastlog.metadata` is taken into the
tree of the broker.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.coordination.embedded import KEEPER_DIRECTORY
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.metadata_format import decode
from fastlog.coordination.store import ClusterMetadata
from fastlog.native import read_batches
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestGroup
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from tests.harness.metadata_place import metadata_settings
from tests.integration.requests import fetch
from tests.integration.running import RunningBroker


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).with_name("8539c2e.zip")) as archive:
        archive.extractall(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def former(directory: Path) -> ClusterMetadata:
    return decode((directory / METADATA_FILE).read_bytes())


@pytest.fixture
def broker(directory: Path, former: ClusterMetadata) -> Iterator[RunningBroker]:
    made = RunningBroker(directory)
    made.start()
    yield made
    made.stop()
    made.close()


def committed(broker: RunningBroker) -> dict[int, int]:
    group = OffsetFetchRequestGroup(group_id="readers", topics=None)
    with broker.connect() as client:
        (answer,) = client.ask(OffsetFetchRequest(groups=[group]), 8).groups
    return {part.partition_index: part.committed_offset for part in answer.topics[0].partitions}


def check(broker: RunningBroker, former: ClusterMetadata) -> None:
    cluster = broker.broker.services.cluster
    assert cluster.cluster_id == former.cluster_id
    assert cluster.topics.keys() == former.topics.keys()
    for name, record in former.topics.items():
        found = cluster.topics[name]
        assert (found.topic_id, dict(found.configs)) == (record.topic_id, dict(record.configs))
        assert [state.replicas for state in found.partitions] == [(5,)] * len(record.partitions)
    assert cluster.snapshot.broker_configs == former.broker_configs
    assert cluster.snapshot.group_configs == former.group_configs
    with broker.connect() as client:
        for partition in range(3):
            row = client.ask(fetch("orders", 0, partition=partition), 11).responses[0].partitions[0]
            values = [value for _, _, _, value, _ in read_batches(row.records)]
            assert values == [b"v%d" % number for number in range(partition, 30, 3)]
            asked = DescribeProducersRequest(
                topics=[TopicRequest(name="orders", partition_indexes=[partition])]
            )
            (state,) = client.ask(asked, 0).topics[0].partitions[0].active_producers
            assert (state.producer_id, state.last_sequence) == (0, 9)
        assert committed(broker) == {0: 4, 1: 5, 2: 6}
        assert client.ask(InitProducerIdRequest(), 2).producer_id >= 1000


def test_everything_is_there_now_and_after_another_start(
    broker: RunningBroker, directory: Path, former: ClusterMetadata
) -> None:
    check(broker, former)
    assert not (directory / METADATA_FILE).exists()
    assert (directory / TAKEN_OVER).exists()
    assert (directory / KEEPER_DIRECTORY).is_dir() or metadata_settings(directory)
    assert broker.stop()
    broker.start()
    check(broker, former)


def test_offsets_are_kept_of_topics_that_are_found_by_their_directories(directory: Path) -> None:
    """As on a directory of Apache Kafka: metadata is made anew, and groups are loaded at the same start."""
    (directory / METADATA_FILE).unlink()
    broker = RunningBroker(directory, {"fastlog.allow.data.loss": "true"})
    broker.start()
    try:
        assert committed(broker) == {0: 4, 1: 5, 2: 6}
    finally:
        broker.stop()
        broker.close()
