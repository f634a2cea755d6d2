"""What is done to a cluster of three of one kind, and asked meanwhile, act by act."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.partition_admin import TopicPartitions
from fastlog.wire.messages.topics import CreateTopicsRequest, DeleteTopicsRequest
from tests.cluster.cluster import Cluster
from tests.cluster.control import give_control
from tests.cluster.kinds import Kind
from tests.compat import cluster_of_replicas as replicas
from tests.compat import cluster_of_topics as topics
from tests.compat.cluster_answers import Answers, Stage
from tests.harness.waiting import wait_until

_SETTINGS: Final = {"min.insync.replicas": "1"}
Act = Callable[[Stage], None]


def _begin(stage: Stage) -> None:
    """`t` spread over all; others where they lose replicas and leaders."""
    rows = {
        "t": [[1, 2, 3], [2, 3, 1], [3, 1, 2]],
        "strict": [[1, 2, 3]],
        "lost": [[3]],
        "unclean": [[2, 3]],
        "stuck": [[1, 3], [2, 3]],
        "__consumer_offsets": [[1, 2, 3], [2, 3, 1], [3, 1, 2]] * 2,
    }
    made = [topics.by_hand(name, *assigned) for name, assigned in rows.items()]
    made[1].configs = [topics.CreatableTopicConfig("min.insync.replicas", "2")]
    stage.call(1, CreateTopicsRequest(made, topics.WAIT_MS), 7)
    stage.settle(
        lambda state: (
            {name for name, _ in state.partitions} >= rows.keys()
            and all(part.whole for part in state.partitions.values())
        )
    )
    for name in rows:
        stage.topic_id(name)


def _groups(stage: Stage) -> None:
    """There is a coordinator for all of them."""
    stage.call(1, FindCoordinatorRequest("g"), 1)
    stage.settle(lambda state: len(state.of("__consumer_offsets")) > 0)
    wait_until(
        lambda: all(stage.call(node, FindCoordinatorRequest("g"), 1).error_code == 0 for node in (1, 2, 3)),
        "nobody coordinates",
        seconds=30,
    )
    topics.coordinators(stage, "whole")


def whole(stage: Stage) -> None:
    """All members run."""
    topics.metadata(stage, "whole")
    topics.brokers(stage, "whole")
    topics.pages(stage)
    topics.creations(stage, "whole")
    topics.directories(stage, "whole")
    replicas.elections(stage, "whole", [TopicPartitions("t", [0, 2])])
    replicas.odd_elections(stage)
    replicas.reassignments(stage, "whole")
    replicas.produced(stage, "whole", "t", 1)
    replicas.wait_read_by_all(stage, "t", 1)
    replicas.read(stage, "whole", "t", 1)
    replicas.followed(stage, "whole", "t", 1)
    replicas.among_brokers(stage, "whole", "t", 1)
    topics.topics_come(stage)
    topics.topics_go(stage)
    _groups(stage)


def one_gone(stage: Stage) -> None:
    """Broker 3 was stopped."""
    stage.stop(3)
    left = (1, 2)
    topics.metadata(stage, "one gone", left)
    topics.brokers(stage, "one gone", left)
    topics.creations(stage, "one gone", (7,))
    grown = topics.CreatePartitionsTopic("t", 4, [topics.CreatePartitionsAssignment([1, 2, 3])])
    asked = topics.CreatePartitionsRequest([grown], topics.WAIT_MS)
    stage.ask("one gone: grows on it", 1, asked, 3)
    asked = topics.CreatePartitionsRequest([topics.CreatePartitionsTopic("t", 4)], topics.WAIT_MS, True)
    stage.ask("one gone: grows", 1, asked, 3)
    stage.ask("one gone: on it", 1, CreateTopicsRequest([topics.by_hand("x", [1, 3])], 2000, True), 7)
    chosen = [TopicPartitions("t", [0, 1, 2]), TopicPartitions("lost", [0])]
    replicas.elections(stage, "one gone", chosen)
    replicas.reassignments(stage, "one gone")
    for name, row in {"to the one": [3, 1], "away": [1, 2]}.items():
        stage.ask(f"one gone: lost moves {name}", 1, replicas.alter(replicas.moved("lost", 0, row)), 0)
    replicas.produced(stage, "one gone", "t", 2, left)
    replicas.produced(stage, "one gone", "lost", 0, left)
    replicas.wait_read_by_all(stage, "t", 2)
    replicas.read(stage, "one gone", "t", 2, left)
    replicas.read(stage, "one gone", "lost", 0, left)
    replicas.among_brokers(stage, "one gone", "t", 2)
    # Its replicas of this one stay where nobody can delete them.
    stage.doomed.add("stuck")
    gone = DeleteTopicsRequest(topic_names=["stuck"], timeout_ms=1500)
    stage.ask("one gone: stuck is deleted", 1, gone, 5)
    stage.ask("one gone: stuck is deleted again", 1, gone, 5)
    stage.ask("one gone: stuck comes", 1, CreateTopicsRequest([topics.by_hand("stuck", [1])], 2000), 7)
    stage.ask("one gone: stuck moves", 1, replicas.alter(replicas.moved("stuck", 0, [1, 2])), 0)
    grown = topics.CreatePartitionsTopic("stuck", 3, [topics.CreatePartitionsAssignment([1, 2])])
    stage.ask("one gone: stuck grows", 1, topics.CreatePartitionsRequest([grown], 2000), 3)
    replicas.elections(stage, "stuck", [TopicPartitions("stuck", [0, 1])])
    replicas.produced(stage, "stuck", "stuck", 0, left)
    stage.settle(lambda state: state.partitions["lost", 0].replicas == (1, 2))


def two_gone(stage: Stage) -> None:
    """Broker 2, too, which came last of what 3 has; then 3 is back, and has nothing of that."""
    stage.call(2, replicas.produce("unclean", 0, replicas.batch(b"of 2 alone")), 9)
    stage.stop(2)
    left = (1,)
    replicas.produced(stage, "two gone", "t", 0, left)
    replicas.produced(stage, "two gone", "strict", 0, left)
    replicas.produced(stage, "two gone", "unclean", 0, left)
    replicas.read(stage, "two gone", "strict", 0, left)
    stage.ask("two gone: unclean", 1, topics.MetadataRequest(None, False), 12)
    stage.start(3)
    stage.settle(lambda state: all(3 in state.partitions["t", number].isr for number in (0, 1, 2)))
    chosen = [TopicPartitions("unclean", [0]), TopicPartitions("t", [0, 1, 2])]
    for kind in (replicas.PREFERRED, replicas.UNCLEAN, replicas.UNCLEAN):
        request = replicas.ElectLeadersRequest(kind, chosen, topics.WAIT_MS)
        stage.ask(f"back: election {kind}, number {len(stage.answers)}", 1, request, 2)
        stage.settle()
    stage.ask("back: unclean", 3, topics.MetadataRequest(None, False), 12)
    replicas.read(stage, "back", "unclean", 0, (1, 3))
    stage.ask("back: stuck", 1, DeleteTopicsRequest(topic_names=["stuck"], timeout_ms=1500), 5)


ACTS: Final[Sequence[Act]] = (whole, one_gone, two_gone)


def play(kind: Kind, directory: Path, acts: Sequence[Act] = ACTS) -> Answers:
    """All answers of a cluster of one kind."""
    with (
        Cluster(directory / kind, (kind,) * 3, settings=_SETTINGS) as cluster,
        Stage(cluster) as stage,
    ):
        give_control(cluster, 1)
        _begin(stage)
        for act in acts:
            stage.act = act.__name__
            act(stage)
        assert cluster.tracebacks() == []
        return stage.answers
