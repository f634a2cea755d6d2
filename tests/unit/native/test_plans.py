"""Plans and their answers as tuples; the layouts themselves are tested in Rust and against oracles."""

import struct

import pytest

from fastlog.native import FetchPlan, MalformedRequest, ProducePlan
from tests.unit.native.data import batch, frame, header, produce_request, string

OK = (0, 41, -1, 0, None, None, None)


def test_produce_plan_rows() -> None:
    records = batch(b"one")
    plan = ProducePlan.parse(frame(produce_request([("a", 0, records), ("b", 3, None), ("b", 4, b"")])))
    assert plan.rows == [("a", 0, len(records)), ("b", 3, -1), ("b", 4, 0)]
    assert (plan.acks, plan.timeout_ms, plan.transactional_id) == (-1, 30_000, None)
    assert (plan.version, plan.correlation_id, plan.total_bytes) == (7, 5, len(records))


def test_produce_response_bytes() -> None:
    plan = ProducePlan.parse(frame(produce_request([("a", 1, b"")], version=8)))
    errors = (87, -1, -1, -1, [(2, "bad"), (3, None)], "no good", (1, 2))
    answer = plan.encode_response([errors], throttle_ms=9, node_endpoints=[(1, "h", 9092, None)])
    expected = (
        struct.pack(">ii", 5, 1)
        + string("a")
        + struct.pack(">iihqqq", 1, 1, 87, -1, -1, -1)
        + struct.pack(">ii", 2, 2)
        + string("bad")
        + struct.pack(">i", 3)
        + string(None)
        + string("no good")
        + struct.pack(">i", 9)
    )
    assert answer == struct.pack(">i", len(expected)) + expected


def test_produce_response_needs_a_result_per_row() -> None:
    plan = ProducePlan.parse(frame(produce_request([("a", 1, b"")])))
    with pytest.raises(ValueError, match="2 results"):
        plan.encode_response([OK, OK])


def test_fetch_plan_rows() -> None:
    body = struct.pack(">iiiibii", -1, 500, 1, 1000, 1, 7, 8)
    body += struct.pack(">i", 1) + string("t") + struct.pack(">i", 1)
    body += struct.pack(">iiqqi", 2, 4, 100, -1, 64)
    body += struct.pack(">i", 1) + string("old") + struct.pack(">ii", 1, 6) + string("rack")
    plan = FetchPlan.parse(frame(header(1, 11, 77) + body))
    assert (plan.version, plan.correlation_id, plan.replica_id, plan.replica_epoch) == (11, 77, -1, -1)
    assert (plan.max_wait_ms, plan.min_bytes, plan.max_bytes, plan.isolation_level) == (500, 1, 1000, 1)
    assert (plan.session_id, plan.session_epoch, plan.rack_id) == (7, 8, "rack")
    assert plan.rows == [("t", None, 2, 4, 100, -1, -1, 64)]
    assert plan.forgotten == [("old", None, 6)]


def test_fetch_plan_by_topic_id() -> None:
    topic_id = bytes(range(16))
    body = struct.pack(">iiibii", 500, 1, 1000, 0, 0, -1)
    body += b"\x02" + topic_id + b"\x02" + struct.pack(">iiqiqi", 2, 4, 100, 3, -1, 64) + b"\0\0"
    body += b"\x01" + b"\x01" + b"\x00"
    plan = FetchPlan.parse(frame(header(1, 15, 77) + b"\0" + body))
    assert plan.rows == [(None, topic_id, 2, 4, 100, 3, -1, 64)]
    assert plan.forgotten == []


def test_rows_of_a_fetch_can_be_had_in_parts() -> None:
    body = struct.pack(">iiiibii", -1, 500, 1, 1000, 1, 0, -1) + struct.pack(">i", 2)
    for name in ("t", "u"):
        body += string(name) + struct.pack(">i", 3)
        body += b"".join(struct.pack(">iiqqi", number, 4, 100, -1, 64) for number in range(3))
    plan = FetchPlan.parse(frame(header(1, 11, 77) + body + struct.pack(">i", 0) + string("")))
    rows = plan.rows
    assert len(plan) == len(rows) == 6
    for start in range(8):
        for stop in range(8):
            assert plan.part(start, stop) == rows[start:stop]


@pytest.mark.parametrize("kind", [ProducePlan, FetchPlan])
def test_other_requests_are_refused(kind: type[ProducePlan] | type[FetchPlan]) -> None:
    for payload in (header(3, 7, 1), header(0, 2, 1), header(1, 3, 1), header(0, 12, 1), header(1, 18, 1)):
        with pytest.raises(MalformedRequest) as caught:
            kind.parse(frame(payload))
        assert caught.value.code == 42


def test_every_cut_of_a_request_is_refused() -> None:
    whole = produce_request([("topic", 0, batch(b"one"))])
    ProducePlan.parse(frame(whole))
    for cut in range(8, len(whole)):
        with pytest.raises(MalformedRequest):
            ProducePlan.parse(frame(whole[:cut]))
