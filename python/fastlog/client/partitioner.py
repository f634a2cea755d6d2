"""Which partition a key goes to: as in Kafka's Java client (`org.apache.kafka.common.utils.Utils.murmur2`).

Records with equal keys meet in one partition only if every client hashes alike. Records without a key stay
with one partition for a batch (KIP-480), which `fastlog.native.Accumulator` sees to.
"""

from __future__ import annotations

from fastlog.native import murmur2

__all__ = ["murmur2", "partition_of_key"]


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition of a keyed record among `partitions` of them. An empty key is a key, too."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
