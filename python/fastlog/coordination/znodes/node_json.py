"""The JSON of Kafka's znodes (`kafka.zk.ZkData`): compact, keys in Kafka's order, unknown keys ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastlog.base.uuids import format_uuid, parse_uuid
from fastlog.coordination.store import MetadataDamaged, PartitionRecord

_MAX_ID: Final = 2**31 - 1
NO_FEATURES: Final = b'{"version":2,"status":1,"features":{}}'
"""/feature of a cluster that has finalized none."""


class Assignment(NamedTuple):
    """What /brokers/topics/T says. `topic_id` is None where a Kafka before 2.8 wrote it."""

    replicas: tuple[tuple[int, ...], ...]
    topic_id: bytes | None
    adding: Mapping[int, tuple[int, ...]]
    removing: Mapping[int, tuple[int, ...]]


def dump(value: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def load(path: str, data: bytes | None) -> dict[str, Any]:
    """The JSON object of a node, with texts that are Unicode. Raises MetadataDamaged."""
    try:
        value = json.loads(data or b"")
        if data is not None and b"\\u" in data:
            # What is escaped may be half a character, which nothing can be sent with, or logged.
            dump(value)
    except (ValueError, RecursionError) as error:
        raise MetadataDamaged(f"{path} holds no JSON: {error}") from None
    if not isinstance(value, dict):
        raise MetadataDamaged(f"{path} holds no JSON object")
    return value


def encode_cluster_id(cluster_id: str) -> bytes:
    """/cluster/id. The version is a text, as Kafka has it."""
    return dump({"version": "1", "id": cluster_id})


def decode_cluster_id(path: str, data: bytes | None) -> str:
    """The cluster's id."""
    found = load(path, data).get("id")
    if not isinstance(found, str) or not found:
        raise MetadataDamaged(f"{path} names no id")
    return found


def encode_topic(topic_id: bytes, partitions: Sequence[PartitionRecord]) -> bytes:
    """/brokers/topics/T."""
    return dump(
        {
            "removing_replicas": {},
            "partitions": {
                str(number): list(partition.replicas) for number, partition in enumerate(partitions)
            },
            "topic_id": format_uuid(topic_id),
            "adding_replicas": {},
            "version": 3,
        }
    )


def decode_topic(path: str, data: bytes | None) -> Assignment:
    """The assignment of a topic. Raises MetadataDamaged."""
    fields = load(path, data)
    partitions = fields.get("partitions")
    if not isinstance(partitions, dict):
        raise MetadataDamaged(f"{path} names no partitions")
    replicas = _by_number(path, partitions)
    if sorted(replicas) != list(range(len(replicas))):
        raise MetadataDamaged(f"{path}: partitions {sorted(replicas)[:20]} are not numbered from 0")
    return Assignment(
        tuple(replicas[number] for number in range(len(replicas))),
        _topic_id(path, fields.get("topic_id")),
        _by_number(path, fields.get("adding_replicas") or {}),
        _by_number(path, fields.get("removing_replicas") or {}),
    )


def encode_state(partition: PartitionRecord, controller_epoch: int) -> bytes:
    """/brokers/topics/T/partitions/N/state."""
    return dump(
        {
            "controller_epoch": controller_epoch,
            "leader": partition.leader,
            "version": 1,
            "leader_epoch": partition.leader_epoch,
            "isr": list(partition.isr),
        }
    )


def decode_state(path: str, data: bytes | None, replicas: tuple[int, ...]) -> PartitionRecord:
    """The state of a partition with these replicas. Raises MetadataDamaged."""
    fields = load(path, data)
    return PartitionRecord(
        replicas=replicas,
        isr=ids(path, fields.get("isr")),
        leader=number(path, fields.get("leader")),
        leader_epoch=number(path, fields.get("leader_epoch")),
    )


