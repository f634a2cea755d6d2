"""Keys go where Kafka's Java client would send them; records without keys stay together for a while."""

from __future__ import annotations

import itertools
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.client.partitioner import murmur2, partition_of_key
from fastlog.native import Accumulator, NotYet, RecordBatch

with warnings.catch_warnings():
    # importlib.resources.read_text, on import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.partitioner.default import murmur2 as oracle


@pytest.mark.parametrize(
    ("key", "java"),
    [  # Utils.murmur2 of kafka-clients 3.9.1
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_the_java_clients(key: bytes, java: int) -> None:
    assert murmur2(key) == java & 0xFFFFFFFF


@given(st.binary(max_size=70))
def test_the_hash_is_that_of_kafka_python(key: bytes) -> None:
    assert murmur2(key) == oracle(key) & 0xFFFFFFFF


@given(st.binary(max_size=20), st.integers(1, 1000))
def test_the_partition_drops_the_sign_bit(key: bytes, partitions: int) -> None:
    assert partition_of_key(key, partitions) == (oracle(key) & 0x7FFFFFFF) % partitions


def opened(accumulator: Accumulator, partition: int) -> None:
    accumulator.put("t", partition, RecordBatch("t", partition))


def sent_to(accumulator: Accumulator, value: bytes = b"v") -> int:
    """The partition of a record without a key, whose batch is opened when there is none."""
    while True:
        try:
            delivery = accumulator.send("t", value, None, None, None, None, None)
        except NotYet as why:
            assert why.args[0] == Accumulator.BATCH
            opened(accumulator, why.args[1])
        else:
            assert isinstance(delivery.batch, RecordBatch)
            return delivery.batch.partition


def test_without_a_key_records_stay_until_the_batch_is_done_and_all_partitions_get_some() -> None:
    accumulator = Accumulator(batch_size=1000, max_record=1000, buffer_memory=1 << 20, seed=7)
    accumulator.set_topic("t", 6, [0, 1, 2, 5])
    seen = set()
    for _ in range(100):
        chosen = sent_to(accumulator)
        assert [sent_to(accumulator) for _ in range(3)] == [chosen] * 3
        accumulator.left("t", (chosen + 1) % 6)
        assert sent_to(accumulator) == chosen
        accumulator.left("t", chosen)
        opened(accumulator, chosen)
        assert sent_to(accumulator) != chosen
        seen.add(chosen)
    assert seen == {0, 1, 2, 5}


def test_a_full_batch_is_left_for_another_partition() -> None:
    accumulator = Accumulator(batch_size=1000, max_record=1000, buffer_memory=1 << 20, seed=7)
    accumulator.set_topic("t", 3, [0, 1, 2])
    chosen = [sent_to(accumulator, b"x" * 300) for _ in range(90)]
    runs = [len(list(run)) for _, run in itertools.groupby(chosen)]
    assert set(runs[:-1]) == {3}
    assert {chosen.count(index) > 15 for index in range(3)} == {True}


def test_a_partition_that_lost_its_leader_is_left_and_the_only_one_is_kept() -> None:
    accumulator = Accumulator(batch_size=1000, max_record=1000, buffer_memory=1 << 20, seed=7)
    accumulator.set_topic("t", 5, [3])
    assert sent_to(accumulator) == 3
    accumulator.left("t", 3)
    assert sent_to(accumulator) == 3
    accumulator.set_topic("t", 5, [4])
    assert sent_to(accumulator) == 4
