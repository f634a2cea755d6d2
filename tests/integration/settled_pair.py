"""Two brokers that are asked the same, byte for byte: one executes at once what is settled, one nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from fastlog.replication.partition import Partition
from fastlog.wire import ApiKey
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.waiting import wait_until
from tests.integration.requests import list_offset
from tests.integration.running import RunningBroker

PRODUCE = ApiKey.PRODUCE.value
PARTITIONS = 2
_TOPIC = 2
_SET, _DELETE = 0, 1
_LATEST = -1


class Side:
    """One of the two: a broker, and the connection that everything goes over."""

    def __init__(self, directory: Path, *, settles: bool) -> None:
        self.running = RunningBroker(directory)
        self.running.start()
        self.settled = self.running.broker.services.settled
        if not settles:
            self.settled.offer = lambda partition: None  # type: ignore[method-assign]
        self.client = self.running.connect()
        self.topic = ""
        self._before: dict[str, Counter[object]] = {}

    def close(self) -> None:
        """Ends the broker."""
        self.client.socket.close()
        self.running.close()

    @property
    def at_once(self) -> int:
        """Requests that were executed at once."""
        return self.settled.executed

    # -- what may happen between two requests --------------------

    def begin(self, topic: str) -> None:
        """Makes a topic, which everything is about from now on, and counts from here on."""
        self.create(topic)
        self._before = self._counts()

    def create(self, topic: str) -> None:
        """Makes a topic."""
        self.topic = topic
        request = CreateTopicsRequest(
            topics=[CreatableTopic(name=topic, num_partitions=PARTITIONS, replication_factor=1)]
        )
        (row,) = self._ask(request, 5).topics
        assert row.error_code == 0

    def delete(self) -> None:
        """Deletes the topic."""
        request = DeleteTopicsRequest(topics=[DeleteTopicState(name=self.topic)], timeout_ms=10_000)
        (row,) = self._ask(request, 6).responses
        assert row.error_code == 0
        replicas = self.running.broker.services.replicas
        wait_until(lambda: replicas.get(self.topic, 0) is None, "the partitions are there still", seconds=30)

    def recreate(self) -> None:
        """Deletes the topic and makes it again."""
        self.delete()
        self.create(self.topic)

    def configure(self, name: str, value: str | None) -> None:
        """Sets the topic's `name`, or (None) removes it."""
        config = AlterableConfig(name=name, config_operation=_DELETE if value is None else _SET, value=value)
        resource = AlterConfigsResource(resource_type=_TOPIC, resource_name=self.topic, configs=[config])
        (row,) = self._ask(IncrementalAlterConfigsRequest(resources=[resource]), 1).responses
        assert row.error_code == 0, row.error_message

    def limit(self, rate: float | None) -> None:
        """Gives every client a quota that it does not reach, or (None) takes it away."""
        entry = EntryData(
            entity=[EntityData("client-id", None)],
            ops=[OpData("producer_byte_rate", rate or 0.0, rate is None)],
        )
        (row,) = self._ask(AlterClientQuotasRequest(entries=[entry]), 1).entries
        assert row.error_code == 0
        clients = self.running.broker.services.quotas.clients
        wait_until(lambda: clients.active is (rate is not None), "the quota is not in force", seconds=30)

    def on_partition(self, act: Callable[[Partition], object], partition: int = 0) -> None:
        """Does something to a partition, on the broker's loop."""

        async def work() -> None:
            replica = self.running.broker.services.replicas.get(self.topic, partition)
            if replica is not None:
                act(replica)

        self.running.run(work())

    def _ask(self, request: Any, version: int) -> Any:
        with self.running.connect() as client:
            return client.ask(request, version)

    # -- what is compared --------------------

    def answers(self, frames: Sequence[bytes], expected: int) -> list[bytes]:
        """Sends frames in one piece; so many answers, fewer when the connection was closed instead. There is
        a new one then."""
        self.client.socket.sendall(b"".join(frames))
        found: list[bytes] = []
        try:
            while len(found) < expected:
                found.append(self.client.receive_frame())
            # The next one says that all before it is done, also what has no answer.
            self.client.ask(list_offset(self.topic, _LATEST), 5)
        except ConnectionError:
            self.client.socket.close()
            self.client = self.running.connect()
        return found

    def ends(self) -> list[int]:
        """What consumers are told of the end of each partition."""
        with self.running.connect() as client:
            rows = [
                client.ask(list_offset(self.topic, _LATEST, partition=index), 5).topics[0].partitions[0]
                for index in range(PARTITIONS)
            ]
        return [row.offset for row in rows]

    def log_bytes(self) -> dict[str, bytes]:
        """What is in the segments."""
        found = self.running.directory.glob(f"{self.topic}-[0-9]/*.log")
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(found)}

    def counted(self) -> dict[str, dict[object, int]]:
        """What the metrics say of Produce since `begin`."""
        return {what: dict(count - self._before[what]) for what, count in self._counts().items()}

    def _counts(self) -> dict[str, Counter[object]]:
        metrics = self.running.broker.services.metrics
        total = metrics.times[PRODUCE].total()
        return {
            "numbers": Counter(
                requests=metrics.requests[PRODUCE], bytes=metrics.produce_bytes, answered=sum(total.counts)
            ),
            "errors": Counter({key: count for key, count in metrics.errors.items() if key[0] == PRODUCE}),
            "closed": Counter(metrics.closed),
        }


class Pair:
    """Both of them."""

    def __init__(self, directory: Path) -> None:
        self.native = Side(directory / "native", settles=True)
        try:
            self.usual = Side(directory / "usual", settles=False)
        except BaseException:
            self.native.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.native.close()
        self.usual.close()

    def both(self, act: Callable[[Side], object]) -> None:
        """Does the same to both."""
        act(self.native)
        act(self.usual)

    def ask(self, frames: Sequence[bytes], expected: int) -> list[bytes]:
        """Asks both the same, and gives the answers of both."""
        native, usual = self.native.answers(frames, expected), self.usual.answers(frames, expected)
        assert native == usual
        return usual

    def compare(self) -> None:
        """Whether both are in the same state."""
        assert self.native.ends() == self.usual.ends()
        assert self.native.log_bytes() == self.usual.log_bytes()
        assert self.native.counted() == self.usual.counted()
