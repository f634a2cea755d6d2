"""Between clients and a broker, and between brokers: passes frames, and has some of them arrive late.

| what it does to a frame | who sent it                               | the broker                     |
|-------------------------|-------------------------------------------|--------------------------------|
| late                    | finds its connection closed, asks again   | gets it all the same, later on |
| slow                    | waits, as does all that comes behind      | the same                       |
| lost answer             | finds its connection closed, asks again   | gets it at once                |

That is what a network does with TCP: it delivers what it has of a connection that its client has given up.
Late ones are the fault that broke Kafka's first protocol, in which nothing tells a late EndTxn, or a late
marker, from one of the next transaction of the same epoch. So they are late only where somebody is safe from
that: clients whose id begins with `raw`, which raise their epoch then, and markers of the second protocol.

Which frames that happens to is chance, but for those that somebody lies in wait for: see `ambush`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Final

from fastlog.wire import ApiKey, decode_request
from fastlog.wire.messages.txn_markers import WriteTxnMarkersRequest
from tests.chaos.transactions.ambush import (
    FORMER_MARKER,
    LATE_ANSWER,
    LATE_END,
    LATE_MARKER,
    LATE_RECORD,
    Ambush,
    Ambushes,
)

LATE, SLOW, LOST = "late", "slow", "lost answer"
SAFE_PREFIX: Final = "raw"
_HELD: Final = {
    ApiKey.PRODUCE: "Produce",
    ApiKey.INIT_PRODUCER_ID: "InitProducerId",
    ApiKey.ADD_PARTITIONS_TO_TXN: "AddPartitionsToTxn",
    ApiKey.ADD_OFFSETS_TO_TXN: "AddOffsetsToTxn",
    ApiKey.END_TXN: "EndTxn",
    ApiKey.WRITE_TXN_MARKERS: "WriteTxnMarkers",
    ApiKey.TXN_OFFSET_COMMIT: "TxnOffsetCommit",
}
_EPOCH_RAISED: Final = 2
_ANSWER_SECONDS: Final = 5.0
_LARGEST: Final = 64 << 20


def is_safe(key: int, client_id: str, frame: bytes) -> bool:
    """Whether a frame may be late without the next transaction being at its mercy."""
    if key == ApiKey.WRITE_TXN_MARKERS:
        _, request = decode_request(frame)
        assert isinstance(request, WriteTxnMarkersRequest)
        return all(marker.transaction_version >= _EPOCH_RAISED for marker in request.markers)
    # Brokers ask with epochs that are checked; other clients go on with theirs after an end.
    return client_id.startswith((SAFE_PREFIX, "broker-"))


class FrameProxy:
    """Listens on a port of its own. `chance` of each frame of a transaction that something happens to it."""

    def __init__(
        self,
        target: Callable[[], int],
        port: int,
        seed: int,
        *,
        ambushes: Ambushes | None = None,
        share: float = 0.03,
    ) -> None:
        self._target, self.port, self._share = target, port, share
        self._ambushes = ambushes or Ambushes()
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_calm = False
        """Whether frames pass as they come."""
        self.counts: Counter[str] = Counter()
        """What was done, and how often."""

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Breaks everything."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target())
        gate = asyncio.Event()
        gate.set()
        answers = asyncio.ensure_future(_copy(to_reader, writer, gate))
        is_left = False
        try:
            while True:
                # Whichever ends first: a client that goes, or a broker that does.
                frame = await _first(_frame(reader), answers)
                if frame is None:
                    return
                ambush = self._ambush(frame)
                if ambush is not None and ambush.kind == LATE_ANSWER:
                    gate.clear()
                    self._leave(_open(gate, ambush.go))
                elif ambush is not None and ambush.kind in (LATE_RECORD, FORMER_MARKER):
                    await ambush.go.wait()
                if ambush is not None and (ambush.kind in (LATE_MARKER, LATE_END) or ambush.sender_dies):
                    answers.cancel()
                    writer.close()
                    is_left = True
                    self._leave(_bring(frame, to_reader, to_writer, ambush))
                    return
                action = "" if ambush is not None else self._action(frame)
                if action == SLOW:
                    await asyncio.sleep(self._delay())
                if action in (LATE, LOST):
                    answers.cancel()
                    writer.close()
                    is_left = True
                    delay = self._delay() if action == LATE else 0.0
                    self._leave(_deliver(frame, to_reader, to_writer, delay))
                    return
                to_writer.write(frame)
                await to_writer.drain()
        finally:
            answers.cancel()
            if not is_left:
                to_writer.close()

    def _ambush(self, frame: bytes) -> Ambush | None:
        key, client_id = _head(frame)
        return self._ambushes.take(key, client_id, frame[4:]) if key in _HELD else None

    def _action(self, frame: bytes) -> str:
        if self.is_calm:
            return ""
        key, client_id = _head(frame)
        name = _HELD.get(key)  # type: ignore[call-overload]
        if name is None or self._random.random() >= self._share:
            return ""
        action = self._random.choice((LATE, LATE, SLOW, LOST))
        if action == LATE and not is_safe(key, client_id, frame[4:]):
            action = self._random.choice((SLOW, LOST))
        self.counts[f"{action} {name}"] += 1
        return action

    def _delay(self) -> float:
        return min(self._random.expovariate(2.0), 4.0)

    def _leave(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    (length,) = struct.unpack(">i", head)
    if not 0 <= length <= _LARGEST:
        raise OSError("that is no frame")
    return head + await reader.readexactly(length)


async def _first(frame: Coroutine[None, None, bytes], answers: asyncio.Future[None]) -> bytes | None:
    """The next frame; None when the broker has closed before."""
    coming = asyncio.ensure_future(frame)
    try:
        await asyncio.wait((coming, answers), return_when=asyncio.FIRST_COMPLETED)
        return await coming if coming.done() else None
    finally:
        coming.cancel()


def _head(frame: bytes) -> tuple[int, str]:
    """API key and client id; (-1, "") of what is no request."""
    if len(frame) < 14:
        return -1, ""
    key, _, _, length = struct.unpack_from(">hhih", frame, 4)
    return key, frame[14 : 14 + max(length, 0)].decode(errors="replace")


async def _open(gate: asyncio.Event, go: asyncio.Event) -> None:
    await go.wait()
    gate.set()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            await gate.wait()
            writer.write(data)
            await writer.drain()


async def _deliver(
    frame: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
) -> None:
    """The client is gone; its frame arrives, and its answer has nobody to go to."""
    try:
        await asyncio.sleep(delay)
        writer.write(frame)
        await writer.drain()
        async with asyncio.timeout(_ANSWER_SECONDS):
            while await reader.read(1 << 16):
                """Answers to what was sent before, and to this."""
    except (OSError, TimeoutError):
        return
    finally:
        writer.close()


async def _bring(
    frame: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ambush: Ambush
) -> None:
    """The sender is gone; its frame arrives when that is wanted, and is answered."""
    try:
        await ambush.go.wait()
        writer.write(frame)
        await writer.drain()
        async with asyncio.timeout(_ANSWER_SECONDS):
            while (await _frame(reader))[4:8] != frame[8:12]:
                """Answers to what was sent before."""
        ambush.over.set()
    except (OSError, EOFError, TimeoutError):
        return
    finally:
        writer.close()
