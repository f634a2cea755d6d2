"""InitProducerId: who gets which identity, and who is fenced."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from fastlog.coordination.transactions.state import LAST_GIVEN_EPOCH, TransactionEntry, TransactionState
from tests.compat.transactions.play import FAR, Play, Scenario, name_of
from tests.integration.running import RawClient
from tests.integration.transaction_broker import Producer


def new_id(play: Play) -> None:
    play.init()
    play.init()
    play.describe("Empty")


def unknown_id_with_an_identity(play: Play) -> None:
    play.init((FAR, 7))
    play.init((FAR, 7))
    play.describe("Empty")


def half_identities(play: Play) -> None:
    producer_id, _ = play.init()
    play.init((producer_id, -1))
    play.init((-1, 3))
    play.init((-1, 0))
    play.init((-2, -1))
    play.describe("Empty")


def lost_answer(play: Play) -> None:
    """The same identity again, and those before it."""
    producer_id, _ = play.init()
    play.init((producer_id, 0))
    play.init((producer_id, 0))
    play.init((producer_id, 0), version=3)
    play.init((producer_id, 1))
    play.init((producer_id, 0))
    play.init((producer_id, 0), version=3)
    play.init((producer_id, 1))
    play.describe("Empty")


def lost_answer_without_an_identity(play: Play) -> None:
    """Who brings none gets the next epoch each time; the former owner is fenced."""
    producer_id, epoch = play.init()
    play.init()
    play.init((producer_id, epoch))
    play.init((producer_id, epoch), version=3)
    play.init((producer_id, epoch + 1))


def foreign_identities(play: Play) -> None:
    producer_id, _ = play.init()
    play.init((FAR, 0))
    play.init((FAR, LAST_GIVEN_EPOCH))
    play.init((producer_id, 9))
    play.init((producer_id, LAST_GIVEN_EPOCH))
    play.init((producer_id, 32767))
    play.init((FAR, 2), version=3)


def versions(play: Play) -> None:
    for version in range(6):
        play.init(version=version)
    play.describe("Empty")


def time_outs_that_cannot_be(play: Play) -> None:
    for timeout_ms in (0, -1, 900_001, 900_000, 1):
        play.init(timeout_ms=timeout_ms)
    play.init(timeout_ms=-1, version=0)
    play.describe("Empty")


def empty_id(play: Play) -> None:
    play.producer.name = ""
    for version in range(6):
        play.init(version=version)
    play.init((FAR, 1))


def new_time_out(play: Play) -> None:
    identity = play.init(timeout_ms=77)
    play.describe("Empty")
    play.init(identity, timeout_ms=78)
    play.describe("Empty")
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=60_000)
    play.add(identity, at)
    play.describe("Ongoing")
    play.init(timeout_ms=1234)
    play.initialized(timeout_ms=4321)
    play.describe("Empty")


def open_transaction(play: Play) -> None:
    """It is aborted, and its producer fenced; then both go on."""
    at, other = (play.topic(), 0), (play.name, 1)
    former = play.initialized()
    play.add(former, at)
    play.put(former, 0, at)
    play.init()
    now = play.initialized()
    play.add(former, at)
    play.end(former)
    play.put(former, 1, at)
    play.log(at)
    play.add(now, other)
    play.put(now, 0, other)
    play.init(now)
    play.initialized()
    play.log(other)
    play.describe("Empty")


def open_transaction_of_the_owner(play: Play) -> None:
    """Who asks with the identity that has the transaction open."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 0, at)
    play.init(identity)
    play.describe("CompleteAbort")
    play.init(identity)
    play.init((identity[0], identity[1] + 1))
    play.log(at)


def fenced_while_it_is_aborted(play: Play) -> None:
    """Somebody else has begun to take the id over, and does not come back for it."""
    at = play.topic(), 0
    former = play.initialized()
    play.add(former, at)
    play.put(former, 0, at)
    play.init()
    play.describe("CompleteAbort")
    play.init(former)
    play.init(former)
    play.init()
    play.init(former)


