"""What one request may cost, for every API that is served and every array in its requests.

Its elements are doubled: the broker's CPU time must not grow by much more than that. With many of them the
event loop must be given back in between. Both are measured in CPU time, which a busy machine lengthens
little: what the process uses without the client's thread, and the longest time in which the loop's thread
does not look for other work.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from fastlog.server.fetch.sessions import FIRST_EPOCH, MAX_PARTITIONS, NO_EPOCH
from fastlog.server.requests import turns
from fastlog.server.requests.among_brokers import OF_CLUSTERS
from fastlog.server.requests.registry import load_handlers
from fastlog.wire import APIS, ApiKey, encode_request
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tests.harness.loop_probe import ProbedSelector
from tests.harness.request_arrays import ArrayPath, Filling, array_paths, frame_with
from tests.harness.waiting import wait_until
from tests.integration.transaction_broker import TransactionBroker

FEW = 1000
MANY = 16_000
MOST_GROWTH = 2.5
"""What doubling may make of the cost; a square would make 4 of it."""
SLACK_SECONDS = 0.03
LONGEST_HOLD = 0.045
"""Twice what is promised, and a little: the clock that is measured here stops late on a busy machine."""
TRIES = 3
LARGEST_PIECE = 1 / 13
"""Of the CPU time of a fetch of all partitions, what may be done in one piece."""

AFTER_IT = encode_request(ApiVersionsRequest(), 0, 2)
AFTER_IT_ID = struct.pack(">i", 2)

NEW = Filling("new-%d")
FILLINGS = (Filling("known"), Filling("new-%d", 2, distinct_ids=True), Filling("1", 4))
KEYS = [ApiKey(key) for key in sorted(load_handlers()) if key not in OF_CLUSTERS]


class Measured:
    """A broker with a topic and a group, both named `known`."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.probe = ProbedSelector()
        self.running = TransactionBroker(
            directory,
            {
                "auto.create.topics.enable": "false",
                "group.initial.rebalance.delay.ms": "0",
                **(settings or {}),
            },
            asyncio.SelectorEventLoop(self.probe),
        )
        self.running.start()

    def prepare(self) -> None:
        """Makes topic and group."""
        with self.running.connect(timeout=60) as client:
            self.running.run(self.running.broker.services.topics.create("known"))
            client.ask(FindCoordinatorRequest(key="known"), 2)
            partition = OffsetCommitRequestPartition(committed_offset=0)
            commit = OffsetCommitRequest(
                group_id="known", topics=[OffsetCommitRequestTopic("known", [partition])]
            )
            wait_until(
                lambda: client.ask(commit, 2).topics[0].partitions[0].error_code == 0,
                "offsets of the group are stored",
                seconds=30,
            )

    def cost(self, frame: bytes) -> tuple[float, float]:
        """(CPU seconds of the broker, longest hold of its loop) for one request, answered or refused."""
        with self.running.connect(timeout=60) as client:
            time.sleep(0.002)
            self.probe.longest = 0.0
            own, all_of_it = time.thread_time(), time.process_time()
            # What comes after it is answered after it: some requests have no answer of their own.
            with suppress(ConnectionError):
                client.socket.sendall(frame + AFTER_IT)
                while client.receive_frame()[:4] != AFTER_IT_ID:
                    pass
            # The round of the loop that has sent the answer is over when it does something else.
            self.running.run(asyncio.sleep(0))
            all_of_it = time.process_time() - all_of_it
            return all_of_it - (time.thread_time() - own), self.probe.longest


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """One for all tests."""
    measured = Measured(tmp_path_factory.mktemp("cost"))
    measured.prepare()
    yield measured
    measured.running.close()


def _size(key: ApiKey, wanted: int) -> int:
    """As many elements as the API takes, with those on the way to the array."""
    return min(wanted, APIS[key].max_elements - 16)


def _growth(measured: Measured, key: ApiKey, version: int, path: ArrayPath, filling: Filling) -> str | None:
    half = _size(key, 2 * FEW) // 2
    once, twice = (frame_with(key, version, path, count, filling) for count in (half, 2 * half))
    measured.cost(once)  # What is compiled or kept at first use.
    for _ in range(TRIES):
        low, high = measured.cost(once)[0], measured.cost(twice)[0]
        if high <= MOST_GROWTH * low + SLACK_SECONDS:
            return None
    return f"{'.'.join(path)} with {filling}: {half} cost {low:.3f} s, twice as many {high:.3f} s"


def _hold(measured: Measured, key: ApiKey, version: int, path: ArrayPath) -> str | None:
    frame = frame_with(key, version, path, _size(key, MANY), NEW)
    held = LONGEST_HOLD
    for _ in range(TRIES):
        held = measured.cost(frame)[1]
        if held < LONGEST_HOLD:
            return None
    return f"{'.'.join(path)}: the loop was held for {held:.3f} s"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_doubled_elements_cost_twice_and_never_hold_the_loop(measured: Measured, key: ApiKey) -> None:
    """A new API is covered when it is registered."""
    problems = []
    for path, version in array_paths(key):
        problems += [_growth(measured, key, version, path, filling) for filling in FILLINGS]
        problems.append(_hold(measured, key, version, path))
    assert not any(problems), "\n".join(filter(None, problems))


def fetch_of_all(epoch: int) -> bytes:
    """A fetch of as many partitions as one request may have, one of which is there."""
    rows = [FetchPartition(partition=number, partition_max_bytes=1024) for number in range(MAX_PARTITIONS)]
    topics = [FetchTopic(topic="known", partitions=rows)]
    return encode_request(FetchRequest(session_epoch=epoch, topics=topics), 12, 1)


@pytest.mark.parametrize("epoch", [NO_EPOCH, FIRST_EPOCH], ids=["no session", "new session"])
def test_a_fetch_of_all_partitions_is_done_in_lots(
    measured: Measured, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With turns that are over at once nothing holds the loop longer than a lot, or than what must be done in
    one piece: so much of the whole."""
    frame = fetch_of_all(epoch)
    measured.cost(frame)
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(turns, "AT_ONCE_SECONDS", 0.0)
    shares = []
    for _ in range(TRIES):
        whole, held = measured.cost(frame)
        shares.append(held / whole)
    assert min(shares) < LARGEST_PIECE, shares
