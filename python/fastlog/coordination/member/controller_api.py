"""The controller of this process, as the rest of the broker uses it, whether or not it is the cluster's."""

from __future__ import annotations

from typing import Protocol

from fastlog.errors import ErrorCode
from fastlog.wire.messages.allocate_producer_ids import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)
from fastlog.wire.messages.alter_partition import AlterPartitionRequest, AlterPartitionResponse
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest, ControlledShutdownResponse


class ControllerApi(Protocol):
    """Each request is answered with NOT_CONTROLLER, or what its API has for that, by one that is not it."""

    @property
    def is_active(self) -> bool:
        """Whether it is the cluster's."""
        ...

    @property
    def epoch(self) -> int:
        """Its epoch, while it is."""
        ...

    def topics_written(self) -> None:
        """Nodes of topics have changed: it need not wait for its watches to tell."""
        ...

    async def alter_partition(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        """Stores other in-sync sets, as leaders ask for."""
        ...

    async def allocate_producer_ids(self, request: AllocateProducerIdsRequest) -> AllocateProducerIdsResponse:
        """Gives a broker a block of producer ids."""
        ...

    async def controlled_shutdown(self, request: ControlledShutdownRequest) -> ControlledShutdownResponse:
        """Moves what a broker leads to others."""
        ...


class NoController:
    """Another broker is the controller, always."""

    is_active = False
    epoch = -1

    def topics_written(self) -> None:
        """See `ControllerApi.topics_written`."""

    async def alter_partition(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        """See `ControllerApi.alter_partition`."""
        return AlterPartitionResponse(error_code=int(ErrorCode.NOT_CONTROLLER))

    async def allocate_producer_ids(self, request: AllocateProducerIdsRequest) -> AllocateProducerIdsResponse:
        """See `ControllerApi.allocate_producer_ids`."""
        return AllocateProducerIdsResponse(error_code=int(ErrorCode.NOT_CONTROLLER))

    async def controlled_shutdown(self, request: ControlledShutdownRequest) -> ControlledShutdownResponse:
        """See `ControllerApi.controlled_shutdown`."""
        return ControlledShutdownResponse(error_code=int(ErrorCode.STALE_CONTROLLER_EPOCH))
