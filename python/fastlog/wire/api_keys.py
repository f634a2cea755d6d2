"""Kafka's API keys, and the table of the APIs whose messages this package knows.

Version ranges and first flexible versions are those of Apache Kafka 3.9
(`clients/src/main/resources/common/message/*Request.json`);
the two APIs of KIP-848 are at version 1, as in Kafka 4, and those of transactions where Kafka 4 has them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from fastlog.base.quick_dataclass import dataclass

MAX_REQUEST_ELEMENTS: Final = 1 << 16
"""Most array elements of one request, nested ones included: an element may take two bytes on the wire and
two hundred in memory, so that the size of the frame alone does not bound what a request costs. Kafka's own
advice is to have no more than 4,000 partitions on a broker."""

_MANY: Final = 1 << 15
_FEW: Final = 1 << 10
_PROTOCOLS: Final = 10_240
# What a controller sends is all or nothing: a broker that refuses it never learns what it has to do. Each of
# 20,000 partitions, three replicas, may be moving to three others: 20 elements, with the topic's.
_ALL_PARTITIONS: Final = 1 << 19
# A leader of 20,000 partitions loses a follower, or gets it back.
_MANY_CHANGES: Final = 1 << 17


class ApiKey(IntEnum):
    """The number that opens every request."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    LEADER_AND_ISR = 4
    STOP_REPLICA = 5
    UPDATE_METADATA = 6
    CONTROLLED_SHUTDOWN = 7
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    CREATE_DELEGATION_TOKEN = 38
    RENEW_DELEGATION_TOKEN = 39
    EXPIRE_DELEGATION_TOKEN = 40
    DESCRIBE_DELEGATION_TOKEN = 41
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    ALTER_PARTITION = 56
    UPDATE_FEATURES = 57
    ENVELOPE = 58
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    ALLOCATE_PRODUCER_IDS = 67
    CONSUMER_GROUP_HEARTBEAT = 68
    CONSUMER_GROUP_DESCRIBE = 69
    GET_TELEMETRY_SUBSCRIPTIONS = 71
    PUSH_TELEMETRY = 72
    LIST_CLIENT_METRICS_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75

    @property
    def title(self) -> str:
        """Kafka's name of the API; that of the number where its messages are not known here."""
        return APIS[self].name if self in APIS else self.name


@dataclass(frozen=True, slots=True)
class Api:
    """One row of the table.

    `name` is Kafka's; the classes `<name>Request` and `<name>Response` are in `messages.<module>`. Versions
    go from 0 to `max_version`; from `flexible_from` on (None: never) they have compact lengths and tagged
    fields. A request with more than `max_elements` elements in its arrays is not decoded.
    """

    name: str
    max_version: int
    flexible_from: int | None
    module: str
    max_elements: int = MAX_REQUEST_ELEMENTS

    def is_flexible(self, version: int) -> bool:
        """Whether `version` has compact lengths, tagged fields and the newer headers."""
        return self.flexible_from is not None and version >= self.flexible_from


