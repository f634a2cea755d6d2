"""The bytes of `fastlog.metadata`: a backup, and the metadata of earlier releases.

| line | content                                                                   |
|------|---------------------------------------------------------------------------|
| 1    | `fastlog metadata`                                                        |
| 2    | `version 1`                                                               |
| 3    | `crc32 ` and 8 lower-case hex digits: zlib CRC of all that follows        |
| 4    | `records ` and the number of lines that follow                            |
| 5    | JSON: cluster id, next producer id, run-time configs of brokers, and (where |
|      | there are any) of groups                                                  |
| 6... | JSON: one topic each, in name order                                       |

Every line ends with a newline. A partition is `[replicas, isr, leader, leader epoch]`.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from fastlog.base.uuids import format_uuid, parse_uuid
from fastlog.coordination.store import ClusterMetadata, MetadataDamaged, PartitionRecord, TopicRecord

_MAGIC: Final = b"fastlog metadata\n"
_VERSION: Final = b"version 1\n"
_CRC_LINE: Final = re.compile(rb"crc32 ([0-9a-f]{8})\n")
_RECORDS_LINE: Final = re.compile(rb"records ([1-9][0-9]*)\n")
_DEFAULT_BROKER: Final = "<default>"  # the name of Kafka's znode for cluster-wide broker configs


def _encode_topic(topic: TopicRecord) -> bytes:
    return _line(
        {
            "topic": topic.name,
            "id": format_uuid(topic.topic_id),
            "partitions": [[p.replicas, p.isr, p.leader, p.leader_epoch] for p in topic.partitions],
            "configs": dict(topic.configs),
            "materialised": topic.materialised,
            "deleting": topic.deleting,
            "version": topic.version,
        }
    )


def encode(metadata: ClusterMetadata) -> bytes:
    """The whole file."""
    brokers = {
        _DEFAULT_BROKER if node_id is None else str(node_id): dict(configs)
        for node_id, configs in metadata.broker_configs.items()
    }
    cluster: dict[str, Any] = {
        "cluster_id": metadata.cluster_id,
        "next_producer_id": metadata.next_producer_id,
        "broker_configs": brokers,
    }
    if metadata.group_configs:
        # Left out when there are none: the file is then as earlier releases wrote it.
        cluster["group_configs"] = {name: dict(values) for name, values in metadata.group_configs.items()}
    topics = [_encode_topic(metadata.topics[name]) for name in sorted(metadata.topics)]
    lines = [_line(cluster), *topics]
    body = b"".join([f"records {len(lines)}\n".encode("ascii"), *lines])
    return b"".join([_MAGIC, _VERSION, f"crc32 {zlib.crc32(body):08x}\n".encode("ascii"), body])


def decode(data: bytes) -> ClusterMetadata:
    """What `encode` wrote. Raises MetadataDamaged, saying what is wrong, for any other bytes."""
    if not data.startswith(_MAGIC):
        raise MetadataDamaged("it does not start as a metadata file does")
    if not data.startswith(_VERSION, len(_MAGIC)):
        raise MetadataDamaged("its version is not 1, the only one known here")
    crc_line = _CRC_LINE.match(data, len(_MAGIC) + len(_VERSION))
    if crc_line is None:
        raise MetadataDamaged("its checksum line is damaged")
    body = memoryview(data)[crc_line.end() :]
    if zlib.crc32(body) != int(crc_line[1], 16):
        raise MetadataDamaged("its content does not match its checksum")
    records_line = _RECORDS_LINE.match(data, crc_line.end())
    if records_line is None:
        raise MetadataDamaged("its record count line is damaged")
    lines = data[records_line.end() :].split(b"\n")
    if lines.pop() != b"" or len(lines) != int(records_line[1]):
        raise MetadataDamaged(f"it holds {len(lines)} records and announces {records_line[1].decode()}")
    try:
        return _decode_records(lines)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetadataDamaged(f"a record in it makes no sense: {error!r}") from error


def _decode_records(lines: list[bytes]) -> ClusterMetadata:
    cluster = json.loads(lines[0])
    topics: dict[str, TopicRecord] = {}
    for line in lines[1:]:
        topic = _decode_topic(json.loads(line))
        if topic.name in topics:
            raise ValueError(f"topic {topic.name} appears twice")
        topics[topic.name] = topic
    if len({topic.topic_id for topic in topics.values()}) != len(topics):
        raise ValueError("two topics have one id")
    brokers = {
        None if name == _DEFAULT_BROKER else int(name): _configs(values)
        for name, values in cluster["broker_configs"].items()
    }
    groups = {str(name): _configs(values) for name, values in cluster.get("group_configs", {}).items()}
    return ClusterMetadata(
        cluster_id=str(cluster["cluster_id"]),
        topics=MappingProxyType(topics),
        broker_configs=MappingProxyType(brokers),
        next_producer_id=int(cluster["next_producer_id"]),
        group_configs=MappingProxyType(groups),
    )


def _decode_topic(fields: dict[str, Any]) -> TopicRecord:
    partitions = tuple(
        PartitionRecord(tuple(replicas), tuple(isr), int(leader), int(epoch))
        for replicas, isr, leader, epoch in fields["partitions"]
    )
    return TopicRecord(
        name=str(fields["topic"]),
        topic_id=parse_uuid(fields["id"]),
        partitions=partitions,
        configs=_configs(fields["configs"]),
        materialised=int(fields["materialised"]),
        deleting=bool(fields["deleting"]),
        version=int(fields["version"]),
    )


def _configs(fields: dict[str, Any]) -> Mapping[str, str]:
    return MappingProxyType({str(key): str(value) for key, value in fields.items()})


def _line(fields: dict[str, Any]) -> bytes:
    # json.dumps escapes newlines and everything outside ASCII, so that one record is one line.
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
