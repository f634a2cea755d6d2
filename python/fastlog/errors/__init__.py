"""Kafka's error codes, and the exceptions that every layer may raise.

Numbers, names and which of them a client may retry are those of `org.apache.kafka.common.protocol.Errors`
(3.9, plus what 4.x added). The texts are fastlog's own.

Beside them are the exceptions of clients: `errors.IllegalGeneration` and so on, one for each code, under
`errors.ClientError` (`requests`, `by_code`). They are made when the first of them is asked for.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from fastlog.base.secrets import hide_secrets_in_message

if TYPE_CHECKING:
    from fastlog.errors.by_code import *  # noqa: F403
    from fastlog.errors.requests import BadResponse as BadResponse
    from fastlog.errors.requests import BrokerError as BrokerError
    from fastlog.errors.requests import ClientError as ClientError
    from fastlog.errors.requests import ConnectionFailed as ConnectionFailed
    from fastlog.errors.requests import Unreachable as Unreachable
    from fastlog.errors.requests import VersionMismatch as VersionMismatch

__all__ = ["ConfigError", "ErrorCode", "FastlogError", "KafkaError"]


class ErrorCode(IntEnum):
    """An `int16 error_code` of the Kafka protocol."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    INVALID_FETCH_SIZE = 4
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    STALE_CONTROLLER_EPOCH = 11
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    INVALID_COMMIT_OFFSET_SIZE = 28
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    REASSIGNMENT_IN_PROGRESS = 60
    DELEGATION_TOKEN_AUTH_DISABLED = 61
    DELEGATION_TOKEN_NOT_FOUND = 62
    DELEGATION_TOKEN_OWNER_MISMATCH = 63
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65
    DELEGATION_TOKEN_EXPIRED = 66
    INVALID_PRINCIPAL_TYPE = 67
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    LISTENER_NOT_FOUND = 72
    TOPIC_DELETION_DISABLED = 73
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    STALE_BROKER_EPOCH = 77
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    THROTTLING_QUOTA_EXCEEDED = 89
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INCONSISTENT_VOTER_SET = 94
    INVALID_UPDATE_VERSION = 95
    FEATURE_UPDATE_FAILED = 96
    PRINCIPAL_DESERIALIZATION_FAILURE = 97
    SNAPSHOT_NOT_FOUND = 98
    POSITION_OUT_OF_RANGE = 99
    UNKNOWN_TOPIC_ID = 100
    DUPLICATE_BROKER_REGISTRATION = 101
    BROKER_ID_NOT_REGISTERED = 102
    INCONSISTENT_TOPIC_ID = 103
    INCONSISTENT_CLUSTER_ID = 104
    TRANSACTIONAL_ID_NOT_FOUND = 105
    FETCH_SESSION_TOPIC_ID_ERROR = 106
    INELIGIBLE_REPLICA = 107
    NEW_LEADER_ELECTED = 108
    OFFSET_MOVED_TO_TIERED_STORAGE = 109
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    MISMATCHED_ENDPOINT_TYPE = 114
    UNSUPPORTED_ENDPOINT_TYPE = 115
    UNKNOWN_CONTROLLER_ID = 116
    UNKNOWN_SUBSCRIPTION_ID = 117
    TELEMETRY_TOO_LARGE = 118
    INVALID_REGISTRATION = 119
    TRANSACTION_ABORTABLE = 120
    INVALID_RECORD_STATE = 121
    SHARE_SESSION_NOT_FOUND = 122
    INVALID_SHARE_SESSION_EPOCH = 123
    FENCED_STATE_EPOCH = 124
    INVALID_VOTER_KEY = 125
    DUPLICATE_VOTER = 126
    VOTER_NOT_FOUND = 127
    INVALID_REGULAR_EXPRESSION = 128
    REBOOTSTRAP_REQUIRED = 129
    STREAMS_INVALID_TOPOLOGY = 130
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131
    STREAMS_TOPOLOGY_FENCED = 132
    SHARE_SESSION_LIMIT_REACHED = 133

    @classmethod
    def of(cls, code: int) -> ErrorCode:
        """The member for a number from the wire; unknown numbers are UNKNOWN_SERVER_ERROR."""
        return _BY_CODE.get(code, cls.UNKNOWN_SERVER_ERROR)

    @property
    def retriable(self) -> bool:
        """Whether Kafka's clients treat the error as one that may pass if the request is sent again."""
        return self in _RETRIABLE

    @property
    def fatal(self) -> bool:
        """Whether a client that meets it has to be closed: it is fenced, not let in, or not understood."""
        return self in _FATAL

    @property
    def text(self) -> str:
        """One sentence for people, used where a response has an error message and nothing better is known."""
        return _TEXTS[self]


