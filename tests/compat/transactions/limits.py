"""Limits, and what is legal in form and odd in content, in each version of the requests of transactions."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastlog.coordination.transactions.state import LAST_GIVEN_EPOCH, MAX_EPOCH
from fastlog.native import crc32c
from fastlog.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestGroup
from fastlog.wire.messages.topics import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from fastlog.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.compat.transactions.play import FAR, Play, Scenario, name_of
from tests.integration.requests import fetch, list_offset
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import Partition, batch_of, values_in

NOBODY: Final = (-1, -1)
MARKED: Final = 910_001
_ATTRIBUTES: Final = struct.Struct(">21xh")
_CONTROL: Final = 0x20
_LARGEST: Final = (1 << 63) - 1


# -- identities that are none --------------------


def ends_of_nobody(play: Play) -> None:
    """EndTxn in each version by whom nothing is known, on an id in each state."""
    at = play.topic(), 0
    identity = play.initialized()
    odd = (
        *(NOBODY, (-1, 0), (-1, LAST_GIVEN_EPOCH), (-2, 0), (FAR, LAST_GIVEN_EPOCH)),
        *((identity[0], -1), (identity[0], LAST_GIVEN_EPOCH), (identity[0], MAX_EPOCH)),
    )

    def by_all(versions: Sequence[int]) -> None:
        for version in versions:
            for who in odd:
                for commits in (False, True):
                    play.end(who, commits=commits, version=version)

    by_all((0, 2, 4))
    play.add(identity, at)
    by_all((1, 3, 4))
    play.ended(identity)
    by_all((0, 4))
    play.describe("CompleteCommit")


def raising_ends_of_nobody(play: Play) -> None:
    """The same in version 5; the one with the last epoch is not that of a producer id before."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.ended(identity)
    for who in (NOBODY, (-1, 0), (-2, LAST_GIVEN_EPOCH), (FAR, LAST_GIVEN_EPOCH), (identity[0], -1)):
        for commits in (False, True):
            play.end(who, commits=commits, version=5)
    play.describe("CompleteCommit")


def long_names(play: Play) -> None:
    """Ids as long as a request, and a record, can name them."""
    topic = play.topic()
    for length in (249, 10_000, 32_766, 32_767):
        name = (play.name + "x" * length)[:length]
        producer = Producer(play.client, name, finds=False)
        code, _, epoch = producer.init(version=4)
        play.note(f"init {length}", (name_of(code), epoch))
        code = producer.end((FAR, 0), version=3)[0]
        play.note(f"end {length}", name_of(code))
        told = producer.add((FAR, 0), (topic, 0), version=3)
        play.note(f"add {length}", [name_of(one) for one in told.values()])


# -- requests with much --------------------


def many_partitions(play: Play) -> None:
    """A transaction of 300 partitions, half of them named twice, and half of these written to."""
    count = 300
    topic = play.topic(partitions=count)
    identity = play.initialized()
    named = [*range(count), *range(0, count, 2)]
    asked = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=play.name,
        v3_and_below_producer_id=identity[0],
        v3_and_below_producer_epoch=identity[1],
        v3_and_below_topics=[AddPartitionsToTxnTopic(topic, named)],
    )
    answer: Any = play.client.ask(asked, 3)
    (row,) = answer.results_by_topic_v3_and_below
    codes = {name_of(one.partition_error_code) for one in row.results_by_partition}
    play.note("add", (codes, {one.partition_index for one in row.results_by_partition} == {*range(count)}))
    rows = [((topic, number), batch_of(identity, 0)) for number in range(0, count, 4)]
    play.put_rows(*rows)
    play.ended(identity, commits=False)
    for number in (0, 1, 4, count - 1):
        play.log((topic, number))


def odd_offsets(play: Play) -> None:
    """Offsets, epochs and texts at their limits."""
    topic, group = play.topic(), f"{play.name}-group"
    identity = play.initialized()
    play.add_offsets(identity, group)
    rows = [
        TxnOffsetCommitRequestPartition(0, offset, epoch, text)
        for offset, epoch, text in (
            *((_LARGEST, 7, ""), (-1, -1, ""), (-(1 << 63), -1, None), (5, -5, None)),
            *((5, (1 << 31) - 1, "0123456789"), (5, -1, "01234567890"), (5, -1, "ünïcödé")),
        )
    ]
    for row in rows:
        for version in (0, 2, 3):
            asked = TxnOffsetCommitRequest(
                transactional_id=play.name,
                group_id=group,
                producer_id=identity[0],
                producer_epoch=identity[1],
                topics=[TxnOffsetCommitRequestTopic(topic, [row])],
            )
            answer: Any = play.client.ask(asked, version)
            told = [name_of(one.error_code) for at in answer.topics for one in at.partitions]
            play.note(f"commit {row} {version}", told)
    play.ended(identity)
    play.offset(group, (topic, 0))


