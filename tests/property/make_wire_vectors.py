"""Known-answer frames of Produce and Fetch for the Rust tests, made with kio's codec.

Run as a program, it rewrites `rust/fastlog-core/tests/vectors/wire.txt`: one line per frame (without its
length prefix) with the API, the direction, the version, the name of the case and the bytes in hex. The values
in here are repeated by `rust/fastlog-core/tests/wire_vectors`, so that those tests need no Python.
"""

import dataclasses
import datetime
import importlib
import io
import typing
import uuid
from collections.abc import Iterator
from pathlib import Path

from kio.schema.errors import ErrorCode
from kio.serial import entity_writer

VECTORS = Path(__file__).parents[2] / "rust" / "fastlog-core" / "tests" / "vectors" / "wire.txt"

PRODUCE_VERSIONS = range(3, 12)
FETCH_VERSIONS = range(4, 18)

Value = typing.Any
"""Plain values in the shape of a message: dicts of fields, lists, numbers, strings and bytes."""


def pattern(length: int) -> bytes:
    """Record bytes: Produce and Fetch do not look into them."""
    return bytes((7 * at + length) % 256 for at in range(length))


ORDERS = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
AUDIT = uuid.UUID("f0000000-0000-0000-0000-00000000000f")
RETIRED = uuid.UUID("00000000-0000-4000-8000-000000000001")
DIRECTORY = uuid.UUID("dddddddd-dddd-dddd-dddd-dddddddddddd")

NODE_ENDPOINTS = [
    {"node_id": 2, "host": "host-2.example", "port": 9093, "rack": "rack-b"},
    {"node_id": 3, "host": "host-3.example", "port": 9094, "rack": None},
]

PRODUCE_REQUESTS: dict[str, Value] = {
    "full": {
        "transactional_id": "tx-1",
        "acks": -1,
        "timeout": 1500,
        "topic_data": [
            {
                "name": "orders",
                "partition_data": [
                    {"index": 0, "records": pattern(64)},
                    {"index": 7, "records": None},
                ],
            },
            {"name": "événements", "partition_data": [{"index": 1, "records": pattern(200)}]},
        ],
    },
    "plain": {
        "transactional_id": None,
        "acks": 1,
        "timeout": 30_000,
        "topic_data": [{"name": "t", "partition_data": [{"index": 3, "records": pattern(20)}]}],
    },
    "empty": {"transactional_id": None, "acks": 0, "timeout": 0, "topic_data": []},
}

PRODUCE_RESPONSES: dict[str, Value] = {
    "full": {
        "responses": [
            {
                "name": "orders",
                "partition_responses": [
                    {
                        "index": 0,
                        "error_code": 0,
                        "base_offset": 42,
                        "log_append_time": 1_700_000_000_000,
                        "log_start_offset": 7,
                        "record_errors": [],
                        "error_message": None,
                    },
                    {
                        "index": 7,
                        "error_code": 87,
                        "base_offset": -1,
                        "log_append_time": None,
                        "log_start_offset": 7,
                        "record_errors": [
                            {"batch_index": 0, "batch_index_error_message": "no key"},
                            {"batch_index": 3, "batch_index_error_message": None},
                        ],
                        "error_message": "some records have no key",
                    },
                ],
            },
            {
                "name": "événements",
                "partition_responses": [
                    {
                        "index": 1,
                        "error_code": 6,
                        "base_offset": -1,
                        "log_append_time": None,
                        "log_start_offset": -1,
                        "record_errors": [],
                        "error_message": None,
                        "current_leader": {"leader_id": 2, "leader_epoch": 9},
                    },
                ],
            },
        ],
        "throttle_time": 250,
        "node_endpoints": NODE_ENDPOINTS,
    },
    "plain": {
        "responses": [
            {
                "name": "t",
                "partition_responses": [
                    {
                        "index": 3,
                        "error_code": 0,
                        "base_offset": 2**40,
                        "log_append_time": None,
                        "log_start_offset": 0,
                        "record_errors": [],
                        "error_message": None,
                    }
                ],
            }
        ],
        "throttle_time": 0,
    },
    "empty": {"responses": [], "throttle_time": 0},
}

FETCH_REQUESTS: dict[str, Value] = {
    "full": {
        "cluster_id": "cluster-x",
        "replica_id": 5,
        "replica_state": {"replica_id": 5, "replica_epoch": 77},
        "max_wait": 500,
        "min_bytes": 1,
        "max_bytes": 52_428_800,
        "isolation_level": 1,
        "session_id": 123,
        "session_epoch": 4,
        "topics": [
            {
                "topic": "orders",
                "topic_id": ORDERS,
                "partitions": [
                    {
                        "partition": 0,
                        "current_leader_epoch": 3,
                        "fetch_offset": 100,
                        "last_fetched_epoch": 2,
                        "log_start_offset": 10,
                        "partition_max_bytes": 1_048_576,
                        "replica_directory_id": DIRECTORY,
                    },
                    {
                        "partition": 5,
                        "current_leader_epoch": -1,
                        "fetch_offset": 2**40,
                        "last_fetched_epoch": -1,
                        "log_start_offset": -1,
                        "partition_max_bytes": 1,
                    },
                ],
            },
            {
                "topic": "audit",
                "topic_id": AUDIT,
                "partitions": [
                    {
                        "partition": 1,
                        "current_leader_epoch": 0,
                        "fetch_offset": 0,
                        "last_fetched_epoch": 0,
                        "log_start_offset": 0,
                        "partition_max_bytes": 2**31 - 1,
                    }
                ],
            },
        ],
        "forgotten_topics_data": [{"topic": "retired", "topic_id": RETIRED, "partitions": [1, 2, 300]}],
        "rack_id": "rack-a",
    },
    "consumer": {
        "replica_id": -1,
        "max_wait": 100,
        "min_bytes": 65_536,
        "max_bytes": 2**31 - 1,
        "isolation_level": 0,
        "session_id": 0,
        "session_epoch": -1,
        "topics": [],
        "forgotten_topics_data": [],
        "rack_id": "",
    },
}

