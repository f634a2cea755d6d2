"""What a broker writes of topics and configs: the nodes that `AdminZkClient` of Kafka 3.9 writes.

| change          | nodes, in one multi                                                               |
|-----------------|-----------------------------------------------------------------------------------|
| a topic is made | /config/topics/T, /brokers/topics/T; states are the controller's                   |
| it grows        | /brokers/topics/T, at the version that was read                                   |
| it is deleted   | /admin/delete_topics/T: the controller does the rest                              |
| configs         | a check of /controller, /config/TYPE/NAME, /config/changes/config_change_N        |

What the controller itself writes is fenced by /controller_epoch. When the connection breaks before the answer
comes, the tree is looked at: a topic with the id that was made up for it has been made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final

from fastlog.base.uuids import ZERO_UUID
from fastlog.coordination.assignment import Racks
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.config_changes import unknown_topic
from fastlog.coordination.controller.data import Assignment
from fastlog.coordination.member.controller_here import ControllerHere
from fastlog.coordination.member.tree import LOST, MemberTree
from fastlog.coordination.store import MetadataDamaged, PartitionRecord, StoreError, TopicRecord
from fastlog.coordination.topic_names import topic_name_problem
from fastlog.coordination.topic_plan import MorePartitions, plan_more_partitions
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import BadVersion, NodeExists, NoNode, ZkError
from fastlog.coordination.zookeeper.requests import Check, Create, Delete, SetData
from fastlog.errors import ErrorCode, KafkaError

_TRIES: Final = 5
_TOPICS_AT_ONCE: Final = 500

Part = Check | Create | Delete | SetData


class TopicWrites:
    """Used on the event loop; topics are independent of each other. All methods raise KafkaError.

    While `has_room` says that there is none, nothing new is stored. What ends a change that is stored still
    is, and topics can be deleted.
    """

    def __init__(
        self, tree: MemberTree, controller: ControllerHere, has_room: Callable[[], bool] = lambda: True
    ) -> None:
        self._tree = tree
        self._controller = controller
        self._has_room = has_room

    async def create(self, topics: Sequence[TopicRecord], *, fenced: bool) -> dict[str, KafkaError]:
        """Makes topics; returns why some could not be made: TOPIC_ALREADY_EXISTS, NOT_CONTROLLER,
        KAFKA_STORAGE_ERROR."""

        async def made(topic: TopicRecord) -> KafkaError | None:
            try:
                await self._create(topic, fence)
            except KafkaError as error:
                return error
            return None

        self._check_room()
        fence = await self._fence() if fenced else []
        outcomes = await asyncio.gather(*map(made, topics))
        self._controller.topics_written()
        return {topic.name: error for topic, error in zip(topics, outcomes, strict=True) if error is not None}

    async def grow(self, wanted: MorePartitions, topic_id: bytes, racks: Racks, *, store: bool = True) -> int:
        """Adds partitions to a topic; gives how many it has then. With `store` false it is only checked.

        `racks` are those of the live brokers, in the order of their ids.

        Errors: UNKNOWN_TOPIC_OR_PARTITION (also when the name is that of a topic with another id now),
        INVALID_TOPIC_EXCEPTION (it is being deleted), REASSIGNMENT_IN_PROGRESS, NOT_CONTROLLER, those of
        `plan_more_partitions`.
        """
        self._check_room()
        path, unanswered = paths.topic(wanted.name), b""
        for _ in range(_TRIES):
            fence = await self._fence()
            node, mark = await self._read(path, paths.deletion(wanted.name))
            if mark is not None:
                # Its controller would take the new partitions back.
                raise being_deleted(wanted.name)
            if node is None:
                raise unknown_topic(wanted.name)
            if unanswered and node[0] == unanswered:
                self._controller.topics_written()
                return wanted.total
            now = controller_json.decode_topic(path, node[0])
            if now.topic_id not in (None, topic_id) and topic_id != ZERO_UUID:
                raise unknown_topic(wanted.name)
            if any(assignment.adding or assignment.removing for assignment in now.assignments.values()):
                raise KafkaError(
                    ErrorCode.REASSIGNMENT_IN_PROGRESS,
                    f"partitions of topic '{wanted.name}' are being moved: it can grow when that is done",
                )
            existing = [
                PartitionRecord(now.assignments[number].replicas, (), -1)
                for number in range(len(now.assignments))
            ]
            added = plan_more_partitions(existing, wanted.total, [*racks], wanted.assignments, racks)
            if not store:
                return wanted.total
            more = {number: Assignment(part.replicas) for number, part in enumerate(added, len(existing))}
            data = controller_json.encode_topic(now.topic_id, {**now.assignments, **more})
            try:
                await self._write([*fence, SetData(path, data, node[1])], fence)
            except (BadVersion, NoNode):
                # Somebody else was first: the next look tells.
                continue
            except LOST:
                unanswered = data
                continue
            self._controller.topics_written()
            return wanted.total
        raise _storage_error("the topic is changed by others again and again")

    async def delete(self, names: Sequence[str]) -> dict[str, KafkaError]:
        """Has the controller delete topics; returns for which that could not be written."""

        async def marked(name: str) -> KafkaError | None:
            for _ in range(_TRIES):
                try:
                    await self._write([*fence, Create(paths.deletion(name))], fence)
                except NodeExists:
                    return None
                except NoNode:
                    await self._ensure(paths.DELETIONS)
                except LOST:
                    continue
                except KafkaError as error:
                    return error
                else:
                    return None
            return _storage_error("the connection to ZooKeeper breaks again and again")

        fence = await self._fence()
        outcomes = await asyncio.gather(*map(marked, names))
        self._controller.topics_written()
        return {name: error for name, error in zip(names, outcomes, strict=True) if error is not None}

    async def is_being_deleted(self, name: str) -> bool:
        """Whether the controller is to delete a topic, or does so: no broker shows it any more then."""
        if topic_name_problem(name) is not None:
            return False
        (node,) = await self._read(paths.deletion(name))
        return node is not None

    async def bring_back(self, topics: Sequence[TopicState]) -> None:
        """Makes the nodes of topics again that somebody has removed, as they are known here.

        The controller deletes only what has nodes; and what it does not know nobody would delete.
        """
        missing = await self.missing([topic.name for topic in topics])
        if not missing:
            return
        fence = await self._fence()
        for topic in topics:
            if topic.name in missing:
                assignments = {
                    number: Assignment(partition.replicas)
                    for number, partition in enumerate(topic.partitions)
                    if partition.replicas and min(partition.replicas) >= 0
                }
                data = controller_json.encode_topic(topic.topic_id, assignments)
                with contextlib.suppress(NodeExists, *LOST):
                    await self._write([*fence, Create(paths.topic(topic.name), data)], fence)
        # Before the mark of the deletion: what is marked and not known is passed over.
        self._controller.topics_written()

    async def damaged(self, names: Iterable[str]) -> dict[str, KafkaError]:
        """Those of these topics whose nodes nobody can read: to the controller they are not there."""
        found: dict[str, KafkaError] = {}
        async for name, data in self._nodes(names):
            try:
                if data is not None:
                    controller_json.decode_topic(paths.topic(name), data)
            except MetadataDamaged as error:
                found[name] = _storage_error(str(error))
        return found

    async def missing(self, names: Iterable[str]) -> set[str]:
        """Which of these topics have no node."""
        return {name async for name, data in self._nodes(names) if data is None}

    async def _nodes(self, names: Iterable[str]) -> AsyncIterator[tuple[str, bytes | None]]:
        """What the nodes of topics have."""
        possible: list[str] = []
        for name in names:
            if topic_name_problem(name) is None:
                possible.append(name)
            else:
                # What is no name of a topic cannot be asked for.
                yield name, None
        for start in range(0, len(possible), _TOPICS_AT_ONCE):
            some = possible[start : start + _TOPICS_AT_ONCE]
            nodes = await self._read(*map(paths.topic, some))
            for name, node in zip(some, nodes, strict=True):
                yield name, None if node is None else node[0]

    async def set_config(
        self, path: str, configs: Mapping[str, str] | None, notify: tuple[str, str], *, checked: bool = True
    ) -> None:
        """Replaces the overrides of an entity (None: its node goes), and tells all brokers.

        `notify` is (start of the notification's path, entity's path). As in Kafka it needs a controller;
        for what Kafka does not have (`checked` false) it does not.
        """

        def replaced(data: bytes | None) -> Mapping[str, str] | None:
            return configs

        await self._change_config(path, replaced, notify, checked=checked)

    async def edit_config(
        self, path: str, edit: Callable[[dict[str, str]], None], notify: tuple[str, str]
    ) -> None:
        """The same with a part of the overrides: `edit` changes what is there, and is called again when
        somebody else was first."""

        def edited(data: bytes | None) -> Mapping[str, str] | None:
            try:
                configs = node_json.decode_config(path, data)
            except MetadataDamaged as error:
                raise _storage_error(str(error)) from error
            edit(configs)
            return configs

        await self._change_config(path, edited, notify, checked=True)

    async def _change_config(
        self,
        path: str,
        change: Callable[[bytes | None], Mapping[str, str] | None],
        notify: tuple[str, str],
        *,
        checked: bool,
    ) -> None:
        self._check_room()
        told = Create(
            notify[0], node_json.encode_config_change(notify[1]), flags=CreateMode.PERSISTENT_SEQUENTIAL
        )
        unanswered: bytes | None = None
        for _ in range(_TRIES):
            node, seat = await self._read(path, paths.CONTROLLER)
            if unanswered is not None and node is not None and node[0] == unanswered:
                # It was written, and the answer got lost: another look may find that there is nothing to do.
                return
            if checked and seat is None:
                raise KafkaError(ErrorCode.NOT_CONTROLLER, "no broker is the controller at the moment")
            check = [Check(paths.CONTROLLER, seat[1])] if checked and seat is not None else []
            configs = change(None if node is None else node[0])
            parts: list[Part] = [*check, *_put(path, configs, node), told]
            try:
                await self._write(parts, [])
            except NoNode:
                # Of the nodes that Kafka does not have, not even the parents are there.
                await self._ensure(_parent(path), _parent(notify[0]))
            except (BadVersion, NodeExists):
                # Replacing it once more does no harm.
                continue
            except LOST:
                unanswered = None if configs is None else node_json.encode_config(configs)
            else:
                return
        raise _storage_error(f"{path} is changed by others again and again")

    async def _create(self, topic: TopicRecord, fence: Sequence[Part]) -> None:
        path, config_path = paths.topic(topic.name), paths.topic_config(topic.name)
        data = node_json.encode_topic(topic.topic_id, topic.partitions)
        configs = node_json.encode_config(topic.configs)
        for _ in range(_TRIES):
            node, config = await self._read(path, config_path)
            if node is not None:
                if node[0] == data:
                    return
                raise KafkaError(
                    ErrorCode.TOPIC_ALREADY_EXISTS, f"topic '{topic.name}' exists, or is being deleted"
                )
            # Overrides that a deleted topic has left: the new one has its own.
            put = Create(config_path, configs) if config is None else SetData(config_path, configs)
            try:
                await self._write([*fence, put, Create(path, data)], fence)
            except NoNode:
                # Somebody has removed what every broker makes at its start.
                await self._ensure(_parent(path), _parent(config_path))
            except (NodeExists, *LOST):
                continue
            else:
                return
        raise _storage_error("the connection to ZooKeeper breaks again and again")

    def _check_room(self) -> None:
        if not self._has_room():
            raise _storage_error("the disk that the metadata is on is full")

    async def _fence(self) -> list[Part]:
        """What a write of the controller begins with. Raises KafkaError(NOT_CONTROLLER)."""
        (node,) = await self._read(paths.CONTROLLER_EPOCH)
        text = (node[0] or b"").decode("ascii", "replace") if node is not None else ""
        if node is None or not self._controller.is_active or text != str(self._controller.epoch):
            raise not_controller()
        return [Check(paths.CONTROLLER_EPOCH, node[1])]

    async def _write(self, parts: Sequence[Part], fence: Sequence[Part]) -> None:
        """Raises KafkaError, and the ZkErrors after which another look helps."""
        try:
            await self._tree.write(parts)
        except BadVersion as error:
            if fence and await self._is_fenced(fence):
                raise not_controller() from error
            raise
        except (NodeExists, NoNode, *LOST):
            raise
        except (ZkError, StoreError) as error:
            raise _storage_error(str(error)) from error

    async def _ensure(self, *wanted: str) -> None:
        try:
            await self._tree.ensure(*wanted)
        except StoreError as error:
            raise _storage_error(str(error)) from error

    async def _read(self, *wanted: str) -> list[tuple[bytes | None, int] | None]:
        try:
            return await self._tree.read_all(wanted)
        except StoreError as error:
            raise _storage_error(str(error)) from error

    async def _is_fenced(self, fence: Sequence[Part]) -> bool:
        (node,) = await self._read(paths.CONTROLLER_EPOCH)
        (check,) = fence
        return not isinstance(check, Check) or node is None or node[1] != check.version


def not_controller() -> KafkaError:
    """The error of what only the controller may."""
    return KafkaError(ErrorCode.NOT_CONTROLLER, "this broker is not the controller")


def being_deleted(name: str) -> KafkaError:
    """The error of what cannot be done to a topic any more."""
    return KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"topic '{name}' is being deleted")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _put(path: str, configs: Mapping[str, str] | None, node: tuple[bytes | None, int] | None) -> list[Part]:
    if configs is None:
        return [] if node is None else [Delete(path, node[1])]
    data = node_json.encode_config(configs)
    return [Create(path, data) if node is None else SetData(path, data, node[1])]


def _storage_error(message: str) -> KafkaError:
    return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"it cannot be stored: {message}")
