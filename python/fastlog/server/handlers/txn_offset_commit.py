"""TxnOffsetCommit (28): positions of a group that count when the producer's transaction commits (KIP-98).

Versions 0 to 5. From 3 on a member says who it is, and is fenced by its generation (KIP-447); whoever says
nothing is let through. Below 2 COORDINATOR_LOAD_IN_PROGRESS becomes COORDINATOR_NOT_AVAILABLE, which clients
of then know. The coordinator of the transaction is asked as for a Produce request (KIP-890): up to 4 whether
the group's partition of `__consumer_offsets` is in it, from 5 on to take it in.

A partition that does not exist gets UNKNOWN_TOPIC_OR_PARTITION, a text that is too long
OFFSET_METADATA_TOO_LARGE if the commit is let in; the other offsets are committed all the same. A partition
that is named twice is committed and answered once, as it was named last; a topic without partitions is left
out of the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.commits import Committer
from fastlog.coordination.groups.committed_offsets import CommittedOffset
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.coordination.transactions import gate
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.server.handlers.offset_commit import text_length
from fastlog.server.requests.registry import handles
from fastlog.server.requests.transactional import parts_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.transactions import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_LOADING_FROM: Final = 2
_ADDS_FROM: Final = 5
_LOT: Final = 32

Offsets = dict[tuple[str, int], CommittedOffset]
Codes = dict[tuple[str, int], ErrorCode]


@handles(ApiKey.TXN_OFFSET_COMMIT)
async def handle(ctx: RequestContext, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
    """Answers when the offsets are appended."""
    offsets, codes = await ctx.pace.run(_sort(ctx, request))
    error = ErrorCode.NONE
    if offsets or ErrorCode.OFFSET_METADATA_TOO_LARGE in codes.values():
        error = await _commit(ctx, request, offsets)
    if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS and ctx.header.api_version < _LOADING_FROM:
        error = ErrorCode.COORDINATOR_NOT_AVAILABLE
    return await ctx.pace.run(_answer(codes, error))


def _sort(ctx: RequestContext, request: TxnOffsetCommitRequest) -> Steps[tuple[Offsets, Codes]]:
    """(the offsets that can be committed, a code for each partition). A step is a lot of partitions."""
    offsets: Offsets = {}
    codes: Codes = {}
    now_ms = ctx.broker.clock.now_ms()
    limit = ctx.broker.config.offset_metadata_max_bytes
    for topic in request.topics:
        found = ctx.broker.cluster.topics.get(topic.name)
        count = 0 if found is None else len(found.partitions)
        for number, item in enumerate(topic.partitions, start=1):
            key, text = (topic.name, item.partition_index), item.committed_metadata or ""
            if not 0 <= item.partition_index < count:
                codes[key] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif text_length(text) > limit:
                codes[key] = ErrorCode.OFFSET_METADATA_TOO_LARGE
                offsets.pop(key, None)
            else:
                codes[key] = ErrorCode.NONE
                offsets[key] = CommittedOffset(
                    item.committed_offset, item.committed_leader_epoch, text, now_ms
                )
            if not number % _LOT:
                yield
        yield
    return offsets, codes


async def _commit(ctx: RequestContext, request: TxnOffsetCommitRequest, offsets: Offsets) -> ErrorCode:
    groups = ctx.broker.groups.transactional
    error, partition = groups.place(request.group_id)
    if error is not ErrorCode.NONE:
        return error
    code, guard = await _verify(ctx, request, partition)
    if code is not ErrorCode.NONE:
        return gate.commit_code(code, ctx.header.api_version)
    who = Committer(request.member_id, request.group_instance_id, request.generation_id)
    producer = request.producer_id, request.producer_epoch, guard
    return await groups.commit(request.group_id, who, producer, offsets)


async def _verify(
    ctx: RequestContext, request: TxnOffsetCommitRequest, partition: int
) -> tuple[ErrorCode, int | None]:
    """(what the transaction's coordinator says, guard of the append)."""
    broker = ctx.broker
    adds = ctx.header.api_version >= _ADDS_FROM
    if not adds and not broker.config.transaction_partition_verification_enable:
        return ErrorCode.NONE, None
    replica = broker.replicas.get(GROUP_METADATA_TOPIC, partition)
    if replica is None:
        return ErrorCode.NOT_LEADER_OR_FOLLOWER, None
    identity = request.producer_id, request.producer_epoch
    parts = parts_of(ctx)
    key, log, guard = (GROUP_METADATA_TOPIC, partition), replica.log, 0

    def begin() -> frozenset[tuple[str, int]]:
        nonlocal guard
        begun = log.begin_verification(*identity, -1, raises_epoch=adds)
        guard = begun or 0
        return frozenset() if begun is None else frozenset({key})

    try:
        codes = await gate.ask(
            parts.verifier,
            request.transactional_id,
            identity,
            begin,
            adds=adds,
            patience=gate.Patience.of(broker.config),
            refusals=parts.refusals,
        )
    except FastlogNativeError:
        # Too many others wait for their coordinators: it is to come again.
        return ErrorCode.NOT_ENOUGH_REPLICAS, None
    return codes.get(key, ErrorCode.NONE), guard


def _answer(codes: Codes, error: ErrorCode) -> Steps[TxnOffsetCommitResponse]:
    """`error`: why nothing was committed, which all partitions get that exist."""
    answer = TxnOffsetCommitResponse()
    by_topic: dict[str, list[TxnOffsetCommitResponsePartition]] = {}
    for number, ((topic, index), own) in enumerate(codes.items(), start=1):
        code = own if error is ErrorCode.NONE or own is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION else error
        if topic not in by_topic:
            by_topic[topic] = []
            answer.topics.append(TxnOffsetCommitResponseTopic(topic, by_topic[topic]))
        by_topic[topic].append(TxnOffsetCommitResponsePartition(index, int(code)))
        if not number % _LOT:
            yield
    return answer