MAX_MESSAGE: Final = 1000
"""Longest error message of a response, in characters."""


class FastlogError(Exception):
    """Base of every exception that fastlog raises on purpose."""


class KafkaError(FastlogError):
    """A failure that is reported to the client as an error code of the protocol.

    `message` is what goes into the response's error message field where the version has one. It is cut at
    `MAX_MESSAGE` characters: often it quotes the client, whose strings may be as long as the field can be.
    """

    def __init__(self, code: ErrorCode, message: str | None = None) -> None:
        self.code: Final = code
        self.message: Final = code.text if message is None else shortened(message)
        super().__init__(f"{code.name}: {self.message}")

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code.retriable

    @property
    def fatal(self) -> bool:
        """Whether the client that met it cannot go on: another one must be made, or something be changed."""
        return self.code.fatal


class ConfigError(FastlogError):
    """A configuration key or value that cannot be used.

    `key` is the property name, or None when the fault is not of a single key (an unreadable file).
    `problem` is the sentence without the key; `str()` puts both together. Secrets in it are masked: it may
    quote the value, and goes to logs and to clients.
    """

    def __init__(self, key: str | None, problem: str) -> None:
        self.key: Final = key
        self.problem: Final = hide_secrets_in_message(problem)
        super().__init__(self.problem if key is None else f"{key}: {self.problem}")


def shortened(message: str) -> str:
    """A text for people without what is beyond `MAX_MESSAGE` characters."""
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}..."


_BY_CODE: Final = {int(code): code for code in ErrorCode}

_RETRIABLE: Final = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.REPLICA_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.NOT_CONTROLLER,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.LISTENER_NOT_FOUND,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.OFFSET_NOT_AVAILABLE,
        ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
        ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        ErrorCode.ELECTION_NOT_NEEDED,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
        ErrorCode.THROTTLING_QUOTA_EXCEEDED,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INCONSISTENT_TOPIC_ID,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode.SHARE_SESSION_NOT_FOUND,
        ErrorCode.INVALID_SHARE_SESSION_EPOCH,
        ErrorCode.SHARE_SESSION_LIMIT_REACHED,
    }
)

_FATAL: Final = frozenset(
    {
        ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode.UNSUPPORTED_SASL_MECHANISM,
        ErrorCode.ILLEGAL_SASL_STATE,
        ErrorCode.SASL_AUTHENTICATION_FAILED,
        ErrorCode.UNSUPPORTED_VERSION,
        ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.INVALID_PRODUCER_ID_MAPPING,
        ErrorCode.TRANSACTION_COORDINATOR_FENCED,
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ErrorCode.PRODUCER_FENCED,
        ErrorCode.FENCED_INSTANCE_ID,
        ErrorCode.INVALID_GROUP_ID,
        ErrorCode.GROUP_AUTHORIZATION_FAILED,
        ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
        ErrorCode.GROUP_MAX_SIZE_REACHED,
        ErrorCode.UNSUPPORTED_ASSIGNOR,
    }
)

