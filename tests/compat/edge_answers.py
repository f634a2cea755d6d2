"""The same requests at the edges of their types to Apache Kafka and to fastlog: where the answers differ."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.handler_modules import OF_TRANSACTIONS
from fastlog.wire import ApiKey, decode_response
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.fault.test_edge_requests import USUAL
from tests.harness.batches import batch
from tests.harness.edge_requests import Edge, edges, frame_of
from tests.harness.link import Link

# Of two brokers, or of two moments; texts for people are each broker's own.
_OWN: Final = frozenset(
    {
        *("throttle_time_ms", "port", "cluster_id", "error_message", "documentation"),
        *("log_dir", "usable_bytes", "total_bytes", "finalized_features_epoch"),
    }
)
_UNORDERED: Final = ("configs", "groups", "api_keys", "transaction_states")
_ALL_UNORDERED: Final = (ApiKey.METADATA, ApiKey.DESCRIBE_LOG_DIRS, ApiKey.ALTER_USER_SCRAM_CREDENTIALS)
_OURS: Final = "fastlog."
_UNIQUE: Final = re.compile(r"(?<![\w.])[^-]{0,80}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_FIXED_IDS: Final = (bytes(16), b"\7" * 16, b"\xff" * 16)
_TOPICS: Final = {
    ApiKey.PRODUCE: "written",
    ApiKey.CREATE_PARTITIONS: "grown",
    ApiKey.DELETE_RECORDS: "cut",
    ApiKey.DELETE_TOPICS: "gone",
    ApiKey.WRITE_TXN_MARKERS: "marked",
}
_PARTITIONS: Final = {
    ApiKey.ADD_PARTITIONS_TO_TXN: "partitions",
    ApiKey.WRITE_TXN_MARKERS: "partition_indexes",
}
_BY_ID: Final = (ApiKey.FETCH, ApiKey.CONSUMER_GROUP_HEARTBEAT)
_TRANSACTIONAL_IDS: Final = ("transactional_id", "transactional_ids", "v3_and_below_transactional_id")


# Requests that Kafka never answers, after an error of its own, and those that wait.
_UNANSWERED: Final = {
    ApiKey.PRODUCE: ("acks=0", "topic_data.partition_data.records=None"),
    ApiKey.FETCH: ("max_wait_ms=2147483647",),
    ApiKey.OFFSET_FETCH: ("groups=[]",),
    ApiKey.JOIN_GROUP: ("protocols='twice'", "protocols.metadata=b'\\xff\\xff\\x... (247)"),
    ApiKey.ALTER_CONFIGS: ("resources='twice'",),
}


@dataclass(frozen=True, slots=True)
class Known:
    """A difference that docs/protocol.md names: in which requests, and in what of their answers."""

    apis: tuple[ApiKey, ...]
    what: str
    where: str = ""

    def covers(self, key: ApiKey, what: str, difference: str) -> bool:
        """Whether this is one of them; `what` and `where` are regular expressions, searched for."""
        return key in self.apis and bool(re.search(self.what, what) and re.search(self.where, difference))


_K = ApiKey
KNOWN: Final = (
    # Of the two installations: what each has, and what was done to it so far.
    Known((_K.API_VERSIONS,), "", r"^\.(api_keys|supported_features|finalized_features)"),
    Known((_K.LIST_GROUPS,), "", r"^\.groups"),
    Known((_K.DESCRIBE_LOG_DIRS,), "", r"\.partition_size"),
    # Offsets of version 0 are those of ZooKeeper in Kafka.
    Known((_K.OFFSET_COMMIT, _K.OFFSET_FETCH), "", "UNSUPPORTED_VERSION"),
    # What is done at once needs no time.
    Known((_K.CREATE_TOPICS, _K.DELETE_TOPICS, _K.CREATE_PARTITIONS), "^timeout_ms=", "REQUEST_TIMED_OUT"),
    # What is asked for twice.
    Known((_K.PRODUCE, _K.OFFSET_COMMIT, _K.DELETE_RECORDS), "='twice'"),
    Known((_K.DELETE_RECORDS, _K.OFFSET_COMMIT), r"partitions=\[\]"),
    Known(
        (_K.OFFSET_FETCH, _K.DESCRIBE_CONFIGS, _K.INCREMENTAL_ALTER_CONFIGS), "^(groups|resources)='twice'"
    ),
    Known((_K.DESCRIBE_GROUPS, _K.DESCRIBE_PRODUCERS, _K.DESCRIBE_TRANSACTIONS), r"=\['t', 't'\]|=\[0, 0\]"),
    Known((_K.LIST_OFFSETS,), "='twice'", "INVALID_REQUEST"),
    # Of several faults another one is told.
    Known((_K.CREATE_TOPICS,), "assignments='twice'", "INVALID_CONFIG"),
    Known((_K.ALTER_USER_SCRAM_CREDENTIALS,), r"^deletions\.mechanism=", "RESOURCE_NOT_FOUND"),
    # To a client the same.
    Known((_K.FETCH,), "", r"aborted_transactions: Kafka (\[\]|None)"),
    Known((_K.FETCH, _K.PRODUCE), r"=.\\ue000", "name|topic"),
    Known((_K.OFFSET_FOR_LEADER_EPOCH,), "leader_epoch=-2"),
)


class Side:
    """One broker: sends edges one by one, and gives answers in a comparable form."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._link: Link | None = None
        self._sorts = False
        with Link(port, timeout=60) as link:
            metadata: Any = link.call(MetadataRequest([MetadataRequestTopic(name="t")]), 12)
        self.topic_id = bytes(metadata.topics[0].topic_id)

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._link is not None:
            self._link.socket.close()
            self._link = None

    def edges(self, key: ApiKey, versions: range, prefix: str, fresh: bool = False) -> Iterator[Edge]:
        """The requests of one API; the same of every side, but for ids of topics.

        Groups are new in each request, their names begin with `prefix`; with `fresh`, topics are too.
        """
        numbers = itertools.count()
        special: dict[str, Any] = {"records": batch(b"value"), "acks": 1}

        def usual(name: str) -> Any:
            if name in ("group", "group_id"):
                return f"{prefix}-{next(numbers)}"
            if name == "topic_id":
                return self.topic_id if key in _BY_ID else None
            if name == _PARTITIONS.get(key):
                return [0]
            if key in OF_TRANSACTIONS and name in _TRANSACTIONAL_IDS:
                return "t"
            value = special.get(name, USUAL.get(name))
            if fresh and value == "t":
                return f"{prefix}.{next(numbers)}"
            return _TOPICS.get(key, value) if value == "t" else value

        for edge in edges(key, versions[0], versions[-1], usual):
            if edge.what not in _UNANSWERED.get(key, ()):
                yield edge

    def ask(self, key: ApiKey, edge: Edge) -> Any:
        """The answer: fields by name, or `closed`, or `silent` after 20 seconds."""
        if self._link is None:
            self._link = Link(self._port, timeout=20)
        try:
            self._link.socket.sendall(frame_of(edge, 7, "edge"))
            _, response = decode_response(key, edge.version, self._link.receive_frame())
        except TimeoutError:
            self.close()
            return "silent"
        except ConnectionError:
            self.close()
            return "closed"
        self._sorts = key in _ALL_UNORDERED
        return self._plain(response, "")

    def _plain(self, value: Any, name: str) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {
                item.name: self._plain(getattr(value, item.name), item.name)
                for item in fields(value)
                if item.name not in _OWN
            }
        if isinstance(value, list):
            rows = [self._plain(item, name) for item in value if not _is_own(item)]
            return sorted(rows, key=repr) if self._sorts or name in _UNORDERED else rows
        if isinstance(value, (bytes, memoryview)):
            data = bytes(value)
            if name == "topic_id":
                return "t" if data == self.topic_id else data if data in _FIXED_IDS else "another"
            return data
        if isinstance(value, str):
            return _UNIQUE.sub("unique", value)
        if name in ("session_id", "producer_id", "base_offset"):
            return "some" if value > 0 else value
        return ErrorCode.of(value).name if name == "error_code" else value


def _is_own(item: Any) -> bool:
    name = getattr(item, "name", "")
    return isinstance(name, str) and name.startswith(_OURS)


def surprises(key: ApiKey, edge: Edge, kafka: Any, fastlog: Any) -> Iterator[str]:
    """Differences that are not known. Where Kafka fails there is nothing to compare with."""
    if isinstance(kafka, str) or "UNKNOWN_SERVER_ERROR" in repr(kafka):
        return
    for found in differences(kafka, fastlog):
        if not any(known.covers(key, edge.what, found) for known in KNOWN):
            yield f"version {edge.version}, {edge.what} {found}"


def differences(kafka: Any, fastlog: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ, and how."""
    if isinstance(kafka, dict) and isinstance(fastlog, dict):
        for name in kafka:
            yield from differences(kafka[name], fastlog[name], f"{path}.{name}")
    elif isinstance(kafka, list) and isinstance(fastlog, list) and len(kafka) == len(fastlog):
        for index, pair in enumerate(zip(kafka, fastlog, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif kafka != fastlog:
        yield f"{path}: Kafka {_short(kafka)}, fastlog {_short(fastlog)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}..."
