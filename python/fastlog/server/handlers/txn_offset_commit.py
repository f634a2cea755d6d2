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

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastlog.coordination.groups.commits import Committer
from fastlog.coordination.groups.committed_offsets import CommittedOffset
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_offsets_in_steps
from fastlog.coordination.groups.weight import OFFSET_BYTES
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.coordination.transactions import gate
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.server.handlers.offset_commit import text_length
from fastlog.server.requests.registry import Answer, handles_later
from fastlog.server.requests.transactional import parts_of
from fastlog.server.requests.turns import at_once
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
_FEW: Final = 60
"""So few partitions and topics are committed, and answered, at once."""

Offsets = dict[tuple[str, int], CommittedOffset]
Codes = Mapping[tuple[str, int], ErrorCode]


class _Sorted(NamedTuple):
    """What a request brings."""

    offsets: Offsets
    """Those that can be committed."""
    codes: dict[tuple[str, int], ErrorCode]
    """For each partition."""
    weight: int
    """What the offsets weigh, or more."""
    has_too_large: bool
    """Whether a text is too long."""


@handles_later(ApiKey.TXN_OFFSET_COMMIT)
def handle(
    ctx: RequestContext, request: TxnOffsetCommitRequest, answer: Answer
) -> Coroutine[Any, Any, TxnOffsetCommitResponse] | None:
    """Answers when the offsets are appended."""
    if sum([1 + len(topic.partitions) for topic in request.topics]) > _FEW:
        return _in_turns(ctx, request)
    found = at_once(_sort(ctx, request))
    groups = ctx.broker.groups.transactional
    error, partition = groups.place(request.group_id)
    parts, name = parts_of(ctx), request.transactional_id
    if error or not found.offsets or not parts.verifier.is_here(name):
        return _finished(ctx, request, found)
    gateway = _Gateway(ctx, request, partition)
    if not gateway.has_to_ask:
        return _finished(ctx, request, found)
    version = ctx.header.api_version

    def then(code: ErrorCode) -> None:
        response = at_once(_answer(found.codes, _for_version(code, version)))
        is_good = code is ErrorCode.NONE and not any(found.codes.values())
        answer(response, () if is_good else None)

    def verified(codes: Codes) -> None:
        code = gateway.code(codes)
        if code is not ErrorCode.NONE:
            then(gate.commit_code(code, version))
            return
        producer = *gateway.identity, gateway.guard
        groups.begin(request.group_id, _committer(request), producer, found.offsets, then, found.weight)

    gate.ask_here(
        parts.verifier,
        name,
        gateway.identity,
        gateway.begin,
        verified,
        adds=gateway.adds,
        patience=gate.Patience.of(ctx.broker.config),
        refusals=parts.refusals,
    )
    return None


