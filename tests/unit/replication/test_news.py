"""Who is told that a partition moved, and how often."""

from __future__ import annotations

from fastlog.replication.news import PartitionNews
from fastlog.replication.partition import PartitionKey

A: PartitionKey = ("a", 0)
B: PartitionKey = ("b", 0)


class Reader:
    """Notes that it was told, and perhaps watches again."""

    def __init__(self, name: str, told: list[str], again: PartitionNews | None = None) -> None:
        self.name = name
        self.told = told
        self.again = again

    def moved(self) -> None:
        """As `Watcher.moved`."""
        self.told.append(self.name)
        if self.again is not None:
            self.again.watch(A, self)


def test_watchers_are_told_once_in_their_order() -> None:
    news, told = PartitionNews(), list[str]()
    readers = [Reader(str(number), told) for number in range(20)]
    for reader in (*readers, *readers):
        news.watch(A, reader)
    news.watch(B, readers[3])
    assert len(news) == 21
    news.tell(A)
    news.tell(A)
    assert (told, len(news)) == ([str(number) for number in range(20)], 1)


def test_one_that_watches_again_is_told_of_the_next_move_and_not_twice_of_this_one() -> None:
    news, told = PartitionNews(), list[str]()
    news.watch(A, Reader("a", told, news))
    news.tell(A)
    assert told == ["a"]
    news.tell(A)
    assert told == ["a", "a"]


def test_a_watch_that_ended_is_not_told() -> None:
    news, told = PartitionNews(), list[str]()
    stays, goes = Reader("stays", told), Reader("goes", told)
    for reader in (stays, goes):
        news.watch(A, reader)
    news.unwatch(A, goes)
    news.unwatch(A, goes)
    news.unwatch(B, goes)
    news.tell(A)
    assert (told, len(news)) == (["stays"], 0)
