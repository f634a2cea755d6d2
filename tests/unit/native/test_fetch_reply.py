"""The answer of a leader: rows for Python, records for the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.native import FetchReply, IoEngine, Log, LogConfig, MalformedRequest
from fastlog.wire.messages.common import LeaderIdAndEpoch
from fastlog.wire.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchResponse,
    PartitionData,
)
from tests.unit.native.data import batch, rebased
from tests.unit.replication.leader import frame_of

ID = bytes(range(16))


def answer(*records: bytes) -> FetchResponse:
    rows = [
        PartitionData(number, 0, 40, log_start_offset=3, records=data) for number, data in enumerate(records)
    ]
    return FetchResponse(
        throttle_time_ms=5,
        session_id=9,
        responses=[FetchableTopicResponse(topic="t", topic_id=ID, partitions=rows)],
    )


@pytest.mark.parametrize("version", [12, 13, 17])
def test_rows_say_what_a_follower_needs(version: int) -> None:
    message = answer(b"abc", b"")
    message.responses[0].partitions[1].diverging_epoch = EpochEndOffset(4, 33)
    message.responses[0].partitions[1].current_leader = LeaderIdAndEpoch(2, 8)
    reply = FetchReply.parse(frame_of(message, version), version, 2)
    assert (reply.version, reply.throttle_ms, reply.error_code, reply.session_id) == (version, 5, 0, 9)
    name, topic_id = ("t", None) if version == 12 else (None, ID)
    assert reply.rows == [
        (name, topic_id, 0, 0, 40, 3, None, None, 3),
        (name, topic_id, 1, 0, 40, 3, (4, 33), (2, 8), 0),
    ]


def test_what_was_not_asked_for_is_malformed() -> None:
    frame = frame_of(answer(b"", b""), 17)
    for version, most in ((17, 1), (12, 2), (11, 2), (18, 2)):
        with pytest.raises(MalformedRequest):
            FetchReply.parse(frame, version, most)


def test_rows_go_to_their_logs(tmp_path: Path) -> None:
    logs = [Log.open(str(tmp_path / f"t-{number}"), LogConfig()) for number in range(4)]
    good = rebased(batch(b"one", b"two"), 0, 2)
    message = answer(good + good[:30], good[:-1] + b"!", good, b"")
    reply = FetchReply.parse(frame_of(message, 17), 17, 4)
    logs[2].fence(9)
    engine = IoEngine(1)
    engine.replicate(
        1, reply, [(0, logs[0], 2, 0), (1, logs[1], 2, 0), (2, logs[2], 2, 0), (3, logs[3], 2, 5)]
    )
    engine.truncate(2, logs[3], 0, 2)
    engine.start_over(3, logs[3], 7, 2)
    engine.close()
    results = dict(engine.drain())
    assert isinstance(results[1], list)
    ends = [(row[0], row[1], row[2]) for row in results[1]]
    # The start follows the leader's as far as there are records.
    assert ends == [(2, 2, None), (0, 0, "damaged"), (0, 0, "fenced"), (0, 0, "order")]
    assert "checksum" in str(results[1][1][3])
    assert (results[2], results[3]) == (0, 7)
    assert bytes(logs[0].read(2, 100)) == b""
    assert logs[0].size_bytes == len(good)