FETCH_RESPONSES: dict[str, Value] = {
    "full": {
        "throttle_time": 10,
        "error_code": 0,
        "session_id": 123,
        "responses": [
            {
                "topic": "orders",
                "topic_id": ORDERS,
                "partitions": [
                    {
                        "partition_index": 0,
                        "error_code": 0,
                        "high_watermark": 200,
                        "last_stable_offset": 150,
                        "log_start_offset": 10,
                        "aborted_transactions": [
                            {"producer_id": 9, "first_offset": 110},
                            {"producer_id": 2**40, "first_offset": 120},
                        ],
                        "preferred_read_replica": -1,
                        "records": pattern(300),
                    },
                    {
                        "partition_index": 5,
                        "error_code": 0,
                        "high_watermark": 50,
                        "last_stable_offset": 50,
                        "log_start_offset": 0,
                        "diverging_epoch": {"epoch": 4, "end_offset": 33},
                        "aborted_transactions": None,
                        "preferred_read_replica": 2,
                        "records": b"",
                    },
                ],
            },
            {
                "topic": "audit",
                "topic_id": AUDIT,
                "partitions": [
                    {
                        "partition_index": 1,
                        "error_code": 6,
                        "high_watermark": -1,
                        "last_stable_offset": -1,
                        "log_start_offset": -1,
                        "current_leader": {"leader_id": 3, "leader_epoch": 12},
                        "snapshot_id": {"end_offset": 77, "epoch": 6},
                        "aborted_transactions": [],
                        "preferred_read_replica": -1,
                        "records": b"",
                    }
                ],
            },
        ],
        "node_endpoints": NODE_ENDPOINTS,
    },
    "error": {"throttle_time": 0, "error_code": 70, "session_id": 0, "responses": []},
}


class Case(typing.NamedTuple):
    """One frame."""

    api: str
    direction: str
    version: int
    name: str
    values: Value
    payload: bytes


def _entity_class(annotation: Value) -> Value:
    """The message class inside `tuple[Class, ...] | None` and the like; None for plain types."""
    if dataclasses.is_dataclass(annotation):
        return annotation
    return next(filter(None, map(_entity_class, typing.get_args(annotation))), None)


def _converted(value: Value, annotation: Value) -> Value:
    """`value` as the type that kio declares for the field."""
    if isinstance(value, list):
        return tuple(_converted(item, annotation) for item in value)
    if isinstance(value, dict):
        return _entity(_entity_class(annotation), value)
    return value


def _entity(cls: Value, values: dict[str, Value]) -> Value:
    """A kio object; fields that this version does not have are left out."""
    hints = typing.get_type_hints(cls)
    fields = {}
    for field in dataclasses.fields(cls):
        if field.name not in values:
            continue
        value = values[field.name]
        if field.name == "error_code":
            value = ErrorCode(value)
        elif field.name == "log_append_time" and value is not None:
            value = datetime.datetime.fromtimestamp(value / 1000, tz=datetime.UTC)
        elif field.name in {"timeout", "max_wait", "throttle_time"}:
            value = datetime.timedelta(milliseconds=value)
        fields[field.name] = _converted(value, hints[field.name])
    return cls(**fields)


def _written(entity: Value) -> bytes:
    buffer = io.BytesIO()
    entity_writer(type(entity))(buffer, entity)
    return buffer.getvalue()


def _payload(api: str, direction: str, version: int, values: Value, correlation_id: int) -> bytes:
    module = importlib.import_module(f"kio.schema.{api}.v{version}.{direction}")
    cls = getattr(module, f"{api.capitalize()}{direction.capitalize()}")
    header = cls.__header_schema__
    fields: dict[str, Value] = {"correlation_id": correlation_id}
    if direction == "request":
        fields |= {
            "request_api_key": cls.__api_key__,
            "request_api_version": version,
            "client_id": None if correlation_id % 2 else "client-é",
        }
    return _written(header(**fields)) + _written(_entity(cls, values))


def cases() -> Iterator[Case]:
    """Every case in every version that has it."""
    for api, versions, requests, responses in (
        ("produce", PRODUCE_VERSIONS, PRODUCE_REQUESTS, PRODUCE_RESPONSES),
        ("fetch", FETCH_VERSIONS, FETCH_REQUESTS, FETCH_RESPONSES),
    ):
        for direction, messages in (("request", requests), ("response", responses)):
            for version in versions:
                for name, values in messages.items():
                    payload = _payload(api, direction, version, values, 1000 * version + len(name))
                    yield Case(api, direction, version, name, values, payload)


def vectors_text() -> str:
    """The text of the vectors file."""
    lines = ["# Made by tests/property/make_wire_vectors.py: api direction version case payload"]
    lines.extend(f"{c.api} {c.direction} {c.version} {c.name} {c.payload.hex()}" for c in cases())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    VECTORS.parent.mkdir(parents=True, exist_ok=True)
    VECTORS.write_text(vectors_text(), encoding="utf-8")
