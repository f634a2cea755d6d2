"""Produce: what a leader takes in transactions, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from tests.compat.transactions.play import FAR, Play, Scenario, name_of
from tests.integration.transactional_client import Partition, batch_of

JOINS: Final = 12
PLAIN: Final = (-1, -1)


def nobody_has_asked_before(play: Play) -> None:
    """Scenario 41: there is no `__transaction_state`; nobody has asked for a coordinator."""
    at = play.topic(), 0
    for version in (9, 11):
        play.put((1, 0), 0, at, version=version, at_once=True)
    code, _, _ = play.producer.init()
    play.note("init", name_of(code))
    play.add((1, 0), at, at_once=True)
    play.add_offsets((1, 0), "g", at_once=True)
    play.end((1, 0), at_once=True)
    (one,) = play.client.ask(DescribeTransactionsRequest(["x"]), 0).transaction_states
    play.note("describe", name_of(one.error_code))
    play.note("list", name_of(play.client.ask(ListTransactionsRequest(), 1).error_code))
    play.log(at)


def not_added(play: Play) -> None:
    """Scenarios 31 and 32."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    for version in (3, 9, 10, 11):
        play.put(identity, 0, at, version=version)
    play.add(identity, other)
    for version in (3, 9, 10, 11):
        play.put(identity, 0, at, version=version)
    play.put(identity, 0, other)
    play.log(at)
    play.log(other)


def foreign_identities(play: Play) -> None:
    at = play.topic(), 0
    former = play.initialized()
    identity = play.initialized()
    play.add(identity, at)
    for version in (9, 11):
        play.put((FAR, 0), 0, at, version=version)
        play.put(former, 0, at, version=version)
        play.put((identity[0], 9), 0, at, version=version)
        play.put(identity, 0, at, version=version, name="unknown")
    play.put_rows((at, batch_of(identity, 0)), name="unknown")
    play.log(at)


def old_epochs(play: Play) -> None:
    """Scenario 34: at a leader that knows a later one."""
    at = play.topic(), 0
    former = play.initialized()
    play.add(former, at)
    play.put(former, 0, at)
    play.init()
    identity = play.initialized()
    for version in (9, 11):
        play.put(former, 1, at, version=version)
    play.add(identity, at)
    play.put(former, 1, at)
    play.put(identity, 0, at)
    play.put(former, 1, at)
    play.ended(identity)
    play.log(at)


def after_the_marker(play: Play) -> None:
    """Batches that come late, and the next transaction of the same epoch."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 0, at)
    play.ended(identity, commits=False)
    for version in (9, 11):
        play.put(identity, 1, at, version=version)
    play.add(identity, other)
    play.put(identity, 1, at)
    play.put(identity, 1, at, version=11)
    play.add(identity, at)
    play.put(identity, 1, at)
    play.ended(identity)
    play.log(at)


def timed_out(play: Play) -> None:
    """Scenario 35."""
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=2000)
    play.add(identity, at)
    play.put(identity, 0, at)
    play.describe("CompleteAbort")
    for version in (9, 11):
        play.put(identity, 1, at, version=version)
    play.log(at)


def decided_transaction(play: Play) -> None:
    """Markers are under way: for one partition, and not for the other."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at)
    play.hold(identity, at)
    play.end(identity)
    play.put(identity, 0, other, at_once=True)
    play.put(identity, 0, other, version=11, at_once=True)
    play.put(identity, 0, at, at_once=True)
    play.log(at)
    play.log(other)


def two_producers(play: Play) -> None:
    """Scenario 36, and what belongs to no transaction in the same request."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at, other)
    plain = batch_of(PLAIN, -1, transactional=False)
    for version in (9, 11):
        rows = (at, batch_of(identity, 0)), (other, batch_of((identity[0] + 1000, 0), 0))
        play.put_rows(*rows, version=version)
    play.put_rows((at, batch_of(identity, 0)), (other, plain))
    play.put_rows((at, batch_of(identity, 1)), (other, batch_of((FAR, 0), 0, transactional=False)))
    play.log(at)
    play.log(other)


def without_an_id(play: Play) -> None:
    """Scenario 37."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at)
    play.put_rows((at, batch_of(identity, 0)), name=None)
    plain = batch_of(PLAIN, -1, transactional=False)
    play.put_rows((at, batch_of(identity, 0)), (other, plain), name=None)
    play.put_rows((at, plain), name="unused")
    play.log(at)