def decided_transaction(play: Play) -> None:
    """Markers are under way."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.hold(identity, at)
    play.end(identity)
    play.init()
    play.init(identity)
    play.init((identity[0], 9))
    play.init((FAR, 0))
    play.init(version=3)
    play.init(timeout_ms=0)
    play.describe("PrepareCommit")


def two_at_once(play: Play) -> None:
    """Both get an epoch in the end, and the later one fences the other."""
    play.initialized()

    def ask(_: int) -> tuple[int, int]:
        with RawClient(play.port, timeout=60) as client:
            return Producer(client, play.name).initialized()

    with ThreadPoolExecutor(4) as threads:
        found = sorted(threads.map(ask, range(4)))
    play.note("four at once", [(play.known(producer_id), epoch) for producer_id, epoch in found])
    for identity in found:
        code = play.producer.add(identity, ("none", 0))
        play.note("add", [name_of(value) for value in code.values()])


def last_epoch(play: Play) -> Iterator[None]:
    """Scenario 15."""
    yield from _at_epoch(play, LAST_GIVEN_EPOCH)
    play.initialized()
    play.describe("Empty")


def last_epoch_of_the_owner(play: Play) -> Iterator[None]:
    """Scenarios 16 and 17, with a lost answer."""
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH)
    play.init((producer_id, LAST_GIVEN_EPOCH - 1))
    play.init((producer_id, LAST_GIVEN_EPOCH - 1), version=3)
    play.init((producer_id, LAST_GIVEN_EPOCH))
    play.init((producer_id, LAST_GIVEN_EPOCH))
    play.describe("Empty")


def epoch_before_the_last(play: Play) -> Iterator[None]:
    """It gets the last one."""
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH - 1)
    play.init((producer_id, LAST_GIVEN_EPOCH - 1))
    play.describe("Empty")
    play.init((producer_id, LAST_GIVEN_EPOCH - 2))
    play.init()
    play.describe("Empty")


def open_at_the_last_epoch(play: Play) -> Iterator[None]:
    """The abort takes the epoch that nobody is given."""
    at = play.topic(), 0
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH)
    play.add((producer_id, LAST_GIVEN_EPOCH), at)
    play.put((producer_id, LAST_GIVEN_EPOCH), 0, at)
    play.init()
    play.initialized()
    play.log(at)
    play.producers(at)


def after_a_restart(play: Play) -> Iterator[None]:
    """Scenario 8: the answer to an owner is lost with the broker."""
    identity = play.initialized()
    play.init(identity)
    yield
    code, producer_id, epoch = play.producer.init(identity)
    # What was lost in memory is not in the log of the first protocol.
    play.note("again", (name_of(code), play.known(producer_id), epoch))
    play.init((identity[0], identity[1] + 1))
    play.describe("Empty")


def _at_epoch(play: Play, epoch: int) -> Generator[None, None, int]:
    producer_id, _ = play.initialized()
    entry = TransactionEntry(
        producer_id, epoch, 60_000, TransactionState.EMPTY, last_update_ms=1_700_000_000_000
    )
    play.rewritten[play.name] = entry
    yield
    return producer_id


SCENARIOS: Final[dict[str, Scenario]] = {
    "init-new": new_id,
    "init-unknown": unknown_id_with_an_identity,
    "init-half": half_identities,
    "init-lost": lost_answer,
    "init-again": lost_answer_without_an_identity,
    "init-foreign": foreign_identities,
    "init-versions": versions,
    "init-times": time_outs_that_cannot_be,
    "init-no-id": empty_id,
    "init-new-time": new_time_out,
    "init-open": open_transaction,
    "init-open-own": open_transaction_of_the_owner,
    "init-open-other": fenced_while_it_is_aborted,
    "init-decided": decided_transaction,
    "init-together": two_at_once,
    "init-last": last_epoch,
    "init-last-own": last_epoch_of_the_owner,
    "init-before-last": epoch_before_the_last,
    "init-last-open": open_at_the_last_epoch,
    "init-restart": after_a_restart,
}
