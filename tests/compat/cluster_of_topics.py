"""What operators ask of a cluster of three about its topics and brokers, of Kafka's and of fastlog's.

Broker 1 is the controller, 2 and 3 are not; the topic `t` has three partitions and three replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastlog.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from fastlog.wire.messages.cluster import (
    DescribableLogDirTopic,
    DescribeClusterRequest,
    DescribeLogDirsRequest,
)
from fastlog.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.compat.cluster_answers import NOWHERE, Stage

WAIT_MS: Final = 20_000
CONTROLLER, OTHER = 1, 2


def metadata(stage: Stage, when: str, nodes: Sequence[int] = (1, 2, 3)) -> None:
    """Of all, of one, of unknown ones, by name and by id, in all versions."""
    for version in range(13):
        everything = None if version else []
        stage.ask(f"{when}: all", nodes[version % len(nodes)], MetadataRequest(everything, False), version)
        rows = [MetadataRequestTopic(name=name) for name in ("t", "never", "..", "")]
        stage.ask(f"{when}: by name", nodes[0], MetadataRequest(rows, False), version)
    for node in nodes:
        stage.ask(f"{when}: all of each", node, MetadataRequest(None, False), 12)
        stage.ask(f"{when}: none", node, MetadataRequest([], False), 12)
    for version in (10, 11, 12):
        ids = [MetadataRequestTopic(topic_id, None) for topic_id in (stage.topic_id("t"), NOWHERE)]
        stage.ask(f"{when}: by id", OTHER, MetadataRequest(ids, False), version)
    for version in (8, 10):
        asked = MetadataRequest(None, False, True, True)
        stage.ask(f"{when}: with operations", CONTROLLER, asked, version)


def brokers(stage: Stage, when: str, nodes: Sequence[int] = (1, 2, 3)) -> None:
    """DescribeCluster and DescribeTopicPartitions, of which the last is KRaft's alone in Kafka 3.9."""
    for node in nodes:
        stage.ask(f"{when}: brokers", node, DescribeClusterRequest(), 0)
        for kind in (1, 2, 9):
            stage.ask(f"{when}: endpoints {kind}", node, DescribeClusterRequest(True, kind), 1)


def pages(stage: Stage) -> None:
    """DescribeTopicPartitions."""
    rows = [TopicRequest("t"), TopicRequest("never")]
    stage.ask("all at once", OTHER, DescribeTopicPartitionsRequest(rows), 0)
    stage.ask("a page", OTHER, DescribeTopicPartitionsRequest(rows, 2), 0)
    stage.ask("the next page", OTHER, DescribeTopicPartitionsRequest(rows, 2, Cursor("t", 2)), 0)


def by_hand(name: str, *rows: Sequence[int], first: int = 0) -> CreatableTopic:
    """A topic with an assignment."""
    assigned = [CreatableReplicaAssignment(first + index, [*row]) for index, row in enumerate(rows)]
    return CreatableTopic(name, -1, -1, assigned)


def counted(name: str, partitions: int, replicas: int, **configs: str) -> CreatableTopic:
    """A topic with counts; names of configs with underscores for dots."""
    rows = [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()]
    return CreatableTopic(name, partitions, replicas, configs=rows)


