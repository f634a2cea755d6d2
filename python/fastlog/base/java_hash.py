"""The hash by which Kafka spreads names over partitions and fetchers."""

from __future__ import annotations


def java_hash(text: str) -> int:
    """`String.hashCode` of Java: over UTF-16 code units, as a signed number of 32 bits."""
    value = 0
    encoded = text.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(encoded), 2):
        value = (31 * value + (encoded[index] << 8 | encoded[index + 1])) & 0xFFFF_FFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value
