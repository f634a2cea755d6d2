"""One record after the other out of what a poll has taken, so that a commit means those that were handed out.

A poll takes many records at a time. Who iterates and commits in the middle of them means the records that he
has seen; who leaves the loop and comes back wants those that he has not. So each partition knows which record
comes next (`PartitionState.unread`), and the next poll begins there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastlog.client.consumer.fetcher import Fetcher
from fastlog.client.consumer.state import PartitionState
from fastlog.client.metadata import TopicPartition
from fastlog.native import Record

__all__ = ["one_by_one", "rewind"]


def one_by_one(fetcher: Fetcher, polled: Mapping[TopicPartition, list[Record]]) -> Iterator[Record]:
    """The records of each partition in order; not the rest of one that was sought elsewhere or given up."""
    turns = {}
    for name, records in polled.items():
        state = fetcher.states.get(name)
        if state is not None:
            state.unread = records[0]
            turns[name] = state, state.turn
    for name, (state, turn) in turns.items():
        records = polled[name]
        for number, record in enumerate(records, 1):
            if state.turn != turn:
                break
            state.unread = records[number] if number < len(records) else None
            yield record


def rewind(states: Mapping[TopicPartition, PartitionState]) -> None:
    """Goes back to what was not handed out, before more is taken."""
    for state in states.values():
        if state.unread is not None:
            state.seek(state.unread.offset, state.unread.leader_epoch)
