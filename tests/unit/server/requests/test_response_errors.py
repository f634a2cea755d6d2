"""Which codes of a response are counted."""

from __future__ import annotations

from fastlog.server.requests.response_errors import errors_in, errors_in_steps
from fastlog.wire import Response
from fastlog.wire.messages.groups import HeartbeatResponse
from fastlog.wire.messages.offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from fastlog.wire.messages.topics import CreatableTopicResult, CreateTopicsResponse


def offsets(*codes: int) -> ListOffsetsTopicResponse:
    """One topic, a partition for each code."""
    rows = [ListOffsetsPartitionResponse(index, code) for index, code in enumerate(codes)]
    return ListOffsetsTopicResponse("t", rows)


def test_codes_of_the_response_itself() -> None:
    assert errors_in(HeartbeatResponse(error_code=27), 4) == ((27, 1),)
    assert errors_in(HeartbeatResponse(), 4) == ()


def test_codes_of_rows_are_added_up() -> None:
    answer = ListOffsetsResponse(topics=[offsets(0, 3, 3), offsets(), offsets(6)])
    assert sorted(errors_in(answer, 7)) == [(3, 2), (6, 1)]
    assert errors_in(ListOffsetsResponse(topics=[offsets(0)]), 7) == ()


def test_what_a_version_does_not_send_does_not_count() -> None:
    """Before version 5 there was no code for the settings of a new topic."""
    answer = CreateTopicsResponse(topics=[CreatableTopicResult("t", topic_config_error_code=29)])
    assert (errors_in(answer, 4), errors_in(answer, 5)) == ((), ((29, 1),))


def test_large_responses_are_looked_through_in_steps() -> None:
    answer: Response = ListOffsetsResponse(topics=[offsets(*[3] * 2500) for _ in range(2)])
    assert sum(1 for _ in errors_in_steps(answer, 7)) >= 4
    assert errors_in(answer, 7) == ((3, 5000),)
