"""What fails for one row of a request is told for that row; its neighbours are answered as if alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.member.topics import MemberTopics
from fastlog.errors import ErrorCode
from fastlog.native import StorageError
from fastlog.wire import Request
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from tests.harness.batches import TIME, batch
from tests.integration.requests import fetch, list_offset, make_topic, metadata, produce
from tests.integration.running import RawClient, RunningBroker

GOOD, BAD = "good", "bad"
NAMES = (BAD, GOOD, "bad-too", "good-too")
TIMED = 2 * 1000


class BrokenLog:
    """A log whose files cannot be read: what is in memory is there, every call fails."""

    def __init__(self, log: Any, error: Exception) -> None:
        self._log = log
        self._error = error

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._log, name)
        return self._fail if callable(found) and name not in ("last_stable_offset",) else found

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise self._error


def storage_error(text: str) -> StorageError:
    """As the native module raises it."""
    error = StorageError(text)
    error.code = int(ErrorCode.KAFKA_STORAGE_ERROR)
    return error


def offsets(timestamp: int) -> ListOffsetsRequest:
    """One offset of each of the topics."""
    row = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
    return ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name=name, partitions=[row]) for name in NAMES]
    )


def deletion() -> DeleteRecordsRequest:
    """The first record of each of the topics."""
    rows = [DeleteRecordsPartition(partition_index=0, offset=1)]
    return DeleteRecordsRequest(
        timeout_ms=10_000, topics=[DeleteRecordsTopic(name=name, partitions=rows) for name in NAMES]
    )


def codes_of_partitions(answer: Any) -> dict[str, int]:
    return {topic.name: row.error_code for topic in answer.topics for row in topic.partitions}


@pytest.mark.parametrize(
    ("request_", "version"),
    [
        (offsets(TIME), 0),
        (offsets(TIME + TIMED), 1),
        (offsets(TIME + TIMED), 9),
        (offsets(-3), 7),
        (deletion(), 2),
    ],
)
def test_a_log_that_cannot_be_read(broker: RunningBroker, request_: Request, version: int) -> None:
    with broker.connect() as client:
        for name in NAMES:
            make_topic(client, name)
            client.ask(produce(name, batch(b"a", b"b")), 9)
        alone = codes_of_partitions(client.ask(request_, version))
        assert set(alone.values()) == {0}
        error = storage_error("read: Input/output error")
        services = broker.broker.services
        for name in (BAD, "bad-too"):
            replica, entry = services.replicas.get(name, 0), services.logs.table.get(name, 0)
            assert replica is not None
            assert entry is not None
            replica.log = entry.log = BrokenLog(replica.log, error)  # type: ignore[assignment]
        try:
            codes = codes_of_partitions(client.ask(request_, version))
        finally:
            for name in (BAD, "bad-too"):
                replica, entry = services.replicas.get(name, 0), services.logs.table.get(name, 0)
                assert replica is not None
                assert entry is not None
                replica.log = entry.log = replica.log._log  # type: ignore[attr-defined]
        bad = ErrorCode.KAFKA_STORAGE_ERROR
        assert codes == {BAD: bad, GOOD: 0, "bad-too": bad, "good-too": 0}


def test_damage_within_a_batch(broker: RunningBroker) -> None:
    with broker.connect() as client:
        for name in (GOOD, BAD):
            make_topic(client, name)
            for second in range(3):
                client.ask(produce(name, batch(b"v" * 100, b"w" * 100, timestamp=TIME + 1000 * second)), 9)
        (path,) = Path(broker.directory).glob("bad-0/*.log")
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 8] = b"\xff" * 8
        path.write_bytes(data)
        request = list_offset(GOOD, TIME + 1001)
        request.topics += list_offset(BAD, TIME + 1001).topics
        answer = client.ask(request, 7)
        good, bad = (topic.partitions[0] for topic in answer.topics)
        assert (good.error_code, good.offset) == (0, 3)
        assert (bad.error_code, bad.offset, bad.timestamp) == (ErrorCode.CORRUPT_MESSAGE, -1, -1)
        # What lies beside the damage is found all the same.
        assert client.ask(list_offset(BAD, TIME), 7).topics[0].partitions[0].offset == 0
        assert client.ask(fetch(GOOD, 0, session_epoch=-1), 11).responses[0].partitions[0].error_code == 0


ADMINISTRATION: dict[str, Callable[[], tuple[Request, int, str]]] = {
    "create": lambda: (
        CreateTopicsRequest([CreatableTopic(name, 1, 1) for name in NAMES], 10_000),
        5,
        "topics",
    ),
    "create_partitions": lambda: (
        CreatePartitionsRequest([CreatePartitionsTopic(name, 2) for name in NAMES], 10_000),
        2,
        "results",
    ),
    "alter_configs": lambda: (
        IncrementalAlterConfigsRequest(
            [AlterConfigsResource(2, name, [AlterableConfig("retention.ms", 0, "1")]) for name in NAMES]
        ),
        1,
        "responses",
    ),
}


@pytest.mark.parametrize(
    ("verb", "step"), [("create_partitions", "_plan_growth"), ("alter_configs", "_checked")]
)
@pytest.mark.parametrize("defect", [False, True])
def test_administration_of_a_topic_that_fails(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch, verb: str, step: str, defect: bool
) -> None:
    """Several are changed in one change."""
    error = RuntimeError("a defect") if defect else storage_error("write: EIO")
    with broker.connect() as client:
        for name in NAMES:
            make_topic(client, name)
        owner: Any = broker.broker.services.topics
        if isinstance(owner, MemberTopics) and step == "_plan_growth":
            owner, step = owner._writes, "grow"
        honest = getattr(owner, step)

        def breaking(wanted: Any, *args: Any, **how: Any) -> Any:
            if wanted.name.startswith(BAD):
                raise error
            return honest(wanted, *args, **how)

        monkeypatch.setattr(owner, step, breaking)
        codes = ask(client, verb)
    assert {codes.pop(name) != 0 for name in (BAD, "bad-too")} == {True}
    assert codes == {GOOD: 0, "good-too": 0}


@pytest.mark.parametrize("verb", ["create", "metadata"])
def test_a_topic_that_cannot_be_made(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Several are made in one change."""
    break_for_bad(monkeypatch, broker.broker.services.logs, "create", storage_error("mkdir: EIO"))
    with broker.connect() as client:
        codes = ask(client, verb)
    bad = ErrorCode.KAFKA_STORAGE_ERROR
    assert codes == {BAD: bad, GOOD: 0, "bad-too": bad, "good-too": 0}
    assert broker.broker.services.cluster.topics.keys() == {GOOD, "good-too"}


def break_for_bad(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, error: Exception) -> None:
    """Has a method fail for the topics that are to fail."""
    honest = getattr(owner, method)

    async def breaking(name: str, *args: Any, **how: Any) -> Any:
        if name.startswith(BAD):
            raise error
        return await honest(name, *args, **how)

    monkeypatch.setattr(owner, method, breaking)


def ask(client: RawClient, verb: str) -> dict[str, int]:
    """The codes of the topics."""
    if verb == "metadata":
        return {topic.name: topic.error_code for topic in client.ask(metadata(*NAMES), 12).topics}
    request, version, rows = ADMINISTRATION[verb]()
    answer = client.ask(request, version)
    return {getattr(row, "name", None) or row.resource_name: row.error_code for row in getattr(answer, rows)}