_CREATIONS: Final = {
    "defaults": counted("x", -1, -1),
    "three replicas": counted("x", 2, 3),
    "four replicas": counted("x", 2, 4),
    "no replicas": counted("x", 2, 0),
    "no partitions": counted("x", 0, 1),
    "minus two replicas": counted("x", 1, -2),
    "exists": counted("t", 1, 1),
    "exists, four replicas": counted("t", 1, 4),
    "by hand": by_hand("x", [1, 2], [2, 3]),
    "to an unknown broker": by_hand("x", [1, 9]),
    "to a negative broker": by_hand("x", [1, -1]),
    "to one twice": by_hand("x", [1, 1]),
    "to differently many": by_hand("x", [1, 2], [3]),
    "to nobody": by_hand("x", []),
    "with a gap": by_hand("x", [1], first=1),
    "from a negative partition": by_hand("x", [1], [2], first=-1),
    "counted and by hand": CreatableTopic("x", 1, 1, [CreatableReplicaAssignment(0, [1])]),
    "partitions and by hand": CreatableTopic("x", 1, -1, [CreatableReplicaAssignment(0, [1])]),
    "a partition twice": CreatableTopic("x", -1, -1, [CreatableReplicaAssignment(0, [1])] * 2),
    "more to be in sync than there are": counted("x", 1, 2, min_insync_replicas="3"),
    "a config that is not one": counted("x", 1, 1, no_such="1"),
    "throttled replicas": counted("x", 1, 1, leader_replication_throttled_replicas="0:1,1:2"),
    "throttled replicas that are none": counted("x", 1, 1, leader_replication_throttled_replicas="a:1"),
    "a name with a slash": counted("a/b", 1, 1),
    "a name that collides": counted("t_a", 1, 1),
}


def creations(stage: Stage, when: str, versions: Sequence[int] = (1, 4, 5, 7)) -> None:
    """CreateTopics with validate_only."""
    for name, topic in _CREATIONS.items():
        for version in versions:
            asked = CreateTopicsRequest([topic], WAIT_MS, True)
            stage.ask(f"{when}: {name}", CONTROLLER, asked, version)
    for version in range(8):
        asked = CreateTopicsRequest([counted("x", 1, 1)], WAIT_MS, version > 0)
        stage.ask(f"{when}: elsewhere", OTHER, asked, version)
    several = [counted("x", 1, 1), counted("x", 1, 1), counted("y", 1, 1), counted("t", 1, 1)]
    stage.ask(f"{when}: one twice", CONTROLLER, CreateTopicsRequest(several, WAIT_MS, True), 7)
    stage.ask(f"{when}: none", CONTROLLER, CreateTopicsRequest([], WAIT_MS), 7)


def topics_come(stage: Stage) -> None:
    """They are really made, in every version, and grow."""
    for version in range(8):
        topic = by_hand(f"v{version}", [1, 2, 3], [3, 1, 2])
        topic.configs = [CreatableTopicConfig("retention.ms", "5000")]
        stage.ask("comes", CONTROLLER, CreateTopicsRequest([topic], WAIT_MS), version)
        stage.ask("comes again", CONTROLLER, CreateTopicsRequest([topic], WAIT_MS), version)
    stage.settle()
    rows = {
        "grows": CreatePartitionsTopic("v0", 3),
        "to as many": CreatePartitionsTopic("v1", 2),
        "to fewer": CreatePartitionsTopic("v1", 1),
        "to none": CreatePartitionsTopic("v1", 0),
        "to less than none": CreatePartitionsTopic("v1", -1),
        "never": CreatePartitionsTopic("never", 3),
        "by hand": CreatePartitionsTopic("v2", 3, [CreatePartitionsAssignment([2, 3, 1])]),
        "too few by hand": CreatePartitionsTopic("v3", 4, [CreatePartitionsAssignment([2, 3, 1])]),
        "too many by hand": CreatePartitionsTopic("v3", 3, [CreatePartitionsAssignment([2, 3, 1])] * 2),
        "to unknown brokers": CreatePartitionsTopic("v3", 3, [CreatePartitionsAssignment([2, 3, 9])]),
        "to fewer brokers": CreatePartitionsTopic("v3", 3, [CreatePartitionsAssignment([2])]),
        "to one twice": CreatePartitionsTopic("v3", 3, [CreatePartitionsAssignment([2, 2, 1])]),
        "to nobody": CreatePartitionsTopic("v3", 3, [CreatePartitionsAssignment([])]),
        "to as many by hand": CreatePartitionsTopic("v3", 2, []),
        "none by hand": CreatePartitionsTopic("v3", 3, []),
    }
    for validate_only in (True, False):
        for name, row in rows.items():
            asked = CreatePartitionsRequest([row], WAIT_MS, validate_only)
            stage.ask(f"{'checked' if validate_only else 'done'}: {name}", CONTROLLER, asked, 3)
    for version in range(4):
        asked = CreatePartitionsRequest([rows["grows"]], WAIT_MS)
        stage.ask("elsewhere", OTHER, asked, version)
        twice = CreatePartitionsRequest([CreatePartitionsTopic("v4", 3 + version)] * 2, WAIT_MS)
        stage.ask("one twice", CONTROLLER, twice, version)
    stage.settle()
    metadata(stage, "grown")


