"""How decisions that need writes in between are written: as generators that yield commands.

A flow yields a `Command` and is sent the reply; what it returns is its outcome. Whoever drives it does the
I/O, in the order in which commands come, and throws into it what went wrong for good (it is the controller no
more, say): a flow that is thrown into ends. What was written is in the context before the next command.

| command           | reply                                                          |
|-------------------|----------------------------------------------------------------|
| WriteStates       | {key: Written, Stale or Failed} of each write, fenced          |
| WriteAssignments  | None, after /brokers/topics/T was written, fenced              |
| SendBatch         | None, after the batch's requests were queued for their brokers |
| ReadUnclean       | those of the topics that allow unclean elections, by their configs or the default |
| Pause             | None, after other tasks of the event loop had their turn       |
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeVar, cast

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.controller.data import Assignment, Leadership
from fastlog.replication.partition import PartitionKey

if TYPE_CHECKING:
    from fastlog.coordination.controller.control_batch import ControlBatch

TURN: Final = 200
"""How many partitions a flow looks at between two pauses: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class StateWrite:
    """A state node to be written when its version is `expected`, or to be created (None).

    The leadership's `partition_epoch` and `zxid` are those of before: the reply has the new ones.
    """

    key: PartitionKey
    leadership: Leadership
    expected: int | None


@dataclass(frozen=True, slots=True)
class Written:
    """The node's version now, and its mzxid (0 if the reply does not say)."""

    partition_epoch: int
    zxid: int = 0


@dataclass(frozen=True, slots=True)
class Stale:
    """The node has another version, or is there already. `current` was read after that; None: it is gone."""

    current: Leadership | None


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be written, and is not to be tried again now."""

    reason: str


WriteResult = Written | Stale | Failed
WriteResults = Mapping[PartitionKey, WriteResult]


@dataclass(frozen=True, slots=True)
class WriteStates:
    """Each is a transaction of its own with a check of /controller_epoch."""

    writes: tuple[StateWrite, ...]


@dataclass(frozen=True, slots=True)
class WriteAssignments:
    """All partitions of one topic, as /brokers/topics/T is to have them."""

    topic: str
    topic_id: bytes
    partitions: Mapping[int, Assignment]


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Requests to be made now (`ControlBatch.requests`) and sent in their order."""

    batch: ControlBatch


@dataclass(frozen=True, slots=True)
class ReadUnclean:
    """Which of the topics have unclean.leader.election.enable; one whose config cannot be read has not."""

    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Much has been done in one piece: others come first."""


Command = WriteStates | WriteAssignments | SendBatch | ReadUnclean | Pause
T = TypeVar("T")
Flow = Generator[Command, object, T]


def write_states(writes: Iterable[StateWrite]) -> Flow[WriteResults]:
    """Has states written."""
    return cast("WriteResults", (yield WriteStates(tuple(writes))))


def read_unclean(topics: Iterable[str]) -> Flow[Collection[str]]:
    """Has the configs of topics looked at, if there are any topics."""
    asked = frozenset(topics)
    if not asked:
        return ()
    return cast("Collection[str]", (yield ReadUnclean(asked)))


def send(batch: ControlBatch) -> Flow[None]:
    """Has a batch sent, if there is anything in it."""
    if batch:
        yield SendBatch(batch)


def in_turns(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each item, and whether a pause is due before it."""
    return ((item, count > 0 and count % TURN == 0) for count, item in enumerate(items))
