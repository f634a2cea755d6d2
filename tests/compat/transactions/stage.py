"""Two brokers on which scenarios are played at the same time: an Apache Kafka, and ours.

1. Some scenarios find brokers that nobody has asked about transactions before.
2. Most are played next to each other: they wait for timers and markers more than they ask.
3. Those that yield go on when both brokers were stopped and started again. While a broker is down its
   `__transaction_state` may get further records, as if an id had come so far: the logs have the same format.
4. Some change settings of the whole broker, or are refused by the version of their request, one after the
   other: Kafka has one version for all questions to a coordinator that are under way.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from fastlog.coordination.transactions.records import encode_key, encode_value
from fastlog.coordination.transactions.state import TransactionEntry
from fastlog.native import build_batch
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from tests.compat.transactions.play import SECONDS, Note, Play, Scenario
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer
from tests.peers.apache_kafka import ApacheKafka

PARTITIONS: Final = 2
SETTINGS: Final = {
    "transaction.state.log.num.partitions": str(PARTITIONS),
    "offsets.topic.num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "100",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offset.metadata.max.bytes": "10",
}
FAILED: Final = "failed"
"""The note of a scenario that could not be played."""
_AT_ONCE: Final = 8
_STATE_TOPIC: Final = "__transaction_state"


class Peer(Protocol):
    """A broker, on a port and a directory that stay the same."""

    port: int
    data_dir: Path

    def start(self) -> float:
        """Starts it; returns when its port answers."""
        ...

    def kill(self) -> None:
        """kill -9."""
        ...


class Scenarios(Protocol):
    """By name."""

    first: Mapping[str, Scenario]
    together: Mapping[str, Scenario]
    alone: Mapping[str, Scenario]


Told = dict[str, list[Note]]


def play_all(peers: Sequence[Peer], scenarios: Scenarios, wanted: Collection[str]) -> list[Told]:
    """What each peer tells in each scenario. They are started, and killed at the end."""
    with ThreadPoolExecutor(len(peers)) as threads:
        return list(threads.map(lambda peer: _play(peer, scenarios, wanted), peers))


def peers_of(directory: Path, release: str, level: int) -> tuple[ApacheKafka, BrokerProcess]:
    """A Kafka of that release, and ours with that `transaction.version`."""
    kafka = ApacheKafka(directory / "kafka", version=release, settings=SETTINGS, heap="384m", quick=True)
    own = {**SETTINGS, "node.id": "1", "fastlog.default.transaction.version": str(level)}
    return kafka, BrokerProcess(directory / "fastlog", settings=own)


def _play(peer: Peer, scenarios: Scenarios, wanted: Collection[str]) -> Told:
    told: Told = {}
    plays: dict[str, tuple[Play, Iterator[None]]] = {}

    def begin(item: tuple[str, Scenario]) -> None:
        name, scenario = item
        play = Play(peer.port, name, finds=name not in scenarios.first)
        told[name] = play.notes
        _go_on(play, _begin(play, scenario), plays)

    def wanted_of(some: Mapping[str, Scenario]) -> list[tuple[str, Scenario]]:
        return [(name, scenario) for name, scenario in some.items() if name in wanted]

    try:
        _start(peer)
        for item in wanted_of(scenarios.first):
            begin(item)
        _wait_for(peer)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(begin, wanted_of(scenarios.together)))
        waiting, plays = plays, {}
        if waiting:
            if isinstance(peer, ApacheKafka):
                # Its controller waits for the session of a broker that was killed.
                peer.stop()
            else:
                peer.kill()
            for play, _ in waiting.values():
                for name, entry in play.rewritten.items():
                    append_state(peer.data_dir, name, entry)
            _start(peer)
            _wait_for(peer)
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                list(threads.map(lambda pair: _resume(*pair, plays), waiting.values()))
        for item in wanted_of(scenarios.alone):
            begin(item)
        assert not plays
    finally:
        peer.kill()
    return told


def _start(peer: Peer) -> None:
    if isinstance(peer, BrokerProcess):
        # After a kill it looks at all logs.
        peer.start(timeout=2 * SECONDS)
    else:
        peer.start()


def _wait_for(peer: Peer) -> None:
    with RawClient(peer.port, timeout=SECONDS) as client:
        prepare(client)


def _begin(play: Play, scenario: Scenario) -> Iterator[None]:
    yield from scenario(play) or ()


def _go_on(play: Play, steps: Iterator[None], plays: dict[str, tuple[Play, Iterator[None]]]) -> None:
    try:
        if next(steps, steps) is None:
            plays[play.name] = play, steps
    except Exception:  # noqa: BLE001 - the others go on; whoever compares will see it
        play.note(FAILED, traceback.format_exc())
    finally:
        play.close()


def _resume(play: Play, steps: Iterator[None], plays: dict[str, tuple[Play, Iterator[None]]]) -> None:
    play.reconnect()
    _go_on(play, steps, plays)


def prepare(client: RawClient) -> None:
    """Returns when transactions and groups are coordinated."""
    for key_type in (0, 1):
        find = FindCoordinatorRequest(key_type=key_type, coordinator_keys=["ready-0", "ready-1", "ready-2"])

        def is_known(find: FindCoordinatorRequest = find) -> bool:
            found: Any = client.ask(find, 4).coordinators
            return all(one.error_code == 0 for one in found)

        wait_until(is_known, "coordinators are known", seconds=SECONDS)
    # Ids of both partitions; new ones, which take producer ids.
    for _ in range(5):
        producer = Producer(client, f"ready-{uuid4()}")

        def is_served(producer: Producer = producer) -> bool:
            return producer.init()[0] == 0

        wait_until(is_served, "ids are served", seconds=SECONDS)


def append_state(data_dir: Path, name: str, entry: TransactionEntry) -> None:
    """Adds what is in force of an id to the log of a broker that does not run."""
    directory = data_dir / f"{_STATE_TOPIC}-{_partition_of(name)}"
    path = max(directory.glob("*.log"))
    data = path.read_bytes()
    position, offset, epoch = 0, 0, 0
    while position + 61 <= len(data) and (
        length := int.from_bytes(data[position + 8 : position + 12], "big")
    ):
        header = data[position : position + 61]
        offset = int.from_bytes(header[:8], "big") + int.from_bytes(header[23:27], "big") + 1
        epoch = int.from_bytes(header[12:16], "big")
        position += 12 + length
    record = encode_key(name), encode_value(entry), [], entry.last_update_ms
    batch = build_batch([record], base_offset=offset, leader_epoch=epoch)
    with path.open("r+b") as file:
        file.truncate(position)
        file.seek(position)
        file.write(batch)


def _partition_of(name: str) -> int:
    """Where an id of ASCII is: Java's `String.hashCode`."""
    value = 0
    for character in name.encode():
        value = (31 * value + character) & 0xFFFFFFFF
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return abs(signed) % PARTITIONS
