"""Offsets of groups: OffsetCommit (8), OffsetFetch (9), OffsetDelete (47)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int16, int32, int64, string


@dataclass(slots=True)
class OffsetCommitRequestPartition:
    """One position, with its leader epoch (-1: unknown) and a free text."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32("6+", default=-1, ignorable=True)
    commit_timestamp: int = int64("1", default=-1)
    committed_metadata: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class OffsetCommitRequestTopic:
    """Positions in one topic."""

    name: str = string()
    partitions: list[OffsetCommitRequestPartition] = array(OffsetCommitRequestPartition)


@dataclass(slots=True)
class OffsetCommitRequest(Request):
    """Positions to remember. Generation -1 with an empty member id is a commit from outside of the group.

    Version 9 is that of the consumer protocol of KIP-848, where the generation is a member epoch.
    """

    API = ApiKey.OFFSET_COMMIT

    group_id: str = string()
    generation_id_or_member_epoch: int = int32("1+", default=-1, ignorable=True)
    member_id: str = string("1+", ignorable=True)
    group_instance_id: str | None = string("7+", nullable="7+", default=None)
    retention_time_ms: int = int64("2-4", default=-1, ignorable=True)
    topics: list[OffsetCommitRequestTopic] = array(OffsetCommitRequestTopic)


@dataclass(slots=True)
class OffsetCommitResponsePartition:
    """The outcome for one partition."""

    partition_index: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class OffsetCommitResponseTopic:
    """The outcome for one topic."""

    name: str = string()
    partitions: list[OffsetCommitResponsePartition] = array(OffsetCommitResponsePartition)


@dataclass(slots=True)
class OffsetCommitResponse(Response):
    """One result for each partition."""

    API = ApiKey.OFFSET_COMMIT

    throttle_time_ms: int = int32("3+", ignorable=True)
    topics: list[OffsetCommitResponseTopic] = array(OffsetCommitResponseTopic)


@dataclass(slots=True)
class OffsetFetchRequestTopic:
    """Partitions of one topic (up to version 7)."""

    name: str = string()
    partition_indexes: list[int] = array("int32")


@dataclass(slots=True)
class OffsetFetchRequestTopics:
    """Partitions of one topic (from version 8 on)."""

    name: str = string()
    partition_indexes: list[int] = array("int32")


@dataclass(slots=True)
class OffsetFetchRequestGroup:
    """A group and the topics that are wanted; null for all."""

    group_id: str = string()
    member_id: str | None = string("9+", nullable="9+", default=None, ignorable=True)
    member_epoch: int = int32("9+", default=-1, ignorable=True)
    topics: list[OffsetFetchRequestTopics] | None = array(
        OffsetFetchRequestTopics, nullable="8+", null_default=True
    )


@dataclass(slots=True)
class OffsetFetchRequest(Request):
    """One group at top level up to version 7, several in `groups` from 8 on (KIP-709). Null topics: all."""

    API = ApiKey.OFFSET_FETCH

    group_id: str = string("0-7")
    topics: list[OffsetFetchRequestTopic] | None = array(OffsetFetchRequestTopic, "0-7", nullable="2-7")
    groups: list[OffsetFetchRequestGroup] = array(OffsetFetchRequestGroup, "8+")
    require_stable: bool = boolean("7+")


@dataclass(slots=True)
class OffsetFetchResponsePartition:
    """A committed offset (up to version 7)."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32("5-7", default=-1, ignorable=True)
    metadata: str | None = string(nullable="0-7", default=None)
    error_code: int = int16()


@dataclass(slots=True)
class OffsetFetchResponseTopic:
    """The offsets of one topic (up to version 7)."""

    name: str = string()
    partitions: list[OffsetFetchResponsePartition] = array(OffsetFetchResponsePartition)


@dataclass(slots=True)
class OffsetFetchResponsePartitions:
    """A committed offset (from version 8 on)."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32(default=-1, ignorable=True)
    metadata: str | None = string(nullable="8+", default=None)
    error_code: int = int16()


@dataclass(slots=True)
class OffsetFetchResponseTopics:
    """The offsets of one topic (from version 8 on)."""

    name: str = string()
    partitions: list[OffsetFetchResponsePartitions] = array(OffsetFetchResponsePartitions)


@dataclass(slots=True)
class OffsetFetchResponseGroup:
    """The offsets of one group, or why there are none."""

    group_id: str = string()
    topics: list[OffsetFetchResponseTopics] = array(OffsetFetchResponseTopics)
    error_code: int = int16()


@dataclass(slots=True)
class OffsetFetchResponse(Response):
    """At top level up to version 7, in `groups` from 8 on. Offset -1: nothing was committed."""

    API = ApiKey.OFFSET_FETCH

    throttle_time_ms: int = int32("3+", ignorable=True)
    topics: list[OffsetFetchResponseTopic] = array(OffsetFetchResponseTopic, "0-7")
    error_code: int = int16("2-7", ignorable=True)
    groups: list[OffsetFetchResponseGroup] = array(OffsetFetchResponseGroup, "8+")


@dataclass(slots=True)
class OffsetDeleteRequestPartition:
    """One partition."""

    partition_index: int = int32()


@dataclass(slots=True)
class OffsetDeleteRequestTopic:
    """Partitions of one topic."""

    name: str = string()
    partitions: list[OffsetDeleteRequestPartition] = array(OffsetDeleteRequestPartition)


@dataclass(slots=True)
class OffsetDeleteRequest(Request):
    """Offsets that the group shall forget (KIP-496)."""

    API = ApiKey.OFFSET_DELETE

    group_id: str = string()
    topics: list[OffsetDeleteRequestTopic] = array(OffsetDeleteRequestTopic)


@dataclass(slots=True)
class OffsetDeleteResponsePartition:
    """The outcome for one partition."""

    partition_index: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class OffsetDeleteResponseTopic:
    """The outcome for one topic."""

    name: str = string()
    partitions: list[OffsetDeleteResponsePartition] = array(OffsetDeleteResponsePartition)


@dataclass(slots=True)
class OffsetDeleteResponse(Response):
    """A top-level error, or one result for each partition."""

    API = ApiKey.OFFSET_DELETE

    error_code: int = int16()
    throttle_time_ms: int = int32(ignorable=True)
    topics: list[OffsetDeleteResponseTopic] = array(OffsetDeleteResponseTopic)
