"""Three brokers on a keeper for one tool; those are killed that lead a topic of the tool's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka.admin import AdminClient, NewTopic

from tests.cluster.cluster import Cluster, Place
from tests.cluster.kinds import Kinds
from tests.cluster.logs import assert_equal_logs
from tests.compat import careless_disk
from tests.compat.tool_broker import values

THREE: Final[Kinds] = ("fastlog", "fastlog", "fastlog")


class ToolCluster:
    """What a `ToolBroker` is, of three. Records are acknowledged by two of them, or they are not.

    A careless broker that comes back alone would follow the others, who know better: of careless ones all are
    killed at once. In the end all replicas of the topics that were made here have the same records.
    """

    replicas = 3
    told = ", three brokers"

    def __init__(
        self,
        directory: Path,
        *,
        careless: str = "",
        settings: Mapping[str, str] | None = None,
        place: Place = "keeper",
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        command = careless_disk.command(careless) if careless else None
        self.cluster = Cluster(directory, THREE, place=place, settings=settings, command=command)
        self._careless = bool(careless)
        self._topics: dict[str, int] = {}
        self._kills = 0

    @property
    def bootstrap(self) -> str:
        """The addresses of all three."""
        return self.cluster.bootstrap

    @property
    def ports(self) -> list[int]:
        """Where each of them listens."""
        return [member.port for member in self.cluster.members.values()]

    def __enter__(self) -> Self:
        self.cluster.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._careless:
                check_replicas(self.cluster, self._topics)
        finally:
            self.cluster.__exit__(kind, error, trace)
        if kind is None:
            assert not self.cluster.tracebacks()

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic; returns when it is there and whole."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        admin.create_topics([NewTopic(topic, partitions, self.replicas)])[topic].result(30)
        self.cluster.wait_whole(topic)
        self._topics[topic] = partitions

    def kill(self) -> None:
        """kill -9 of whoever leads the first partition of a topic, each time of the next one's."""
        if self._careless:
            self.cluster.kill(*self.cluster.members)
            return
        topics = list(self._topics)
        topic = topics[self._kills % len(topics)]
        self._kills += 1
        leader = self.cluster.leader(topic)
        self.cluster.kill(leader)
        self._kill_more()
        # Two have all the work now.
        self.cluster.wait_led_by_others(topic, leader)

    def _kill_more(self) -> None:
        """What else is to be killed, when nobody has taken over from the broker yet."""

    def start(self) -> None:
        """Starts whoever was killed; returns when all replicas are in sync again."""
        self.cluster.heal()

    def restart(self) -> None:
        """kill -9, and a new start."""
        self.kill()
        self.start()

    def values(self, topic: str, partitions: int) -> list[str]:
        """All that a new reader is given."""
        return values(self.bootstrap, topic, partitions)


def check_replicas(cluster: Cluster, topics: Mapping[str, int]) -> None:
    """All replicas of these topics (with how many partitions each has) are in sync, with the same bytes."""
    state = cluster.heal()
    replicas = {key: part.replicas for key, part in state.partitions.items() if key[0] in topics}
    assert len(replicas) == sum(topics.values())
    assert_equal_logs(cluster.data_dirs, replicas)