def whole_group(play: Play) -> None:
    """All offsets of a group while some are undecided, in each version that can ask for them."""
    topic, group = play.topic(), f"{play.name}-group"
    identity = play.initialized()

    def look(what: str) -> None:
        for version in (2, 5, 7):
            asked = OffsetFetchRequest(group_id=group, topics=None, require_stable=version >= 7)
            answer: Any = play.client.ask(asked, version)
            play.note(f"{what} {version}", (name_of(answer.error_code), _rows(answer.topics)))
        asked = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group)], require_stable=True)
        (found,) = play.client.ask(asked, 8).groups
        play.note(f"{what} 8", (name_of(found.error_code), _rows(found.topics)))

    for commits in (True, False):
        play.add_offsets(identity, group)
        play.commit(identity, group, {(topic, int(not commits)): 5})
        look(f"open {commits}")
        play.ended(identity, commits=commits)
        look(f"ended {commits}")


def _rows(topics: Any) -> list[tuple[str, int, int, str]]:
    return sorted(
        (topic.name, row.partition_index, row.committed_offset, name_of(row.error_code))
        for topic in topics
        for row in topic.partitions
    )


# -- batches --------------------


def _with_attributes(batch: bytes, *bits: int) -> bytes:
    (attributes,) = _ATTRIBUTES.unpack_from(batch)
    covered = bytes(struct.pack(">h", attributes | sum(bits))) + batch[23:]
    return batch[:17] + struct.pack(">I", crc32c(covered)) + covered


def odd_batches(play: Play) -> None:
    """Batches of clients that only a coordinator may write, or that say half of who wrote them."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    for version in (9, 11):
        for who, sequence in ((identity, -1), ((identity[0], -1), 0), ((-1, 0), 0), (NOBODY, -1)):
            play.put(who, sequence, at, version=version)
        play.put_rows((at, _with_attributes(batch_of(identity, 0), _CONTROL)), version=version)
        play.put_rows((("__consumer_offsets", 0), batch_of(identity, 0)), version=version)
        play.put_rows((("__transaction_state", 0), batch_of(identity, 0)), version=version)
    play.put(identity, 0, at)
    play.ended(identity)
    play.log(at)


# -- markers --------------------


def markers_at_the_limits(play: Play) -> None:
    """Epochs and ids at the ends of their types."""
    at = play.topic(), 0
    for who in ((MARKED, MAX_EPOCH), (MARKED, 0), (MARKED + 1, 0)):
        play.mark(who, at)
    for epoch in ((1 << 31) - 1, 5):
        play.mark((MARKED + 2, 0), at, coordinator_epoch=epoch)
    play.log(at)
    play.producers(at)


def markers_of_nobody(play: Play) -> None:
    """Of producers that cannot be; what was open stays so."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 0, at)
    for who in ((-1, 0), (-1, -1), (MARKED + 5, -1), (identity[0], -1)):
        play.mark(who, at)
    play.mark((MARKED + 6, 0), at, coordinator_epoch=-1)
    play.log(at)
    play.put(identity, 1, at)
    play.ended(identity)
    play.log(at)


# -- what readers see --------------------


