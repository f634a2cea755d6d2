"""One connection through the proxy: frames of a client to the broker, and answers back, in their order."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple, Protocol

from fastlog.testing.error_answers import refusal, with_code
from fastlog.testing.faults import Fault, Kind, Side
from fastlog.wire import WireError, decode_request, decode_response, encode_response
from fastlog.wire.api_keys import APIS, ApiKey

__all__ = ["Passage", "Rules"]

_HEADER: Final = struct.Struct(">hhi")
_LENGTH: Final = struct.Struct(">i")
_PIECE: Final = 16 * 1024
_ALWAYS_CARRIED_OUT: Final = frozenset({ApiKey.METADATA, ApiKey.API_VERSIONS})
"""What only asks, and whose answer holds more than the rows of the request: the real one gets the code."""


class Rules(Protocol):
    """What the proxy says about a frame."""

    def faults(self, api: ApiKey | None, side: Side) -> list[Fault]:
        """All that happens to it, in the order in which tests have asked for it."""
        ...

    @property
    def bytes_per_second(self) -> float | None:
        """How fast it may go; None: as fast as it can."""
        ...


class _Owed(NamedTuple):
    """An answer that the client waits for; `frame` is the proxy's own, `code` one for the broker's."""

    api: ApiKey | None
    version: int
    frame: bytes | None
    code: int


class _Cut(Exception):
    """The connection is to end after what was written."""


class Passage:
    """Both directions. `run` returns when either side has ended, or `cut` was called."""

    def __init__(
        self,
        rules: Rules,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._rules = rules
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        self._owed: asyncio.Queue[_Owed] = asyncio.Queue()
        self._came: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
        self._waiting = 0
        self._is_silent = {Side.REQUEST: False, Side.ANSWER: False}

    async def run(self) -> None:
        """Passes frames. Raises nothing: what a connection meets is its end."""
        tasks = [
            asyncio.ensure_future(_quietly(work))
            for work in (self._requests(), self._receive(), self._answers())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # What was written arrives, then both learn that this was all.
            for writer in (self._to_client, self._to_broker):
                writer.close()

    def cut(self) -> None:
        """Breaks it at once; what is under way is lost."""
        for writer in (self._to_client, self._to_broker):
            writer.transport.abort()

    async def _requests(self) -> None:
        while frame := await _frame(self._from_client):
            key, version, correlation_id = _HEADER.unpack_from(frame, 4)
            api = ApiKey(key) if key in APIS else None
            code, is_answered = 0, False
            for fault in self._rules.faults(api, Side.REQUEST):
                if fault.kind is Kind.FAIL and api is not None:
                    code = int(fault.code)
                    is_answered = api not in _ALWAYS_CARRIED_OUT
                else:
                    await self._suffer(fault, frame, self._to_broker)
            if self._is_silent[Side.REQUEST]:
                continue
            if is_answered and api is not None:
                if _expects_answer(frame):
                    self._owe(_Owed(api, version, _refusal(frame, version, correlation_id, code), 0))
                continue
            if _expects_answer(frame):
                self._owe(_Owed(api, version, None, code))
            await self._write(self._to_broker, frame)

    def _owe(self, owed: _Owed) -> None:
        self._waiting += 1
        self._owed.put_nowait(owed)

    async def _receive(self) -> None:
        while frame := await _frame(self._from_broker):
            await self._came.put(frame)
        await self._came.put(b"")
        if self._waiting:
            # Answers that came before the end are passed on.
            await asyncio.Event().wait()

    async def _answers(self) -> None:
        while True:
            owed = await self._owed.get()
            frame = owed.frame or await self._came.get()
            if not frame:
                return
            code = owed.code
            for fault in self._rules.faults(owed.api, Side.ANSWER):
                if fault.kind is Kind.FAIL:
                    code = int(fault.code)
                else:
                    await self._suffer(fault, frame, self._to_client)
            if code and owed.api is not None and owed.frame is None:
                frame = _with_code(owed.api, owed.version, frame, code)
            self._waiting -= 1
            if not self._is_silent[Side.ANSWER]:
                await self._write(self._to_client, frame)

    async def _suffer(self, fault: Fault, frame: bytes, to: asyncio.StreamWriter) -> None:
        if fault.kind is Kind.DELAY:
            await asyncio.sleep(fault.seconds)
        elif fault.kind is Kind.HOLD:
            await fault.wait_released()
        elif fault.kind is Kind.DROP:
            # Nothing of a connection arrives after what was lost of it.
            self._is_silent[fault.side] = True
        elif fault.kind is Kind.CUT:
            to.write(frame[: len(frame) // 2 if fault.after is None else fault.after])
            await to.drain()
            raise _Cut

    async def _write(self, to: asyncio.StreamWriter, frame: bytes) -> None:
        rate = self._rules.bytes_per_second
        if rate is None:
            to.write(frame)
            await to.drain()
            return
        for at in range(0, len(frame), _PIECE):
            piece = frame[at : at + _PIECE]
            await asyncio.sleep(len(piece) / rate)
            to.write(piece)
            await to.drain()


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (_Cut, OSError, asyncio.IncompleteReadError):
        return


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame with its length; nothing at the end."""
    try:
        head = await reader.readexactly(4)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    (size,) = _LENGTH.unpack(head)
    if size < 4:
        return b""
    return head + await reader.readexactly(size)


def _expects_answer(frame: bytes) -> bool:
    """Whether a request is answered: all but Produce with acks=0."""
    if len(frame) < 14 or _HEADER.unpack_from(frame, 4)[0] != ApiKey.PRODUCE:
        return True
    try:
        request: Any = decode_request(frame[4:])[1]
    except WireError:
        return True
    return bool(request.acks)


def _refusal(frame: bytes, version: int, correlation_id: int, code: int) -> bytes:
    return encode_response(refusal(decode_request(frame[4:])[1], version, code), version, correlation_id)


def _with_code(api: ApiKey, version: int, frame: bytes, code: int) -> bytes:
    correlation_id, response = decode_response(api, version, frame[4:])
    return encode_response(with_code(response, version, code), version, correlation_id)
