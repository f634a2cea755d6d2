"""Commits that a client sends behind each other, and what it asks after them."""

from __future__ import annotations

from typing import Any

from fastlog.wire import Request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
)
from tests.harness.group_requests import commit_request
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import make_topic

COMMIT, FETCH = 7, 8


def test_commits_are_in_force_for_what_comes_after_them(start_broker: BrokerFactory) -> None:
    fetch = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", topics=None)])
    rows = [
        OffsetCommitRequestPartition(index % 3, 1000 + index, -1, committed_metadata="")
        for index in range(90)
    ]
    long = OffsetCommitRequest(group_id="g", topics=[OffsetCommitRequestTopic("t", rows)])
    asked: list[tuple[Request, int]] = []
    for number in range(1, 101):
        asked.append((commit_request("g", number, metadata="x" * (number % 5)), COMMIT))
        if number == 50:
            # It goes another way than short ones.
            asked.append((long, COMMIT))
        if number % 25 == 0:
            asked.append((fetch, FETCH))
    broker = start_broker(**{"offsets.topic.num.partitions": "1", "num.partitions": "3"})
    with broker.connect() as client:
        assert client.ask(FindCoordinatorRequest(key="g"), 0).error_code == 0
        make_topic(client, "t")
        sent = [client.send(*request) for request in asked]
        received = [client.receive(request.API, version) for request, version in asked]
    assert [correlation_id for correlation_id, _ in received] == sent
    fetched: list[Any] = [answer for _, answer in received if isinstance(answer, OffsetFetchResponse)]
    found = [
        {item.partition_index: item.committed_offset for item in answer.groups[0].topics[0].partitions}
        for answer in fetched
    ]
    later = {1: 1088, 2: 1089}
    assert found == [{0: 25}, {0: 1087, **later}, {0: 75, **later}, {0: 100, **later}]
    commits: list[Any] = [answer for _, answer in received if isinstance(answer, OffsetCommitResponse)]
    assert {item.error_code for answer in commits for item in answer.topics[0].partitions} == {0}
