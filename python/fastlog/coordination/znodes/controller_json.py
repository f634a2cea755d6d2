"""The JSON of the znodes that a controller of a cluster reads and writes (`kafka.zk.ZkData`).

Beside `node_json`, which has those of a cluster of one broker: here a partition has replicas that come and
go, and a leader that may be recovering.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastlog.base.uuids import format_uuid
from fastlog.coordination.controller.data import Assignment, Endpoint, Leadership, LiveBroker
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import feature_node, node_json

_RECOVERING: Final = 1
PROTOCOLS: Final[Mapping[str, int]] = {"PLAINTEXT": 0, "SSL": 1, "SASL_PLAINTEXT": 2, "SASL_SSL": 3}
"""`SecurityProtocol`: the numbers by the names."""
_OFFLINE_DIR: Final = 1
_ID: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_LAST_ID: Final = 2**31 - 1
_LAST_EPOCH: Final = 2**31 - 1
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LAST_PORT: Final = 2**16 - 1
_LONGEST_TEXT: Final = 2**15 - 1


class TopicNode(NamedTuple):
    """What /brokers/topics/T says. `topic_id` is None where a Kafka before 2.8 wrote it."""

    topic_id: bytes | None
    assignments: Mapping[int, Assignment]


def encode_topic(topic_id: bytes | None, assignments: Mapping[int, Assignment]) -> bytes:
    """/brokers/topics/T."""
    fields: dict[str, Any] = {
        "removing_replicas": {
            str(number): list(each.removing) for number, each in assignments.items() if each.removing
        },
        "partitions": {str(number): list(each.replicas) for number, each in assignments.items()},
        "adding_replicas": {
            str(number): list(each.adding) for number, each in assignments.items() if each.adding
        },
        "version": 3,
    }
    if topic_id is not None:
        fields["topic_id"] = format_uuid(topic_id)
    return node_json.dump(fields)


def decode_topic(path: str, data: bytes | None) -> TopicNode:
    """The same, read. Raises MetadataDamaged."""
    found = node_json.decode_topic(path, data)
    return TopicNode(
        found.topic_id,
        {
            # A broker that is named twice has one replica all the same.
            number: Assignment(
                tuple(dict.fromkeys(replicas)), found.adding.get(number, ()), found.removing.get(number, ())
            )
            for number, replicas in enumerate(found.replicas)
        },
    )


def encode_state(state: Leadership, controller_epoch: int) -> bytes:
    """/brokers/topics/T/partitions/N/state, as the controller of this epoch writes it."""
    fields: dict[str, Any] = {
        "controller_epoch": controller_epoch,
        "leader": state.leader,
        "version": 1,
        "leader_epoch": state.leader_epoch,
        "isr": list(state.isr),
    }
    if state.recovering:
        fields["leader_recovery_state"] = _RECOVERING
    return node_json.dump(fields)


def decode_state(path: str, data: bytes | None, version: int, zxid: int) -> Leadership:
    """The same, read; `version` and `zxid` are those of the node's data. Raises MetadataDamaged.

    A state in the last epoch that there is can have no successor.
    """
    fields = node_json.load(path, data)
    if fields.get("leader_epoch") == _LAST_EPOCH:
        raise MetadataDamaged(f"{path}: there is no leader epoch after {_LAST_EPOCH}")
    return Leadership(
        leader=node_json.number(path, fields.get("leader")),
        leader_epoch=node_json.number(path, fields.get("leader_epoch")),
        isr=node_json.ids(path, fields.get("isr")),
        recovering=fields.get("leader_recovery_state") == _RECOVERING,
        partition_epoch=version,
        controller_epoch=node_json.number(path, fields.get("controller_epoch")),
        zxid=zxid,
    )


def decode_broker(path: str, data: bytes | None, epoch: int) -> LiveBroker:
    """/brokers/ids/N; `epoch` is the czxid. Versions before 4 say no more than host and port.

    Raises MetadataDamaged, also for what no request can carry: all brokers are told of each other.
    """
    broker_id = broker_id_of(path.rpartition("/")[2])
    if broker_id is None:
        raise MetadataDamaged(f"{path[:200]} is of no broker")
    fields = node_json.load(path, data)
    protocols = fields.get("listener_security_protocol_map") or {}
    if not isinstance(protocols, dict):
        raise MetadataDamaged(f"{path}: the listeners' protocols are not an object")
    texts = fields.get("endpoints")
    if not isinstance(texts, list):
        texts = [f"PLAINTEXT://{fields.get('host')}:{fields.get('port')}"]
    endpoints = tuple(_endpoint(path, str(text), protocols) for text in texts)
    rack = fields.get("rack")
    text = None if rack is None else _short(path, str(rack))
    return LiveBroker(broker_id, epoch, endpoints, text, feature_node.supported(path, fields))


def broker_id_of(name: str) -> int | None:
    """The id in the name of a node below /brokers/ids; None where it is none."""
    if _ID.fullmatch(name) is None or (number := int(name)) > _LAST_ID:
        return None
    return number


def encode_reassignments(targets: Mapping[tuple[str, int], Sequence[int]]) -> bytes:
    """/admin/reassign_partitions."""
    rows = [
        {"topic": topic, "partition": number, "replicas": list(replicas)}
        for (topic, number), replicas in targets.items()
    ]
    return node_json.dump({"version": 1, "partitions": rows})


def decode_reassignments(path: str, data: bytes | None) -> dict[tuple[str, int], tuple[int, ...]]:
    """The same, read. Raises MetadataDamaged."""
    return {
        (topic, number): node_json.ids(path, row.get("replicas")) for topic, number, row in _rows(path, data)
    }


def decode_partitions(path: str, data: bytes | None) -> list[tuple[str, int]]:
    """/admin/preferred_replica_election, and the nodes below /isr_change_notification."""
    return [(topic, number) for topic, number, _ in _rows(path, data)]


def decode_log_dir_event(path: str, data: bytes | None) -> int | None:
    """The broker that has lost a log directory; None where the event is another one."""
    fields = node_json.load(path, data)
    return node_json.number(path, fields.get("broker")) if fields.get("event") == _OFFLINE_DIR else None


def _rows(path: str, data: bytes | None) -> list[tuple[str, int, Mapping[str, Any]]]:
    rows = node_json.load(path, data).get("partitions")
    if not isinstance(rows, list):
        raise MetadataDamaged(f"{path} names no partitions")
    found: list[tuple[str, int, Mapping[str, Any]]] = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("topic"), str):
            raise MetadataDamaged(f"{path}: {str(row)[:100]!r} is no partition")
        found.append((row["topic"], node_json.number(path, row.get("partition")), row))
    return found


def _endpoint(path: str, text: str, protocols: Mapping[str, Any]) -> Endpoint:
    listener, separator, address = text.partition("://")
    host, colon, port = address.rpartition(":")
    if not separator or not colon or _PORT.fullmatch(port) is None or int(port) > _LAST_PORT:
        raise MetadataDamaged(f"{path}: {text[:100]!r} is no endpoint")
    protocol = str(protocols.get(listener, listener))
    if protocol not in PROTOCOLS:
        raise MetadataDamaged(f"{path}: {protocol[:50]!r} is no security protocol")
    return Endpoint(_short(path, listener), _short(path, host.strip("[]")), int(port), PROTOCOLS[protocol])


def _short(path: str, text: str) -> str:
    if len(text.encode("utf-8")) > _LONGEST_TEXT:
        raise MetadataDamaged(f"{path}: {text[:100]!r} and so on is longer than {_LONGEST_TEXT} bytes")
    return text
