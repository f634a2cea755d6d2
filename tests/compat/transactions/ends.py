"""EndTxn: in the first protocol (versions 0 to 4), and in the second one (5), which raises epochs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from fastlog.coordination.transactions.state import LAST_GIVEN_EPOCH, TransactionEntry, TransactionState
from tests.compat.transactions.play import FAR, Play, Scenario
from tests.integration.transaction_broker import of_broker

RAISES: Final = 5
JOINS: Final = 12


def nothing_begun(play: Play) -> None:
    """Scenarios 42 and 43."""
    play.end((1, 1))
    former = play.initialized()
    identity = play.initialized()
    for version in range(5):
        play.end(former, version=version)
        play.end((FAR, 1), version=version)
        play.end((identity[0], 9), version=version)
        for commits in (True, False):
            play.end(identity, commits=commits, version=version)
    play.describe("Empty")


def twice(play: Play) -> None:
    """Scenarios 44 and 45, in each version."""
    at = play.topic(), 0
    identity = play.initialized()
    for version in range(5):
        for commits in (True, False):
            play.add(identity, at)
            play.ended(identity, commits=commits, version=version)
            play.end(identity, commits=commits, version=version)
            play.end(identity, commits=not commits, version=version)
    play.end((identity[0], 9))
    play.end((FAR, 0))


def decided_transaction(play: Play) -> None:
    """Markers are under way."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.hold(identity, at)
    play.end(identity)
    for version in (0, 1, 4):
        play.end(identity, version=version, at_once=True)
        play.end(identity, commits=False, version=version, at_once=True)
    play.end((identity[0], 9), at_once=True)
    play.end((FAR, 0), at_once=True)


def after_init(play: Play) -> None:
    """Of an identity that was replaced since."""
    at = play.topic(), 0
    former = play.initialized()
    play.add(former, at)
    play.ended(former)
    identity = play.initialized()
    play.end(former)
    play.end(former, commits=False)
    play.end(identity)
    play.end(identity, commits=False)


def no_id(play: Play) -> None:
    play.producer.name = ""
    for version in range(5):
        play.end((1, 0), version=version)


def time_outs(play: Play) -> None:
    """Scenario 48."""
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=2000)
    play.add(identity, at)
    play.describe("CompleteAbort")
    for commits in (True, False):
        for version in (1, 4):
            play.end(identity, commits=commits, version=version)
    play.add(identity, at)
    play.init(identity)
    play.initialized()


def deleted_topic(play: Play) -> None:
    """Scenario 50."""
    kept, gone = play.topic(), play.topic(".gone")
    identity = play.initialized()
    play.add(identity, (kept, 0), (gone, 1))
    play.put(identity, 0, (kept, 0))
    play.put(identity, 0, (gone, 1))
    play.delete_topic(gone)
    play.put(identity, 1, (gone, 1))
    play.ended(identity)
    play.log((kept, 0))


def deleted_and_made_again(play: Play) -> None:
    """The marker goes to a topic that never had the transaction."""
    gone = play.topic()
    identity = play.initialized()
    play.add(identity, (gone, 0))
    play.put(identity, 0, (gone, 0))
    play.delete_topic(gone)
    play.topic()
    play.put(identity, 1, (gone, 0))
    play.ended(identity)
    play.log((gone, 0))


def lost_with_the_broker(play: Play) -> Iterator[None]:
    """The answer to an end is lost; the client asks again after the restart."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 0, at)
    play.ended(identity)
    yield
    play.describe("CompleteCommit")
    play.end(identity)
    play.end(identity, commits=False)
    play.add(identity, at)
    play.put(identity, 1, at)
    play.ended(identity, commits=False)
    play.log(at)


def last_epoch(play: Play) -> Iterator[None]:
    """The first protocol uses it as long as it likes."""
    at = play.topic(), 0
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH)
    identity = producer_id, LAST_GIVEN_EPOCH
    for commits in (True, False):
        play.add(identity, at)
        play.ended(identity, commits=commits)
        play.end(identity, commits=commits)
    play.init(identity)
    play.describe("Empty")


# -- of version 5 --------------------


def raising_nothing_begun(play: Play) -> None:
    """Scenarios 42, 43 and 46 of Empty."""
    producer_id, epoch = play.initialized()
    for commits in (True, False):
        for other in (-1, 1, 2):
            play.end((producer_id, epoch + other), commits=commits, version=RAISES)
    play.end((FAR, epoch), version=RAISES)
    play.end((producer_id, epoch), version=RAISES)
    play.end((producer_id, epoch), commits=False, version=RAISES)
    play.describe("CompleteAbort")


def raising_after_an_abort(play: Play) -> None:
    """Scenario 46 of CompleteAbort."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    identity = play.ended(identity, commits=False, version=RAISES)
    _each(play, identity)
    play.end(identity, commits=False, version=RAISES)
    play.describe("CompleteAbort")
    play.log(at)


