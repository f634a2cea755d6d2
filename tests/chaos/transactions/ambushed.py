"""A client of transactions, some of whose frames are late when that matters most: see `ambush`.

It is as careful as it is otherwise. What it does after the frame has arrived is what would make it visible if
the brokers took it: it goes on in the same partition, and ends the other way.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastlog.errors import ErrorCode as E
from tests.chaos.transactions.ambush import (
    FORMER_MARKER,
    LATE_ANSWER,
    LATE_END,
    LATE_MARKER,
    LATE_RECORD,
    Ambush,
    Ambushes,
)
from tests.chaos.transactions.history import ABORTED, Writer
from tests.chaos.transactions.producer import Place, Plan, RawProducer, Refused, Unwritten
from tests.chaos.transactions.wire import TRANSACTIONS, Lost, Wire

OF_FIRST: Final = frozenset({LATE_RECORD, LATE_ANSWER, LATE_END})
OF_SECOND: Final = frozenset({LATE_RECORD, LATE_MARKER, LATE_END})


class AmbushedProducer(RawProducer):
    """`share` of its transactions have a frame that is late at the worst moment. `other`: connections of its
    own for that."""

    def __init__(
        self,
        wires: tuple[Wire, Wire],
        name: str,
        number: int,
        place: Place,
        writer: Writer,
        seed: int,
        ambushes: Ambushes,
        *,
        share: float,
    ) -> None:
        super().__init__(wires[0], name, number, place, writer, seed)
        self._other = wires[1]
        self._ambushes, self._share = ambushes, share
        of_mine = OF_SECOND if place.raises else OF_FIRST
        self._kinds = [kind for kind in ambushes.kinds if kind in of_mine]

    async def step(self) -> None:
        """See `RawProducer`."""
        if self._ambushes.wants_a_marker and not self._place.raises:
            await self._late_end(FORMER_MARKER)
        elif self._kinds and self._chance.random() < self._share:
            kind = self._chance.choice(self._kinds)
            is_of_end = kind in (LATE_MARKER, LATE_END)
            await (self._late_end(kind) if is_of_end else self._late_record(kind))
        else:
            await super().step()

    # -- courses --------------------

    async def _late_record(self, kind: str) -> None:
        """A record, or its leader's permission to take it, is under way until nobody waits for it."""
        place = await self._somewhere(far=kind == LATE_ANSWER)
        if place is None:
            await super().step()
            return
        partition, port = place
        number, values = self._begin({partition: 1}, None)
        try:
            if not self._place.raises:
                await self._add([partition])
        except Refused as refused:
            await self._give_up()
            self._ended(number, ABORTED, f"{refused} before its end")
            return
        rest = Unwritten(number, values, {at: self._batch(at, some) for at, some in values.items()})
        ambush = self._made(kind, partition)
        self._ambushes.lay(ambush)
        late = asyncio.ensure_future(self._ask_late(port, rest))
        try:
            is_held = await ambush.is_held()
            await self._give_up()
            # A record of its own may still arrive: no more so in this epoch.
            self._is_unclear = not self._place.raises
            await self.be_somebody()
        finally:
            self._ambushes.give_up(ambush)
            ambush.go.set()
            code = await late
        self._ended(number, ABORTED, f"its record was late, {code or 'taken'}")
        if is_held:
            self.counts[f"ambush {kind}: {code or 'taken'}"] += 1
        await self._transaction(Plan(at=partition, commits=True))

    async def _late_end(self, kind: str) -> None:
        """What ends a transaction arrives a second time when the next one is open in the same partition."""
        place = await self._somewhere(far=kind != LATE_END)
        if place is None:
            await super().step()
            return
        partition, _ = place
        coordinator = self._wire.coordinator(TRANSACTIONS, self.name)
        ambush = self._made(kind, partition)

        async def lies_in_wait() -> None:
            # What has ended the transaction before is no longer under way.
            ambush.identity = self._identity
            self._ambushes.lay(ambush)

        try:
            await self._transaction(Plan(at=partition, commits=True, before_end=lies_in_wait))
            is_held = await ambush.is_held()
            self._ambushes.give_up(ambush)
            if not is_held or (kind == FORMER_MARKER and not self._ambushes.tell(ambush, coordinator)):
                return
            await self.be_somebody()
            # In the second protocol an end raises the epoch, in the first one who has to ask twice.
            producer_id, epoch = ambush.identity
            is_raised = self._place.raises or kind == LATE_END
            is_next = self._identity == (producer_id, epoch + is_raised)

            async def arrives() -> None:
                if await ambush.let_go() and is_next:
                    self.counts[f"ambush {kind}"] += 1

            await self._transaction(Plan(at=partition, commits=False, before_end=arrives))
        finally:
            self._ambushes.give_up(ambush)
            ambush.go.set()

    # -- inside --------------------

    async def _somewhere(self, *, far: bool) -> tuple[int, int] | None:
        """A partition and its leader; `far`: who is not this id's coordinator. None if there is none."""
        try:
            await self._wire.look()
        except Lost:
            self._wire.forget()
            return None
        coordinator = self._wire.coordinator(TRANSACTIONS, self.name)
        some = [
            (partition, port)
            for partition, (port, _) in sorted(self._wire.leaders.items())
            if not far or coordinator not in (-1, port)
        ]
        return self._chance.choice(some) if some else None

    def _made(self, kind: str, partition: int) -> Ambush:
        return Ambush(kind, self.name, self._identity, (self._place.topic, partition))

    async def _ask_late(self, port: int, rest: Unwritten) -> str:
        """The name of the code; empty when it was written."""
        request = self._request(sorted(rest.batches), rest)
        try:
            answer = await self._other.ask(port, request, self._version)
        except Lost as lost:
            return str(lost)
        (row,) = answer.responses[0].partition_responses
        return "" if row.error_code == E.NONE else E.of(row.error_code).name