def topics_go(stage: Stage) -> None:
    """DeleteTopics by name and by id, in every version."""
    for version in range(6):
        asked = DeleteTopicsRequest(topic_names=[f"v{version}", "never"], timeout_ms=WAIT_MS)
        stage.ask("elsewhere", OTHER, asked, version)
        stage.ask("goes", CONTROLLER, asked, version)
    known = stage.topic_id("v6")
    rows = {
        "by name and another's id": [DeleteTopicState("v6", known)],
        "by neither": [DeleteTopicState(None)],
        "by name and id of one": [DeleteTopicState("v6"), DeleteTopicState(None, known)],
        "by no id": [DeleteTopicState(None, NOWHERE)],
        "never": [DeleteTopicState("never")],
        "by name twice": [DeleteTopicState("never"), DeleteTopicState("never")],
        "by id": [DeleteTopicState(None, known)],
    }
    for name, states in rows.items():
        asked = DeleteTopicsRequest(states, timeout_ms=WAIT_MS)
        stage.ask(f"{name}, elsewhere", OTHER, asked, 6)
        stage.ask(name, CONTROLLER, asked, 6)
    stage.ask("by name", CONTROLLER, DeleteTopicsRequest([DeleteTopicState("v7")], timeout_ms=WAIT_MS), 6)
    stage.settle(lambda state: not any(topic.startswith("v") for topic, _ in state.partitions))
    metadata(stage, "gone")


def coordinators(stage: Stage, when: str, nodes: Sequence[int] = (1, 2, 3)) -> None:
    """FindCoordinator of groups, at all brokers."""
    for node in nodes:
        for version in range(4):
            stage.ask(f"{when}: a group", node, FindCoordinatorRequest("g"), version)
        for version in (4, 5, 6):
            asked = FindCoordinatorRequest(coordinator_keys=["g", "h", "i", ""])
            stage.ask(f"{when}: groups", node, asked, version)


def directories(stage: Stage, when: str) -> None:
    """DescribeLogDirs and AlterReplicaLogDirs."""
    rows = [DescribableLogDirTopic("t", [0, 1, 9]), DescribableLogDirTopic("never", [0])]
    for version in range(5):
        stage.ask(f"{when}: some", OTHER, DescribeLogDirsRequest(rows), version)
        stage.ask(f"{when}: none", OTHER, DescribeLogDirsRequest([]), version)
    data = str(stage.cluster.members[OTHER].data_dir)
    moves = {
        "where it is": AlterReplicaLogDir(data, [AlterReplicaLogDirTopic("t", [0, 9])]),
        "what is not there": AlterReplicaLogDir(data, [AlterReplicaLogDirTopic("never", [0])]),
        "to nowhere": AlterReplicaLogDir(f"{data}-2", [AlterReplicaLogDirTopic("t", [0, 9])]),
        "to a relative path": AlterReplicaLogDir("data", [AlterReplicaLogDirTopic("t", [0])]),
        "nothing": AlterReplicaLogDir(data, []),
    }
    for version in range(3):
        for name, move in moves.items():
            stage.ask(f"{when}: {name}", OTHER, AlterReplicaLogDirsRequest([move]), version)
