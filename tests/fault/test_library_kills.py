"""The library through kill -9 of its broker: no acknowledged record lost, none twice, all in order."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from fastlog import Consumer, Producer
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until

COUNT = 20_000


class Load:
    """Sends numbers to two partitions, and reads them as the member of a group."""

    def __init__(self, servers: str, protocol: str) -> None:
        self.acknowledged: list[int] = []
        self.failed: list[BaseException] = []
        self.read: dict[int, list[int]] = {0: [], 1: []}
        self._servers = servers
        self._protocol = protocol
        self._done = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._produce, self._consume)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Waits until all is sent and read."""
        self._threads[0].join(100)
        wait_until(lambda: self._read() >= COUNT, lambda: f"{self._read()} are read", seconds=60)
        self._done.set()
        self._threads[1].join(60)

    def wait(self, count: int) -> None:
        """Waits until so many are acknowledged, and some are read."""

        def so_far() -> str:
            return f"{len(self.acknowledged)} are acknowledged, {self._read()} read, {self.failed[:1]}"

        wait_until(lambda: len(self.acknowledged) > count and self._read() > 0, so_far, seconds=60)

    def _read(self) -> int:
        return len(set(self.read[0])) + len(set(self.read[1]))

    def _produce(self) -> None:
        with Producer(self._servers, batch_size=2000, linger_ms=1) as producer:
            for number in range(COUNT):
                producer.send(
                    "t",
                    b"%d" % number,
                    partition=number % 2,
                    on_delivery=lambda result, error, number=number: self._told(number, error),  # type: ignore[misc]
                )
                if number % 200 == 0:
                    time.sleep(0.02)

    def _told(self, number: int, error: BaseException | None) -> None:
        if error is None:
            self.acknowledged.append(number)
        else:
            self.failed.append(error)

    def _consume(self) -> None:
        with Consumer(
            self._servers,
            "t",
            group_id="g",
            group_protocol=self._protocol,  # type: ignore[arg-type]
            auto_offset_reset="earliest",
            heartbeat_interval_ms=300,
        ) as consumer:
            while not self._done.is_set():
                for name, records in consumer.poll(200, max_records=2000).items():
                    self.read[name.partition] += [int(record.value or b"-1") for record in records]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("protocol", [pytest.param("classic", marks=pytest.mark.whole), "consumer"])
def test_two_kills_under_load_cost_no_record(tmp_path: Path, protocol: str) -> None:
    settings = {
        "num.partitions": "2",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "1",
    }
    before = threading.active_count()
    with BrokerProcess(tmp_path, settings=settings) as broker:
        load = Load(broker.bootstrap, protocol)
        for count in (COUNT // 10, COUNT // 2):
            load.wait(count)
            broker.kill()
            broker.start()
        load.finish()
    assert load.failed == []
    assert sorted(load.acknowledged) == list(range(COUNT))
    for partition, numbers in load.read.items():
        # What was read and not committed yet is read again; what is new comes in order.
        assert list(dict.fromkeys(numbers)) == list(range(partition, COUNT, 2))
    assert threading.active_count() == before


@pytest.mark.timeout(120)
def test_the_log_itself_holds_every_record_once_after_a_kill(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings={"num.partitions": "1"}) as broker:
        with Producer(broker.bootstrap, batch_size=1000, linger_ms=0, compression_type="lz4") as producer:
            handles = [producer.send("t", b"%d" % number) for number in range(3000)]
            broker.kill()
            handles += [producer.send("t", b"%d" % number) for number in range(3000, 6000)]
            broker.start()
            offsets = [handle.result(60).offset for handle in handles]
        # -1: the broker knew a batch again without knowing where it was.
        assert all(offset in (number, -1) for number, offset in enumerate(offsets))
        with Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
            consumer.assign([("t", 0)])
            found: list[bytes | None] = []
            while len(found) < 6000:
                records = consumer.consume(5000, timeout=20)
                assert records
                found += [record.value for record in records]
            assert consumer.poll(300) == {}
    assert found == [b"%d" % number for number in range(6000)]
