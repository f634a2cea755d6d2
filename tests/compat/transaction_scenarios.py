"""What producers and administrators ask about transactional ids, so that every answer is sure."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from fastlog.errors import ErrorCode
from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest, DeleteTopicsRequest
from fastlog.wire.messages.transactions import AddOffsetsToTxnRequest, EndTxnRequest
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient
from tests.integration.transaction_broker import CONCURRENT, Producer, ask_as_broker, of_broker

A, B = ("a", 0), ("a", 1)
FAR: Final = 1 << 40
SETTINGS: Final = MappingProxyType(
    {
        "transaction.state.log.num.partitions": "2",
        "offsets.topic.num.partitions": "2",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "100",
        "auto.create.topics.enable": "false",
    }
)
_NOT_READY: Final = frozenset(
    {
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.NOT_COORDINATOR,
    }
)
Identity = tuple[int, int]


def prepare(client: RawClient) -> None:
    """The topic `a` is there, and transactions and groups are coordinated."""
    make(client, "a")
    for key_type in (0, 1):
        find = FindCoordinatorRequest(key_type=key_type, coordinator_keys=["ready-0", "ready-1", "ready-2"])
        wait_until(
            lambda find=find: all(  # type: ignore[misc]
                one.error_code == 0 for one in client.ask(find, 4).coordinators
            ),
            "coordinators are known",
            seconds=60,
        )
    for name in ("ready-0", "ready-1", "ready-2", "ready-3", "ready-4"):
        producer = Producer(client, name)
        wait_until(
            lambda producer=producer: producer.init()[0] not in _NOT_READY,  # type: ignore[misc]
            "ids are served",
            seconds=60,
        )


def make(client: RawClient, name: str) -> None:
    """A topic with two partitions."""
    request = CreateTopicsRequest(topics=[CreatableTopic(name, 2, 1)], timeout_ms=30_000)
    (topic,) = client.ask(request, 5).topics
    assert topic.error_code in (0, ErrorCode.TOPIC_ALREADY_EXISTS)


class Play:
    """One id, with notes of all answers. Producer ids are noted by the order in which they were given."""

    def __init__(self, client: RawClient, name: str) -> None:
        self.client = client
        self.producer = Producer(client, name)
        self.notes: list[tuple[str, Any]] = []
        self._ids: list[int] = []

    def note(self, what: str, answer: Any) -> None:
        """An answer."""
        self.notes.append((what, answer))

    def known(self, producer_id: int) -> str | int:
        """A producer id as it is noted."""
        if producer_id < 0:
            return producer_id
        if producer_id not in self._ids:
            self._ids.append(producer_id)
        return f"p{self._ids.index(producer_id)}"

    def init(self, identity: Identity = (-1, -1), **how: Any) -> Identity:
        """The answer to InitProducerId is noted."""
        code, producer_id, epoch = self.producer.init(identity, **how)
        self.note(
            f"init {how}", (ErrorCode.of(code).name, self.known(producer_id), epoch if not code else -1)
        )
        return producer_id, epoch

    def initialized(self, **how: Any) -> Identity:
        """The identity, once nothing is under way."""
        producer_id, epoch = self.producer.initialized(**how)
        self.note(f"initialized {how}", (self.known(producer_id), epoch))
        return producer_id, epoch

    def add(self, identity: Identity, *partitions: tuple[str, int], version: int = 3) -> None:
        """Once the transaction before is complete."""
        found: list[dict[tuple[str, int], int]] = []

        def is_done() -> bool:
            found[:] = [self.producer.add(identity, *partitions, version=version)]
            return set(found[0].values()) != {CONCURRENT}

        wait_until(is_done, "it comes in", seconds=20, pause=0.02)
        self.note(f"add {partitions} {version}", _names(found[0]))

    def add_as_broker(self, *asked: Any, version: int = 4) -> None:
        """The same for several, and to verify."""
        answer = ask_as_broker(self.client, *asked, version=version)
        self.note(f"add as broker {version}", {name: _names(codes) for name, codes in sorted(answer.items())})

    def end(self, identity: Identity, *, commits: bool = True, version: int = 4) -> Identity:
        """EndTxn, once what was before is complete."""
        found: list[tuple[int, int, int]] = []

        def is_done() -> bool:
            found[:] = [self.producer.end(identity, commits=commits, version=version)]
            return found[0][0] != CONCURRENT

        wait_until(is_done, "it ends", seconds=20, pause=0.02)
        code, producer_id, epoch = found[0]
        name = ErrorCode.of(code).name
        self.note(f"end {commits} {version}", (name, self.known(producer_id), epoch))
        return producer_id, epoch

    def describe(self, state: str) -> None:
        """What DescribeTransactions tells, once it is in this state."""
        found = self.producer.wait_for(state)
        self.note(
            f"describe {state}",
            (
                ErrorCode.of(found.error_code).name,
                self.known(found.producer_id),
                found.producer_epoch,
                found.transaction_timeout_ms,
                # Kafka's memory keeps the start of the transaction before, its log does not.
                state != "Empty" and found.transaction_start_time_ms > 0,
                sorted((topic.topic, sorted(topic.partitions)) for topic in found.topics),
            ),
        )


def _names(codes: dict[tuple[str, int], int]) -> dict[tuple[str, int], str]:
    return {key: ErrorCode.of(code).name for key, code in sorted(codes.items())}


# -- scenarios --------------------


def identities(play: Play) -> None:
    """Scenarios 1, 2, 5 to 11, 18."""
    producer_id, _ = play.init((FAR, 7))
    play.init()
    play.init((producer_id, -1))
    play.init((-1, 3))
    play.init((producer_id, 1))
    play.init((producer_id, 1))
    play.init((producer_id, 0))
    play.init((producer_id, 0), version=3)
    play.init((producer_id, 9))
    play.init((FAR, 2))
    play.init(version=0)
    play.init(version=1)
    play.describe("Empty")


def odd_inits(play: Play) -> None:
    """Scenarios 3, 4, 19."""
    for timeout_ms in (0, -1, 900_000, 900_001, 77):
        play.init(timeout_ms=timeout_ms)
    play.describe("Empty")
    name, play.producer.name = play.producer.name, ""
    play.init()
    play.producer.name = name


def fence(play: Play) -> None:
    """Scenario 12, then what the fenced one gets."""
    former = play.initialized()
    play.add(former, A)
    play.init()
    now = play.initialized()
    play.add(former, A)
    play.end(former)
    play.add(now, B)
    play.init((now[0], now[1]))
    play.initialized()
    play.describe("Empty")


def additions(play: Play) -> None:
    """Scenarios 20 to 25."""
    play.add((1, 0), A)
    former = play.initialized()
    identity = play.initialized()
    play.add((FAR, 1), A)
    for version in range(4):
        play.add(former, A, version=version)
    play.add(identity, A, ("nowhere", 0))
    play.add(identity, A, ("a", 9))
    play.add(identity, A, ("__transaction_state", 0))
    play.add(identity, A)
    play.add(identity, A)
    play.add(identity, B)
    play.describe("Ongoing")
    for version in range(5):
        for group, who in (("g", identity), ("g", former), ("", identity)):
            asked = AddOffsetsToTxnRequest(play.producer.name, *who, group)
            code = play.client.ask(asked, version).error_code
            play.note(f"offsets {version} {group}", ErrorCode.of(code).name)
    play.note(
        "no id", ErrorCode.of(play.client.ask(AddOffsetsToTxnRequest("", 1, 1, "g"), 3).error_code).name
    )


def as_brokers(play: Play) -> None:
    """Scenarios 28 and 29."""
    name = play.producer.name
    identity = play.initialized()
    play.add_as_broker(of_broker(name, identity, A, B, verifies=True))
    play.add(identity, A)
    play.add_as_broker(of_broker(name, identity, A, B, verifies=True))
    play.add_as_broker(of_broker(name, (identity[0], 5), A, verifies=True))
    play.add_as_broker(of_broker(name, (FAR, 0), A, verifies=True))
    play.add_as_broker(of_broker("unknown", (FAR, 0), A, verifies=True))
    play.add_as_broker(of_broker(name, identity, B), of_broker("unknown", (FAR, 0), A))
    play.add_as_broker(of_broker(name, identity, B, ("nowhere", 0)))
    play.describe("Ongoing")


def ends(play: Play) -> None:
    """Scenarios 42 to 45, in versions 0 to 4."""
    play.end((1, 1))
    former = play.initialized()
    identity = play.initialized()
    for version in (0, 1, 2, 3, 4):
        play.end(former, version=version)
        play.end((FAR, 1), version=version)
        for commits in (True, False):
            play.end(identity, commits=commits, version=version)
    for commits in (True, False):
        play.add(identity, A, B)
        play.end(identity, commits=commits)
        play.describe("CompleteCommit" if commits else "CompleteAbort")
        play.end(identity, commits=commits)
        play.end(identity, commits=not commits)
    code = play.client.ask(EndTxnRequest("", 1, 0, True), 4).error_code
    play.note("no id", ErrorCode.of(code).name)
    play.initialized()
    play.end(identity)


def time_outs(play: Play) -> None:
    """Scenario 48, of the first protocol."""
    identity = play.initialized(timeout_ms=200)
    play.add(identity, A)
    play.describe("CompleteAbort")
    for commits in (True, False):
        play.end(identity, commits=commits)
    play.add(identity, A)
    play.init(identity)
    play.initialized()


def deleted_topic(play: Play) -> None:
    """Scenario 50."""
    make(play.client, "short-lived")
    identity = play.initialized()
    play.add(identity, A, ("short-lived", 1))
    play.client.ask(DeleteTopicsRequest(topic_names=["short-lived"], timeout_ms=30_000), 4)
    play.end(identity)
    play.describe("CompleteCommit")


def lists(play: Play) -> None:
    """Of scenario 60."""
    identity = play.initialized()
    play.add(identity, A)

    def listed(version: int = 1, **which: Any) -> None:
        answer = play.client.ask(ListTransactionsRequest(**which), version)
        mine = [
            (play.known(one.producer_id), one.transaction_state)
            for one in answer.transaction_states
            if one.transactional_id == play.producer.name
        ]
        play.note(f"list {sorted(which)} {version}", (answer.error_code, answer.unknown_state_filters, mine))

    for state in ("Ongoing", "Empty", "CompleteCommit", "Odd"):
        listed(state_filters=[state])
        listed(0, state_filters=[state, "Strange"])
    listed(state_filters=["Ongoing", "Odd"], producer_id_filters=[identity[0]])
    listed(producer_id_filters=[FAR])
    listed(duration_filter=0)
    listed(duration_filter=3_600_000)
    play.end(identity)
    play.describe("CompleteCommit")
    listed(duration_filter=3_600_000)
    states = play.client.ask(DescribeTransactionsRequest(["", "unknown"]), 0).transaction_states
    play.note("describe", [(one.transactional_id, ErrorCode.of(one.error_code).name) for one in states])


def raising_ends(play: Play) -> None:
    """Scenarios 42, 43, 46, 49 with EndTxn 5."""
    producer_id, _ = play.initialized()
    stored = 0

    def each(state: str) -> None:
        for commits in (True, False):
            for epoch in (stored - 2, stored - 1, stored + 1):
                if not (state == "CompleteAbort" and commits and epoch == stored - 1):
                    play.end((producer_id, epoch), commits=commits, version=5)
        play.end((producer_id, stored), version=5)
        play.end((FAR, stored), version=5)

    each("Empty")
    play.end((producer_id, stored), commits=False, version=5)
    stored = 1
    play.describe("CompleteAbort")
    each("CompleteAbort")
    name = play.producer.name
    play.add_as_broker(of_broker(name, (producer_id, stored), A), version=5)
    play.end((producer_id, stored), version=5)
    stored = 2
    play.describe("CompleteCommit")
    each("CompleteCommit")
    play.end((producer_id, stored), commits=False, version=5)
    stored = 3
    play.describe("CompleteAbort")
    play.add((producer_id, stored), A)
    play.end((producer_id, stored))
    play.describe("CompleteCommit")
    play.end((producer_id, stored))


Scenario = Callable[[Play], None]
SCENARIOS: Final[dict[str, Scenario]] = {
    "identities": identities,
    "odd-inits": odd_inits,
    "fence": fence,
    "additions": additions,
    "as-brokers": as_brokers,
    "ends": ends,
    "time-outs": time_outs,
    "deleted-topic": deleted_topic,
    "lists": lists,
}
OF_KAFKA_4: Final[dict[str, Scenario]] = {**SCENARIOS, "raising-ends": raising_ends}
# Its cluster has `transaction.version` 2: the coordinator's own aborts are of the second protocol.
OF_KAFKA_3_ALONE: Final = frozenset({"time-outs"})
