"""One ceiling of memory for all that clients make the broker keep, and who may take how much of it.

| holder             | share  | of 512 MiB | what                                                            |
|--------------------|--------|------------|-----------------------------------------------------------------|
| requests           | 8 / 32 | 128 MiB    | frames, whole and unfinished (`fastlog.max.inflight.bytes`)     |
| work               | 4 / 32 | 64 MiB     | what large requests become while they are worked on             |
| fetched            | 4 / 32 | 64 MiB     | records that were read and are not sent yet                     |
| answers            | 2 / 32 | 32 MiB     | other answers, in the making or not taken; one may have 6 / 32  |
| groups             | 5 / 32 | 80 MiB     | members, their metadata and assignments, committed offsets      |
| transactions       | 1 / 32 | 16 MiB     | transactional ids, and the partitions of open transactions      |
| fetches            | 2 / 32 | 32 MiB     | fetch sessions, and partitions of fetches that wait             |
| patterns           | 1 / 32 | 16 MiB     | compiled regular expressions                                    |
| connections        | 4 / 32 | 64 MiB     | one connection is reckoned with 8 KiB                           |
| what is left       | 1 / 32 | 16 MiB     | what no count is exact about: rounding of allocators            |

Not among them is what codecs take natively while a batch is looked through, and free with the look: a window
of zstd. Those of up to 8 MiB may be as many as there are threads, a larger one (at most 128 MiB) is alone.
"""

from __future__ import annotations

from typing import Final, Self

from fastlog.base.quick_dataclass import dataclass

_PARTS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryShares:
    """Bytes of each holder, as in the table above."""

    requests: int
    work: int
    fetched: int
    answers: int
    one_answer: int
    groups: int
    transactions: int
    fetches: int
    patterns: int
    connections: int

    @classmethod
    def of(cls, ceiling: int, most_requests: int) -> Self:
        """Shares out `ceiling` bytes; requests get no more than `most_requests`."""
        part = ceiling // _PARTS
        return cls(
            requests=min(8 * part, most_requests),
            work=4 * part,
            fetched=4 * part,
            answers=2 * part,
            # No group is too large to be told of.
            one_answer=6 * part,
            groups=5 * part,
            transactions=part,
            fetches=2 * part,
            patterns=part,
            connections=4 * part,
        )
