"""Which module of `fastlog.server.handlers` serves which APIs. Nothing is imported by looking it up."""

from __future__ import annotations

from typing import Final

from fastlog.wire.api_keys import ApiKey

HANDLERS: Final[dict[str, tuple[ApiKey, ...]]] = {
    "acls": (
        ApiKey.DESCRIBE_ACLS,
        ApiKey.CREATE_ACLS,
        ApiKey.DELETE_ACLS,
    ),
    "add_offsets_to_txn": (ApiKey.ADD_OFFSETS_TO_TXN,),
    "add_partitions_to_txn": (ApiKey.ADD_PARTITIONS_TO_TXN,),
    "allocate_producer_ids": (ApiKey.ALLOCATE_PRODUCER_IDS,),
    "alter_client_quotas": (ApiKey.ALTER_CLIENT_QUOTAS,),
    "alter_configs": (ApiKey.ALTER_CONFIGS,),
    "alter_partition": (ApiKey.ALTER_PARTITION,),
    "alter_replica_log_dirs": (ApiKey.ALTER_REPLICA_LOG_DIRS,),
    "api_versions": (ApiKey.API_VERSIONS,),
    "consumer_group_describe": (ApiKey.CONSUMER_GROUP_DESCRIBE,),
    "consumer_group_heartbeat": (ApiKey.CONSUMER_GROUP_HEARTBEAT,),
    "controlled_shutdown": (ApiKey.CONTROLLED_SHUTDOWN,),
    "create_partitions": (ApiKey.CREATE_PARTITIONS,),
    "create_topics": (ApiKey.CREATE_TOPICS,),
    "delegation_tokens": (
        ApiKey.CREATE_DELEGATION_TOKEN,
        ApiKey.RENEW_DELEGATION_TOKEN,
        ApiKey.EXPIRE_DELEGATION_TOKEN,
        ApiKey.DESCRIBE_DELEGATION_TOKEN,
    ),
    "delete_groups": (ApiKey.DELETE_GROUPS,),
    "delete_records": (ApiKey.DELETE_RECORDS,),
    "delete_topics": (ApiKey.DELETE_TOPICS,),
    "describe_client_quotas": (ApiKey.DESCRIBE_CLIENT_QUOTAS,),
    "describe_cluster": (ApiKey.DESCRIBE_CLUSTER,),
    "describe_configs": (ApiKey.DESCRIBE_CONFIGS,),
    "describe_groups": (ApiKey.DESCRIBE_GROUPS,),
    "describe_log_dirs": (ApiKey.DESCRIBE_LOG_DIRS,),
    "describe_producers": (ApiKey.DESCRIBE_PRODUCERS,),
    "describe_topic_partitions": (ApiKey.DESCRIBE_TOPIC_PARTITIONS,),
    "describe_transactions": (ApiKey.DESCRIBE_TRANSACTIONS,),
    "elect_leaders": (ApiKey.ELECT_LEADERS,),
    "end_txn": (ApiKey.END_TXN,),
    "fetch": (ApiKey.FETCH,),
    "find_coordinator": (ApiKey.FIND_COORDINATOR,),
    "heartbeat": (ApiKey.HEARTBEAT,),
    "incremental_alter_configs": (ApiKey.INCREMENTAL_ALTER_CONFIGS,),
    "init_producer_id": (ApiKey.INIT_PRODUCER_ID,),
    "join_group": (ApiKey.JOIN_GROUP,),
    "leader_and_isr": (ApiKey.LEADER_AND_ISR,),
    "leave_group": (ApiKey.LEAVE_GROUP,),
    "list_groups": (ApiKey.LIST_GROUPS,),
    "list_offsets": (ApiKey.LIST_OFFSETS,),
    "list_transactions": (ApiKey.LIST_TRANSACTIONS,),
    "metadata": (ApiKey.METADATA,),
    "offset_commit": (ApiKey.OFFSET_COMMIT,),
    "offset_delete": (ApiKey.OFFSET_DELETE,),
    "offset_fetch": (ApiKey.OFFSET_FETCH,),
    "offset_for_leader_epoch": (ApiKey.OFFSET_FOR_LEADER_EPOCH,),
    "partition_reassignments": (
        ApiKey.ALTER_PARTITION_REASSIGNMENTS,
        ApiKey.LIST_PARTITION_REASSIGNMENTS,
    ),
    "produce": (ApiKey.PRODUCE,),
    "sasl": (
        ApiKey.SASL_HANDSHAKE,
        ApiKey.SASL_AUTHENTICATE,
    ),
    "scram_credentials": (
        ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS,
        ApiKey.ALTER_USER_SCRAM_CREDENTIALS,
    ),
    "stop_replica": (ApiKey.STOP_REPLICA,),
    "sync_group": (ApiKey.SYNC_GROUP,),
    "txn_offset_commit": (ApiKey.TXN_OFFSET_COMMIT,),
    "update_features": (ApiKey.UPDATE_FEATURES,),
    "update_metadata": (ApiKey.UPDATE_METADATA,),
    "write_txn_markers": (ApiKey.WRITE_TXN_MARKERS,),
}
"""The APIs that each module registers, by its name."""

OF_TRANSACTIONS: Final = frozenset(
    {
        ApiKey.ADD_PARTITIONS_TO_TXN,
        ApiKey.ADD_OFFSETS_TO_TXN,
        ApiKey.END_TXN,
        ApiKey.TXN_OFFSET_COMMIT,
        ApiKey.WRITE_TXN_MARKERS,
        ApiKey.DESCRIBE_TRANSACTIONS,
        ApiKey.LIST_TRANSACTIONS,
    }
)
"""What a broker that writes no markers does not offer: no transaction would ever end."""
