"""From the controller to the brokers: LeaderAndIsr, UpdateMetadata and StopReplica, in order, until answered.

Each broker has a channel of its own with one connection and one request in flight
(`ControllerChannelManager`, `RequestSendThread`). A request is sent again and again, 100 ms apart, until it
is answered or the broker is removed: receivers take the same one twice. A broker that comes back with another
epoch gets a new channel: nothing that was meant for its former life reaches it (KAFKA-7235). Versions are
fixed, nothing is negotiated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from fastlog.base.tasks import Loop, Supervisor
from fastlog.coordination.controller.channel_queue import ChannelQueue, ControlRequest
from fastlog.net.errors import ClientError
from fastlog.wire import UnencodableMessage
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrResponse
from fastlog.wire.messages.stop_replica import StopReplicaRequest, StopReplicaResponse
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataResponse

_LOG: Final = logging.getLogger(__name__)
RESEND_SECONDS: Final = 0.1
_ENDING_SECONDS: Final = 10.0

ControlResponse = LeaderAndIsrResponse | UpdateMetadataResponse | StopReplicaResponse
OnAnswer = Callable[[int, ControlRequest, ControlResponse], None]
"""Broker id, request, answer. Called on the event loop, in order per broker."""


class ControlReceiver(Protocol):
    """The broker's side of what a controller sends. What it raises means that it is to be sent again."""

    async def leader_and_isr(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        """Leads, follows."""
        ...

    async def update_metadata(self, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
        """Takes over what clients are told."""
        ...

    async def stop_replica(self, request: StopReplicaRequest) -> StopReplicaResponse:
        """Gives up replicas."""
        ...


class ControlLink(Protocol):
    """How requests reach one broker."""

    async def ask(self, request: ControlRequest) -> ControlResponse:
        """Raises OSError or FastlogError when it may not have been received."""
        ...

    async def close(self) -> None:
        """Nothing is sent any more."""
        ...


class LocalLink:
    """To the broker in this process: no socket is in between.

    What the broker has begun it ends, as it would over a socket, also when the channel is closed meanwhile.
    """

    def __init__(self, receiver: ControlReceiver) -> None:
        self._receiver = receiver
        self._begun: set[asyncio.Task[ControlResponse]] = set()

    async def ask(self, request: ControlRequest) -> ControlResponse:
        """See `ControlLink`."""
        answering = asyncio.get_running_loop().create_task(self._answer(request))
        self._begun.add(answering)
        answering.add_done_callback(self._begun.discard)
        return await asyncio.shield(answering)

    async def _answer(self, request: ControlRequest) -> ControlResponse:
        if isinstance(request, LeaderAndIsrRequest):
            return await self._receiver.leader_and_isr(request)
        if isinstance(request, UpdateMetadataRequest):
            return await self._receiver.update_metadata(request)
        return await self._receiver.stop_replica(request)

    async def close(self) -> None:
        """See `ControlLink`: waits until what is begun has ended, but not for ever."""
        if self._begun:
            await asyncio.wait(set(self._begun), timeout=_ENDING_SECONDS)


class Channel:
    """To one life of one broker: `broker_epoch` is the czxid of its registration."""

    def __init__(
        self, broker_id: int, broker_epoch: int, link: ControlLink, on_answer: OnAnswer, tasks: Supervisor
    ) -> None:
        self.broker_id: Final = broker_id
        self.broker_epoch: Final = broker_epoch
        self._link = link
        self._on_answer = on_answer
        self._queue = ChannelQueue()
        self._some = asyncio.Event()
        self._loop: Loop = tasks.run(f"controller-to-broker-{broker_id}", self._run)

    def __len__(self) -> int:
        """Requests that wait, without the one in flight."""
        return len(self._queue)

    def send(self, request: ControlRequest) -> None:
        """Adds a request; it may be merged with one that waits."""
        self._queue.put(request)
        self._some.set()

    async def close(self) -> None:
        """What is not answered yet is forgotten."""
        await self._loop.stop()
        await self._link.close()

    async def _run(self) -> None:
        while True:
            while (request := self._queue.take()) is None:
                self._some.clear()
                await self._some.wait()
            try:
                answer = await self._until_answered(request)
            except UnencodableMessage as error:
                # It would be so the next time, and hold up all that comes after it for ever.
                _LOG.error("broker %d is not told something that cannot be: %s", self.broker_id, error)
            else:
                self._on_answer(self.broker_id, request, answer)

    async def _until_answered(self, request: ControlRequest) -> ControlResponse:
        told: set[str] = set()
        while True:
            try:
                return await self._link.ask(request)
            except UnencodableMessage:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it was, the broker has to learn of it
                # Each reason once: it refuses connections before it lets in nobody.
                reason = error.message if isinstance(error, ClientError) else str(error)
                log = _LOG.debug if reason in told else _LOG.warning
                log("broker %d does not answer %s: %s", self.broker_id, request.API.name, error)
                told.add(reason)
            await asyncio.sleep(RESEND_SECONDS)


class Channels:
    """The channels of an active controller. `link_of` makes the link to a broker."""

    def __init__(self, on_answer: OnAnswer, tasks: Supervisor) -> None:
        self._on_answer = on_answer
        self._tasks = tasks
        self._channels: dict[int, Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def broker_ids(self) -> set[int]:
        """Who has a channel."""
        return set(self._channels)

    def open(self, broker_id: int, broker_epoch: int, link: ControlLink) -> None:
        """A broker has come, or has come back: a former channel is closed."""
        self.remove(broker_id)
        self._channels[broker_id] = Channel(broker_id, broker_epoch, link, self._on_answer, self._tasks)

    def remove(self, broker_id: int) -> None:
        """A broker has gone: what it was to be told is forgotten."""
        channel = self._channels.pop(broker_id, None)
        if channel is not None:
            closing = asyncio.get_running_loop().create_task(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def send(self, broker_id: int, request: ControlRequest) -> bool:
        """Whether there is a channel to the life of the broker that the request is meant for."""
        channel = self._channels.get(broker_id)
        if channel is None or channel.broker_epoch != request.broker_epoch:
            return False
        channel.send(request)
        return True

    async def close(self) -> None:
        """Ends all channels."""
        for broker_id in list(self._channels):
            self.remove(broker_id)
        if self._closing:
            await asyncio.wait(set(self._closing))
