"""What brokers answer to the controller: most of it says nothing, the rest becomes events."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fastlog.coordination.controller import broker_events, deletion
from fastlog.coordination.controller.channel_queue import ControlRequest
from fastlog.coordination.controller.channels import ControlResponse
from fastlog.coordination.controller.data import PartitionKey
from fastlog.coordination.controller.term import Term
from fastlog.errors import ErrorCode
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrResponse
from fastlog.wire.messages.stop_replica import StopReplicaRequest, StopReplicaResponse

_LOG: Final = logging.getLogger(__name__)
_USUAL: Final = (ErrorCode.NONE, ErrorCode.STALE_CONTROLLER_EPOCH, ErrorCode.KAFKA_STORAGE_ERROR)
"""11 is for what a replica knows already."""


class Put(Protocol):
    """Adds an event of the active controller to its queue."""

    def __call__(self, name: str, action: Callable[[Term], Awaitable[None]], *, once: bool = True) -> None:
        """With `once` one that waits already does for both."""
        ...


class Answers:
    """An `OnAnswer`; of one term, which is given to it with `begin` before a channel is opened."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._term: Term | None = None

    def begin(self, term: Term) -> None:
        """The term that the channels are of."""
        self._term = term

    def __call__(self, broker_id: int, request: ControlRequest, response: ControlResponse) -> None:
        """Called for each answer."""
        if response.error_code != ErrorCode.NONE:
            _LOG.warning(
                "broker %d answers %s with error %d", broker_id, request.API.name, response.error_code
            )
        if self._term is None:
            return
        if isinstance(response, LeaderAndIsrResponse) and isinstance(request, LeaderAndIsrRequest):
            self._to_leader_and_isr(self._term, broker_id, response)
        elif isinstance(response, StopReplicaResponse) and isinstance(request, StopReplicaRequest):
            self._to_stop_replica(self._term, broker_id, request, response)

    def _to_leader_and_isr(self, term: Term, broker_id: int, response: LeaderAndIsrResponse) -> None:
        """Errors of single partitions tell of log directories."""
        if response.error_code != ErrorCode.NONE:
            return
        self._log_errors(broker_id, response)
        known = term.context.offline_in_directories(broker_id)
        errors: dict[PartitionKey, int] = {}
        for topic in response.topics:
            name = term.context.topic_named(topic.topic_id)
            for row in topic.partition_errors:
                if name is not None and (known or row.error_code == ErrorCode.KAFKA_STORAGE_ERROR):
                    errors[name, row.partition_index] = row.error_code
        if errors:
            self._put(
                "LeaderAndIsrAnswer",
                lambda term: broker_events.directories_answered(term, broker_id, errors),
                once=False,
            )

    @staticmethod
    def _log_errors(broker_id: int, response: LeaderAndIsrResponse) -> None:
        codes = Counter(row.error_code for topic in response.topics for row in topic.partition_errors)
        for code, count in codes.items():
            if code in _USUAL:
                continue
            _LOG.error("broker %d answers error %d for %d partitions of LeaderAndIsr", broker_id, code, count)

    def _to_stop_replica(
        self, term: Term, broker_id: int, request: StopReplicaRequest, response: StopReplicaResponse
    ) -> None:
        """Replicas of topics that are being deleted are gone, or could not be deleted."""
        codes = {(row.topic_name, row.partition_index): row.error_code for row in response.partition_errors}
        errors: dict[PartitionKey, int] = {}
        for topic in request.topic_states:
            if topic.topic_name not in term.context.deleting:
                continue
            for state in topic.partition_states:
                if state.delete_partition:
                    key = (topic.topic_name, state.partition_index)
                    errors[key] = response.error_code or codes.get(key, ErrorCode.NONE)
        if errors:
            self._put(
                "StopReplicaAnswer", lambda term: deletion.answered(term, broker_id, errors), once=False
            )
