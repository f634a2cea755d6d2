"""Transactions in all states that last, made alike in two brokers: idle, open, ended, and such that hang.

Verification has to be off (`transaction.partition.verification.enable`), or nothing would hang.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fastlog.errors import ErrorCode
from fastlog.native import build_batch
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import produce

SETTINGS = {
    "transaction.state.log.num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "auto.create.topics.enable": "false",
    "transaction.partition.verification.enable": "false",
}
HOUR_MS = 3_600_000
Identity = tuple[int, int]
Partition = tuple[str, int]


@dataclass
class Situations:
    """What was made in one broker. Producer ids differ between brokers, their names do not."""

    port: int
    identities: dict[str, Identity] = field(default_factory=dict)
    """Producer id and epoch by the name of the situation."""

    def named(self, producer_id: int) -> str | int:
        """The name of the situation that a producer id belongs to."""
        names = {identity[0]: name for name, identity in self.identities.items()}
        return f"<{names[producer_id]}>" if producer_id in names else producer_id


def make_situations(port: int) -> Situations:
    """Ids `idle`, `open`, `committed`, `aborted`, `late` and `other`; the last two hang, as does `nobody`.

    | name     | in its log                                              | its coordinator has |
    |----------|---------------------------------------------------------|---------------------|
    | `late`   | a-1, open from offset 6, an hour old                    | CompleteAbort       |
    | `other`  | b-1, open from offset 0, an hour old                    | Ongoing in a-0      |
    | `nobody` | b-0, open from offset 0, an hour old                    | no such producer    |
    """
    found = Situations(port)
    with RawClient(port, timeout=60) as client:
        _make_topics(client)
        _begin(client, found, "idle")
        open_one = _begin(client, found, "open")
        open_one.added(found.identities["open"], ("a", 0), ("b", 1))
        _write(client, found, "open", ("a", 0))
        for name, commits in (("committed", True), ("aborted", False), ("late", False)):
            producer = _begin(client, found, name)
            producer.added(found.identities[name], ("a", 1))
            _write(client, found, name, ("a", 1))
            assert producer.end(found.identities[name], commits=commits)[0] == 0
            producer.wait_for("CompleteCommit" if commits else "CompleteAbort")
        # Its transaction was aborted when this comes.
        _write(client, found, "late", ("a", 1), sequence=1, age_ms=HOUR_MS)
        other = _begin(client, found, "other")
        other.added(found.identities["other"], ("a", 0))
        _write(client, found, "other", ("b", 1), age_ms=HOUR_MS)
        answer = client.ask(InitProducerIdRequest(None, 0), 4)
        found.identities["nobody"] = answer.producer_id, answer.producer_epoch
        _write(client, found, "nobody", ("b", 0), age_ms=HOUR_MS)
    return found


def _make_topics(client: RawClient) -> None:
    """`a` and `b`, with two partitions each; ids are served when it returns."""
    wanted = [CreatableTopic(name, 2, 1) for name in ("a", "b")]
    answer = client.ask(CreateTopicsRequest(topics=wanted, timeout_ms=30_000), 5)
    assert {topic.error_code for topic in answer.topics} == {0}
    coming = (
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.NOT_COORDINATOR,
    )
    wait_until(lambda: Producer(client, "idle").init()[0] not in coming, "ids are served", seconds=60)


def _begin(client: RawClient, found: Situations, name: str) -> Producer:
    """All but `idle` have had a producer before."""
    producer = Producer(client, name)
    for _ in range(1 if name == "idle" else 2):
        # Nothing times out while the tests run.
        found.identities[name] = producer.initialized(timeout_ms=900_000)
    return producer


def _write(
    client: RawClient, found: Situations, name: str, at: Partition, *, sequence: int = 0, age_ms: int = 0
) -> None:
    producer_id, epoch = found.identities[name]
    batch = build_batch(
        [(None, b"v", [], time.time_ns() // 1_000_000 - age_ms)],
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        transactional=True,
    )
    ((code, _),) = produce(client, name, (at, batch))
    assert code == 0, (name, code)