def outside_of_it(play: Play) -> None:
    """Scenario 38: no transactional batch while one is open, and before."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.put(identity, 0, other, transactional=False)
    play.add(identity, at, other)
    play.put(identity, 0, at)
    play.put(identity, 1, at, transactional=False)
    play.put(identity, 1, at, transactional=False, name=None)
    play.put(identity, 1, other)
    play.put(PLAIN, -1, at, transactional=False)
    play.ended(identity)
    play.put(identity, 1, at, transactional=False)
    play.log(at)
    play.log(other)


def sequences(play: Play) -> None:
    """Scenario 39 of the first protocol: it may begin anywhere, and goes on without gaps."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at, other)
    play.put(identity, 5, at, version=11)
    play.put(identity, 7, at, version=11)
    play.put(identity, 6, at, version=11)
    play.ended(identity)
    play.add(identity, at)
    play.put(identity, 9, at)
    play.put(identity, 7, at)
    play.ended(identity)
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 3, at)
    play.put(identity, 0, at)
    play.log(at)
    play.producers(at)


def written_before(play: Play) -> None:
    """Scenario 40: batches that come once more, in the transaction and after it."""
    at = play.topic(), 0
    identity = play.initialized()
    play.add(identity, at)
    for number in (0, 1, 0, 1, 2):
        play.put(identity, number, at, value=b"%d" % number)
    play.ended(identity)
    for version in (9, 11):
        play.put(identity, 1, at, version=version)
        play.put(identity, 2, at, version=version)
    play.add(identity, at)
    play.put(identity, 2, at)
    play.put(identity, 3, at)
    play.log(at)


def what_consumers_see(play: Play) -> None:
    """The last stable offset, and what is aborted, through several transactions."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(PLAIN, -1, at, value=b"plain", transactional=False)
    for number, commits in enumerate((True, False, False, True)):
        play.add(identity, at)
        play.put(identity, number, at, value=b"%d" % number)
        play.put(PLAIN, -1, at, value=b"plain", transactional=False)
        play.log(at)
        play.producers(at)
        play.ended(identity, commits=commits)
        play.log(at)


def open_over_a_restart(play: Play) -> Iterator[None]:
    """What is open is open, and ends, afterwards."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized(timeout_ms=600_000)
    play.add(identity, at)
    play.put(identity, 0, at, value=b"before")
    yield
    play.describe("Ongoing")
    play.log(at)
    play.put(identity, 1, at, value=b"after")
    play.put(identity, 1, at, value=b"after")
    play.put(identity, 0, other)
    play.add(identity, other)
    play.put(identity, 0, other)
    play.ended(identity)
    play.log(at)
    play.log(other)


def timed_out_over_a_restart(play: Play) -> Iterator[None]:
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=5000)
    play.add(identity, at)
    play.put(identity, 0, at)
    yield
    play.describe("CompleteAbort")
    play.put(identity, 1, at)
    play.end(identity)
    play.log(at)


# -- where leaders have partitions join --------------------


def joins(play: Play) -> None:
    """Scenario 33."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    for partition in (at, other):
        play.put(identity, 0, partition, version=JOINS)
    play.put(identity, 1, at, version=JOINS)
    play.describe("Ongoing")
    following = play.end(identity, version=5)
    play.put(following, 0, at, version=JOINS)
    play.put(identity, 2, at, version=JOINS)
    play.put(identity, 1, other, version=JOINS)
    play.ended(following, version=5, commits=False)
    play.log(at)
    play.log(other)
    play.producers(at)


def joins_as_another(play: Play) -> None:
    at = play.topic(), 0
    former = play.initialized()
    identity = play.initialized()
    play.put((FAR, 0), 0, at, version=JOINS)
    play.put(former, 0, at, version=JOINS)
    play.put((identity[0], 9), 0, at, version=JOINS)
    play.put(identity, 0, at, version=JOINS, name="unknown")
    play.describe("Empty")
    play.log(at)


def joins_while_it_ends(play: Play) -> None:
    """Markers are under way, and stay so."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    play.hold(identity, at)
    following = play.end(identity, version=5)
    play.put(following, 0, other, version=JOINS, at_once=True)
    play.put(identity, 0, other, version=JOINS, at_once=True)
    play.put(following, 0, at, version=JOINS, at_once=True)
    play.log(other)


