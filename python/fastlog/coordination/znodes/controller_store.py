"""What the controller of a cluster reads from the tree and writes to it.

Writes are multis that begin with a check of /controller_epoch (`FencedTree`), many under way at a time.
States of partitions are written many to a multi while all goes well; when one of them is stale, those of its
multi are written one by one, so that each has an outcome of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from fastlog.coordination.controller.data import Assignment, Leadership, LiveBroker, PartitionKey
from fastlog.coordination.controller.flow import Failed, Stale, StateWrite, WriteResult, Written
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.topic_names import topic_name_problem
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.coordination.znodes.controller_json import TopicNode
from fastlog.coordination.znodes.fenced_tree import Change, FencedTree, Part, in_lots
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import OpCode
from fastlog.coordination.zookeeper.errors import BadVersion, NodeExists, NoNode, NotEmpty, ZkError
from fastlog.coordination.zookeeper.replies import Result
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 100
"""Nodes that are read, or partitions that are written, before others have a turn of the event loop."""
_MULTIS_AT_ONCE: Final = 10
"""As Kafka has requests under way (`zookeeper.max.in.flight.requests`)."""
_MOST_SETS: Final = 500
"""Of one node in one request, to give it a version."""

T = TypeVar("T")
Outcomes: TypeAlias = dict[PartitionKey, WriteResult | None]
"""None: the node has another version."""


class ControllerStore:
    """Used on the event loop, by the worker of the controller's queue. Methods raise StoreError.

    They raise ControllerMoved, which is one, when another broker is the controller.
    """

    def __init__(self, tree: FencedTree) -> None:
        self._tree = tree
        # What `topic_news` has told, until who asks knows it: nothing is lost when that fails once.
        self._came: set[str] = set()
        self._gone: set[str] = set()

    # -- reads --------------------

    async def sync(self) -> None:
        """What is read afterwards is no older than this moment."""
        await self._tree.sync()

    async def children(self, path: str, watch: Watch | None = None) -> list[str]:
        """Names of the children; none of a node that is missing."""
        return await self._tree.children(path, watch)

    async def exists(self, path: str, watch: Watch) -> bool:
        """Whether a node is there."""
        return await self._tree.exists(path, watch)

    async def broker(self, broker_id: int, watch: Watch) -> LiveBroker | None:
        """One that is registered, or None. `watch` is told when it changes its data, or goes."""
        (node,) = await self._tree.nodes([paths.broker_id(broker_id)], watch)
        return _broker(broker_id, node)

    async def brokers(self, watch: Watch | None = None, each: Watch | None = None) -> dict[int, LiveBroker]:
        """All that are registered. `watch` is told when one comes or goes, `each` when one changes."""
        names = await self._tree.children(paths.BROKER_IDS, watch)
        ids = [number for name in names if (number := controller_json.broker_id_of(name)) is not None]
        found = await self._tree.nodes([paths.broker_id(number) for number in ids], each)
        brokers = [_broker(number, node) for number, node in zip(ids, found, strict=True)]
        return {broker.id: broker for broker in brokers if broker is not None}

    async def topic_names(self, watch: Watch | None = None) -> list[str]:
        """All topics; names that cannot be are left out."""
        names = await self._tree.children(paths.TOPICS, watch)
        return [name for name in names if topic_name_problem(name) is None]

    async def topic_news(self, watch: Watch, known: Mapping[str, object]) -> tuple[list[str], list[str]]:
        """Topics that there are and that `known` does not have, and those of `known` that there are no more.

        On a keeper in this process it costs what has changed, and elsewhere a list of all, as in Kafka.
        """
        names, gone = await self._tree.child_news(paths.TOPICS, watch)
        if gone is None:
            there = set(names)
            self._came, self._gone = there - known.keys(), known.keys() - there
        else:
            self._came = {name for name in (*self._came, *names) if name not in known}.difference(gone)
            self._gone = {name for name in (*self._gone, *gone) if name in known}.difference(names)
        # Names that cannot be stay among them: there are few.
        return sorted(name for name in self._came if topic_name_problem(name) is None), sorted(self._gone)

    async def topics(self, names: Sequence[str], watch: Watch | None = None) -> dict[str, TopicNode]:
        """Ids and assignments; those that are missing or damaged are left out."""
        topics: dict[str, TopicNode] = {}
        for lot in _lots(names):
            found = await self._tree.nodes([paths.topic(name) for name in lot], watch)
            for name, node in zip(lot, found, strict=True):
                if node is None:
                    continue
                try:
                    topics[name] = controller_json.decode_topic(paths.topic(name), node.data)
                except MetadataDamaged as error:
                    _LOG.error("a topic is left alone: %s", error)
            await asyncio.sleep(0)
        return topics

    async def states(self, keys: Iterable[PartitionKey]) -> dict[PartitionKey, Leadership]:
        """The states of partitions; those that have none, or a damaged one, are left out."""
        states: dict[PartitionKey, Leadership] = {}
        for lot in _lots(list(keys)):
            found = await self._tree.nodes([paths.state(*key) for key in lot])
            for key, node in zip(lot, found, strict=True):
                if node is None or (stat := node.stat) is None:
                    continue
                path = paths.state(*key)
                try:
                    states[key] = controller_json.decode_state(path, node.data, stat.version, stat.mzxid)
                except MetadataDamaged as error:
                    _LOG.error("the state of a partition cannot be read: %s", error)
            await asyncio.sleep(0)
        return states

    async def topic_configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The overrides of topics; of one that cannot be read there are none."""
        configs: dict[str, dict[str, str]] = {}
        for lot in _lots(names):
            found = await self._tree.read_all([paths.topic_config(name) for name in lot])
            for name, node in zip(lot, found, strict=True):
                try:
                    if node is not None:
                        configs[name] = node_json.decode_config(paths.topic_config(name), node[0])
                except MetadataDamaged as error:
                    _LOG.error("the settings of a topic cannot be read: %s", error)
        return configs

    async def data(self, path: str) -> tuple[bytes | None, int] | None:
        """Data and version of a node, or None."""
        (found,) = await self._tree.read_all([path])
        return found

    async def data_of(self, wanted: Sequence[str]) -> list[bytes | None]:
        """The data of nodes; None for one that is missing."""
        return [None if node is None else node[0] for node in await self._tree.read_all(wanted)]

    # -- writes --------------------

    async def write_states(
        self, writes: Sequence[StateWrite], controller_epoch: int
    ) -> dict[PartitionKey, WriteResult]:
        """Writes the states of partitions, each at its version; says what became of each."""
        outcomes: Outcomes = {}
        for write, some in (
            (self._write_lot, [write for write in writes if write.expected is not None]),
            (self._make_lot, [write for write in writes if write.expected is None]),
        ):
            await self._write_lots(write, some, controller_epoch, outcomes)
        stale = [key for key, outcome in outcomes.items() if outcome is None]
        current = await self.states(stale)
        gone = [
            w for w in writes if w.expected is not None and outcomes[w.key] is None and w.key not in current
        ]
        if gone:
            outcomes.update(await self._bring_back(gone, controller_epoch))
        return {
            key: Stale(current.get(key)) if outcome is None else outcome for key, outcome in outcomes.items()
        }

    async def set_topic(
        self, name: str, topic_id: bytes | None, assignments: Mapping[int, Assignment]
    ) -> bool:
        """Replaces id and assignment of a topic, at whatever version; whether there is such a topic."""
        return await self.set_data(paths.topic(name), controller_json.encode_topic(topic_id, assignments))

    async def set_data(self, path: str, data: bytes | None, version: int = -1) -> bool:
        """Replaces the data of a node; whether it had that version."""
        try:
            await self._commit([SetData(path, data, version)])
        except (BadVersion, NoNode):
            return False
        return True

    async def make_node(self, path: str, contents: Sequence[bytes]) -> bool:
        """Makes a node, which has these contents one after the other; whether there was none."""
        first, *others = contents
        try:
            await self._commit([Create(path, first), *[SetData(path, data) for data in others]])
        except NodeExists:
            return False
        return True

    async def delete_nodes(self, nodes: Iterable[str]) -> None:
        """Removes nodes without children; that one is gone already is as well."""
        for lot in in_lots([Delete(path)] for path in nodes):
            await self._delete_lot(lot)

    async def delete_topic(self, name: str) -> None:
        """Removes all nodes of a topic, that of its deletion last."""
        level = [paths.topic_config(name), paths.topic(name)]
        nodes = [paths.deletion(name)]
        while level:
            found = [*zip(level, await self._tree.children_of_all(level), strict=True)]
            nodes += [path for path, names in found if names is not None]
            level = [f"{path}/{name}" for path, names in found for name in names or ()]
        # All at once where there are few; children go before their parents.
        await self.delete_nodes(reversed(nodes))

    # -- inside --------------------

    async def _write_lots(
        self,
        write: Callable[[Sequence[StateWrite], int], Awaitable[Outcomes]],
        writes: Sequence[StateWrite],
        epoch: int,
        outcomes: Outcomes,
    ) -> None:
        async def write_one(lot: Sequence[StateWrite]) -> None:
            outcomes.update(await write(lot, epoch))

        await _each(_lots(writes), write_one)

    async def _make_lot(self, lot: Sequence[StateWrite], epoch: int) -> Outcomes:
        """States that there are none of, and the nodes above them: one write where none is there."""
        keys = [write.key for write in lot]
        above = [paths.partitions(topic) for topic, number in keys if number == 0]
        above += [paths.partition(*key) for key in keys]
        try:
            changes = await self._commit([*map(Create, above), *[_part(write, epoch) for write in lot]])
        except ZkError:
            # What an earlier try, or somebody else, has made of them stays.
            await self._make_parents(keys)
            return await self._write_lot(lot, epoch)
        made = zip(keys, changes[len(above) :], strict=True)
        return {key: Written(*change) for key, change in made}

    async def _write_lot(self, lot: Sequence[StateWrite], epoch: int) -> Outcomes:
        """None for one whose node has another version."""
        try:
            changes = await self._commit([_part(write, epoch) for write in lot])
        except (BadVersion, NoNode, NodeExists) as error:
            if len(lot) == 1:
                return {lot[0].key: Failed(str(error)) if _lacks_parent(lot[0], error) else None}
        except ZkError as error:
            if len(lot) == 1:
                return {lot[0].key: Failed(str(error))}
        else:
            return {write.key: Written(*change) for write, change in zip(lot, changes, strict=True)}
        outcomes: Outcomes = {}

        async def write(one: Sequence[StateWrite]) -> None:
            outcomes.update(await self._write_lot(one, epoch))

        await _each([[one] for one in lot], write)
        return outcomes

    async def _bring_back(self, writes: Sequence[StateWrite], controller_epoch: int) -> Outcomes:
        """Makes nodes again that somebody has removed, of topics that are there still.

        A new node has version 0, and Kafka's brokers take no partition epoch below the one that they know: it
        is set until it has a higher one.
        """
        await self._make_parents([write.key for write in writes])
        outcomes: Outcomes = {}
        for write in writes:
            path = paths.state(*write.key)
            data = controller_json.encode_state(write.leadership, controller_epoch)
            times = min((write.expected or 0) + 1, _MOST_SETS)
            try:
                changes = await self._commit([Create(path, data), *[SetData(path, data)] * times])
            except NodeExists:
                # Damaged, or made by somebody meanwhile.
                outcomes[write.key] = None
            except ZkError as error:
                outcomes[write.key] = Failed(f"its state node is gone, and cannot be made again: {error}")
            else:
                _LOG.warning("the state of partition %s-%d was removed by somebody: it is back", *write.key)
                outcomes[write.key] = Written(*changes[-1])
        return outcomes

    async def _make_parents(self, keys: Sequence[PartitionKey]) -> None:
        topics = dict.fromkeys(topic for topic, _ in keys)
        for nodes in (
            [paths.partitions(topic) for topic in topics],
            [paths.partition(topic, number) for topic, number in keys],
        ):
            await _each(_lots([Create(path) for path in nodes]), self._create_lot)

    async def _create_lot(self, parts: Sequence[Part]) -> None:
        try:
            await self._commit(parts)
        except (NodeExists, NoNode):
            if len(parts) > 1:
                await _each([[part] for part in parts], self._create_lot)

    async def _delete_lot(self, parts: Sequence[Part]) -> None:
        try:
            await self._commit(parts)
        except (NoNode, NotEmpty) as error:
            if len(parts) > 1:
                # In their order: children go before their parents.
                for part in parts:
                    await self._delete_lot([part])
            elif isinstance(error, NotEmpty):
                _LOG.warning("a node is not removed: %s", error)

    async def _commit(self, parts: Sequence[Part]) -> list[Change]:
        """Raises ZkError as well, where a part cannot be."""
        return await self._tree.change(
            [part._replace(op=OpCode.CREATE2) if isinstance(part, Create) else part for part in parts]
        )


