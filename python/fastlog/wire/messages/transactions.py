"""Transactions: AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26), TxnOffsetCommit (28)."""

from __future__ import annotations

from dataclasses import dataclass

from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int16, int32, int64, string


@dataclass(slots=True)
class AddPartitionsToTxnTopic:
    """Partitions of one topic."""

    name: str = string()
    partitions: list[int] = array("int32")


@dataclass(slots=True)
class AddPartitionsToTxnTransaction:
    """Partitions of one transaction; with `verify_only` they have to be in it already."""

    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    verify_only: bool = boolean()
    topics: list[AddPartitionsToTxnTopic] = array(AddPartitionsToTxnTopic)


@dataclass(slots=True)
class AddPartitionsToTxnRequest(Request):
    """Up to version 3 one transaction, from a producer; from 4 on several, from a broker (KIP-890)."""

    API = ApiKey.ADD_PARTITIONS_TO_TXN

    transactions: list[AddPartitionsToTxnTransaction] = array(AddPartitionsToTxnTransaction, "4+")
    v3_and_below_transactional_id: str = string("0-3")
    v3_and_below_producer_id: int = int64("0-3")
    v3_and_below_producer_epoch: int = int16("0-3")
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = array(AddPartitionsToTxnTopic, "0-3")


@dataclass(slots=True)
class AddPartitionsToTxnPartitionResult:
    """The outcome for one partition."""

    partition_index: int = int32()
    partition_error_code: int = int16()


@dataclass(slots=True)
class AddPartitionsToTxnTopicResult:
    """The outcome for one topic."""

    name: str = string()
    results_by_partition: list[AddPartitionsToTxnPartitionResult] = array(AddPartitionsToTxnPartitionResult)


@dataclass(slots=True)
class AddPartitionsToTxnResult:
    """The outcome for one transaction."""

    transactional_id: str = string()
    topic_results: list[AddPartitionsToTxnTopicResult] = array(AddPartitionsToTxnTopicResult)


@dataclass(slots=True)
class AddPartitionsToTxnResponse(Response):
    """Results by topic up to version 3, by transaction from 4 on."""

    API = ApiKey.ADD_PARTITIONS_TO_TXN

    throttle_time_ms: int = int32()
    error_code: int = int16("4+", ignorable=True)
    results_by_transaction: list[AddPartitionsToTxnResult] = array(AddPartitionsToTxnResult, "4+")
    results_by_topic_v3_and_below: list[AddPartitionsToTxnTopicResult] = array(
        AddPartitionsToTxnTopicResult, "0-3"
    )


@dataclass(slots=True)
class AddOffsetsToTxnRequest(Request):
    """A group whose offsets are to be committed in the transaction."""

    API = ApiKey.ADD_OFFSETS_TO_TXN

    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    group_id: str = string()


@dataclass(slots=True)
class AddOffsetsToTxnResponse(Response):
    """The outcome."""

    API = ApiKey.ADD_OFFSETS_TO_TXN

    throttle_time_ms: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class EndTxnRequest(Request):
    """Commits or aborts."""

    API = ApiKey.END_TXN

    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    committed: bool = boolean()


@dataclass(slots=True)
class EndTxnResponse(Response):
    """The outcome; from version 5 on with the identity for the next transaction (KIP-890)."""

    API = ApiKey.END_TXN

    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id: int = int64("5+", default=-1, ignorable=True)
    producer_epoch: int = int16("5+", default=-1, ignorable=True)


@dataclass(slots=True)
class TxnOffsetCommitRequestPartition:
    """One position, with its leader epoch (-1: unknown) and a free text."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32("2+", default=-1, ignorable=True)
    committed_metadata: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class TxnOffsetCommitRequestTopic:
    """Positions in one topic."""

    name: str = string()
    partitions: list[TxnOffsetCommitRequestPartition] = array(TxnOffsetCommitRequestPartition)


@dataclass(slots=True)
class TxnOffsetCommitRequest(Request):
    """Positions to commit with the transaction; from version 3 on fenced by the generation (KIP-447)."""

    API = ApiKey.TXN_OFFSET_COMMIT

    transactional_id: str = string()
    group_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    generation_id: int = int32("3+", default=-1)
    member_id: str = string("3+")
    group_instance_id: str | None = string("3+", nullable="3+", default=None)
    topics: list[TxnOffsetCommitRequestTopic] = array(TxnOffsetCommitRequestTopic)


@dataclass(slots=True)
class TxnOffsetCommitResponsePartition:
    """The outcome for one partition."""

    partition_index: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class TxnOffsetCommitResponseTopic:
    """The outcome for one topic."""

    name: str = string()
    partitions: list[TxnOffsetCommitResponsePartition] = array(TxnOffsetCommitResponsePartition)


@dataclass(slots=True)
class TxnOffsetCommitResponse(Response):
    """One result for each partition."""

    API = ApiKey.TXN_OFFSET_COMMIT

    throttle_time_ms: int = int32()
    topics: list[TxnOffsetCommitResponseTopic] = array(TxnOffsetCommitResponseTopic)
