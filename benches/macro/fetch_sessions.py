"""What the event loop works for a poll of a fetch session: `python -m benches.macro.fetch_sessions`.

One broker in this process, on a thread of its own, whose CPU time is counted. A client with a session of many
partitions polls: with nothing new (the fetch waits a millisecond, and is answered with nothing), and with a
record in one of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Final

from benches.table import print_table
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.batches import batch
from tests.integration.requests import produce
from tests.integration.running import RawClient, RunningBroker

_PER_TOPIC: Final = 500
_VERSION: Final = 12
_PARTITION_BYTES: Final = 1 << 20


class Session:
    """A client's fetch session of the first partitions of the broker."""

    def __init__(self, client: RawClient, offsets: dict[tuple[str, int], int]) -> None:
        self._client = client
        self._epoch = 0
        self._id = 0
        self.poll(offsets)

    def poll(self, offsets: dict[tuple[str, int], int] | None = None) -> int:
        """Asks for what is new, with other offsets for some partitions; how many of them had news."""
        request = FetchRequest(
            max_wait_ms=1,
            min_bytes=1,
            max_bytes=50 << 20,
            session_id=self._id,
            session_epoch=self._epoch,
            topics=[
                FetchTopic(
                    topic=topic,
                    partitions=[
                        FetchPartition(
                            partition=partition, fetch_offset=offset, partition_max_bytes=_PARTITION_BYTES
                        )
                    ],
                )
                for (topic, partition), offset in (offsets or {}).items()
            ],
        )
        answer = self._client.ask(request, _VERSION)
        assert answer.error_code == 0
        self._id, self._epoch = answer.session_id, self._epoch + 1
        assert self._id
        return sum(len(topic.partitions) for topic in answer.responses)


def place(number: int) -> tuple[str, int]:
    """Topic and partition of the broker's partition of that number."""
    return f"many-{number // _PER_TOPIC}", number % _PER_TOPIC


def main() -> None:
    """Measures sessions of each size and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 1_000, 10_000])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each kind of poll")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-", ignore_cleanup_errors=True) as scratch:
        # The records are of a day long ago: retention would make news of its own.
        broker = RunningBroker(Path(scratch), {"log.retention.ms": "-1"})
        broker.start()
        try:
            _create(broker, max(given.partitions))
            ends = {place(number): 0 for number in range(max(given.partitions))}
            rows = [_measure(broker, ends, size, given.seconds) for size in sorted(given.partitions)]
        finally:
            broker.close()
    print_table(("event loop per poll, ms", "made and looked at", "nothing new", "one record"), rows)


def _create(broker: RunningBroker, partitions: int) -> None:
    with broker.connect(timeout=300) as client:
        for first in range(0, partitions, _PER_TOPIC):
            topic = CreatableTopic(place(first)[0], min(_PER_TOPIC, partitions - first), 1)
            answer = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=300_000), 5)
            assert answer.topics[0].error_code == 0


def _measure(
    broker: RunningBroker, ends: dict[tuple[str, int], int], size: int, seconds: float
) -> tuple[str, ...]:
    clock = time.pthread_getcpuclockid(broker._thread.ident or 0)

    def used() -> float:
        return time.clock_gettime(clock)

    with broker.connect(timeout=60) as client, broker.connect(timeout=60) as producer:
        began = used()
        session = Session(client, dict(islice(ends.items(), size)))
        # The first look at what the client has been told of.
        session.poll()
        making = used() - began
        session.poll()
        idle, busy = [], []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = used()
            assert session.poll() == 0
            idle.append(used() - began)
        where = place(size - 1)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            row = producer.ask(produce(where[0], batch(b"x"), partition=where[1]), 9).responses[0]
            end = ends[where] = row.partition_responses[0].base_offset + 1
            began = used()
            # The offset of the record is that of the poll before.
            assert session.poll({where: end - 1} if not busy else None) == 1
            busy.append(used() - began)
            session.poll({where: end})
    return (f"{size} partitions", f"{making * 1e3:.1f}", _median(idle), _median(busy))


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.3f}"


if __name__ == "__main__":
    main()
