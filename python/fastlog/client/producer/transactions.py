"""Transactions of one producer: its identity, what belongs to the open one, and its end.

Where the cluster has settled on it (`transaction.version` 2, Kafka 4), the second protocol is spoken, that of
KIP-890: brokers add partitions and groups to the transaction when the first batch or offset comes, and its
end brings the identity of the next one, with another epoch. Else it is the first, that of KIP-98, with which
every broker from 0.11 on works: each partition is announced (AddPartitionsToTxn) before a batch goes there.

After a batch that failed the transaction can only be aborted, and the epoch is raised then (by its end
itself, or as KIP-360 has it), so that nothing of it that is still on its way can be written later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from fastlog.client.cluster import GROUP, TRANSACTION, Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.error_codes import error_codes
from fastlog.client.errors import BrokerError, ClientError, RequestTimedOut
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import GroupMetadata, OffsetAndMetadata, Offsets, as_offsets
from fastlog.client.producer.batches import Identity
from fastlog.client.producer.config import ProducerConfig
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
    EndTxnResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)

if TYPE_CHECKING:
    from fastlog.client.producer.sender import Sender
    from fastlog.client.producer.waiting import Line
    from fastlog.native import Accumulator

__all__ = ["Transactions"]

R = TypeVar("R", bound=Response)

State = Literal["new", "ready", "open", "ending", "failed", "fatal"]

_LAST_OF_ONE_TRANSACTION: Final = 3
_FIRST_PROTOCOL: Final = 4
"""Last version of InitProducerId, EndTxn and TxnOffsetCommit in the protocol of KIP-98."""
_FIRST_PRODUCE: Final = 11
"""Last version of Produce in it."""
_FEATURE: Final = "transaction.version"
_SECOND_PROTOCOL: Final = 2
"""The level of that feature from which on KIP-890's is spoken."""
_LOG: Final = logging.getLogger("fastlog.client")
_LATER: Final = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION})