def joins_with_a_sequence(play: Play) -> None:
    """Scenario 39 of the second protocol: it begins with 0."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 5, at, version=JOINS)
    play.put(identity, 0, at, version=JOINS)
    play.put(identity, 2, at, version=JOINS)
    play.put(identity, 1, at, version=JOINS)
    following = play.ended(identity, version=5)
    play.put(following, 2, at, version=JOINS)
    play.put(following, 0, at, version=JOINS)
    play.log(at)


def joins_again(play: Play) -> None:
    """A batch that was written comes once more, in its transaction and after it."""
    at = play.topic(), 0
    identity = play.initialized()
    play.put(identity, 0, at, version=JOINS)
    play.put(identity, 0, at, version=JOINS)
    following = play.ended(identity, version=5)
    play.put(identity, 0, at, version=JOINS)
    play.put(following, 0, at, version=JOINS)
    play.put(following, 0, at, version=JOINS)
    play.log(at)


def joins_after_a_time_out(play: Play) -> None:
    at = play.topic(), 0
    identity = play.initialized(timeout_ms=2000)
    play.put(identity, 0, at, version=JOINS)
    play.describe("CompleteAbort")
    for version in (11, JOINS):
        play.put(identity, 1, at, version=version)
    following = play.end(identity, commits=False, version=5)
    play.put(following, 0, at, version=JOINS)
    play.log(at)


def joins_with_odd_rows(play: Play) -> None:
    """A partition that does not exist, and one that does, in one request."""
    at = play.topic(), 0
    identity = play.initialized()
    rows: list[tuple[Partition, bytes]] = [
        (("nowhere", 0), batch_of(identity, 0)),
        (at, batch_of(identity, 0)),
    ]
    play.put_rows(*rows, version=JOINS)
    play.put_rows(((at[0], 9), batch_of(identity, 0)), version=JOINS)
    play.describe("Ongoing")
    play.log(at)


def both_protocols(play: Play) -> None:
    """A partition that was added by its client, and one by its leader, in one transaction."""
    at, other = (play.topic(), 0), (play.name, 1)
    identity = play.initialized()
    play.add(identity, at)
    play.put(identity, 0, at)
    play.put(identity, 0, other, version=JOINS)
    play.describe("Ongoing")
    following = play.ended(identity, version=5)
    play.add(following, at)
    play.put(following, 0, at)
    play.ended(following)
    play.log(at)
    play.log(other)


FIRST: Final[dict[str, Scenario]] = {"put-first": nobody_has_asked_before}
SCENARIOS: Final[dict[str, Scenario]] = {
    "put-foreign": foreign_identities,
    "put-old": old_epochs,
    "put-timed-out": timed_out,
    "put-decided": decided_transaction,
    "put-two": two_producers,
    "put-no-id": without_an_id,
    "put-outside": outside_of_it,
    "put-sequences": sequences,
    "put-again": written_before,
    "put-seen": what_consumers_see,
    "put-restart": open_over_a_restart,
    "put-restart-timed-out": timed_out_over_a_restart,
}
ALONE: Final[dict[str, Scenario]] = {"put-not-added": not_added, "put-late": after_the_marker}
RAISING: Final[dict[str, Scenario]] = {
    "join": joins,
    "join-foreign": joins_as_another,
    "join-decided": joins_while_it_ends,
    "join-sequences": joins_with_a_sequence,
    "join-again": joins_again,
    "join-timed-out": joins_after_a_time_out,
    "join-odd": joins_with_odd_rows,
    "join-both": both_protocols,
}
