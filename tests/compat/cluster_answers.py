"""Requests to the brokers of a cluster, and their answers in a form to set beside another cluster's."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import TracebackType
from typing import Any, Final, Self

from fastlog.errors import ErrorCode
from fastlog.wire import Request
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.schema import struct_fields
from tests.cluster.cluster import Cluster
from tests.cluster.tree_state import TreeState
from tests.harness.batches import records
from tests.harness.link import Link
from tests.harness.net import wait_for_port
from tests.harness.waiting import wait_until

Answers = dict[str, tuple[str, Any]]
"""By the name of the request: in which act it was asked, and the answer."""

NOWHERE: Final = b"\7" * 16
"""The id of no topic."""
_NO_ID: Final = bytes(16)
# Of two installations, or of two moments.
_OWN: Final = frozenset(
    {"throttle_time_ms", "cluster_id", "total_bytes", "usable_bytes", "session_id", "error_message"}
)
_SETS: Final = ("isr_nodes", "offline_replicas", "isr")
_OURS: Final = ("fastlog.durability",)
_IDS: Final = ("producer_id_start",)


class Stage:
    """A cluster of three whose first member is the controller; `answers` are what it has said so far."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.answers: Answers = {}
        self.act = ""
        self.topic_ids: dict[str, bytes] = {}
        self.down: set[int] = set()
        self.doomed: set[str] = set()
        """Topics that are being deleted: what the tree says of them is each controller's own affair."""
        self._links: dict[int, Link] = {}

    def __enter__(self) -> Self:
        for number in self.cluster.members:
            self._wait_for_port(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in [*self._links]:
            self._close(number)

    def ask(self, name: str, node: int, request: Request, version: int) -> Any:
        """Asks a member, and keeps what it says under a name of its own. Returns the answer itself."""
        key = f"{name}, {type(request).__name__.removesuffix('Request')} {version} at {node}"
        assert key not in self.answers, key
        try:
            answer = self.call(node, request, version)
        except (ConnectionError, TimeoutError, struct.error) as error:
            self._close(node)
            end = "silence" if isinstance(error, TimeoutError) else "end of the connection"
            self.answers[key] = self.act, end
            return None
        self.answers[key] = self.act, self._plain(answer, "")
        return answer

    def call(self, node: int, request: Request, version: int) -> Any:
        """The answer, which is not kept."""
        if node not in self._links:
            self._links[node] = Link(self.cluster.members[node].port, timeout=40)
        return self._links[node].call(fitting(request, version), version)

    def stop(self, *nodes: int) -> None:
        """Controlled shutdowns, one after the other; returns when those who are left know of them."""
        for node in nodes:
            self._close(node)
            self.cluster.stop(node)
            self.down.add(node)
            self.cluster.wait_gone(node)
        self.settle()

    def start(self, *nodes: int) -> None:
        """The contrary."""
        for node in nodes:
            self.cluster.start(node)
            self.down.discard(node)
            self._wait_for_port(node)

    def _wait_for_port(self, node: int) -> None:
        """Kafka's brokers register before they listen."""
        wait_for_port("127.0.0.1", self.cluster.members[node].port, timeout=60)

    def settle(self, found: Callable[[TreeState], bool] = lambda _: True) -> None:
        """Returns when the tree is so, and each member that runs says of all what the tree does."""
        live = [number for number in self.cluster.members if number not in self.down]
        last: list[Any] = []

        def settled() -> bool:
            state = self.cluster.look()
            last[:] = [self._expected(state), *(self._seen(number) for number in live)]
            return found(state) and all(seen == last[0] for seen in last)

        wait_until(settled, lambda: f"the members do not agree: {last}", seconds=60)

    def _expected(self, state: TreeState) -> Any:
        live = set(state.brokers)
        return live, {
            key: (
                part.leader if part.leader in live else -1,
                part.leader_epoch,
                frozenset(part.isr),
                part.replicas,
            )
            for key, part in state.partitions.items()
            if key[0] not in self.doomed
        }

    def _seen(self, number: int) -> Any:
        answer = self.call(number, MetadataRequest(None, False), 12)
        for topic in answer.topics:
            self.topic_ids[topic.name] = bytes(topic.topic_id)
        return {broker.node_id for broker in answer.brokers}, {
            (topic.name, part.partition_index): (
                part.leader_id,
                part.leader_epoch,
                frozenset(part.isr_nodes),
                tuple(part.replica_nodes),
            )
            for topic in answer.topics
            if topic.name not in self.doomed
            for part in topic.partitions
        }

    def topic_id(self, name: str) -> bytes:
        """The id of a topic that is there, or was."""
        if name not in self.topic_ids:
            asked = MetadataRequest([MetadataRequestTopic(name=name)], False)
            for topic in self.call(1, asked, 12).topics:
                self.topic_ids[name] = bytes(topic.topic_id)
        return self.topic_ids[name]

    def _close(self, node: int) -> None:
        if node in self._links:
            self._links.pop(node).socket.close()

    # -- the comparable form --------------------

    def _plain(self, value: Any, name: str) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            rows = {
                item.name: self._plain(getattr(value, item.name), item.name)
                for item in fields(value)
                if item.name not in _OWN
            }
            return {key: row for key, row in rows.items() if row != []}
        if isinstance(value, list):
            # A setting of our own.
            plain = [self._plain(item, name) for item in value if getattr(item, "name", "") not in _OURS]
            # Kafka's maps give no order that anybody could rely on.
            unordered = name in _SETS or (plain and isinstance(plain[0], dict))
            return sorted(plain, key=repr) if unordered else plain
        if isinstance(value, (bytes, memoryview)):
            return self._plain_bytes(bytes(value), name)
        if isinstance(value, str):
            return self._plain_text(value)
        if isinstance(value, bool):
            return value
        if name == "port":
            ports = {member.port: number for number, member in self.cluster.members.items()}
            return f"of {ports[value]}" if value in ports else value
        if name in _IDS:
            return "some" if value > 0 else value
        return ErrorCode.of(value).name if name.endswith("error_code") else value

    def _plain_bytes(self, data: bytes, name: str) -> Any:
        if name == "records":
            return [f"{offset}: {(text or b'').decode()}" for offset, text in records(data)]
        if data in (_NO_ID, NOWHERE):
            return "no id" if data == _NO_ID else "that of no topic"
        return next((f"of {topic}" for topic, known in self.topic_ids.items() if known == data), "new")

    def _plain_text(self, value: str) -> Any:
        for number, member in self.cluster.members.items():
            value = value.replace(str(member.data_dir), f"DATA {number}")
        return value


def fitting(value: Any, version: int) -> Any:
    """A message without the fields that a version does not have."""
    given: dict[str, Any] = {}
    for field in struct_fields(type(value)):
        if version in field.wire.versions:
            item = getattr(value, field.name)
            if field.wire.struct is not None and item is not None:
                parts = [fitting(part, version) for part in item] if isinstance(item, list) else None
                item = fitting(item, version) if parts is None else parts
            given[field.name] = item
    return type(value)(**given)


def differences(kafka: Mapping[str, Any], fastlog: Mapping[str, Any]) -> list[str]:
    """Where answers differ, field by field."""
    found = [f"{name}: asked of one alone" for name in kafka.keys() ^ fastlog.keys()]
    for name in kafka.keys() & fastlog.keys():
        found += [f"{name}: {line}" for line in _differences(kafka[name], fastlog[name], "")]
    return sorted(found)


def _differences(kafka: Any, fastlog: Any, path: str) -> list[str]:
    if isinstance(kafka, dict) and isinstance(fastlog, dict):
        pairs = [(f".{key}", kafka.get(key), fastlog.get(key)) for key in sorted({*kafka, *fastlog})]
    elif isinstance(kafka, list) and isinstance(fastlog, list) and len(kafka) == len(fastlog):
        pairs = [(f"[{index}]", *pair) for index, pair in enumerate(zip(kafka, fastlog, strict=True))]
    else:
        return [f"{path} Kafka {kafka}, fastlog {fastlog}"] if kafka != fastlog else []
    return [line for step, one, two in pairs for line in _differences(one, two, path + step)]
