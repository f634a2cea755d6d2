"""What following costs: `python -m benches.macro.replication`.

Apache Kafka leads partitions that are full already; a follower in this process catches up. Its CPU time is
counted, that of the event loop and of native threads, and the time that it took.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benches.table import print_table
from tests.compat.test_follows_kafka import NODE, create_topic, produce, registered
from tests.harness.follower import FollowingBroker, QuickSettings, until
from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import ZooKeeperServer


async def measure(
    kafka: KafkaOnZooKeeper, zookeeper: ZooKeeperServer, root: Path, partitions: int, records: int
) -> list[str]:
    """One row: a topic of so many partitions with so many records of 1,000 bytes in all."""
    topic = f"of-{partitions}"
    async with registered(zookeeper) as (_, epoch):
        topic_id = await create_topic(kafka, topic, partitions)
        await asyncio.to_thread(produce, kafka, topic, partitions, records, size=1_000)
        each = records // partitions
        settings = QuickSettings(replica_fetch_wait_max_ms=500)
        async with FollowingBroker(NODE, [root / topic], epoch=epoch, settings=settings) as broker:
            broker.addresses[1] = ("127.0.0.1", kafka.port)
            began, cpu = time.perf_counter(), time.process_time()
            parts = [await broker.follow(topic, topic_id, number, 1, 0) for number in range(partitions)]
            await until(lambda: all(part.log.log_end_offset >= each for part in parts), "no end", seconds=300)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            size = sum(part.log.size_bytes for part in parts) / 1e6
            fetches = broker.fetchers.stats.requests
            await until(lambda: all(part.high_watermark >= each for part in parts), "no watermark")
            idle, before = time.process_time(), broker.fetchers.stats.requests
            await asyncio.sleep(5)
            idle = (time.process_time() - idle) / max(broker.fetchers.stats.requests - before, 1)
    return [
        str(partitions),
        f"{size:.0f}",
        f"{size / seconds:.0f}",
        f"{size / cpu:.0f}",
        str(fetches),
        f"{idle * 1e6:.0f}",
    ]


def main() -> None:
    """Prints a row for each number of partitions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 8, 100])
    parser.add_argument("--records", type=int, default=200_000)
    options = parser.parse_args()
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="replication-") as directory,
        ZooKeeperServer(Path(directory) / "zookeeper") as zookeeper,
        KafkaOnZooKeeper(Path(directory) / "kafka", zookeeper.address) as kafka,
    ):
        for partitions in options.partitions:
            row = measure(kafka, zookeeper, Path(directory), partitions, options.records)
            rows.append(asyncio.run(row))
        kafka.kill()
    print_table(
        ["partitions", "MB", "MB/s", "MB per CPU second", "fetches", "CPU of an idle fetch (us)"], rows
    )


if __name__ == "__main__":
    main()
