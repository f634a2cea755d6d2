"""A cluster of brokers of either kind on a ZooKeeper or a keeper, and all that can be done to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import NoNode
from tests.cluster.kinds import Kind
from tests.cluster.member import Member
from tests.cluster.tree_state import TreeState, look
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import at
from tests.harness.waiting import wait_until
from tests.peers.zookeeper import ZooKeeperEnsemble, ZooKeeperServer

T = TypeVar("T")
Place = Literal["server", "ensemble", "keeper"]
"""Where the tree is: in one ZooKeeper server, in three, or in a fastlog-keeper."""
Move = Literal["delete", "kill", "stop"]
"""How a controller loses its part: its znode is deleted, kill -9, or controlled shutdown."""

SESSION_SECONDS: Final = 6
PATIENCE_SECONDS: Final = 90
"""How long anything may take that has to happen: far more than it takes on an idle machine."""
OFFSETS_PARTITIONS: Final = 6
_SETTINGS: Final = {
    "zookeeper.session.timeout.ms": str(SESSION_SECONDS * 1000),
    "zookeeper.connection.timeout.ms": "60000",
    "min.insync.replicas": "2",
    "default.replication.factor": "3",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": str(OFFSETS_PARTITIONS),
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.num.partitions": "3",
    "transaction.state.log.min.isr": "2",
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
    # Who leads is what the tests say, until they say otherwise.
    "auto.leader.rebalance.enable": "false",
    "controlled.shutdown.retry.backoff.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    # The default is 128 MiB, of a heap that is little larger.
    "log.cleaner.dedupe.buffer.size": str(4 << 20),
    # Replication, and what compares logs, cross from one segment to the next.
    "log.segment.bytes": "1048576",
}


class Cluster:
    """Members with the ids 1, 2, ...; entering the context starts all, leaving it kills all."""

    def __init__(
        self,
        directory: Path,
        kinds: Sequence[Kind],
        *,
        place: Place = "server",
        settings: Mapping[str, str] | None = None,
        heap: str = "192m",
        quick: bool = True,
        command: list[str] | None = None,
    ) -> None:
        self._stack = ExitStack()
        self.ensemble = ZooKeeperEnsemble(directory / "zookeeper") if place == "ensemble" else None
        self._place: ZooKeeperEnsemble | ZooKeeperServer | KeeperProcess
        if place == "keeper":
            self._place = KeeperProcess(directory / "keeper", tick_ms=500)
        else:
            self._place = self.ensemble or ZooKeeperServer(directory / "zookeeper")
        self.connect = f"{self._place.address}/cluster"
        # Kafka's brokers end themselves where a feature is finalized.
        with_kafka = {"fastlog.default.transaction.version": "0"} if "kafka" in kinds else {}
        self.members = {
            number: Member(
                *(directory / f"broker-{number}", number, self.connect, kind),
                settings={**_SETTINGS, **with_kafka, **(settings or {})},
                heap=heap,
                quick=quick,
                command=command,
            )
            for number, kind in enumerate(kinds, start=1)
        }

    @property
    def bootstrap(self) -> str:
        """The addresses of all members."""
        return ",".join(member.address for member in self.members.values())

    @property
    def data_dirs(self) -> dict[int, Path]:
        """The log directory of each member."""
        return {number: member.data_dir for number, member in self.members.items()}

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self._place)
            self._open_ways()
            for member in self.members.values():
                self._stack.callback(member.kill)
                member.launch()
            self.wait_whole()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open_ways(self) -> None:
        """Whatever is to stand between the members and the tree, which is there."""

    # -- what it is like --------------------

    def look(self) -> TreeState:
        """What the tree says now."""
        return look(self.connect)

    def leader(self, topic: str, partition: int = 0) -> int:
        """Who leads a partition; waits until somebody does."""

        def led(state: TreeState) -> int:
            found = state.partitions.get((topic, partition))
            return max(found.leader, 0) if found is not None else 0

        return self.wait_for(led, f"nobody leads {topic}-{partition}")

    def controller(self) -> int:
        """Who is the controller; waits until somebody is."""
        return self.wait_for(lambda state: state.controller, "nobody is the controller")

    def wait_whole(self, *topics: str) -> TreeState:
        """Returns when all members are registered, and all partitions (of `topics`, else all) whole."""

        def whole(state: TreeState) -> TreeState | None:
            registered = state.brokers.keys() == self.members.keys()
            known = {key[0] for key in state.partitions}
            chosen = [part for (name, _), part in state.partitions.items() if not topics or name in topics]
            ready = registered and state.controller is not None and known.issuperset(topics)
            return state if ready and all(part.whole for part in chosen) else None

        return self.wait_for(whole, "it does not become whole")

    def wait_led_by_others(self, topic: str, number: int) -> None:
        """Returns when all partitions of a topic are led, and none by this member."""
        self.wait_for(
            lambda state: all(part.leader not in (-1, number) for part in state.of(topic).values()),
            f"broker {number} still leads",
        )

    def wait_gone(self, number: int) -> None:
        """Returns when a member is not registered: the session of one that was killed has run out."""
        self.wait_for(lambda state: number not in state.brokers, f"broker {number} stays registered")

    def wait_for(self, found: Callable[[TreeState], T | None], what: str) -> T:
        """The first thing that is true of the tree; raises when a member that is to run does not."""
        state = TreeState()

        def once() -> T | None:
            nonlocal state
            for member in self.members.values():
                member.check()
            state = self.look()
            return found(state)

        return wait_until(once, lambda: f"{what}: {state}", seconds=PATIENCE_SECONDS, pause=0.2)

    def tracebacks(self) -> list[str]:
        """The ends of the logs of fastlog members that have said more than they should."""
        return [
            f"broker {number}: {text[text.index('Traceback') :][:4000]}"
            for number, member in self.members.items()
            if "Traceback" in (text := member.fastlog_text)
        ]

    # -- what can be done to its members --------------------

    def kill(self, *numbers: int) -> None:
        """kill -9 of all of them at once."""
        for number in numbers:
            self.members[number].kill()

    def stop(self, *numbers: int) -> None:
        """SIGTERM to all of them at once, and waits for their ends."""
        for number in numbers:
            self.members[number].terminate()
        for number in numbers:
            self.members[number].wait_end()

    def start(self, *numbers: int, kind: Kind | None = None) -> None:
        """Starts members that do not run, with another kind from now on if one is given."""
        for number in numbers:
            # A broker that finds itself registered in another session than its own gives up.
            self.wait_gone(number)
            self.members[number].launch(kind)
        self.wait_for(lambda state: state.brokers.keys() >= set(numbers), f"brokers {numbers} do not come")

    def restart(self, number: int, *, kind: Kind | None = None) -> None:
        """A controlled shutdown and a start, on the same directory."""
        self.stop(number)
        self.start(number, kind=kind)

    def freeze_past_session(self, number: int) -> None:
        """SIGSTOP until its session has run out and others have taken over, then SIGCONT."""
        self.members[number].freeze()
        self.wait_gone(number)
        self.wait_for(
            lambda state: (
                state.controller not in (None, number)
                and all(part.leader != number for part in state.partitions.values())
            ),
            f"what broker {number} had is not taken over",
        )
        self.members[number].thaw()

    def move_controller(self, move: Move) -> int:
        """Takes the controller its part away; returns its id, which runs no more if that is the move."""
        before = self.look()
        number = self.controller()
        if move == "kill":
            self.kill(number)
        elif move == "stop":
            self.stop(number)
        else:
            at(self.connect, _delete_controller)
        self.wait_for(
            lambda state: state.controller is not None and state.controller_epoch > before.controller_epoch,
            "there is no new controller",
        )
        return number

    def restart_tree(self) -> None:
        """kill -9 of the one server, or the keeper, that has the tree, and a new start of it."""
        assert not isinstance(self._place, ZooKeeperEnsemble), "there are three of them"
        self._place.kill()
        self._place.start()
        self._place.wait_serving()

    def heal(self) -> TreeState:
        """All servers and all members run, all partitions are whole."""
        if self.ensemble is not None:
            self.ensemble.restore()
        for member in self.members.values():
            if member.frozen and member.running:
                member.thaw()
        self.start(*(number for number, member in self.members.items() if not member.running))
        return self.wait_whole()


async def _delete_controller(client: ZkClient) -> None:
    try:
        await client.delete("/controller")
    except NoNode:
        return
