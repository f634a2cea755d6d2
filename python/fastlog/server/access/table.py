"""Which operation on which resource each API needs: the one place where that is said (`docs/acl.md`).

An API that is not here is served to nobody where there is an authorizer. Guards (`gate`) find what they ask
for in here, by the order of the rows; what they do with a refusal is theirs.

`of` says where the name of the resource comes from: a field of the request, or the cluster. Rows are asked in
their order, and all of them must be allowed, unless a row says `instead`: it is an alternative to the one
before.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.coordination.access.rules import Operation, Resource
from fastlog.errors import ErrorCode
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TABLE", "Need"]


class Need(NamedTuple):
    """One row. `without`: the code of what is refused; None where it is left out, or another row decides."""

    operation: Operation
    resource: Resource
    of: str
    without: ErrorCode | None
    remark: str = ""
    instead: bool = False


_O, _E = Operation, ErrorCode
_TOPIC, _GROUP, _CLUSTER, _TXN = Resource.TOPIC, Resource.GROUP, Resource.CLUSTER, Resource.TRANSACTIONAL_ID
_TOPIC_FAILED = _E.TOPIC_AUTHORIZATION_FAILED
_GROUP_FAILED = _E.GROUP_AUTHORIZATION_FAILED
_CLUSTER_FAILED = _E.CLUSTER_AUTHORIZATION_FAILED
_TXN_FAILED = _E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def _topic(operation: Operation, of: str, remark: str = "", *, instead: bool = False) -> Need:
    return Need(operation, _TOPIC, of, _TOPIC_FAILED, remark, instead)


def _group(operation: Operation, of: str = "group_id", remark: str = "") -> Need:
    return Need(operation, _GROUP, of, _GROUP_FAILED, remark)


def _txn(operation: Operation, of: str = "transactional_id", remark: str = "") -> Need:
    return Need(operation, _TXN, of, _TXN_FAILED, remark)


def _cluster(operation: Operation, remark: str = "", *, instead: bool = False) -> Need:
    return Need(operation, _CLUSTER, "cluster", _CLUSTER_FAILED, remark, instead)


def _tried(operation: Operation, remark: str = "") -> Need:
    """On the cluster, before there is another way: a refusal is not logged."""
    return Need(operation, _CLUSTER, "cluster", None, remark)


_OPEN: Final[tuple[Need, ...]] = ()
_AMONG_BROKERS: Final = (_cluster(_O.CLUSTER_ACTION, "over the brokers' own listener alone"),)

TABLE: Final[Mapping[ApiKey, tuple[Need, ...]]] = MappingProxyType(
    {
        # What anybody may ask who is in.
        ApiKey.API_VERSIONS: _OPEN,
        ApiKey.SASL_HANDSHAKE: _OPEN,
        ApiKey.SASL_AUTHENTICATE: _OPEN,
        ApiKey.DESCRIBE_CLUSTER: (
            Need(_O.DESCRIBE, _CLUSTER, "cluster", None, "for the operations alone: 0 without it"),
        ),
        # Records.
        ApiKey.PRODUCE: (
            _txn(_O.WRITE, remark="if any batch is transactional: on every partition"),
            _topic(_O.WRITE, "topic_data.name", "per partition; acks=0: the connection is closed"),
        ),
        ApiKey.FETCH: (
            Need(_O.CLUSTER_ACTION, _CLUSTER, "cluster", _TOPIC_FAILED, "of a follower: per partition"),
            _topic(_O.READ, "topics.topic", "of a consumer: per partition", instead=True),
        ),
        ApiKey.LIST_OFFSETS: (_topic(_O.DESCRIBE, "topics.name", "per partition"),),
        ApiKey.OFFSET_FOR_LEADER_EPOCH: (
            _tried(_O.CLUSTER_ACTION),
            _topic(_O.DESCRIBE, "topics.topic", "per partition", instead=True),
        ),
        ApiKey.DELETE_RECORDS: (_topic(_O.DELETE, "topics.name", "per partition"),),
        # Topics.
        ApiKey.METADATA: (
            _topic(_O.DESCRIBE, "topics.name", "all topics: left out; by id: without the name"),
            _tried(_O.CREATE, "of a topic that is to be made"),
            _topic(_O.CREATE, "topics.name", "of a topic that is to be made", instead=True),
            Need(_O.DESCRIBE, _CLUSTER, "cluster", None, "for the cluster's operations alone: 0 without it"),
        ),
        ApiKey.DESCRIBE_TOPIC_PARTITIONS: (
            _topic(_O.DESCRIBE, "topics.name", "all topics: left out; the id is zero"),
        ),
        ApiKey.CREATE_TOPICS: (
            _tried(_O.CREATE),
            _topic(_O.CREATE, "topics.name", instead=True),
            Need(
                *(_O.DESCRIBE_CONFIGS, _TOPIC, "topics.name", None),
                "for what the answer says of the topic: topic_config_error_code 29 without it",
            ),
        ),
        ApiKey.DELETE_TOPICS: (
            Need(_O.DESCRIBE, _TOPIC, "topics.topic_id", _TOPIC_FAILED, "by id: without the name"),
            _topic(_O.DELETE, "topics.name"),
        ),
        ApiKey.CREATE_PARTITIONS: (_topic(_O.ALTER, "topics.name"),),
        ApiKey.DESCRIBE_PRODUCERS: (_topic(_O.READ, "topics.name", "per partition"),),
        # Groups.
        ApiKey.FIND_COORDINATOR: (
            _group(_O.DESCRIBE, "key", "type 0"),
            _txn(_O.DESCRIBE, "key", "type 1"),
            _cluster(_O.CLUSTER_ACTION, "type 2 (share groups)"),
        ),
        ApiKey.JOIN_GROUP: (_group(_O.READ),),
        ApiKey.SYNC_GROUP: (_group(_O.READ),),
        ApiKey.HEARTBEAT: (_group(_O.READ),),
        ApiKey.LEAVE_GROUP: (_group(_O.READ),),
        ApiKey.CONSUMER_GROUP_HEARTBEAT: (
            _group(_O.READ),
            _topic(_O.DESCRIBE, "subscribed_topic_names", "the whole request"),
        ),
        ApiKey.OFFSET_COMMIT: (
            _group(_O.READ, remark="on every partition"),
            _topic(_O.READ, "topics.name", "per partition"),
        ),
        ApiKey.OFFSET_FETCH: (
            _group(_O.DESCRIBE, remark="per group"),
            _topic(_O.DESCRIBE, "topics.name", "per partition; all topics: left out"),
        ),
        ApiKey.OFFSET_DELETE: (
            _group(_O.DELETE),
            _topic(_O.READ, "topics.name", "per partition"),
        ),
        ApiKey.DESCRIBE_GROUPS: (_group(_O.DESCRIBE, "groups", "per group"),),
        ApiKey.CONSUMER_GROUP_DESCRIBE: (
            _group(_O.DESCRIBE, "group_ids", "per group"),
            _topic(_O.DESCRIBE, "topics of its members", "per group"),
        ),
        ApiKey.DELETE_GROUPS: (_group(_O.DELETE, "groups_names", "per group"),),
        ApiKey.LIST_GROUPS: (
            _tried(_O.DESCRIBE),
            Need(_O.DESCRIBE, _GROUP, "groups that there are", None, "left out", instead=True),
        ),
        # Transactions.
        ApiKey.INIT_PRODUCER_ID: (
            _txn(_O.WRITE, remark="if there is one"),
            _tried(_O.IDEMPOTENT_WRITE, "without a transactional id"),
            Need(_O.WRITE, _TOPIC, "any topic", _CLUSTER_FAILED, "without a transactional id", instead=True),
        ),
        ApiKey.ADD_PARTITIONS_TO_TXN: (
            _txn(_O.WRITE, remark="up to version 3: on every partition"),
            _topic(_O.WRITE, "topics.name", "up to version 3: none is added then"),
            _cluster(_O.CLUSTER_ACTION, "from version 4 on"),
        ),
        ApiKey.ADD_OFFSETS_TO_TXN: (_txn(_O.WRITE), _group(_O.READ)),
        ApiKey.TXN_OFFSET_COMMIT: (
            _txn(_O.WRITE, remark="on every partition"),
            _group(_O.READ, remark="on every partition"),
            _topic(_O.READ, "topics.name", "per partition"),
        ),
        ApiKey.END_TXN: (_txn(_O.WRITE),),
        ApiKey.WRITE_TXN_MARKERS: (
            _tried(_O.ALTER),
            _cluster(_O.CLUSTER_ACTION, "on every partition", instead=True),
        ),
        ApiKey.DESCRIBE_TRANSACTIONS: (
            _txn(_O.DESCRIBE, "transactional_ids", "per id"),
            Need(_O.DESCRIBE, _TOPIC, "topics of the transaction", None, "left out"),
        ),
        ApiKey.LIST_TRANSACTIONS: (Need(_O.DESCRIBE, _TXN, "ids that there are", None, "left out"),),
        # Settings.
        ApiKey.DESCRIBE_CONFIGS: (
            _topic(_O.DESCRIBE_CONFIGS, "resources.resource_name", "of a topic"),
            _group(_O.DESCRIBE_CONFIGS, "resources.resource_name", "of a group"),
            _cluster(_O.DESCRIBE_CONFIGS, "of everything else"),
        ),
        ApiKey.ALTER_CONFIGS: (
            _topic(_O.ALTER_CONFIGS, "resources.resource_name", "of a topic"),
            _group(_O.ALTER_CONFIGS, "resources.resource_name", "of a group"),
            _cluster(_O.ALTER_CONFIGS, "of everything else"),
        ),
        ApiKey.INCREMENTAL_ALTER_CONFIGS: (
            _topic(_O.ALTER_CONFIGS, "resources.resource_name", "of a topic"),
            _group(_O.ALTER_CONFIGS, "resources.resource_name", "of a group"),
            _cluster(_O.ALTER_CONFIGS, "of everything else"),
        ),
        ApiKey.DESCRIBE_CLIENT_QUOTAS: (_cluster(_O.DESCRIBE_CONFIGS),),
        ApiKey.ALTER_CLIENT_QUOTAS: (_cluster(_O.ALTER_CONFIGS, "on every entry"),),
        # Users and rules.
        ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: (_cluster(_O.DESCRIBE),),
        ApiKey.ALTER_USER_SCRAM_CREDENTIALS: (_cluster(_O.ALTER, "on every user"),),
        ApiKey.DESCRIBE_ACLS: (_cluster(_O.DESCRIBE),),
        ApiKey.CREATE_ACLS: (_cluster(_O.ALTER, "on every rule"),),
        ApiKey.DELETE_ACLS: (_cluster(_O.ALTER, "on every filter"),),
        ApiKey.CREATE_DELEGATION_TOKEN: (
            Need(
                *(_O.CREATE_TOKENS, Resource.USER, "owner_principal_name"),
                _E.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
                "of somebody else; the name is `User:bob`",
            ),
        ),
        # Their owners and renewers may: DELEGATION_TOKEN_OWNER_MISMATCH for others.
        ApiKey.RENEW_DELEGATION_TOKEN: _OPEN,
        ApiKey.EXPIRE_DELEGATION_TOKEN: _OPEN,
        ApiKey.DESCRIBE_DELEGATION_TOKEN: (
            Need(_O.DESCRIBE, Resource.DELEGATION_TOKEN, "tokens of others", None, "left out"),
            Need(_O.DESCRIBE_TOKENS, Resource.USER, "their owners", None, "left out", instead=True),
        ),
        # The cluster.
        ApiKey.DESCRIBE_LOG_DIRS: (_cluster(_O.DESCRIBE, "up to version 2: an empty list"),),
        ApiKey.ALTER_REPLICA_LOG_DIRS: (_cluster(_O.ALTER, "on every partition"),),
        ApiKey.ELECT_LEADERS: (_cluster(_O.ALTER, "and on every partition"),),
        ApiKey.ALTER_PARTITION_REASSIGNMENTS: (_cluster(_O.ALTER),),
        ApiKey.LIST_PARTITION_REASSIGNMENTS: (_cluster(_O.DESCRIBE),),
        ApiKey.UPDATE_FEATURES: (_cluster(_O.ALTER),),
        # Brokers among themselves.
        ApiKey.LEADER_AND_ISR: _AMONG_BROKERS,
        ApiKey.STOP_REPLICA: _AMONG_BROKERS,
        ApiKey.UPDATE_METADATA: _AMONG_BROKERS,
        ApiKey.CONTROLLED_SHUTDOWN: _AMONG_BROKERS,
        ApiKey.ALTER_PARTITION: _AMONG_BROKERS,
        ApiKey.ALLOCATE_PRODUCER_IDS: _AMONG_BROKERS,
    }
)