def raising_after_a_commit(play: Play) -> None:
    """Scenario 46 of CompleteCommit."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    identity = play.ended(identity, version=RAISES)
    _each(play, identity)
    play.end(identity, commits=False, version=RAISES)
    play.describe("CompleteAbort")


def raising_several_times(play: Play) -> None:
    """Aborts of nothing, one after the other, and transactions between them."""
    at = play.topic(), 0
    identity = play.initialized()
    for commits in (False, False, True, False, True):
        if commits:
            play.put(identity, 0, at, version=JOINS)
        identity = play.ended(identity, commits=commits, version=RAISES)
    play.log(at)
    play.producers(at)


def raising_decided(play: Play) -> None:
    """Markers are under way."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    play.hold(identity, at)
    following = play.end(identity, version=RAISES)
    for who in (identity, following, (identity[0], 9), (FAR, 0)):
        for commits in (True, False):
            play.end(who, commits=commits, version=RAISES, at_once=True)
            play.end(who, commits=commits, at_once=True)
    play.init(following)
    play.init(identity)
    play.init()
    play.add(following, at, at_once=True)
    play.add_as_broker(of_broker(play.name, following, at), version=5)
    play.describe("PrepareCommit")


def protocols_in_turns(play: Play) -> None:
    """Scenario 49, both ways."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    following = play.ended(identity, version=RAISES)
    play.end(following)
    play.end(following, commits=False)
    play.end(identity)
    play.add(following, at)
    play.put(following, 0, at)
    play.ended(following)
    play.end(following)
    play.end(following, version=RAISES)
    again = play.end(following, commits=False, version=RAISES)
    play.describe("CompleteAbort")
    play.add(again, at)
    play.put(again, 0, at)
    play.end(again, version=RAISES)
    play.describe("CompleteCommit")
    play.log(at)


def raising_time_outs(play: Play) -> None:
    """Scenario 48 of the second protocol."""
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=2000)
    play.put(identity, 0, at, version=JOINS)
    play.describe("CompleteAbort")
    play.end(identity, version=RAISES)
    play.end(identity, commits=False, version=RAISES)
    play.end((identity[0], identity[1] + 1), version=RAISES)
    play.put((identity[0], identity[1] + 1), 0, at, version=JOINS)
    play.ended((identity[0], identity[1] + 1), version=RAISES)
    play.log(at)


def fenced_by_another(play: Play) -> None:
    """Another producer starts while a transaction of the second protocol is open."""
    at = play.topic(), 0
    former = play.initialized()
    play.put(former, 0, at, version=JOINS)
    play.init()
    identity = play.initialized()
    for commits in (True, False):
        play.end(former, commits=commits, version=RAISES)
    play.put(former, 1, at, version=JOINS)
    play.put(identity, 0, at, version=JOINS)
    play.ended(identity, version=RAISES)
    play.init(former)
    play.init((identity[0], identity[1] + 1))
    play.log(at)


def no_id_of_version_5(play: Play) -> None:
    play.producer.name = ""
    play.end((1, 0), version=RAISES)


def raising_lost_with_the_broker(play: Play) -> Iterator[None]:
    """The answer to an end, and the identity with it, are lost."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    following = play.ended(identity, version=RAISES)
    yield
    play.end(identity, commits=False, version=RAISES)
    play.end(identity, version=RAISES)
    play.put(following, 0, at, version=JOINS)
    play.ended(following, commits=False, version=RAISES)
    play.log(at)


