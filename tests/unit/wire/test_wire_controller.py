"""What a controller sends: as much as a full cluster needs, no more, and nothing that is only announced."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import cast

import pytest

from fastlog.wire import (
    APIS,
    ApiKey,
    MalformedMessage,
    Message,
    Request,
    Steps,
    decode_body,
    decode_request_in_steps,
    encode_body,
    encode_request,
)
from fastlog.wire.api_keys import MAX_REQUEST_ELEMENTS
from fastlog.wire.in_steps import run
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionRequest,
    AlterPartitionTopic,
    BrokerState,
)
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from fastlog.wire.messages.stop_replica import StopReplicaRequest
from fastlog.wire.messages.update_metadata import (
    UpdateMetadataPartitionState,
    UpdateMetadataRequest,
    UpdateMetadataTopicState,
)
from tests.harness.controller_requests import (
    PARTITIONS,
    full_leader_and_isr,
    full_stop_replica,
    full_update_metadata,
)

FULL = [(full_leader_and_isr, 7), (full_update_metadata, 8), (full_stop_replica, 4)]
MORE_ELEMENTS = {
    ApiKey.LEADER_AND_ISR: 1 << 19,
    ApiKey.UPDATE_METADATA: 1 << 19,
    ApiKey.ALTER_PARTITION: 1 << 17,
}


@pytest.mark.parametrize(("make", "version"), FULL)
def test_a_full_request_is_read_in_many_steps(make: Callable[[], Request], version: int) -> None:
    request = make()
    payload = encode_request(request, version, 7, "1")[4:]
    steps = 0

    def counted() -> Steps[Request]:
        nonlocal steps
        decoding = decode_request_in_steps(payload)
        while True:
            try:
                yield next(decoding)
            except StopIteration as end:
                return cast("Request", end.value[1])
            steps += 1

    assert run(counted()) == request
    assert steps > PARTITIONS // 64


def test_only_what_brokers_send_each_other_may_have_more_elements() -> None:
    more = {key: api.max_elements for key, api in APIS.items() if api.max_elements > MAX_REQUEST_ELEMENTS}
    assert more == MORE_ELEMENTS


def test_a_leader_of_all_partitions_can_tell_that_a_follower_is_lost() -> None:
    data = AlterPartitionData(new_isr_with_epochs=[BrokerState(1, 5), BrokerState(2, 6), BrokerState(3, 7)])
    topics = [AlterPartitionTopic("", n.to_bytes(16, "big"), [data]) for n in range(PARTITIONS)]
    body = encode_body(AlterPartitionRequest(1, 5, topics), 3)
    assert decode_body(AlterPartitionRequest, 3, body).topics == topics


def test_elements_of_all_kinds_count_together() -> None:
    most = MORE_ELEMENTS[ApiKey.UPDATE_METADATA]
    full = UpdateMetadataPartitionState(isr=[0] * 1000, replicas=[0] * 1000)
    last = UpdateMetadataPartitionState(offline_replicas=[0] * ((most - 2) % 2001))
    states = [*[full] * ((most - 2) // 2001), last]
    request = UpdateMetadataRequest(topic_states=[UpdateMetadataTopicState("t", bytes(16), states)])
    assert decode_body(UpdateMetadataRequest, 8, encode_body(request, 8)) == request
    last.offline_replicas.append(0)
    with pytest.raises(MalformedMessage, match=f"more than {most} elements"):
        decode_body(UpdateMetadataRequest, 8, encode_body(request, 8))


# The fixed fields before the first array, in the versions that are sent and in the oldest.
HUGE = [
    (LeaderAndIsrRequest, 7, "00" * 4 + "00" + "00" * 4 + "00" * 8 + "00" + "ffffffff0f"),
    (LeaderAndIsrRequest, 7, "00" * 18 + "02" + "0274" + "00" * 16 + "ffffffff07"),
    (LeaderAndIsrRequest, 0, "00" * 8 + "7fffffff"),
    (UpdateMetadataRequest, 8, "00" * 17 + "ffffffff0f"),
    (UpdateMetadataRequest, 8, "00" * 17 + "02" + "0274" + "00" * 16 + "02" + "00" * 16 + "ffffffff07"),
    (UpdateMetadataRequest, 8, "00" * 17 + "01" + "ffffffff07"),
    (UpdateMetadataRequest, 4, "00" * 8 + "40000000" + "00" * 64),
    (StopReplicaRequest, 4, "00" * 17 + "ffffffff0f"),
    (AlterPartitionRequest, 3, "00" * 12 + "02" + "00" * 16 + "ffffffff0f"),
]


@pytest.mark.parametrize(("message", "version", "body"), HUGE)
def test_announced_sizes_cost_nothing(message: type[Message], version: int, body: str) -> None:
    data = bytes.fromhex(body)
    with pytest.raises(MalformedMessage):
        decode_body(message, version, data)  # compiles the decoder
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="not possible with"):
            decode_body(message, version, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_too_many_are_refused_before_the_first_is_made() -> None:
    count = MORE_ELEMENTS[ApiKey.LEADER_AND_ISR] + 1
    data = bytes(8) + count.to_bytes(4, "big") + bytes(38 * count)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="more than 524288 elements"):
            decode_body(LeaderAndIsrRequest, 0, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024