_TEXTS: Final[dict[ErrorCode, str]] = {
    ErrorCode.UNKNOWN_SERVER_ERROR: "The broker met an error that it did not expect; its log says more.",
    ErrorCode.NONE: "No error.",
    ErrorCode.OFFSET_OUT_OF_RANGE: "The offset is before the log start or after the log end.",
    ErrorCode.CORRUPT_MESSAGE: "A record batch is damaged: its checksum, size or format is wrong.",
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "The topic or partition does not exist here.",
    ErrorCode.INVALID_FETCH_SIZE: "The asked fetch size cannot be used.",
    ErrorCode.LEADER_NOT_AVAILABLE: "The partition has no leader at the moment.",
    ErrorCode.NOT_LEADER_OR_FOLLOWER: "This broker does not lead the partition, or holds no replica of it.",
    ErrorCode.REQUEST_TIMED_OUT: "The request could not be completed within its timeout.",
    ErrorCode.BROKER_NOT_AVAILABLE: "The broker is not available.",
    ErrorCode.REPLICA_NOT_AVAILABLE: "The replica is not available for this partition.",
    ErrorCode.MESSAGE_TOO_LARGE: "A record batch is larger than the topic allows (max.message.bytes).",
    ErrorCode.STALE_CONTROLLER_EPOCH: "The controller moved to another broker.",
    ErrorCode.OFFSET_METADATA_TOO_LARGE: "The metadata text of the offset commit is too long.",
    ErrorCode.NETWORK_EXCEPTION: "The connection ended before the answer came.",
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS: "The coordinator is still loading its state.",
    ErrorCode.COORDINATOR_NOT_AVAILABLE: "No coordinator is available.",
    ErrorCode.NOT_COORDINATOR: "Another broker is the coordinator.",
    ErrorCode.INVALID_TOPIC_EXCEPTION: "The topic name is invalid, or its topic is closed to this operation.",
    ErrorCode.RECORD_LIST_TOO_LARGE: "The record batch is larger than a log segment.",
    ErrorCode.NOT_ENOUGH_REPLICAS: "Fewer replicas are in sync than required; nothing was written.",
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "Written, but fewer replicas are in sync than required.",
    ErrorCode.INVALID_REQUIRED_ACKS: "acks must be -1, 0 or 1.",
    ErrorCode.ILLEGAL_GENERATION: "The generation of the group is another one.",
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL: "The member's protocols do not fit those of the group.",
    ErrorCode.INVALID_GROUP_ID: "The group id is not valid.",
    ErrorCode.UNKNOWN_MEMBER_ID: "The coordinator does not know this member.",
    ErrorCode.INVALID_SESSION_TIMEOUT: "The session timeout is outside what the broker allows.",
    ErrorCode.REBALANCE_IN_PROGRESS: "The group is rebalancing; join again.",
    ErrorCode.INVALID_COMMIT_OFFSET_SIZE: "The offset commit is too large.",
    ErrorCode.TOPIC_AUTHORIZATION_FAILED: "Not authorized for this topic.",
    ErrorCode.GROUP_AUTHORIZATION_FAILED: "Not authorized for this group.",
    ErrorCode.CLUSTER_AUTHORIZATION_FAILED: "Not authorized for this cluster operation.",
    ErrorCode.INVALID_TIMESTAMP: "The record timestamp is outside the range that the topic accepts.",
    ErrorCode.UNSUPPORTED_SASL_MECHANISM: "The broker does not offer this SASL mechanism.",
    ErrorCode.ILLEGAL_SASL_STATE: "The request does not fit the state of the SASL exchange.",
    ErrorCode.UNSUPPORTED_VERSION: "The broker does not support this version of the request.",
    ErrorCode.TOPIC_ALREADY_EXISTS: "A topic with this name exists already.",
    ErrorCode.INVALID_PARTITIONS: "The number of partitions cannot be used.",
    ErrorCode.INVALID_REPLICATION_FACTOR: "The replication factor is below 1 or above the number of brokers.",
    ErrorCode.INVALID_REPLICA_ASSIGNMENT: "The replica assignment is not valid.",
    ErrorCode.INVALID_CONFIG: "A configuration key or value is not valid.",
    ErrorCode.NOT_CONTROLLER: "This broker is not the controller.",
    ErrorCode.INVALID_REQUEST: "The request contradicts itself or the protocol.",
    ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT: "The record format does not allow this request.",
    ErrorCode.POLICY_VIOLATION: "A policy of the cluster forbids this request.",
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER: "The producer's sequence number leaves a gap.",
    ErrorCode.DUPLICATE_SEQUENCE_NUMBER: "The producer's sequence number was written before.",
    ErrorCode.INVALID_PRODUCER_EPOCH: "The producer's epoch is older than the current one.",
    ErrorCode.INVALID_TXN_STATE: "The transaction is not in a state that allows this.",
    ErrorCode.INVALID_PRODUCER_ID_MAPPING: "The producer id does not belong to this transactional id.",
    ErrorCode.INVALID_TRANSACTION_TIMEOUT: "The transaction timeout is above transaction.max.timeout.ms.",
    ErrorCode.CONCURRENT_TRANSACTIONS: "Another operation on this transaction is still running.",
    ErrorCode.TRANSACTION_COORDINATOR_FENCED: "A newer transaction coordinator has taken over.",
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Not authorized for this transactional id.",
    ErrorCode.SECURITY_DISABLED: "The broker runs without this security feature.",
    ErrorCode.OPERATION_NOT_ATTEMPTED: "Not tried, because another part of the request failed.",
    ErrorCode.KAFKA_STORAGE_ERROR: "The log directory cannot be written or read.",
    ErrorCode.LOG_DIR_NOT_FOUND: "The broker has no such log directory.",
    ErrorCode.SASL_AUTHENTICATION_FAILED: "SASL authentication failed.",
    ErrorCode.UNKNOWN_PRODUCER_ID: "The broker has no state of this producer id.",
    ErrorCode.REASSIGNMENT_IN_PROGRESS: "The partition is being moved.",
    ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED: "Delegation tokens are not enabled.",
    ErrorCode.DELEGATION_TOKEN_NOT_FOUND: "The delegation token does not exist.",
    ErrorCode.DELEGATION_TOKEN_OWNER_MISMATCH: "The principal neither owns nor may renew the token.",
    ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: "This connection may not manage delegation tokens.",
    ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED: "Not authorized for delegation tokens.",
    ErrorCode.DELEGATION_TOKEN_EXPIRED: "The delegation token has expired.",
    ErrorCode.INVALID_PRINCIPAL_TYPE: "The principal type is not supported.",
    ErrorCode.NON_EMPTY_GROUP: "The group still has members.",
    ErrorCode.GROUP_ID_NOT_FOUND: "The group does not exist.",
    ErrorCode.FETCH_SESSION_ID_NOT_FOUND: "The fetch session does not exist.",
    ErrorCode.INVALID_FETCH_SESSION_EPOCH: "The epoch of the fetch session is not the expected one.",
    ErrorCode.LISTENER_NOT_FOUND: "The leader has no listener of the name used by this connection.",
    ErrorCode.TOPIC_DELETION_DISABLED: "Topics cannot be deleted here (delete.topic.enable).",
    ErrorCode.FENCED_LEADER_EPOCH: "The leader epoch of the request is older than the broker's.",
    ErrorCode.UNKNOWN_LEADER_EPOCH: "The leader epoch of the request is newer than the broker's.",
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE: "This request version cannot carry the compression in use.",
    ErrorCode.STALE_BROKER_EPOCH: "The broker has registered again since.",
    ErrorCode.OFFSET_NOT_AVAILABLE: "The new leader does not know the high watermark yet.",
    ErrorCode.MEMBER_ID_REQUIRED: "Join again with the member id that this answer assigns.",
    ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE: "The preferred leader is not available.",
    ErrorCode.GROUP_MAX_SIZE_REACHED: "The group is full.",
    ErrorCode.FENCED_INSTANCE_ID: "Another member has taken over this group.instance.id.",
    ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE: "No replica may become leader.",
    ErrorCode.ELECTION_NOT_NEEDED: "The partition has the wanted leader already.",
    ErrorCode.NO_REASSIGNMENT_IN_PROGRESS: "The partition is not being moved.",
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: "The group is subscribed to the topic, so its offsets stay.",
    ErrorCode.INVALID_RECORD: "A record fails the checks of the topic.",
    ErrorCode.UNSTABLE_OFFSET_COMMIT: "A transaction with offsets of this partition is still open.",
    ErrorCode.THROTTLING_QUOTA_EXCEEDED: "The quota is used up for now.",
    ErrorCode.PRODUCER_FENCED: "A newer producer uses this transactional id.",
    ErrorCode.RESOURCE_NOT_FOUND: "The resource does not exist.",
    ErrorCode.DUPLICATE_RESOURCE: "The resource is named twice.",
    ErrorCode.UNACCEPTABLE_CREDENTIAL: "The credential is not acceptable.",
    ErrorCode.INCONSISTENT_VOTER_SET: "Sender and receiver do not agree on the voters.",
    ErrorCode.INVALID_UPDATE_VERSION: "The version of the update is not valid.",
    ErrorCode.FEATURE_UPDATE_FAILED: "The finalized features could not be changed.",
    ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE: "The forwarded principal cannot be read.",
    ErrorCode.SNAPSHOT_NOT_FOUND: "The snapshot does not exist.",
    ErrorCode.POSITION_OUT_OF_RANGE: "The position is outside the snapshot.",
    ErrorCode.UNKNOWN_TOPIC_ID: "No topic has this id here.",
    ErrorCode.DUPLICATE_BROKER_REGISTRATION: "The broker id is in use.",
    ErrorCode.BROKER_ID_NOT_REGISTERED: "No broker has registered with this id.",
    ErrorCode.INCONSISTENT_TOPIC_ID: "The topic id of the request is not that of the log.",
    ErrorCode.INCONSISTENT_CLUSTER_ID: "The request belongs to another cluster.",
    ErrorCode.TRANSACTIONAL_ID_NOT_FOUND: "The transactional id is not known.",
    ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR: "The fetch session mixes topic names and topic ids.",
    ErrorCode.INELIGIBLE_REPLICA: "A replica of the wanted in-sync set may not be in it.",
    ErrorCode.NEW_LEADER_ELECTED: "The change was made, and the leader is another one now.",
    ErrorCode.OFFSET_MOVED_TO_TIERED_STORAGE: "The offset is kept in tiered storage only.",
    ErrorCode.FENCED_MEMBER_EPOCH: "The member was fenced: give up all partitions and join again.",
    ErrorCode.UNRELEASED_INSTANCE_ID: "Another member still holds the instance id.",
    ErrorCode.UNSUPPORTED_ASSIGNOR: "The group does not support the assignor.",
    ErrorCode.STALE_MEMBER_EPOCH: "The member epoch is old: send a heartbeat to learn the new one.",
    ErrorCode.MISMATCHED_ENDPOINT_TYPE: "The request came to the wrong kind of endpoint.",
    ErrorCode.UNSUPPORTED_ENDPOINT_TYPE: "This kind of endpoint is not supported.",
    ErrorCode.UNKNOWN_CONTROLLER_ID: "The controller id is not known.",
    ErrorCode.UNKNOWN_SUBSCRIPTION_ID: "The telemetry subscription is not valid any more.",
    ErrorCode.TELEMETRY_TOO_LARGE: "The telemetry data is larger than the broker accepts.",
    ErrorCode.INVALID_REGISTRATION: "The controller does not accept the broker's registration.",
    ErrorCode.TRANSACTION_ABORTABLE: "The transaction failed; abort it and go on with the same producer.",
    ErrorCode.INVALID_RECORD_STATE: "The record is not in a state that allows this acknowledgement.",
    ErrorCode.SHARE_SESSION_NOT_FOUND: "The share session does not exist.",
    ErrorCode.INVALID_SHARE_SESSION_EPOCH: "The epoch of the share session is not the expected one.",
    ErrorCode.FENCED_STATE_EPOCH: "The state epoch of the share group is another one.",
    ErrorCode.INVALID_VOTER_KEY: "The voter's key is not that of the receiving replica.",
    ErrorCode.DUPLICATE_VOTER: "The replica is a voter already.",
    ErrorCode.VOTER_NOT_FOUND: "The replica is not a voter.",
    ErrorCode.INVALID_REGULAR_EXPRESSION: "The regular expression is not valid.",
    ErrorCode.REBOOTSTRAP_REQUIRED: "The client must start again from its bootstrap servers.",
    ErrorCode.STREAMS_INVALID_TOPOLOGY: "The streams topology is not valid.",
    ErrorCode.STREAMS_INVALID_TOPOLOGY_EPOCH: "The epoch of the streams topology is not valid.",
    ErrorCode.STREAMS_TOPOLOGY_FENCED: "The epoch of the streams topology is older than the group's.",
    ErrorCode.SHARE_SESSION_LIMIT_REACHED: "The broker holds as many share sessions as it may.",
}


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        import fastlog.errors.by_code as by_code  # made when they are needed
        import fastlog.errors.requests as requests

        for module in (requests, by_code):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