def raising_last_epoch(play: Play) -> Iterator[None]:
    """Scenario 47: the producer id changes with the end, whose answer may be lost."""
    at = play.topic(), 0
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH)
    identity = producer_id, LAST_GIVEN_EPOCH
    play.put(identity, 0, at, version=JOINS)
    following = play.ended(identity, version=RAISES)
    play.end(identity, version=RAISES)
    play.end(identity, commits=False, version=RAISES)
    play.end((producer_id, LAST_GIVEN_EPOCH - 1), version=RAISES)
    play.put(identity, 1, at, version=JOINS)
    play.put(following, 0, at, version=JOINS)
    play.end(identity, version=RAISES)
    play.ended(following, version=RAISES)
    play.end(identity, version=RAISES)
    play.log(at)
    play.producers(at)


def raising_last_epoch_of_nothing(play: Play) -> Iterator[None]:
    """An abort without a transaction at the last epoch, and the one before it."""
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH - 1)
    identity = play.ended((producer_id, LAST_GIVEN_EPOCH - 1), commits=False, version=RAISES)
    identity = play.ended(identity, commits=False, version=RAISES)
    play.end((producer_id, LAST_GIVEN_EPOCH), commits=False, version=RAISES)
    play.end((producer_id, LAST_GIVEN_EPOCH), version=RAISES)
    play.end(identity, version=RAISES)
    play.init((producer_id, LAST_GIVEN_EPOCH))
    play.describe("Empty")


def raising_time_out_at_the_last_epoch(play: Play) -> Iterator[None]:
    """KAFKA-19367: there is no epoch above the one that the abort takes."""
    at = play.topic(), 0
    producer_id = yield from _at_epoch(play, LAST_GIVEN_EPOCH, timeout_ms=2000)
    identity = producer_id, LAST_GIVEN_EPOCH
    play.put(identity, 0, at, version=JOINS)
    play.describe("CompleteAbort")
    play.end(identity, commits=False, version=RAISES)
    play.init(identity)
    play.log(at)


def _each(play: Play, stored: tuple[int, int]) -> None:
    """Both ends with every epoch near the stored one; commits with it alone."""
    producer_id, epoch = stored
    for commits in (True, False):
        for other in (-2, -1, 1):
            play.end((producer_id, epoch + other), commits=commits, version=RAISES)
    play.end(stored, version=RAISES)
    play.end((FAR, epoch), version=RAISES)


def _at_epoch(play: Play, epoch: int, timeout_ms: int = 60_000) -> Generator[None, None, int]:
    producer_id, _ = play.initialized()
    play.rewritten[play.name] = TransactionEntry(
        producer_id, epoch, timeout_ms, TransactionState.EMPTY, last_update_ms=1_700_000_000_000
    )
    yield
    return producer_id


SCENARIOS: Final[dict[str, Scenario]] = {
    "end-nothing": nothing_begun,
    "end-twice": twice,
    "end-decided": decided_transaction,
    "end-after-init": after_init,
    "end-no-id": no_id,
    "end-timed-out": time_outs,
    "end-deleted": deleted_topic,
    "end-made-again": deleted_and_made_again,
    "end-restart": lost_with_the_broker,
    "end-last": last_epoch,
}
RAISING: Final[dict[str, Scenario]] = {
    "raise-nothing": raising_nothing_begun,
    "raise-after-abort": raising_after_an_abort,
    "raise-after-commit": raising_after_a_commit,
    "raise-several": raising_several_times,
    "raise-decided": raising_decided,
    "raise-in-turns": protocols_in_turns,
    "raise-timed-out": raising_time_outs,
    "raise-fenced": fenced_by_another,
    "raise-no-id": no_id_of_version_5,
    "raise-restart": raising_lost_with_the_broker,
    "raise-last": raising_last_epoch,
    "raise-last-nothing": raising_last_epoch_of_nothing,
    "raise-last-timed-out": raising_time_out_at_the_last_epoch,
}
