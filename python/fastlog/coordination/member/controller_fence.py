"""Which controller may give orders: the newest that was elected, to this life of the broker (KAFKA-6082).

Whoever names a higher epoch than any before would be obeyed, and the elected controller no more: a single
frame of noise, or of a stranger, could part a broker from its cluster for ever. Apache Kafka believes it, and
has only its access rules to keep strangers off; here, the tree is asked first, once for each new epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Final

from fastlog.coordination.store import StoreError
from fastlog.errors import ErrorCode
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from fastlog.wire.messages.stop_replica import StopReplicaRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest

_LOG: Final = logging.getLogger(__name__)
_ANY_EPOCH: Final = -1


class ControllerFence:
    """`broker_epoch` gives that of this broker's registration, -1 before it.

    `elected` reads in what epoch the last controller was elected: it raises StoreError.
    """

    def __init__(
        self, broker_epoch: Callable[[], int], elected: Callable[[], Coroutine[None, None, int]]
    ) -> None:
        self.epoch = 0
        """The highest of a controller that has given orders."""
        self._broker_epoch = broker_epoch
        self._elected = elected

    async def refused(
        self, request: LeaderAndIsrRequest | UpdateMetadataRequest | StopReplicaRequest
    ) -> ErrorCode:
        """Notes the epoch of a controller that may give orders; why this one may not, or NONE."""
        if _ANY_EPOCH < request.broker_epoch < self._broker_epoch():
            return ErrorCode.STALE_BROKER_EPOCH
        if request.controller_epoch > self.epoch and not await self._may_be(request.controller_epoch):
            _LOG.warning(
                "a request of controller %d in epoch %d is refused: none was elected in it",
                *(request.controller_id, request.controller_epoch),
            )
            return ErrorCode.STALE_CONTROLLER_EPOCH
        if request.controller_epoch < self.epoch:
            _LOG.warning(
                "a request of controller %d in epoch %d, which is over: it is in %d now",
                *(request.controller_id, request.controller_epoch, self.epoch),
            )
            return ErrorCode.STALE_CONTROLLER_EPOCH
        self.epoch = request.controller_epoch
        return ErrorCode.NONE

    async def _may_be(self, epoch: int) -> bool:
        """Whether a controller was elected in an epoch. While nobody can say, it is believed, as by Kafka."""
        try:
            return epoch <= await self._elected()
        except StoreError as error:
            _LOG.info("that a controller is in epoch %d is believed: %s", epoch, error)
            return True