class Transactions:
    """The transactions of one producer; where its producer ids come from (`IdentitySource`)."""

    renews = False

    def __init__(self, cluster: Cluster, config: ProducerConfig) -> None:
        assert config.transactional_id is not None  # noqa: S101
        self._cluster = cluster
        self._id: Final = config.transactional_id
        self._config = config
        self._state: State = "new"
        self._identity: Identity | None = None
        self._error: ClientError | None = None
        self._gap = False
        self._added: set[TopicPartition] = set()
        self._wanted: set[TopicPartition] = set()
        self._adding: asyncio.Task[None] | None = None
        self._has_offsets = False
        self._is_second = False
        """Which protocol the open transaction has."""
        self._had_first = False
        """Whether this identity had transactions of the first protocol."""

    def attach(
        self, sender: Sender, line: Line, accumulator: Accumulator, opened: Callable[[], Awaitable[None]]
    ) -> None:
        """What it works with."""
        self._sender = sender
        self._line = line
        self._accumulator = accumulator
        self._opened = opened

    # -- the source of identities --------------------

    @property
    def usable(self) -> Identity | None:
        """The identity, while records may be sent."""
        return self._identity if self._state in ("open", "ending") and not self._gap else None

    @property
    def is_stale(self) -> bool:
        """Whether the sequence has a gap."""
        return self._gap

    def retire(self, error: ClientError | None) -> None:
        """A batch has failed: the transaction can only be aborted."""
        self._gap = True
        self._fail(error or ClientError(ErrorCode.UNKNOWN_PRODUCER_ID, "the broker lost the sequence"))

    async def renew(self, timeout_ms: int) -> None:
        """Not in the middle of a transaction."""
        raise AssertionError(timeout_ms)

    @property
    def produce_versions(self) -> tuple[int, int | None]:
        """By the version a broker knows whether it has to add the partition itself."""
        return (_FIRST_PRODUCE + 1, None) if self._is_second else (3, _FIRST_PRODUCE)

    def admits(self, name: TopicPartition) -> bool:
        """Whether a partition belongs to the transaction; if not, it is announced, or comes in by itself."""
        if name in self._added:
            return True
        if self._is_second and self._state in ("open", "ending") and self._error is None:
            self._added.add(name)
            return True
        if self._state in ("open", "ending") and self._error is None:
            self._wanted.add(name)
            if self._adding is None:
                self._adding = asyncio.ensure_future(self._add())
        return False

    # -- called by the producer --------------------

    def refusal(self) -> Exception:
        """Why no records are taken now."""
        if self._state == "fatal":
            return self._raised()
        if self._error is not None:
            text = f"the transaction can only be aborted: {self._error}"
            return ClientError(ErrorCode.TRANSACTION_ABORTABLE, text)
        return RuntimeError("no transaction is open: begin one before the first send")

    def refused(self, error: BaseException) -> None:
        """A record did not even get into a batch: without it the transaction is not what it should be."""
        if self._state in ("open", "ending"):
            known = error if isinstance(error, ClientError) else None
            self._fail(
                known or ClientError(ErrorCode.OPERATION_NOT_ATTEMPTED, f"a record was refused: {error}")
            )

    async def init(self) -> None:
        """Gets an identity, and ends what a producer of the same id has left open. Raises ClientError."""
        self._check("new", "ready")
        await self._opened()
        await self._get_identity(bump=False)

    async def begin(self) -> None:
        """Begins a transaction. Raises RuntimeError when one is open, and as `init`."""
        self._check("new", "ready")
        if self._state == "new":
            await self.init()
        await self._choose_protocol()
        self._state = "open"
        self._accumulator.shut(False)

    async def commit(self) -> None:
        """Writes all that was sent, and commits it.

        Raises ClientError when a record or an offset could not be written: then nothing is committed, and
        the transaction has to be aborted.
        """
        self._check("open", "failed")
        # What waits for its topic or for room belongs to the transaction.
        await self._line.drained()
        self._accumulator.shut(True)
        if self._error is None:
            self._state = "ending"
            await self._sender.settled()
        if self._error is not None:
            if self._state != "fatal":
                self._state = "failed"
            raise self._raised()
        await self._end(committed=True)

    async def abort(self) -> None:
        """Drops what is not sent yet, and has all else of the transaction marked as aborted."""
        self._check("open", "ending", "failed")
        self._accumulator.shut(True)
        self._state = "failed"
        error = ClientError(ErrorCode.OPERATION_NOT_ATTEMPTED, "the transaction was aborted")
        self._error = self._error or error
        self._line.is_aborted = True
        try:
            self._line.room()
            await self._line.drained()
        finally:
            self._line.is_aborted = False
        self._sender.drop(error, wanted=True)
        await self._sender.settled()
        if self._adding is not None:
            await asyncio.gather(self._adding, return_exceptions=True)
        await self._end(committed=False)

    async def abort_quietly(self) -> None:
        """`abort`, where an exception is on its way already that says more than another one."""
        if self._state in ("open", "ending", "failed"):
            try:
                await self.abort()
            except ClientError as error:
                _LOG.warning("transaction of %s: it cannot be aborted now: %s", self._id, error)

    async def send_offsets(self, offsets: Offsets, group: GroupMetadata | str) -> None:
        """Commits positions of a group with the transaction. Raises ClientError."""
        self._check("open")
        who = GroupMetadata(group) if isinstance(group, str) else group
        rows = as_offsets(offsets)
        if not rows:
            return
        try:
            await self._announce_group(who)
            await self._commit_offsets(who, rows)
        except ClientError as error:
            self._fail(error)
            raise

    async def close(self) -> None:
        """Aborts what is open."""
        if self._state in ("open", "ending", "failed"):
            try:
                await self.abort()
            except ClientError as error:
                self._fail(error)
        if self._adding is not None:
            self._adding.cancel()

    # -- requests --------------------

    async def _get_identity(self, *, bump: bool) -> None:
        body = InitProducerIdRequest(
            transactional_id=self._id, transaction_timeout_ms=self._config.transaction_timeout_ms
        )
        if bump and self._identity is not None:
            body.producer_id, body.producer_epoch = self._identity.producer_id, self._identity.epoch
        answer = await self._ask(body, InitProducerIdResponse, highest=_FIRST_PROTOCOL)
        self._identity = Identity(answer.producer_id, answer.producer_epoch)
        self._sender.restart_sequences()
        self._gap = False
        self._state = "ready"

    async def _choose_protocol(self) -> None:
        """By what the coordinator has said of the cluster when it was connected."""
        try:
            node = await self._cluster.coordinator(self._id, key_type=TRANSACTION)
            versions = (await self._cluster.link(node)).versions
        except ClientError as error:
            # Whoever is asked something next says so again, if it lasts.
            _LOG.debug("transaction of %s: the coordinator cannot be looked at: %s", self._id, error)
            return
        is_second = versions.features.get(_FEATURE, 0) >= _SECOND_PROTOCOL and versions.supports(
            ApiKey.END_TXN, _FIRST_PROTOCOL + 1
        )
        if is_second and not self._is_second and self._had_first:
            # What was sent under the first protocol must not be taken for a part of what comes now.
            await self._get_identity(bump=True)
        self._had_first = not is_second
        self._is_second = is_second

    async def _add(self) -> None:
        identity = self._identity
        assert identity is not None  # noqa: S101
        try:
            while self._wanted and self._error is None:
                names, self._wanted = self._wanted, set()
                topics: defaultdict[str, list[int]] = defaultdict(list)
                for name in sorted(names):
                    topics[name.topic].append(name.partition)
                body = AddPartitionsToTxnRequest(
                    v3_and_below_transactional_id=self._id,
                    v3_and_below_producer_id=identity.producer_id,
                    v3_and_below_producer_epoch=identity.epoch,
                    v3_and_below_topics=[AddPartitionsToTxnTopic(*row) for row in topics.items()],
                )
                await self._ask(body, AddPartitionsToTxnResponse, highest=_LAST_OF_ONE_TRANSACTION)
                self._added |= names
        except ClientError as error:
            # It may have been heard: an identity with the next epoch ends what is open.
            self._gap = True
            self._fail(error)
        finally:
            self._adding = None
            self._sender.wake()

    async def _announce_group(self, group: GroupMetadata) -> None:
        assert self._identity is not None  # noqa: S101
        identity = self._identity
        if self._is_second:
            self._has_offsets = True
            return
        body = AddOffsetsToTxnRequest(self._id, identity.producer_id, identity.epoch, group.group_id)
        await self._ask(body, AddOffsetsToTxnResponse, highest=3)
        self._has_offsets = True

    async def _commit_offsets(
        self, group: GroupMetadata, rows: dict[TopicPartition, OffsetAndMetadata]
    ) -> None:
        assert self._identity is not None  # noqa: S101
        topics: defaultdict[str, list[TxnOffsetCommitRequestPartition]] = defaultdict(list)
        for name, row in rows.items():
            topics[name.topic].append(
                TxnOffsetCommitRequestPartition(name.partition, row.offset, row.leader_epoch, row.metadata)
            )
        body = TxnOffsetCommitRequest(
            transactional_id=self._id,
            group_id=group.group_id,
            producer_id=self._identity.producer_id,
            producer_epoch=self._identity.epoch,
            generation_id=group.generation,
            member_id=group.member_id,
            group_instance_id=group.group_instance_id,
            topics=[TxnOffsetCommitRequestTopic(*row) for row in topics.items()],
        )
        await self._ask(
            body,
            TxnOffsetCommitResponse,
            group=group.group_id,
            # Whoever brings no generation can say so to any broker.
            lowest=_FIRST_PROTOCOL + 1 if self._is_second else 3 if group.generation >= 0 else 0,
            highest=None if self._is_second else _FIRST_PROTOCOL,
        )

    async def _end(self, *, committed: bool) -> None:
        identity = self._identity
        assert identity is not None  # noqa: S101
        bump = self._gap
        if self._added or self._has_offsets:
            body = EndTxnRequest(self._id, identity.producer_id, identity.epoch, committed)
            try:
                if self._is_second:
                    answer = await self._ask(body, EndTxnResponse, lowest=_FIRST_PROTOCOL + 1)
                    if answer.producer_id >= 0:
                        self._identity = Identity(answer.producer_id, answer.producer_epoch)
                        self._sender.restart_sequences()
                        self._gap = bump = False
                else:
                    await self._ask(body, EndTxnResponse, highest=_FIRST_PROTOCOL)
            except ClientError as error:
                self._fail(error)
                raise
        self._added.clear()
        self._wanted.clear()
        self._has_offsets = False
        self._error = None
        self._state = "ready"
        if bump:
            self._state = "new"
            await self._get_identity(bump=True)

    async def _ask(
        self,
        body: Request,
        answer: type[R],
        *,
        group: str | None = None,
        lowest: int = 0,
        highest: int | None = None,
    ) -> R:
        """Asks the coordinator until it has an answer, for `max_block_ms` at most. Raises ClientError."""
        deadline = Deadline.after(self._config.max_block_ms / 1000)
        while True:
            found = await self._cluster.coordinator_request(
                group or self._id,
                body,
                answer,
                key_type=TRANSACTION if group is None else GROUP,
                lowest=lowest,
                highest=highest,
                timeout_ms=int(deadline.remaining * 1000),
            )
            code = _first_error(found)
            if code is ErrorCode.NONE:
                return found
            error = BrokerError(code, api=body.API, answer=found)
            if not (code.retriable or code in _LATER):
                raise error
            if not await deadline.pause():
                text = f"no end of {code.name} within max_block_ms={self._config.max_block_ms}"
                raise RequestTimedOut(text, api=body.API) from error

    # -- states --------------------

    def _fail(self, error: ClientError) -> None:
        self._accumulator.shut(True)
        if self._state == "fatal":
            return
        if error.fatal:
            self._state = "fatal"
        elif self._state in ("open", "ending"):
            self._state = "failed"
        if self._error is None or error.fatal:
            self._error = error
        self._line.room()
        self._sender.drop_soon(error)

    def _check(self, *states: State) -> None:
        if self._state == "fatal":
            raise self._raised()
        if self._state not in states:
            now = {"new": "none is open", "ready": "none is open", "open": "one is open"}
            raise RuntimeError(f"not in this state of the transaction: {now.get(self._state, 'it ends')}")

    def _raised(self) -> ClientError:
        assert self._error is not None  # noqa: S101
        return self._error.with_traceback(None)


def _first_error(answer: Response) -> ErrorCode:
    """The first code that is one, wherever the answer has it; partitions that were not tried come last."""
    codes = [ErrorCode.of(code) for code in error_codes(answer)]
    if isinstance(answer, AddPartitionsToTxnResponse):
        codes += [
            ErrorCode.of(row.partition_error_code)
            for topic in answer.results_by_topic_v3_and_below
            for row in topic.results_by_partition
        ]
    wrong = [code for code in codes if code is not ErrorCode.NONE]
    said = [code for code in wrong if code is not ErrorCode.OPERATION_NOT_ATTEMPTED]
    return (said or wrong or [ErrorCode.NONE])[0]
