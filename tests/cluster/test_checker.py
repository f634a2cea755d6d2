"""The checker of logs passes a clean history, and finds each fault that is planted into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.checker import check
from tests.cluster.history import NO_OFFSET, Failed, LogHistory, ProducerHistory, Writer, read_log_history


def clean() -> LogHistory:
    """Two producers on two partitions. 13 has no answer but is there; 14 failed for sure; 15 is not known of.

    Offset 3 of partition 0 has a marker of a transaction.
    """
    return LogHistory(
        producers={
            "p1": ProducerHistory(
                sent=[(0, 10), (1, 11), (0, 12), (0, 13), (0, 14), (1, 15), (0, 16)],
                acked=[(1, 0, 11), (0, 0, 10), (0, 1, 12), (0, 4, 16)],
                failed=[
                    Failed(0, 13, "timed out", sure=False),
                    Failed(0, 14, "too large", sure=True),
                    Failed(1, 15, "timed out", sure=False),
                ],
            ),
            "p2": ProducerHistory(sent=[(1, 20), (0, 21)], acked=[(1, 1, 20), (0, 5, 21)]),
        },
        readers={
            "r1": [[(0, 0, 10), (1, 0, 11), (0, 1, 12), (0, 2, 13)], [(0, 1, 12), (0, 2, 13), (0, 4, 16)]],
            "r2": [[]],
        },
        final=[(0, 0, 10), (0, 1, 12), (0, 2, 13), (0, 4, 16), (0, 5, 21), (1, 0, 11), (1, 1, 20)],
    )


def test_a_clean_history_passes() -> None:
    assert check(clean()) == []


def test_what_is_acknowledged_without_a_place_is_there() -> None:
    history = clean()
    history.producers["p1"].acked[1] = (0, NO_OFFSET, 10)
    assert check(history) == []
    history.producers["p1"].acked.append((0, NO_OFFSET, 13))
    assert check(history) == []
    history.producers["p1"].acked.append((1, NO_OFFSET, 15))
    assert check(history)


def final_of(history: LogHistory) -> list[tuple[int, int, int]]:
    assert history.final is not None
    return history.final


def an_acknowledged_record_is_not_there(history: LogHistory) -> None:
    final_of(history).remove((1, 0, 11))
    history.readers["r1"][0].remove((1, 0, 11))


def a_record_is_not_there_any_more(history: LogHistory) -> None:
    final_of(history).remove((0, 1, 12))


def an_acknowledged_record_is_skipped_by_all(history: LogHistory) -> None:
    history.final = None
    history.readers = {"r1": [[(1, 1, 20)]]}


def the_last_acknowledged_record_is_not_there(history: LogHistory) -> None:
    final_of(history).remove((0, 5, 21))


def a_partition_is_empty_in_the_end(history: LogHistory) -> None:
    final_of(history)[5:] = []
    history.readers["r1"][0].remove((1, 0, 11))


def what_was_read_is_gone(history: LogHistory) -> None:
    final_of(history).remove((0, 2, 13))


def another_value_takes_the_place_of_one_acknowledged(history: LogHistory) -> None:
    final_of(history)[6] = (1, 1, 15)


def two_readers_see_two_values(history: LogHistory) -> None:
    history.readers["r2"] = [[(0, 2, 21)]]


def a_retry_is_appended_again(history: LogHistory) -> None:
    final_of(history).append((1, 2, 20))


def a_record_without_an_answer_is_there_twice(history: LogHistory) -> None:
    final_of(history).append((0, 6, 13))


def a_value_of_nobody_is_read(history: LogHistory) -> None:
    final_of(history).append((1, 2, 99))


def a_value_of_another_partition_is_read(history: LogHistory) -> None:
    history.producers["p1"].sent[6] = (1, 16)


def a_record_that_failed_is_read(history: LogHistory) -> None:
    history.readers["r2"] = [[(0, 6, 14)]]


def two_records_change_places(history: LogHistory) -> None:
    history.producers["p1"].sent[2:4] = [(0, 13), (0, 12)]


def a_reader_goes_back(history: LogHistory) -> None:
    history.readers["r2"] = [[(0, 1, 12), (0, 0, 10)]]


def a_reader_sees_a_record_twice(history: LogHistory) -> None:
    history.readers["r2"] = [[(0, 1, 12), (0, 1, 12)]]


def a_reader_skips_a_record(history: LogHistory) -> None:
    history.readers["r2"] = [[(0, 1, 12), (0, 4, 16)]]


def a_reader_is_told_that_it_is_behind_the_end(history: LogHistory) -> None:
    history.lost.append(("r1", "OFFSET_OUT_OF_RANGE"))


def a_producer_is_told_of_a_gap(history: LogHistory) -> None:
    history.fatal.append(("p1", "OUT_OF_ORDER_SEQUENCE_NUMBER"))


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (an_acknowledged_record_is_not_there, "lost write: 11 was acknowledged at 1/0"),
        (a_record_is_not_there_any_more, "lost write: 12 was acknowledged at 0/1"),
        (an_acknowledged_record_is_skipped_by_all, "lost write: 11 was acknowledged at 1/0"),
        (the_last_acknowledged_record_is_not_there, "unseen: 21 was acknowledged at 0/5"),
        (a_partition_is_empty_in_the_end, "unseen: 11 was acknowledged at 1/0"),
        (what_was_read_is_gone, "vanished: 13 was read at 0/2"),
        (another_value_takes_the_place_of_one_acknowledged, "inconsistent offset: 1/1 has 20 and 15"),
        (two_readers_see_two_values, "inconsistent offset: 0/2"),
        (a_retry_is_appended_again, "duplicate: 20 is at 1/1 and at 1/2"),
        (a_record_without_an_answer_is_there_twice, "duplicate: 13"),
        (a_value_of_nobody_is_read, "aborted read: 99 is read at 1/2, and was not sent there"),
        (a_value_of_another_partition_is_read, "aborted read: 16"),
        (a_record_that_failed_is_read, "aborted read: 14 is read at 0/6, though it failed"),
        (two_records_change_places, "order: p1 sent 13 before 12"),
        (a_producer_is_told_of_a_gap, "sending: p1 has to give up"),
        (a_reader_goes_back, "reading: r2 goes back in 0 from 1 to 0"),
        (a_reader_sees_a_record_twice, "reading: r2 goes back in 0 from 1 to 1"),
        (a_reader_skips_a_record, "reading: r2 skips 1 of 0 from 1 to 4"),
        (a_reader_is_told_that_it_is_behind_the_end, "reading: r1 finds its place gone"),
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[LogHistory], None], words: str) -> None:
    history = clean()
    plant(history)
    assert [finding for finding in check(history) if finding.startswith(words)], check(history)


def test_a_history_is_read_back(tmp_path: Path) -> None:
    with Writer(tmp_path / "p1.jsonl") as producer, Writer(tmp_path / "r1.jsonl") as reader:
        producer.records("sent", [(0, 10), (1, 11)])
        producer.records("acked", [])
        producer.records("acked", [(0, 7, 10)])
        producer.write("failed", partition=1, value=11, error="timed out", sure=False)
        for _ in range(2):
            reader.write("begun", partitions=[0])
            reader.records("read", [(0, 7, 10)])
        reader.write("lost", error="gone")
        producer.write("fatal", error="gap")
    assert read_log_history([tmp_path / "p1.jsonl", tmp_path / "r1.jsonl"], [(0, 7, 10)]) == LogHistory(
        producers={
            "p1": ProducerHistory([(0, 10), (1, 11)], [(0, 7, 10)], [Failed(1, 11, "timed out", sure=False)])
        },
        readers={"r1": [[(0, 7, 10)], [(0, 7, 10)]]},
        lost=[("r1", "gone")],
        fatal=[("p1", "gap")],
        final=[(0, 7, 10)],
    )
