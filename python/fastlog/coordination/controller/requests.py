"""What brokers ask of the controller: in-sync replicas, producer ids, a controlled shutdown."""

from __future__ import annotations

import logging
from typing import Final

from fastlog.coordination.controller import alter_partition as altering
from fastlog.coordination.controller import brokers, producer_ids, reassignment_events
from fastlog.coordination.controller.term import Term
from fastlog.coordination.store import StoreError
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.allocate_producer_ids import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)
from fastlog.wire.messages.alter_partition import AlterPartitionRequest, AlterPartitionResponse
from fastlog.wire.messages.controlled_shutdown import (
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    RemainingPartition,
)

_LOG: Final = logging.getLogger(__name__)


async def alter_partition(term: Term, request: AlterPartitionRequest, version: int) -> AlterPartitionResponse:
    """Writes the in-sync replicas that a leader asks for; ends reassignments that have waited for them."""
    altered = await term.run(altering.alter_partitions(term.context, request, version))
    await reassignment_events.in_sync_changed(term, altered.changed)
    return altered.response


def not_controller_for_alter_partition() -> AlterPartitionResponse:
    """The answer of a broker that is not the controller."""
    return AlterPartitionResponse(error_code=ErrorCode.NOT_CONTROLLER)


async def allocate_producer_ids(
    term: Term, client: ZkClient, request: AllocateProducerIdsRequest
) -> AllocateProducerIdsResponse:
    """Reserves a block of producer ids for a broker of the cluster."""
    broker = term.context.brokers.get(request.broker_id)
    if broker is None:
        return AllocateProducerIdsResponse(error_code=ErrorCode.BROKER_ID_NOT_REGISTERED)
    if broker.epoch != request.broker_epoch:
        return AllocateProducerIdsResponse(error_code=ErrorCode.STALE_BROKER_EPOCH)
    try:
        first, count = await producer_ids.allocate_block(client, request.broker_id)
    except StoreError as error:
        _LOG.error("no producer ids for broker %d: %s", request.broker_id, error)
        return AllocateProducerIdsResponse(error_code=ErrorCode.UNKNOWN_SERVER_ERROR)
    return AllocateProducerIdsResponse(producer_id_start=first, producer_id_len=count)


def not_controller_for_producer_ids() -> AllocateProducerIdsResponse:
    """The answer of a broker that is not the controller."""
    return AllocateProducerIdsResponse(error_code=ErrorCode.NOT_CONTROLLER)


async def controlled_shutdown(term: Term, request: ControlledShutdownRequest) -> ControlledShutdownResponse:
    """Moves leaders away from a broker that is about to stop; tells which are left."""
    shutdown = brokers.controlled_shutdown(term.context, request.broker_id, request.broker_epoch)
    try:
        remaining = await term.run(shutdown)
    except KafkaError as error:
        return ControlledShutdownResponse(error_code=error.code)
    # If it was one: it shuts down indeed.
    term.suspects.discard(request.broker_id)
    _LOG.info("broker %d is shutting down and leads %d partitions", request.broker_id, len(remaining))
    return ControlledShutdownResponse(
        remaining_partitions=[RemainingPartition(topic, number) for topic, number in remaining]
    )


def not_controller_for_shutdown() -> ControlledShutdownResponse:
    """The answer of a broker that is not the controller: Kafka's for this request is another one."""
    return ControlledShutdownResponse(error_code=ErrorCode.STALE_CONTROLLER_EPOCH)
