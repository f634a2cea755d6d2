"""What is stored may be a thousand times longer than its name: naming it again does not get another copy.

For every API that is served and every array in its requests, one element is repeated that names something
with the largest values it can have: settings, and metadata of offsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from fastlog.server.requests.among_brokers import OF_CLUSTERS
from fastlog.server.requests.registry import load_handlers
from fastlog.wire import ApiKey, encode_request
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    DeleteTopicsRequest,
)
from tests.harness.request_arrays import ArrayPath, Filling, array_paths, frame_repeating
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker
from tests.integration.transaction_broker import TransactionBroker

NAME = "known"
METADATA = "m" * 4000
FAT_KEY = "follower.replication.throttled.replicas"
FAT_VALUE = ",".join(f"{number}:1" for number in range(4000))
TIMES = 400
MOST_PER_ELEMENT = 700
"""Bytes that one more repetition may add: a row with names and an error, but no stored value."""
TOPIC = 2

FILLINGS = (Filling(NAME), Filling(NAME, TOPIC), Filling("1", 4))
KEYS = [ApiKey(key) for key in sorted(load_handlers()) if key not in OF_CLUSTERS]
AFTER_IT = encode_request(ApiVersionsRequest(), 0, 2)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One for all tests."""
    running = TransactionBroker(
        tmp_path_factory.mktemp("repeated"), {"auto.create.topics.enable": "false", "num.partitions": "1"}
    )
    running.start()
    with running.connect(timeout=60) as client:
        client.ask(FindCoordinatorRequest(key=NAME), 2)
    yield running
    running.close()


@pytest.fixture
def broker(running: RunningBroker) -> RunningBroker:
    """It has a topic and a group of that name, with much to tell of both, whatever the last test did."""
    row = OffsetCommitRequestPartition(committed_offset=0, committed_metadata=METADATA)
    commit = OffsetCommitRequest(
        group_id=NAME, generation_id_or_member_epoch=-1, topics=[OffsetCommitRequestTopic(NAME, [row])]
    )
    topic = CreatableTopic(NAME, 1, 1, configs=[CreatableTopicConfig(FAT_KEY, FAT_VALUE)])
    with running.connect(timeout=60) as client:
        client.ask(DeleteTopicsRequest(topic_names=[NAME], timeout_ms=30_000), 2)
        made = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=30_000), 2)
        assert made.topics[0].error_code == 0, made
        wait_until(
            lambda: client.ask(commit, 7).topics[0].partitions[0].error_code == 0,
            "the offset is stored",
            seconds=30,
        )
    return running


def _answered(broker: RunningBroker, frame: bytes) -> int:
    """Bytes of the answer; 0 when the connection is closed instead."""
    size = 0
    with broker.connect(timeout=60) as client, suppress(ConnectionError):
        # What comes after it is answered after it: some requests have no answer of their own.
        client.socket.sendall(frame + AFTER_IT)
        while (received := client.receive_frame())[:4] != AFTER_IT[8:12]:
            size += len(received)
    return size


def _problem(broker: RunningBroker, key: ApiKey, path: ArrayPath, version: int, filling: Filling) -> str:
    once, often = (
        _answered(broker, frame_repeating(key, version, path, times, filling)) for times in (1, TIMES)
    )
    if often <= once + TIMES * MOST_PER_ELEMENT:
        return ""
    return f"{'.'.join(path)} with {filling}: {once} bytes once, {often} for {TIMES} times"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_an_element_that_is_repeated_is_told_once(broker: RunningBroker, key: ApiKey) -> None:
    problems = [
        _problem(broker, key, path, version, filling)
        for path, version in array_paths(key)
        for filling in FILLINGS
    ]
    assert not any(problems), "\n".join(filter(None, problems))


def test_a_setting_is_told_once_whatever_is_asked_for_beside_it(broker: RunningBroker) -> None:
    wanted = [
        DescribeConfigsResource(TOPIC, NAME, [FAT_KEY, "retention.ms" if number % 2 else "", f"{number}"])
        for number in range(50)
    ]
    with broker.connect() as client:
        results = client.ask(DescribeConfigsRequest(resources=wanted), 4).results
    assert {result.error_code for result in results} == {0}, results[0].error_message
    assert [[entry.name for entry in result.configs] for result in results] == [[FAT_KEY], ["retention.ms"]]


def test_an_offset_is_told_once_however_often_its_group_is_named(broker: RunningBroker) -> None:
    numbers = ([0, 0], [0], [0, 1], None, None)
    groups = [
        OffsetFetchRequestGroup(
            NAME, topics=None if wanted is None else [OffsetFetchRequestTopics(NAME, wanted)]
        )
        for wanted in numbers
    ]
    with broker.connect() as client:
        answer = client.ask(OffsetFetchRequest(groups=groups), 8)
    told = [
        (row.partition_index, row.metadata) for group in answer.groups for row in group.topics[0].partitions
    ]
    assert told == [(0, METADATA), (1, "")]