async def _in_turns(ctx: RequestContext, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
    return await _finished(ctx, request, await ctx.pace.run(_sort(ctx, request)))


async def _finished(
    ctx: RequestContext, request: TxnOffsetCommitRequest, found: _Sorted
) -> TxnOffsetCommitResponse:
    """The answer, in turns."""
    error = ErrorCode.NONE
    if found.offsets or found.has_too_large:
        error = await _commit(ctx, request, found)
    answer = await ctx.pace.run(_answer(found.codes, _for_version(error, ctx.header.api_version)))
    if len(found.codes) > _FEW:
        await ctx.pace.run(_drop(request, found))
    return answer


def _drop(request: TxnOffsetCommitRequest, found: _Sorted) -> Steps[None]:
    """Forgets both in steps: to free so many objects takes milliseconds."""
    for topic in request.topics:
        while topic.partitions:
            del topic.partitions[-_LOT:]
            yield
    for part in (found.offsets, found.codes):
        while part:
            for _ in range(min(_LOT, len(part))):
                part.popitem()
            yield


def _for_version(error: ErrorCode, version: int) -> ErrorCode:
    if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS and version < _LOADING_FROM:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    return error


def _committer(request: TxnOffsetCommitRequest) -> Committer:
    return Committer(request.member_id, request.group_instance_id, request.generation_id)


def _sort(ctx: RequestContext, request: TxnOffsetCommitRequest) -> Steps[_Sorted]:
    """A step is a lot of partitions."""
    offsets: Offsets = {}
    codes: dict[tuple[str, int], ErrorCode] = {}
    weight, has_too_large = 0, False
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
                codes[key], has_too_large = ErrorCode.OFFSET_METADATA_TOO_LARGE, True
                offsets.pop(key, None)
            else:
                codes[key] = ErrorCode.NONE
                weight += OFFSET_BYTES + len(topic.name) + len(text)
                offsets[key] = CommittedOffset(
                    item.committed_offset, item.committed_leader_epoch, text, now_ms
                )
            if not number % _LOT:
                yield
        yield
    return _Sorted(offsets, codes, weight, has_too_large)


async def _commit(ctx: RequestContext, request: TxnOffsetCommitRequest, found: _Sorted) -> ErrorCode:
    groups = ctx.broker.groups.transactional
    records = None
    if len(found.offsets) > _FEW and groups.has_room(request.group_id, found.weight):
        try:
            records = await ctx.pace.run(encode_offsets_in_steps(request.group_id, found.offsets))
        except BadGroupRecord:
            # It is told behind what else there is to tell.
            records = None
    error, partition = groups.place(request.group_id)
    if error is not ErrorCode.NONE:
        return error
    code, guard = await _verify(ctx, request, partition)
    if code is not ErrorCode.NONE:
        return gate.commit_code(code, ctx.header.api_version)
    producer = request.producer_id, request.producer_epoch, guard
    who = _committer(request)
    return await groups.commit(request.group_id, who, producer, found.offsets, found.weight, records)


class _Gateway:
    """What is asked of the transaction's coordinator: may the group's partition take the offsets?"""

    def __init__(self, ctx: RequestContext, request: TxnOffsetCommitRequest, partition: int) -> None:
        self._key = GROUP_METADATA_TOPIC, partition
        self._replica = ctx.broker.replicas.get(*self._key)
        self._failure = ErrorCode.NONE
        self.identity: Final = (request.producer_id, request.producer_epoch)
        self.adds: Final = ctx.header.api_version >= _ADDS_FROM
        self.has_to_ask: Final = self.adds or ctx.broker.config.transaction_partition_verification_enable
        self.guard: int | None = None
        """Of the append; None where nothing is verified."""

    def begin(self) -> Mapping[tuple[str, int], int]:
        """See `gate.ask`."""
        self._failure = ErrorCode.NONE
        if self._replica is None:
            self._failure = ErrorCode.NOT_LEADER_OR_FOLLOWER
            return {}
        try:
            begun = self._replica.log.begin_verification(*self.identity, -1, raises_epoch=self.adds)
        except FastlogNativeError:
            # Too many others wait for their coordinators: it is to come again.
            self._failure = ErrorCode.NOT_ENOUGH_REPLICAS
            return {}
        self.guard = begun or 0
        return {} if begun is None else {self._key: begun}

    def code(self, codes: Codes) -> ErrorCode:
        """What has become of it."""
        return self._failure or codes.get(self._key, ErrorCode.NONE)


async def _verify(
    ctx: RequestContext, request: TxnOffsetCommitRequest, partition: int
) -> tuple[ErrorCode, int | None]:
    """(what the transaction's coordinator says, guard of the append)."""
    gateway = _Gateway(ctx, request, partition)
    if not gateway.has_to_ask:
        return ErrorCode.NONE, None
    parts, name = parts_of(ctx), request.transactional_id
    codes = await gate.ask(
        parts.verifier,
        name,
        gateway.identity,
        gateway.begin,
        adds=gateway.adds,
        patience=gate.Patience.of(ctx.broker.config),
        refusals=parts.refusals,
    )
    return gateway.code(codes), gateway.guard


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
