"""What an operator asks of a cluster: topics on chosen members, and their preferred leaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.cluster.cluster import PATIENCE_SECONDS, Cluster
from tests.cluster.tree_state import TreeState
from tests.harness.waiting import wait_until

_SECONDS: Final = 15.0
"""For one request: a client that asked a cluster without a controller waits long to ask again."""


def admin(cluster: Cluster) -> AdminClient:
    """A client that connects again soon."""
    return AdminClient(
        {"bootstrap.servers": cluster.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500}
    )


def rotations(numbers: Sequence[int]) -> list[list[int]]:
    """An assignment with a partition for each broker to lead."""
    return [[*numbers[start:], *numbers[:start]] for start in range(len(numbers))]


def create_topic(
    cluster: Cluster,
    name: str,
    assignment: Sequence[Sequence[int]],
    *,
    config: Mapping[str, str] | None = None,
) -> None:
    """A topic whose partitions have these replicas; returns when all of them are whole."""
    rows = [[*row] for row in assignment]
    topic = NewTopic(name, len(rows), replica_assignment=rows, config=dict(config or {}))

    def create() -> None:
        try:
            client = admin(cluster)
            client.create_topics([topic], request_timeout=_SECONDS)[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    until_it_works(create, f"topic {name} is not created")
    cluster.wait_whole(name)


def elect_preferred(cluster: Cluster, topic: str) -> None:
    """Gives each partition of a whole topic back to the first of its replicas."""
    wanted = [TopicPartition(topic, index) for index in cluster.look().of(topic)]

    def elect() -> None:
        client = admin(cluster)
        asked = client.elect_leaders(ElectionType.PREFERRED, wanted)
        for error in asked.result().values():
            if error is not None and error.code() != KafkaError.ELECTION_NOT_NEEDED:
                raise KafkaException(error)

    def led(state: TreeState) -> bool:
        return all(part.leader == part.replicas[0] for part in state.of(topic).values())

    until_it_works(elect, f"the preferred leaders of {topic} are not elected")
    cluster.wait_for(led, f"the preferred leaders of {topic} do not lead")


def until_it_works(work: Callable[[], None], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Does it again as long as it raises KafkaException: clients learn late of a new controller."""
    last = ""

    def once() -> bool:
        nonlocal last
        try:
            work()
        except KafkaException as error:
            last = str(error)
            return False
        return True

    wait_until(once, lambda: f"{what}: {last}", seconds=seconds, pause=0.3)