def offsets_of_a_log(play: Play) -> None:
    """ListOffsets of both isolation levels, and a fetch from each offset, around an open transaction."""
    at = play.topic(), 0
    identity = play.initialized()

    def look(what: str) -> None:
        for isolation in (0, 1):
            for timestamp in (-1, -2, -3, 0):
                answer: Any = play.client.ask(list_offset(at[0], timestamp, isolation_level=isolation), 7)
                (row,) = answer.topics[0].partitions
                play.note(f"{what}: offset {timestamp} {isolation}", (name_of(row.error_code), row.offset))
        for offset in range(9):
            row = play.client.ask(fetch(at[0], offset, min_bytes=0, isolation_level=1), 11).responses[0]
            (found,) = row.partitions
            aborted = [
                (play.known(one.producer_id), one.first_offset) for one in found.aborted_transactions or ()
            ]
            told = name_of(found.error_code), found.last_stable_offset, values_in(found), aborted
            play.note(f"{what}: fetch {offset}", told)

    play.add(identity, at)
    look("empty")
    for number in range(3):
        # Another time for each: which of several has the latest must not depend on who is quicker.
        time.sleep(0.003)
        play.put(identity, number, at, value=b"%d" % number)
    look("open")
    play.ended(identity, commits=False)
    play.add(identity, at)
    play.put(identity, 3, at, value=b"3")
    look("aborted, and open again")
    play.ended(identity)
    look("committed")


def deleted_records(play: Play) -> None:
    """Records of an open transaction are deleted, some of them and all; then it ends."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()

    def delete(partition: Partition, offset: int) -> None:
        rows = [DeleteRecordsPartition(partition[1], offset)]
        asked = DeleteRecordsRequest(topics=[DeleteRecordsTopic(partition[0], rows)], timeout_ms=30_000)
        (topic,) = play.client.ask(asked, 2).topics
        (row,) = topic.partitions
        play.note(f"delete {partition} {offset}", (name_of(row.error_code), row.low_watermark))

    play.add(identity, at, other)
    for number in range(4):
        play.put(identity, number, at)
        play.put(identity, number, other)
    delete(at, 2)
    delete(other, -1)
    _from(play, at, 2)
    _from(play, other, 4)
    play.put(identity, 4, at)
    play.put(identity, 4, other)
    _from(play, at, 2)
    _from(play, other, 4)
    play.ended(identity, commits=False)
    _from(play, at, 2)
    _from(play, other, 4)
    play.producers(at)


def _from(play: Play, at: Partition, offset: int) -> None:
    asked = fetch(at[0], offset, partition=at[1], min_bytes=0, isolation_level=1)
    (row,) = play.client.ask(asked, 11).responses[0].partitions
    aborted = [(play.known(one.producer_id), one.first_offset) for one in row.aborted_transactions or ()]
    told = row.log_start_offset, row.last_stable_offset, row.high_watermark, values_in(row), aborted
    play.note(f"from {offset} of {at}", told)


def deleted_over_a_restart(play: Play) -> Iterator[None]:
    """The same, when the broker stops before the end."""
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=600_000)
    play.add(identity, at)
    for number in range(4):
        play.put(identity, number, at)
    rows = [DeleteRecordsPartition(0, 2)]
    play.client.ask(DeleteRecordsRequest(topics=[DeleteRecordsTopic(at[0], rows)], timeout_ms=30_000), 2)
    _from(play, at, 2)
    yield
    _from(play, at, 2)
    play.put(identity, 4, at)
    play.ended(identity, commits=False)
    _from(play, at, 2)


def ends_one_after_the_other(play: Play) -> None:
    """Sixteen ends that do not wait for their answers: what they leave is that of one of them."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 0, at)
    for _ in range(16):
        play.client.send(EndTxnRequest(play.name, *identity, True), 4)
    answers: list[Any] = [play.client.receive(EndTxnRequest.API, 4)[1] for _ in range(16)]
    told = [answer.error_code for answer in answers]
    play.note("first", name_of(told[0]))
    play.note("others", {name_of(code) for code in told[1:]} <= {"NONE", "CONCURRENT_TRANSACTIONS"})
    play.describe("CompleteCommit")
    play.log(at)


SCENARIOS: Final[dict[str, Scenario]] = {
    "limit-nobody": ends_of_nobody,
    "limit-names": long_names,
    "limit-partitions": many_partitions,
    "limit-offsets": odd_offsets,
    "limit-group": whole_group,
    "limit-batches": odd_batches,
    "limit-markers": markers_at_the_limits,
    "limit-marker-nobody": markers_of_nobody,
    "limit-readers": offsets_of_a_log,
    "limit-deleted": deleted_records,
    "limit-deleted-restart": deleted_over_a_restart,
    "limit-ends": ends_one_after_the_other,
}
RAISING: Final[dict[str, Scenario]] = {"limit-nobody-raising": raising_ends_of_nobody}
