"""Fast failover: a broker whose port refuses connections is taken for failed before its session has run out.

ZooKeeper learns of a dead process when its session ends, up to 18 s later. The controller can know it at
once: its idle connection to the broker breaks, and the broker's port answers a new one with a refusal, which
is what an operating system says when no process listens there. A time-out, an unreachable host or a name that
does not resolve say nothing about the process, and never count; nor does a refusal by a broker that has not
accepted a connection since it registered, since Kafka's brokers register before they listen; a new controller
takes it that those have of which the former one has told its broker. A port may still answer for a moment
when the process is dead, since its sockets are closed one after the other: it is looked at again. After two
refusals, some 75 ms apart, the partitions that the broker leads get other leaders out of their in-sync
replicas, and the broker leaves the in-sync replicas of the others. Its registration stays, and what there is
to tell it waits for it; it counts as one that shuts down. As soon as its port answers again, or it registers
anew, it is treated as a broker that starts. `fastlog.controller.fast.failover=false` turns this off.

Why it is safe, even if the broker lives (behind a firewall that refuses, or with its listener closed):

* Leaders come from the in-sync replicas alone. A partition whose only live in-sync replica is the suspect is
  left as it is, and while any broker is suspected no topic's setting makes an election unclean: that waits
  until the broker answers or its session has run out.
* The new state is written at the version that was read, with a higher leader epoch. Of that version there is
  one successor: no second controller, and no request of the old leader, can have changed the partition too.
* A record that the old leader has acknowledged with acks=all was in the log of every member of its in-sync
  replicas (a shrink counts only when the controller has stored it, an expansion from the moment on that it is
  asked for). The new leader is one of them, so it has the record. It takes its place by ceasing to fetch
  from the old one. From then on the old leader's high watermark cannot rise past what the new one has: that
  would need the new leader's fetches, or in-sync replicas without it, which the controller refuses, because
  the leader epoch of the request is fenced (74).
* Consumers read up to the high watermark, so what they have read stays too.
* When the old leader is told, or fetches with its old epoch, it truncates where the epochs part.

This is the argument for a broker whose session has run out and that does not know it yet; nothing in it needs
the session to be over.

What acks=1 risks: the old leader, if it lives, goes on to acknowledge acks=1 (and acks=0) writes of clients
that still have a connection to it, until it hears of its successor, and these records are lost when it
truncates. If the process is dead, which is what a refusal nearly always means, there is nobody to acknowledge
anything, and what is lost is what any failure of a leader loses: acks=1 records that no follower had fetched
yet. A shorter time until failover does not make that more.

One more thing is given up: a process that is restarted in less time than its session lasts would have kept
its leaderships. With fast failover they move, and the preferred leader election moves them back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from fastlog.coordination.controller.socket_link import Port, knock
from fastlog.net.backoff import Backoff

_LOG: Final = logging.getLogger(__name__)
_TRIES: Final = 2
_APART_SECONDS: Final = 0.075
_AGAIN_SECONDS: Final = (0.1, 0.4)
"""Pauses before further looks at a port that does not refuse."""
_FIRST_LOOK_SECONDS: Final = 0.1
_LAST_LOOK_SECONDS: Final = 1.0

Knock = Callable[[str, int], Awaitable[Port]]
Told = Callable[[int, int], None]
"""Called with a broker's id and the epoch of its life."""


async def is_refused(knock: Knock, host: str, port: int) -> bool:
    """Whether a port refuses twice, some 75 ms apart: then no process listens there."""
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(_APART_SECONDS)
        if await knock(host, port) is not Port.REFUSED:
            return False
    return True


class Suspicions:
    """Watches the ports of brokers that do not answer. Used on the event loop.

    `gone` is called when a port has refused twice, `back` when it answers after that.
    """

    def __init__(self, gone: Told, back: Told, *, knock: Knock = knock) -> None:
        self._gone = gone
        self._back = back
        self._knock = knock
        self._watches: dict[tuple[int, int], asyncio.Task[None]] = {}

    def suspect(self, broker_id: int, broker_epoch: int, host: str, port: int) -> None:
        """The connection to this life of a broker has broken, or could not be made."""
        key = (broker_id, broker_epoch)
        if key not in self._watches:
            task = asyncio.get_running_loop().create_task(self._watch(key, host, port))
            self._watches[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))

    def retain(self, lives: Collection[tuple[int, int]]) -> None:
        """Nothing is to be found out any more of other lives (broker id, epoch) than these."""
        for key in self._watches.keys() - set(lives):
            self._watches.pop(key).cancel()

    async def close(self) -> None:
        """Ends all watches."""
        watches = list(self._watches.values())
        self._watches.clear()
        for watch in watches:
            watch.cancel()
        if watches:
            await asyncio.wait(watches)

    async def _watch(self, key: tuple[int, int], host: str, port: int) -> None:
        pauses_left = list(_AGAIN_SECONDS)
        while not await is_refused(self._knock, host, port):
            if not pauses_left:
                return
            await asyncio.sleep(pauses_left.pop(0))
        _LOG.warning("broker %d does not listen at %s:%d any more", key[0], host, port)
        self._gone(*key)
        pauses = Backoff(_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS)
        while await self._knock(host, port) is not Port.OPEN:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(pauses.next())
        _LOG.info("broker %d listens again at %s:%d", key[0], host, port)
        self._back(*key)

    def _ended(self, key: tuple[int, int], task: asyncio.Task[None]) -> None:
        if self._watches.get(key) is task:
            del self._watches[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the watch of broker %d's port failed", key[0], exc_info=error)
