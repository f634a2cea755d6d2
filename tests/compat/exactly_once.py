"""What the tests of exactly-once applications share: their broker, and what its topics hold in the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from fastlog.wire import ApiKey
from fastlog.wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from tests.compat import careless_broker
from tests.compat.finalized import wait_for_level
from tests.harness.app_process import AppProcess
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.harness.watching_proxy import WatchingProxies, WatchingProxy

OLD, NEW = 0, 2
"""Levels of the feature: each end of a transaction raises its producer's epoch with the second (KIP-890)."""
UNDER_WAY: Final = ["Ongoing", "PrepareCommit", "PrepareAbort"]
_SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}
_FEEDS, _FEED_SECONDS = 15, 5.0
"""So often work is made, and so long is waited for a transaction each time."""

Record = tuple[bytes | None, bytes | None]
"""Key and value."""


class ExactlyOnce:
    """What is done to and asked of the brokers of an exactly-once application, be it one or three.

    Clients come through `proxy`. A class beside it has the brokers, and says who leads and how one is killed.
    """

    address: str
    """What clients connect to."""
    directory: Path
    proxy: WatchingProxy | WatchingProxies
    replicas: int
    """Of each topic, also of those that applications make."""
    told = ""
    """What the table of records adds to the name of a tool."""
    _admin: AdminClient

    def ports(self) -> list[int]:
        """Where each broker listens, past the proxies."""
        raise NotImplementedError

    def kill_and_start(self, topic: str) -> None:
        """kill -9 of the broker that leads this topic's first partition, and a new start of it."""
        raise NotImplementedError

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic; returns when it is there."""
        self._admin.create_topics([NewTopic(topic, partitions, self.replicas)])[topic].result(30)

    def open_offsets(self, topic: str) -> int:
        """How many offsets there are in the topic behind the first open transaction of each partition."""
        return sum(end - stable for stable, end in _ends(self._admin, topic))

    def restart_at_work(self, topic: str, feed: Callable[[], None]) -> None:
        """kill -9 while transactions in this topic are open, and a new start. `feed` makes work."""
        self._wait_for_work(lambda: self.open_offsets(topic) > 0, feed)
        self.kill_and_start(topic)

    def stop_at_work(self, app: AppProcess, topic: str, feed: Callable[[], None]) -> None:
        """SIGSTOP of an application while transactions in this topic are open. `feed` makes work."""

        def caught() -> bool:
            if not self.open_offsets(topic):
                return False
            app.process.send_signal(signal.SIGSTOP)
            if self.open_offsets(topic):
                return True
            app.process.send_signal(signal.SIGCONT)
            return False

        self._wait_for_work(caught, feed)

    def _wait_for_work(self, look: Callable[[], bool], feed: Callable[[], None]) -> None:
        for _ in range(_FEEDS):
            feed()
            deadline = time.monotonic() + _FEED_SECONDS
            while time.monotonic() < deadline:
                if look():
                    return
                time.sleep(0.01)
        raise AssertionError("no transaction is open")

    def hidden(self, topic: str, found: list[list[Record]]) -> int:
        """How many records are in the topic beside these, which are all that can be read."""
        written = read(self.address, topic, len(found), "read_uncommitted")
        return sum(map(len, written)) - sum(map(len, found))

    def check_something_is_hidden(self, topic: str, found: list[list[Record]]) -> None:
        """Not all that is in the topic can be read. If nothing was aborted, nothing was put to the test."""
        assert self.hidden(topic, found) > 0, "nothing was aborted"

    def check_protocol(self, *, new: bool) -> None:
        """Clients have used the second protocol of transactions, or the first."""
        ends, added = self.proxy.versions(ApiKey.END_TXN), self.proxy.versions(ApiKey.ADD_PARTITIONS_TO_TXN)
        assert ends, "no client has ended a transaction"
        if new:
            assert max(ends) == 5, ends
            assert not added, f"partitions were added by AddPartitionsToTxn {added}"
        else:
            assert max(ends) < 5, ends
            assert added

    def check_nothing_is_open(self, *topics: str, seconds: float = 30) -> None:
        """All transactions end, and everything in these topics can be read."""

        def left() -> list[str]:
            open_ends = [
                f"{topic}-{number}: {stable} of {end}"
                for topic in topics
                for number, (stable, end) in enumerate(_ends(self._admin, topic))
                if stable != end
            ]
            return [*self._transactions_under_way(), *open_ends]

        wait_until(lambda: not left(), lambda: f"not ended: {left()}", seconds=seconds)

    def _transactions_under_way(self) -> list[str]:
        found = []
        for port in self.ports():
            with Link(port) as link:
                answer = link.call(ListTransactionsRequest(state_filters=UNDER_WAY), 0)
            assert isinstance(answer, ListTransactionsResponse)
            assert answer.error_code == 0
            found += [f"{row.transactional_id} {row.transaction_state}" for row in answer.transaction_states]
        return found


class ExactlyOnceBroker(ExactlyOnce, BrokerProcess):
    """A broker whose clients come through a `WatchingProxy`, with a level of `transaction.version`.

    `careless` is the name of a spoilt one (see `careless_broker`), for tests of the tests.
    """

    replicas = 1

    def __init__(
        self,
        directory: Path,
        level: int = NEW,
        *,
        careless: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        command = careless_broker.command(careless) if careless else None
        of_level = {"fastlog.default.transaction.version": str(level)}
        super().__init__(directory, settings={**_SETTINGS, **of_level, **(settings or {})}, command=command)
        self.proxy = WatchingProxy(self.port)
        self.address = f"127.0.0.1:{self.proxy.port}"
        self._settings["advertised.listeners"] = f"PLAINTEXT://{self.address}"
        self._level = level
        self._careless = bool(careless)
        self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 2})

    def start(self, *extra: str, timeout: float = 120) -> float:
        """As of any broker, with time enough beside JVMs that start as well."""
        return super().start(*extra, timeout=timeout)

    def __enter__(self) -> Self:
        try:
            super().__enter__()
            wait_for_level(self._level, [self.port])
        except BaseException as error:
            self.kill()
            self.proxy.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._careless:
            # How it ends does not matter.
            self.kill()
        super().__exit__(kind, error, trace)
        self.proxy.__exit__(kind, error, trace)
        if kind is None:
            assert "Traceback" not in self.log_text, self.log_text[-4000:]

    def ports(self) -> list[int]:
        return [self.port]

    def kill_and_start(self, topic: str) -> None:
        self.kill()
        self.start()


def _ends(admin: AdminClient, topic: str) -> list[tuple[int, int]]:
    """Last stable offset and end of each partition."""
    count = len(admin.list_topics(topic, timeout=30).topics[topic].partitions)
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(count)}
    levels = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
    found = [admin.list_offsets(asked, isolation_level=level) for level in levels]
    return [(found[0][at].result(30).offset, found[1][at].result(30).offset) for at in asked]


class Committed:
    """What can be read of a topic, followed from its beginning while it grows."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.found: list[list[Record]] = [[] for _ in range(partitions)]
        self._bootstrap = bootstrap
        self._topic = topic
        self._consumer = _reader(bootstrap, topic, partitions, "read_committed")

    @property
    def count(self) -> int:
        """Of all records until now."""
        return sum(map(len, self.found))

    def follow(self) -> int:
        """Reads what there is; the count afterwards."""
        for message in self._consumer.consume(10_000, timeout=0.2):
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                continue
            partition = message.partition()
            assert partition is not None
            self.found[partition].append((message.key(), message.value()))
        return self.count

    def wait(self, count: int, progress: Callable[[], str] = str, *, seconds: float = 180) -> None:
        """Until there are so many records. Raises AssertionError when none has come for so many seconds."""
        deadline = time.monotonic() + seconds
        while (known := self.count) < count:
            if self.follow() > known:
                deadline = time.monotonic() + seconds
            assert time.monotonic() < deadline, (
                f"no more than {known} of {count} records in {self._topic} for {seconds:.0f} s\n{progress()}"
            )
            time.sleep(0.02)

    def tell(self, tally: Callable[[str, int, int, int], None], tool: str, sent: int) -> None:
        """Notes how many records a tool was given and how many have come."""
        tally(tool, sent, self.count, len({record for part in self.found for record in part}))

    def close(self) -> list[list[Record]]:
        """The records of each partition, which a reader that comes now is given as well."""
        self._consumer.close()
        again = read(self._bootstrap, self._topic, len(self.found), "read_committed")
        assert again == self.found, "a late reader is given other records"
        return self.found


def read(bootstrap: str, topic: str, partitions: int, isolation: str) -> list[list[Record]]:
    """All that a new reader is given of each partition."""
    consumer = _reader(bootstrap, topic, partitions, isolation)
    found: list[list[Record]] = [[] for _ in range(partitions)]
    ended: set[int] = set()
    deadline = time.monotonic() + 60
    while len(ended) < partitions:
        # It waits for so long, or for as many records, whatever has come.
        messages = consumer.consume(10_000, timeout=0.2)
        assert time.monotonic() < deadline, (
            f"the end of {topic} does not come: {list(map(len, found))} records"
        )
        for message in messages:
            partition, error = message.partition(), message.error()
            assert partition is not None
            if error is None:
                found[partition].append((message.key(), message.value()))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(partition)
    consumer.close()
    return found


def _reader(bootstrap: str, topic: str, partitions: int, isolation: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    return consumer
