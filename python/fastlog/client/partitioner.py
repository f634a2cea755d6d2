"""Which partition a record goes to: by its key as in Kafka's Java client, or without one by turns.

Records with equal keys meet in one partition only if every client hashes alike, so the hash is the Java
client's: murmur2 of the key's bytes with a fixed seed, its sign bit dropped, modulo the number of partitions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

__all__ = ["StickyPartitions", "murmur2", "partition_of_key"]

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 that Kafka uses (`org.apache.kafka.common.utils.Utils.murmur2`), unsigned."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole != length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition of a keyed record among `partitions` of them. An empty key is a key, too."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class StickyPartitions:
    """Records without a key stay with one partition per topic until a batch is done (KIP-480).

    Fewer and fuller batches than by turns per record; over time all partitions get their share.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._random = rng or random.Random()  # noqa: S311 - no secret
        self._current: dict[str, int] = {}

    def choose(self, topic: str, available: Sequence[int]) -> int:
        """The partition for the next record; `available` are those with a leader, or all when none has."""
        current = self._current.get(topic)
        if current is None or current not in available:
            current = self._current[topic] = self._random.choice(available)
        return current

    def batch_done(self, topic: str, partition: int, available: Sequence[int]) -> None:
        """A batch is full or on its way: the next record goes elsewhere."""
        if self._current.get(topic) == partition:
            others = [index for index in available if index != partition]
            self._current[topic] = self._random.choice(others) if others else partition