async def _each(
    lots: Sequence[Sequence[T]], action: Callable[[Sequence[T]], Coroutine[None, None, None]]
) -> None:
    """Several lots at a time; the first failure is raised when none is under way any more."""
    failures: list[BaseException] = []
    under_way: set[asyncio.Task[None]] = set()
    for lot in lots:
        under_way.add(asyncio.create_task(action(lot)))
        # What the lot has to send is made in this turn, and that of the next lot in another.
        await asyncio.sleep(0)
        if len(under_way) >= _MULTIS_AT_ONCE:
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            failures.extend(error for task in done if (error := task.exception()) is not None)
        if failures:
            break
    if under_way:
        done, _ = await asyncio.wait(under_way)
        failures.extend(error for task in done if (error := task.exception()) is not None)
    if failures:
        raise failures[0]


def _lots(whole: Sequence[T], size: int = _AT_ONCE) -> list[Sequence[T]]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _broker(broker_id: int, node: Result | None) -> LiveBroker | None:
    if node is None or node.stat is None or not node.data:
        return None
    try:
        return controller_json.decode_broker(paths.broker_id(broker_id), node.data, node.stat.czxid)
    except MetadataDamaged as error:
        _LOG.error("a broker is not taken for one: %s", error)
        return None


def _part(write: StateWrite, controller_epoch: int) -> Part:
    path, data = paths.state(*write.key), controller_json.encode_state(write.leadership, controller_epoch)
    return Create(path, data) if write.expected is None else SetData(path, data, write.expected)


def _lacks_parent(write: StateWrite, error: ZkError) -> bool:
    return write.expected is None and isinstance(error, NoNode)