APIS: dict[ApiKey, Api] = {
    ApiKey.PRODUCE: Api("Produce", 12, 9, "produce"),
    ApiKey.FETCH: Api("Fetch", 17, 12, "fetch"),
    ApiKey.LIST_OFFSETS: Api("ListOffsets", 9, 6, "offsets"),
    ApiKey.METADATA: Api("Metadata", 12, 9, "metadata"),
    ApiKey.LEADER_AND_ISR: Api("LeaderAndIsr", 7, 4, "leader_and_isr", _ALL_PARTITIONS),
    ApiKey.STOP_REPLICA: Api("StopReplica", 4, 2, "stop_replica"),
    ApiKey.UPDATE_METADATA: Api("UpdateMetadata", 8, 6, "update_metadata", _ALL_PARTITIONS),
    ApiKey.CONTROLLED_SHUTDOWN: Api("ControlledShutdown", 3, 3, "controlled_shutdown"),
    ApiKey.OFFSET_COMMIT: Api("OffsetCommit", 9, 8, "group_offsets"),
    ApiKey.OFFSET_FETCH: Api("OffsetFetch", 9, 6, "group_offsets"),
    ApiKey.FIND_COORDINATOR: Api("FindCoordinator", 6, 3, "find_coordinator"),
    ApiKey.JOIN_GROUP: Api("JoinGroup", 9, 6, "groups", _PROTOCOLS),
    ApiKey.HEARTBEAT: Api("Heartbeat", 4, 4, "groups"),
    ApiKey.LEAVE_GROUP: Api("LeaveGroup", 5, 4, "groups"),
    ApiKey.SYNC_GROUP: Api("SyncGroup", 5, 4, "groups", _MANY),
    ApiKey.DESCRIBE_GROUPS: Api("DescribeGroups", 6, 5, "group_admin"),
    ApiKey.LIST_GROUPS: Api("ListGroups", 5, 3, "group_admin", _FEW),
    ApiKey.SASL_HANDSHAKE: Api("SaslHandshake", 1, None, "sasl"),
    ApiKey.API_VERSIONS: Api("ApiVersions", 4, 3, "api_versions"),
    ApiKey.CREATE_TOPICS: Api("CreateTopics", 7, 5, "topics"),
    ApiKey.DELETE_TOPICS: Api("DeleteTopics", 6, 4, "topics"),
    ApiKey.DELETE_RECORDS: Api("DeleteRecords", 2, 2, "topics"),
    ApiKey.INIT_PRODUCER_ID: Api("InitProducerId", 5, 2, "init_producer_id"),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: Api("OffsetForLeaderEpoch", 4, 4, "offsets"),
    ApiKey.ADD_PARTITIONS_TO_TXN: Api("AddPartitionsToTxn", 5, 3, "transactions"),
    ApiKey.ADD_OFFSETS_TO_TXN: Api("AddOffsetsToTxn", 4, 3, "transactions"),
    ApiKey.END_TXN: Api("EndTxn", 5, 3, "transactions"),
    ApiKey.WRITE_TXN_MARKERS: Api("WriteTxnMarkers", 2, 1, "txn_markers"),
    ApiKey.TXN_OFFSET_COMMIT: Api("TxnOffsetCommit", 5, 3, "transactions"),
    ApiKey.DESCRIBE_ACLS: Api("DescribeAcls", 3, 2, "acls"),
    ApiKey.CREATE_ACLS: Api("CreateAcls", 3, 2, "acls"),
    ApiKey.DELETE_ACLS: Api("DeleteAcls", 3, 2, "acls"),
    ApiKey.DESCRIBE_CONFIGS: Api("DescribeConfigs", 4, 4, "describe_configs"),
    ApiKey.ALTER_CONFIGS: Api("AlterConfigs", 2, 2, "alter_configs"),
    ApiKey.ALTER_REPLICA_LOG_DIRS: Api("AlterReplicaLogDirs", 2, 2, "alter_replica_log_dirs"),
    ApiKey.DESCRIBE_LOG_DIRS: Api("DescribeLogDirs", 4, 2, "cluster"),
    ApiKey.SASL_AUTHENTICATE: Api("SaslAuthenticate", 2, 2, "sasl"),
    ApiKey.CREATE_PARTITIONS: Api("CreatePartitions", 3, 2, "topics"),
    ApiKey.CREATE_DELEGATION_TOKEN: Api("CreateDelegationToken", 3, 2, "delegation_tokens", _FEW),
    ApiKey.RENEW_DELEGATION_TOKEN: Api("RenewDelegationToken", 2, 2, "delegation_tokens", _FEW),
    ApiKey.EXPIRE_DELEGATION_TOKEN: Api("ExpireDelegationToken", 2, 2, "delegation_tokens", _FEW),
    ApiKey.DESCRIBE_DELEGATION_TOKEN: Api("DescribeDelegationToken", 3, 2, "delegation_tokens"),
    ApiKey.DELETE_GROUPS: Api("DeleteGroups", 2, 2, "group_admin"),
    ApiKey.ELECT_LEADERS: Api("ElectLeaders", 2, 2, "partition_admin"),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: Api("IncrementalAlterConfigs", 1, 1, "incremental_alter_configs"),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: Api("AlterPartitionReassignments", 0, 0, "partition_admin"),
    ApiKey.LIST_PARTITION_REASSIGNMENTS: Api("ListPartitionReassignments", 0, 0, "partition_admin"),
    ApiKey.OFFSET_DELETE: Api("OffsetDelete", 0, None, "group_offsets"),
    ApiKey.DESCRIBE_CLIENT_QUOTAS: Api("DescribeClientQuotas", 1, 1, "describe_client_quotas"),
    ApiKey.ALTER_CLIENT_QUOTAS: Api("AlterClientQuotas", 1, 1, "alter_client_quotas"),
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: Api("DescribeUserScramCredentials", 0, 0, "scram"),
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: Api("AlterUserScramCredentials", 0, 0, "scram"),
    ApiKey.ALTER_PARTITION: Api("AlterPartition", 3, 0, "alter_partition", _MANY_CHANGES),
    ApiKey.UPDATE_FEATURES: Api("UpdateFeatures", 1, 0, "update_features"),
    ApiKey.DESCRIBE_CLUSTER: Api("DescribeCluster", 1, 0, "cluster"),
    ApiKey.DESCRIBE_PRODUCERS: Api("DescribeProducers", 0, 0, "describe_producers"),
    ApiKey.DESCRIBE_TRANSACTIONS: Api("DescribeTransactions", 0, 0, "describe_transactions"),
    ApiKey.LIST_TRANSACTIONS: Api("ListTransactions", 2, 0, "list_transactions"),
    ApiKey.ALLOCATE_PRODUCER_IDS: Api("AllocateProducerIds", 0, 0, "allocate_producer_ids"),
    ApiKey.CONSUMER_GROUP_HEARTBEAT: Api("ConsumerGroupHeartbeat", 1, 0, "consumer_group_heartbeat", _MANY),
    ApiKey.CONSUMER_GROUP_DESCRIBE: Api("ConsumerGroupDescribe", 1, 0, "consumer_group_describe"),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: Api(
        "DescribeTopicPartitions", 0, 0, "describe_topic_partitions", _MANY
    ),
}

API_VERSIONS: dict[ApiKey, tuple[int, int]] = {key: (0, api.max_version) for key, api in APIS.items()}
"""Lowest and highest version that the codecs know, by API."""
