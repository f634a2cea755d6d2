"""What this broker asks of the controller, over the link to it: producer ids, and relief at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from fastlog.coordination.cluster_view import ClusterView
from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode
from fastlog.net.errors import ClientError
from fastlog.replication.controller_link import ControllerLink, ControllerPlace
from fastlog.wire import API_VERSIONS, ApiKey, Request, Response
from fastlog.wire.messages.allocate_producer_ids import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)
from fastlog.wire.messages.alter_partition import AlterPartitionRequest
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest, ControlledShutdownResponse

_LOG: Final = logging.getLogger(__name__)
_ASK_SECONDS: Final = 30.0
_SHUTDOWN_SECONDS: Final = 20.0
_MOST_BLOCKS: Final = 10_000
_NOBODY: Final = -1


def place_of_controller(view: ClusterView, *listeners: str) -> ControllerPlace | None:
    """Who the controller is, as it says itself, and where: at the first of these listeners that it has."""
    snapshot = view.snapshot
    for broker in snapshot.brokers:
        if broker.id == snapshot.controller_id:
            for listener in listeners:
                if listener in broker.endpoints:
                    return ControllerPlace(broker.id, *broker.endpoints[listener], listener)
    return None


async def ask_here(controller: Controller, request: Request) -> Response:
    """Asks the controller of this process. Raises TypeError for what brokers do not ask of it."""
    if isinstance(request, AlterPartitionRequest):
        return await controller.alter_partition(request, API_VERSIONS[ApiKey.ALTER_PARTITION][1])
    if isinstance(request, AllocateProducerIdsRequest):
        return await controller.allocate_producer_ids(request)
    if isinstance(request, ControlledShutdownRequest):
        return await controller.controlled_shutdown(request)
    raise TypeError(f"{request.API.name} is not asked of the controller")


class ControllersProducerIds:
    """`ProducerIdStore`: blocks of the size that the controller gives (KIP-730).

    Any client can write a batch with an id that it has made up. One so far above what is given that it
    cannot be passed in 10,000 blocks is not kept clear of: nobody would get an id any more.
    """

    def __init__(self, link: ControllerLink, node_id: int, broker_epoch: Callable[[], int]) -> None:
        self._link = link
        self._node_id = node_id
        self._broker_epoch = broker_epoch
        self._left = (0, 0)

    async def allocate_producer_ids(self, count: int, *, at_least: int = 0) -> int:
        """See `ProducerIdStore.allocate_producer_ids`. Raises StoreError."""
        for _ in range(_MOST_BLOCKS):
            first, end = self._left
            if at_least - end <= _MOST_BLOCKS * (end - first):
                first = max(first, at_least)
            if end - first >= count:
                self._left = first + count, end
                return first
            answer = await self._ask()
            start, size = answer.producer_id_start, answer.producer_id_len
            # What follows on the block before belongs to it.
            self._left = (self._left[0] if start == end else start), start + size
        raise StoreError(f"the controller gives no producer ids above {at_least}")

    async def _ask(self) -> AllocateProducerIdsResponse:
        try:
            response = await self._link.ask(
                ApiKey.ALLOCATE_PRODUCER_IDS,
                lambda _: AllocateProducerIdsRequest(self._node_id, self._broker_epoch()),
                timeout=_ASK_SECONDS,
            )
        except ClientError as error:
            raise StoreError(f"the controller gives no producer ids: {error}") from error
        answer = cast("AllocateProducerIdsResponse", response)
        if answer.error_code:
            raise StoreError(f"the controller gives no producer ids: {ErrorCode.of(answer.error_code).name}")
        return answer


async def shut_down_in_order(
    link: ControllerLink, node_id: int, broker_epoch: int, *, tries: int, pause_seconds: float
) -> bool:
    """Has the controller move what this broker leads; whether nothing is left that others could lead.

    Follows `KafkaServer.controlledShutdown`: a number of tries, with pauses, whatever comes in between. It
    comes to its end all the same: when a whole cluster stops there may be no controller any more.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + _SHUTDOWN_SECONDS
    for number in range(1, tries + 1):
        try:
            response = await link.ask(
                ApiKey.CONTROLLED_SHUTDOWN,
                lambda _: ControlledShutdownRequest(node_id, broker_epoch),
                timeout=max(deadline - clock(), 0),
            )
        except ClientError as error:
            _LOG.warning("try %d of %d to hand over what is led here: %s", number, tries, error)
        else:
            answer = cast("ControlledShutdownResponse", response)
            if not answer.error_code and not answer.remaining_partitions:
                _LOG.info("what others can lead is handed over")
                return True
            _LOG.warning(
                "try %d of %d to hand over what is led here: %s, %d partitions are left",
                *(number, tries, ErrorCode.of(answer.error_code).name, len(answer.remaining_partitions)),
            )
        if clock() + pause_seconds >= deadline:
            return False
        if number < tries:
            await asyncio.sleep(pause_seconds)
    return False
