"""Keys go where Kafka's Java client would send them; records without keys stay together for a while."""

from __future__ import annotations

import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.client.partitioner import StickyPartitions, murmur2, partition_of_key

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


def test_without_a_key_records_stay_until_the_batch_is_done_and_all_partitions_get_some() -> None:
    sticky = StickyPartitions(random.Random(7))
    seen = set()
    for _ in range(100):
        chosen = sticky.choose("t", [0, 1, 2, 5])
        assert [sticky.choose("t", [0, 1, 2, 5]) for _ in range(3)] == [chosen] * 3
        sticky.batch_done("t", chosen + 1, [0, 1, 2, 5])
        assert sticky.choose("t", [0, 1, 2, 5]) == chosen
        sticky.batch_done("t", chosen, [0, 1, 2, 5])
        assert sticky.choose("t", [0, 1, 2, 5]) != chosen
        seen.add(chosen)
    assert seen == {0, 1, 2, 5}


def test_a_partition_that_lost_its_leader_is_left_and_the_only_one_is_kept() -> None:
    sticky = StickyPartitions(random.Random(7))
    assert sticky.choose("t", [3]) == 3
    sticky.batch_done("t", 3, [3])
    assert sticky.choose("t", [3]) == 3
    assert sticky.choose("t", [4]) == 4