def encode_config(configs: Mapping[str, str]) -> bytes:
    """/config/TYPE/NAME."""
    return dump({"version": 1, "config": dict(configs)})


def decode_config(path: str, data: bytes | None) -> dict[str, str]:
    """The overrides of an entity; a node without data has none, as in Kafka."""
    if not data:
        return {}
    config = load(path, data).get("config")
    if not isinstance(config, dict):
        raise MetadataDamaged(f"{path} has no config")
    return {str(name): str(value) for name, value in config.items()}


def encode_config_change(entity_path: str) -> bytes:
    """/config/changes/config_change_N."""
    return dump({"version": 2, "entity_path": entity_path})


def encode_producer_ids(node_id: int, first: int, count: int) -> bytes:
    """/latest_producer_id_block: the block that was given out last. The ids are texts."""
    return dump(
        {"version": 1, "broker": node_id, "block_start": str(first), "block_end": str(first + count - 1)}
    )


def decode_next_producer_id(path: str, data: bytes | None) -> int:
    """The first id that no block has had yet."""
    if not data:
        return 0
    try:
        return int(load(path, data)["block_end"]) + 1
    except (KeyError, TypeError, ValueError):
        raise MetadataDamaged(f"{path} names no block of producer ids") from None


def encode_controller(node_id: int, now_ms: int) -> bytes:
    """/controller."""
    return dump({"version": 2, "brokerid": node_id, "timestamp": str(now_ms), "kraftControllerEpoch": -1})


def decode_controller(path: str, data: bytes | None) -> int:
    """The node id of the controller."""
    return number(path, load(path, data).get("brokerid"))


def encode_broker(
    endpoints: Sequence[tuple[str, str, int, str]],
    rack: str | None,
    now_ms: int,
    features: Mapping[str, Mapping[str, int]] | None = None,
) -> bytes:
    """/brokers/ids/N. `endpoints` are (listener, host, port, security protocol), as they are advertised;
    `features` those that can be finalized (`feature_node.registered`)."""
    plain = next((entry for entry in endpoints if entry[3] == "PLAINTEXT"), None)
    fields: dict[str, Any] = {
        "features": features or {},
        "listener_security_protocol_map": {name: protocol for name, _, _, protocol in endpoints},
        "endpoints": [f"{name}://{_bracketed(host)}:{port}" for name, host, port, _ in endpoints],
        "jmx_port": -1,
        "port": -1 if plain is None else plain[2],
        "host": None if plain is None else plain[1],
        "version": 5,
        "timestamp": str(now_ms),
    }
    if rack is not None:
        fields["rack"] = rack
    return dump(fields)


def encode_log_dir_event(node_id: int) -> bytes:
    """/log_dir_event_notification/log_dir_event_N: a log directory of the broker has failed."""
    return dump({"version": 1, "broker": node_id, "event": 1})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _topic_id(path: str, text: object) -> bytes | None:
    if text is None:
        return None
    try:
        return parse_uuid(str(text))
    except ValueError as error:
        raise MetadataDamaged(f"{path}: {error}") from None


def _by_number(path: str, value: object) -> dict[int, tuple[int, ...]]:
    if not isinstance(value, dict):
        raise MetadataDamaged(f"{path}: replicas by partition are not an object")
    try:
        return {int(partition): ids(path, listed) for partition, listed in value.items()}
    except ValueError:
        raise MetadataDamaged(f"{path}: a partition has no number") from None


def ids(path: str, value: object) -> tuple[int, ...]:
    """A list of broker ids. Raises MetadataDamaged."""
    if not isinstance(value, list):
        raise MetadataDamaged(f"{path}: replicas are not a list")
    return tuple(number(path, entry) for entry in value)


def number(path: str, value: object) -> int:
    """An id or epoch, -1 for none. Raises MetadataDamaged."""
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value <= _MAX_ID:
        raise MetadataDamaged(f"{path}: {str(value)[:100]!r} is no id or epoch")
    return value
