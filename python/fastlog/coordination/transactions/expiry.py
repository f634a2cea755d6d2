"""What the coordinator does by the clock: it aborts transactions that are open for too long, and forgets ids
that nobody uses. Both go through all ids in turns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.records import encode_key
from fastlog.coordination.transactions.verdicts import (
    Change,
    NeedsProducerId,
    Verdict,
    fenced,
    is_expired,
    is_timed_out,
)
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.config import BrokerConfig
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.transactions.changes import Changes
    from fastlog.coordination.transactions.state import Transaction
    from fastlog.coordination.transactions.table import Coordinated, TransactionTable

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 512
_BATCH_BYTES: Final = 16 * 1024
_RECORD_BYTES: Final = 16
"""Of a tombstone in a batch, beside its key."""
TOMBSTONE_TIMEOUT_MS: Final = 30_000


class Expiry:
    """Used on the event loop."""

    def __init__(
        self,
        *,
        table: TransactionTable,
        changes: Changes,
        producer_ids: ProducerIds,
        clock: Clock,
        config: Callable[[], BrokerConfig],
        level: Callable[[], int],
    ) -> None:
        self._table = table
        self._changes = changes
        self._producer_ids = producer_ids
        self._clock = clock
        self._config = config
        self._level = level
        self.timed_out = 0
        """Transactions that were aborted because they were open for too long."""

    async def abort_timed_out(self) -> None:
        """One round of time-outs."""
        async for place, transaction in self._each():
            if self._is_timed_out(transaction):
                try:
                    await self._abort(place, transaction)
                except KafkaError as error:
                    _LOG.warning(
                        "%s is open for too long and cannot be aborted: %s",
                        *(transaction.transactional_id, error.message),
                    )

    async def remove_expired(self) -> None:
        """One round of ids that nobody uses."""
        config = self._config()
        expiration_ms, room = (
            config.transactional_id_expiration_ms,
            min(_BATCH_BYTES, config.message_max_bytes),
        )
        batches: defaultdict[Coordinated, list[Transaction]] = defaultdict(list)
        sizes: defaultdict[Coordinated, int] = defaultdict(int)
        async for place, transaction in self._each():
            if place.is_loading or not is_expired(transaction, self._clock.now_ms(), expiration_ms):
                continue
            size = len(encode_key(transaction.transactional_id)) + _RECORD_BYTES
            if batches[place] and sizes[place] + size > room:
                self._remove(place, batches.pop(place), expiration_ms)
                sizes[place] = 0
            batches[place].append(transaction)
            sizes[place] += size
        for place, expired in batches.items():
            self._remove(place, expired, expiration_ms)

    def _remove(self, place: Coordinated, found: list[Transaction], expiration_ms: int) -> None:
        """Some may be used again by now."""
        now_ms = self._clock.now_ms()
        expired = [transaction for transaction in found if is_expired(transaction, now_ms, expiration_ms)]
        if expired and self._table.is_current(place):
            self._changes.remove(place, expired, TOMBSTONE_TIMEOUT_MS)

    async def _abort(self, place: Coordinated, transaction: Transaction) -> None:
        verdict = self._verdict(transaction, None)
        if isinstance(verdict, NeedsProducerId):
            spare = await self._producer_ids.allocate()
            if not self._is_timed_out(transaction):
                return
            verdict = self._verdict(transaction, spare)
        if not isinstance(verdict, Change) or not self._table.is_current(place):
            return
        name, identity = transaction.transactional_id, transaction.entry

        def then(code: ErrorCode) -> None:
            if code is ErrorCode.NONE:
                self.timed_out += 1
                _LOG.info(
                    "%s: aborted the transaction of producer %d with epoch %d, open for more than %d ms",
                    *(name, identity.producer_id, identity.epoch, identity.timeout_ms),
                )

        self._changes.begin(place, transaction, verdict, then)

    def _is_timed_out(self, transaction: Transaction) -> bool:
        return is_timed_out(transaction, self._clock.now_ms(), self._clock.monotonic())

    def _verdict(self, transaction: Transaction, spare_id: int | None) -> Verdict:
        now_ms = self._clock.now_ms()
        return fenced(transaction, now_ms, level=self._level(), spare_id=spare_id)

    async def _each(self) -> AsyncIterator[tuple[Coordinated, Transaction]]:
        """All ids, with turns for others in between."""
        for index, pair in enumerate(self._table, start=1):
            yield pair
            if not index % _AT_ONCE:
                await asyncio.sleep(0)
