"""Where Kafka 3.9 keeps what, in ZooKeeper mode (`kafka.zk.ZkData`)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

CLUSTER_ID: Final = "/cluster/id"
CONTROLLER: Final = "/controller"
CONTROLLER_EPOCH: Final = "/controller_epoch"
FEATURE: Final = "/feature"
BROKER_IDS: Final = "/brokers/ids"
BROKER_SEQUENCE: Final = "/brokers/seqid"
"""Its version is the number of ids that were given out."""
TOPICS: Final = "/brokers/topics"
DELETIONS: Final = "/admin/delete_topics"
TOPIC_CONFIGS: Final = "/config/topics"
BROKER_CONFIGS: Final = "/config/brokers"
USER_CONFIGS: Final = "/config/users"
CLIENT_CONFIGS: Final = "/config/clients"
IP_CONFIGS: Final = "/config/ips"
GROUP_CONFIGS: Final = "/config/groups"
"""Not Kafka's, which has settings of groups in KRaft mode alone: no Kafka broker looks there."""
CONFIG_CHANGES: Final = "/config/changes"
CONFIG_CHANGE: Final = f"{CONFIG_CHANGES}/config_change_"
GROUP_CONFIG_CHANGES: Final = "/config/group_changes"
"""Not Kafka's: a Kafka broker logs an error for each notification of an entity that it does not know."""
GROUP_CONFIG_CHANGE: Final = f"{GROUP_CONFIG_CHANGES}/config_change_"
ISR_CHANGES: Final = "/isr_change_notification"
LOG_DIR_EVENTS: Final = "/log_dir_event_notification"
LOG_DIR_EVENT: Final = f"{LOG_DIR_EVENTS}/log_dir_event_"
REASSIGNMENTS: Final = "/admin/reassign_partitions"
"""Moves that an old tool asks for; the controller removes the node when all are done."""
PREFERRED_ELECTIONS: Final = "/admin/preferred_replica_election"
PRODUCER_IDS: Final = "/latest_producer_id_block"
DEFAULT: Final = "<default>"
"""The entity that stands for all brokers."""

PERSISTENT: Final = (
    "/consumers",
    BROKER_IDS,
    TOPICS,
    CONFIG_CHANGES,
    DELETIONS,
    BROKER_SEQUENCE,
    ISR_CHANGES,
    PRODUCER_IDS,
    LOG_DIR_EVENTS,
    TOPIC_CONFIGS,
    CLIENT_CONFIGS,
    USER_CONFIGS,
    BROKER_CONFIGS,
    IP_CONFIGS,
)
"""What every broker makes at its start if it is missing, with null data (`PersistentZkPaths`)."""


def broker_id(node_id: int) -> str:
    """The registration of a broker."""
    return f"{BROKER_IDS}/{node_id}"


def topic(name: str) -> str:
    """Assignment and id of a topic."""
    return f"{TOPICS}/{name}"


def partitions(name: str) -> str:
    """The parent of a topic's partitions."""
    return f"{TOPICS}/{name}/partitions"


def partition(name: str, number: int) -> str:
    """The parent of a partition's state."""
    return f"{TOPICS}/{name}/partitions/{number}"


def state(name: str, number: int) -> str:
    """Leader, epoch and in-sync replicas of a partition."""
    return f"{TOPICS}/{name}/partitions/{number}/state"


def deletion(name: str) -> str:
    """Says that a topic is to be deleted."""
    return f"{DELETIONS}/{name}"


def topic_config(name: str) -> str:
    """The overrides of a topic."""
    return f"{TOPIC_CONFIGS}/{name}"


def broker_config(node_id: int | None) -> str:
    """The run-time overrides of a broker; of all for None."""
    return f"{BROKER_CONFIGS}/{DEFAULT if node_id is None else node_id}"


def user_config(name: str) -> str:
    """The SCRAM credentials and the quotas of a user."""
    return f"{USER_CONFIGS}/{sanitise(name)}"


def group_config(group_id: str) -> str:
    """The overrides of a group."""
    return f"{GROUP_CONFIGS}/{sanitise(group_id)}"


def sanitise(name: str) -> str:
    """A name of any characters as that of a node (`org.apache.kafka.common.utils.Sanitizer`)."""
    return quote(name, safe="").replace("~", "%7E")
